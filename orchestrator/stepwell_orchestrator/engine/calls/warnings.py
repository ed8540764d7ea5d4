"""What a call tells its function's author, kept with the run: once a run, and never more than a person reads.

A warning becomes durable in the commit that carries out what its call decided, and is told once that has happened:

=====================================  ====================================  ======================================
who dies, or comes between             what the journal shows                who says it again
=====================================  ====================================  ======================================
the driver dies before its commit      nothing of the call                   the next call; it is new then
  test_warnings.py::test_what_was_not_committed_is_said_by_the_next_call
the driver dies after it, untold       the warning                           nobody: the run shows it
  test_warnings.py::test_what_a_driver_that_died_had_kept_is_not_told_again
a call says it again                   the warning                           nobody
  test_warnings.py::test_a_warning_is_told_once_however_many_calls_say_it
a call that executes a planned step    the warning, on the step's entry: it  nobody: the next driver finds it there
says it, without the drive lease
  test_warnings.py::test_what_a_planned_step_says_is_kept
the call ends the run                  the warning, with the outcome         nobody
  test_warnings.py::test_the_last_call_of_a_run_is_heard
two calls say it at the same time      it, with the run and with the entry   nobody; it is told twice, and shown once
  test_warnings.py::test_what_two_calls_said_is_shown_once
=====================================  ====================================  ======================================
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from stepwell.wire.reply import WARNING_CHARS_MAX
from stepwell_orchestrator.model.decision import Decision, EndRun, PutEntry, PutProgress, Write
from stepwell_orchestrator.model.run import Run
from stepwell_orchestrator.model.step import StepEntry

WARNINGS_PER_RUN_MAX: Final = 20

_HASHED: Final = re.compile(r"\bstep ([0-9a-f]{40})\b")


def keep(run: Run, target: str | None, decision: Decision, said: Iterable[str]) -> Decision:
    """The decision of a call to ``target``, which also keeps of what the call ``said`` whatever is new."""
    known = warnings_of(run)
    names = {entry.step_id: entry.name for entry in run.entries.values()}
    fresh = tuple(text for text in dict.fromkeys(_named(text, names) for text in said) if text and text not in known)
    fresh = fresh[: max(WARNINGS_PER_RUN_MAX - len(known), 0)]
    if not fresh:
        return decision
    decision = replace(decision, warnings=fresh)
    if any(isinstance(write, EndRun) for write in decision.writes):
        return replace(decision, writes=tuple(_at_the_end(write, fresh) for write in decision.writes))
    return _by_driver(run, decision, known + fresh) if target is None else _by_claimant(target, decision, fresh)


def warnings_of(run: Run) -> tuple[str, ...]:
    """What the calls of a run have said: those kept with the run, then those kept with its steps."""
    entries = (text for entry in run.entries.values() for text in entry.warnings)
    return tuple(dict.fromkeys((*run.header.warnings, *entries)))


def _named(text: str, names: Mapping[str, str]) -> str:
    """The warning with names where the function knows no more of a step than its hash."""

    def name(found: re.Match[str]) -> str:
        return f'step "{names[found[1]]}"' if found[1] in names else found[0]

    return _HASHED.sub(name, text)[:WARNING_CHARS_MAX]


def _at_the_end(write: Write, fresh: tuple[str, ...]) -> Write:
    return EndRun(replace(write.outcome, warnings=fresh)) if isinstance(write, EndRun) else write


def _by_driver(run: Run, decision: Decision, warnings: tuple[str, ...]) -> Decision:
    """The driver writes them with its progress, in the very commit, so that its successor does not tell them again."""
    progress = replace(decision.progress or run.header.progress, warnings=warnings)
    others = tuple(write for write in decision.writes if not isinstance(write, PutProgress))
    return replace(decision, writes=(*others, PutProgress(progress)), progress=progress)


def _by_claimant(target: str, decision: Decision, fresh: tuple[str, ...]) -> Decision:
    """Who holds a claim alone writes them with the entry that its call was about."""
    writes = tuple(_with_warnings(write, target, fresh) for write in decision.writes)
    return replace(decision, writes=writes)


def _with_warnings(write: Write, target: str, fresh: tuple[str, ...]) -> Write:
    if not isinstance(write, PutEntry) or write.entry.step_id != target:
        return write
    entry: StepEntry = replace(write.entry, warnings=(*write.entry.warnings, *fresh))
    return replace(write, entry=entry)
