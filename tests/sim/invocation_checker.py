"""Promise 6 for invocations: one child for each, and the parent sees what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from stepwell.wire.encoding import encode
from stepwell.wire.opcodes import Op
from stepwell_orchestrator.model.run import RunHeader, RunStatus
from stepwell_orchestrator.model.step import StepEntry, StepStatus
from tests.sim.checkers import Bounds, Moment, ViolationError
from tests.sim.corpus import INVOKED_EVENT, Member
from tests.sim.facts import EntryWritten, Fact, RunCreated
from tests.sim.known_runs import KnownRuns
from tests.sim.steps import Invocation

Key = tuple[str, str]


@dataclass(slots=True)
class Waiting:
    """One invocation."""

    step: Invocation
    expires_at_ms: int
    is_open: bool = True


class InvokedOnce:
    """A step invokes one run, of the function it names; its memo is that run's outcome, or that time was up."""

    def __init__(self, bounds: Bounds, members: Mapping[str, Member]) -> None:
        self._skew_max_ms = bounds.skew_max_ms
        self._prompt_ms = bounds.prompt_ms
        self._known = KnownRuns(members)
        self._waits: dict[Key, Waiting] = {}
        self._children: dict[Key, str] = {}

    def see(self, fact: Fact, moment: Moment) -> None:
        self._known.see(fact, moment)
        match fact:
            case RunCreated(header) if header.original_run_id is None:
                self._created(header)
            case EntryWritten(run_id, entry) if entry.op is Op.INVOKE_FUNCTION:
                wait = self._waits.get((run_id, entry.step_id))
                if wait is None:
                    self._begin(fact, moment)
                elif entry.memoised:
                    self._end(wait, run_id, entry, moment)

    def _created(self, header: RunHeader) -> None:
        invokers = self._invokers(header)
        if (invokers[0] if invokers else None) != header.invoked_by:
            raise ViolationError(6, f"a run started by {header.event_name} does not say so", header.run_id)
        for invoker in invokers:
            wait = self._waits.get(invoker)
            if wait is None or wait.step.function != header.function_id:
                raise ViolationError(6, "was invoked by a step that does not invoke it", header.run_id)
            if self._children.setdefault(invoker, header.run_id) != header.run_id:
                raise ViolationError(6, f"step {wait.step.name} invoked two runs", invoker[0])

    def _invokers(self, header: RunHeader) -> list[Key]:
        """The steps whose invocations a run answers: of a batch there may be several."""
        events = [self._known.events[event_id].event for event_id in header.event_ids]
        invocations = [event.data["_inngest"]["correlation_id"] for event in events if event.name == INVOKED_EVENT]
        return [(run_id, step_id) for run_id, _, step_id in (each.partition(".") for each in invocations)]

    def _begin(self, fact: EntryWritten, moment: Moment) -> None:
        entry = fact.entry
        step, called = self._known.step(fact.run_id, entry.step_id), self._known.reported(fact)
        assert isinstance(step, Invocation), f"{entry.name} invokes and is no invocation"
        if entry.status is not StepStatus.WAITING or called is None or entry.due_at_ms is None:
            raise ViolationError(6, f"invocation {entry.name} ended before it began", fact.run_id)
        earliest_ms = called.moment.now_ms + step.timeout_ms - self._skew_max_ms
        if not earliest_ms <= entry.due_at_ms <= moment.now_ms + step.timeout_ms + self._skew_max_ms:
            raise ViolationError(6, f"invocation {entry.name} does not last {step.timeout_ms} ms", fact.run_id)
        self._waits[fact.run_id, entry.step_id] = Waiting(step, entry.due_at_ms)

    def _end(self, wait: Waiting, run_id: str, entry: StepEntry, moment: Moment) -> None:
        if not wait.is_open:
            raise ViolationError(6, f"invocation {entry.name} was resolved twice", run_id)
        wait.is_open = False
        ended = self._known.ended.get(self._children.get((run_id, entry.step_id), ""))
        is_owed = run_id not in self._known.ended
        if is_owed and ended is not None and moment.now_ms > ended[1].now_ms + self._prompt_ms:
            raise ViolationError(7, f"invocation {entry.name} went on long after its run had ended", run_id)
        if entry.status is StepStatus.TIMED_OUT:
            if moment.now_ms < wait.expires_at_ms - self._skew_max_ms:
                raise ViolationError(6, f"invocation {entry.name} timed out too early", run_id)
        elif not self._is_outcome(wait, run_id, entry):
            message = f"invocation {entry.name} ended with {entry.memo}, which is not what became of it"
            raise ViolationError(6, message, run_id)

    def _is_outcome(self, wait: Waiting, run_id: str, entry: StepEntry) -> bool:
        """Whether the memo says what became of the child."""
        child_id = self._children.get((run_id, entry.step_id))
        if child_id is None:
            return wait.step.function not in self._known.members and entry.status is StepStatus.FAILED
        if child_id not in self._known.ended:
            return False
        outcome, _ = self._known.ended[child_id]
        match outcome.status:
            case RunStatus.COMPLETED:
                return encode(entry.memo) == encode({"data": outcome.output})
            case RunStatus.FAILED:
                return encode(entry.memo) == encode({"error": dict(outcome.error or {})})
            case _:
                return entry.status is StepStatus.FAILED and "cancelled" in entry.memo["error"]["message"]
