"""Which moves the engine made, and which it cannot make, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from stepwell.wire.opcodes import Op
from stepwell_orchestrator.model.run import RunStatus
from stepwell_orchestrator.model.step import StepEntry, StepStatus
from tests.sim.checkers import Moment
from tests.sim.facts import CallMade, EntryWritten, Fact, RunCreated, RunEnded

Move = tuple[str, str]

ABSENT: Final = "absent"
UNEXPLAINED: Final = "nobody knows why; look into it"
_RARE: Final = "rare; look into it when hundreds of seeds have none"
_CLAIMED_FIRST = "a planned step is claimed before it is called"
_NOT_AGAIN = "planning a step again changes nothing until it was dropped"
_GIVEN_UP = "no function of the corpus asks again for a step that it gave up"
_STEP_REASONS: Mapping[Move, str] = {
    (ABSENT, "running"): _CLAIMED_FIRST,
    (ABSENT, "dropped"): _CLAIMED_FIRST,
    ("planned", "planned"): _NOT_AGAIN,
    ("running", "planned"): _NOT_AGAIN,
    ("planned", "errored"): _CLAIMED_FIRST,
    ("planned", "completed"): _CLAIMED_FIRST,
    ("planned", "failed"): _CLAIMED_FIRST,
    ("planned", "dropped"): _CLAIMED_FIRST,
    ("errored", "dropped"): _CLAIMED_FIRST,
    ("errored", "planned"): "a step that failed in place is tried again in place: nothing else is pending then",
}
_CALLED_FIRST = "a run is called before it comes to an end of its own"
_RUN_REASONS: Mapping[Move, str] = {
    ("queued", "queued"): "a run is created once",
    ("running", "queued"): "a run is created once",
    ("running", "running"): "being called again is no move",
    ("queued", "completed"): _CALLED_FIRST,
    ("queued", "failed"): _CALLED_FIRST,
}
_REFUSALS = {"could not find function": "not found", "was cancelled": "cancelled"}
_ENDS: Mapping[str, Sequence[str]] = {
    "WaitForEvent": ("completed", "timed_out"),
    "WaitForSignal": ("completed", "timed_out", "failed"),
    "InvokeFunction": ("completed", "failed", "cancelled", "not found", "timed_out"),
    "Sleep": ("completed",),
    "body": ("completed", "failed"),
}
"""The ends that a step may come to."""
_FINAL = ("completed", "failed", "timed_out")
_STEP_STATES = (ABSENT, *(status.value for status in StepStatus if status is not StepStatus.DEFERRED))
_RUN_STATES = (ABSENT, *(status.value for status in RunStatus))


class Coverage:
    """A checker that promises nothing: it counts the moves of runs and steps."""

    def __init__(self) -> None:
        self.steps: Counter[Move] = Counter()
        self.runs: Counter[Move] = Counter()
        self.ends: Counter[Move] = Counter()
        """How steps of each kind ended."""
        self._steps: dict[tuple[str, str], str] = {}
        self._runs: dict[str, str] = {}

    def see(self, fact: Fact, _moment: Moment) -> None:
        match fact:
            case EntryWritten(run_id, entry) if entry.is_step:
                key = (run_id, entry.step_id)
                self.steps[self._steps.get(key, ABSENT), entry.status.value] += 1
                self._steps[key] = entry.status.value
                if entry.memoised:
                    self.ends[_kind_of(entry), _end_of(entry)] += 1
            case RunCreated(header) if header.run_id not in self._runs:
                self._run(header.run_id, RunStatus.QUEUED)
            case CallMade():
                self._run(fact.run_id, RunStatus.RUNNING)
            case RunEnded(run_id, outcome):
                self._run(run_id, outcome.status)

    def _run(self, run_id: str, status: RunStatus) -> None:
        before = self._runs.get(run_id, ABSENT)
        if status.value != before and before not in ("completed", "failed", "cancelled"):
            self.runs[before, status.value] += 1
            self._runs[run_id] = status.value


def missing_steps(taken: Mapping[Move, int]) -> list[tuple[str, str]]:
    """The moves of steps that were not made, each with its reason, or with the word that none is known."""
    return _missing(_STEP_STATES, taken, _why_no_step)


def missing_ends(taken: Mapping[Move, int]) -> list[tuple[str, str]]:
    """The ends that no step of a kind had: each can be had, and 400 seeds have all of them."""
    moves = [(op, end) for op, ends in _ENDS.items() for end in ends if (op, end) not in taken]
    return [(f"{op} -> {end}", _RARE) for op, end in moves]


def _kind_of(entry: StepEntry) -> str:
    """The kind of a step; one with a body is journaled under whichever opcode told of it first."""
    return entry.op.value if entry.op.value in _ENDS else "body"


def _end_of(entry: StepEntry) -> str:
    """How a step ended; a refusal by what was refused."""
    if entry.status is not StepStatus.FAILED or entry.op is not Op.INVOKE_FUNCTION:
        return entry.status.value
    message = str(entry.memo["error"].get("message", ""))
    return next((end for text, end in _REFUSALS.items() if text in message), entry.status.value)


def missing_runs(taken: Mapping[Move, int]) -> list[tuple[str, str]]:
    """The moves of runs that were not made, each with its reason, or with the word that none is known."""
    return _missing(_RUN_STATES, taken, _why_no_run)


def _missing(states: Sequence[str], taken: Mapping[Move, int], why: Callable[[str, str], str]) -> list[tuple[str, str]]:
    moves = [(old, new) for old in states for new in states if new != ABSENT and (old, new) not in taken]
    reasons: dict[str, list[str]] = {}
    for old, new in moves:
        reasons.setdefault(why(old, new), []).append(f"{old} -> {new}")
    return [(", ".join(found), reason) for reason, found in reasons.items()]


def _why_no_step(old: str, new: str) -> str:
    if old in _FINAL:
        return "a memoised entry never changes"
    if old == "waiting" or (new == "waiting" and old != ABSENT):
        return "a wait is reported once, and only its end changes it"
    if new == "timed_out":
        return "only a wait times out"
    if old == "sleeping" or (new == "sleeping" and old != ABSENT):
        return "a sleep is reported once, and only its timer ends it"
    if old == "dropped":
        return _GIVEN_UP
    return _STEP_REASONS.get((old, new), UNEXPLAINED)


def _why_no_run(old: str, new: str) -> str:
    if old in ("completed", "failed", "cancelled"):
        return "a run ends once"
    if old == ABSENT:
        return "a run is created queued"
    return _RUN_REASONS.get((old, new), UNEXPLAINED)
