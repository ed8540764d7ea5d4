"""The limits that fail a run for good (protocol 6.4). Each names its limit and the way out."""

from __future__ import annotations

from collections.abc import Sequence

from stepwell.wire.reply import Instructions, failure
from stepwell_orchestrator.engine.journal.situation import Situation
from stepwell_orchestrator.engine.runs import ending
from stepwell_orchestrator.model.decision import PutEntry
from stepwell_orchestrator.model.run import Outcome


def too_many_opcodes(situation: Situation, instructions: Instructions) -> Outcome | None:
    """The end of a run whose function reported more opcodes than a reply may hold."""
    count, limit = len(instructions.opcodes), situation.limits.opcodes_per_reply
    if count <= limit:
        return None
    return _end(
        situation,
        "InngestErrFunctionOverflowed",
        f"The function reported {count} steps at once; the limit is {limit}. Start them in smaller groups.",
    )


def broken(situation: Situation, puts: Sequence[PutEntry]) -> Outcome | None:
    """Returns the end of a run that these writes would carry over a limit, or None where they break none."""
    return _too_large_step(situation, puts) or _too_many_steps(situation, puts) or _too_large_run(situation, puts)


def _too_large_step(situation: Situation, puts: Sequence[PutEntry]) -> Outcome | None:
    limit = situation.limits.step_bytes
    for put in puts:
        if put.entry.size_bytes > limit:
            return _end(
                situation,
                "output_too_large",
                f'The output of step "{put.entry.name}" is {put.entry.size_bytes} bytes; the limit is {limit}. '
                "Store it elsewhere and return a reference to it.",
            )
    return None


def _too_many_steps(situation: Situation, puts: Sequence[PutEntry]) -> Outcome | None:
    limit = situation.limits.steps_per_run
    if len(situation.run.entries.keys() | {put.entry.step_id for put in puts}) <= limit:
        return None
    return _end(
        situation,
        "InngestErrFunctionOverflowed",
        f"The function run exceeded the step limit of {limit} steps. Split the work over several functions.",
    )


def _too_large_run(situation: Situation, puts: Sequence[PutEntry]) -> Outcome | None:
    limit = situation.limits.run_bytes
    written = {put.entry.step_id: put.entry.size_bytes for put in puts}
    kept = sum(entry.size_bytes for entry in situation.run.entries.values() if entry.step_id not in written)
    total = kept + sum(written.values())
    if total <= limit:
        return None
    return _end(
        situation,
        "InngestErrStateOverflowed",
        f"The outputs of the run's steps are {total} bytes together; the limit is {limit}. "
        "Store large values elsewhere and return references to them.",
    )


def _end(situation: Situation, name: str, message: str) -> Outcome:
    return ending.failed(failure(name, message, no_retry=True), situation.now_ms)
