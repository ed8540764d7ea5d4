"""Why a run is not running, or what it does: everything that is known to hold it back, or else that nothing is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final, Literal

from stepwell.wire.times import format_instant
from stepwell_orchestrator.controlling.waiting_for import AHEAD_MAX, WaitingFor, WaitsOfRuns, ahead_text
from stepwell_orchestrator.engine.flow.halting import halt_gate
from stepwell_orchestrator.engine.flow.wording import halt_text
from stepwell_orchestrator.limits import SWEEP_MS
from stepwell_orchestrator.model.flow import Halt, Halted, Halts, HaltScope, Place
from stepwell_orchestrator.model.run import Run, RunHeader
from stepwell_orchestrator.model.step import StepEntry, StepStatus
from stepwell_orchestrator.model.step_kind import StepKind, kind_of

Kind = Literal[
    "ended",
    "paused",
    "draining",
    "limit",
    "scheduled",
    "queued",
    "call",
    "retry",
    "sleep",
    "event",
    "signal",
    "invoke",
    "trouble",
]
STEPS_MAX: Final = 20
"""Of so many steps it is told what they wait for."""
_PLANNED_MAX: Final = 5
"""Of so many planned steps it is looked up which limit they wait at: each look is a few reads."""
_WAIT_KINDS: Final[dict[StepKind, tuple[Kind, str, str]]] = {
    StepKind.WAIT_FOR_EVENT: ("event", "event", "event"),
    StepKind.WAIT_FOR_SIGNAL: ("signal", "signal", "signal"),
    StepKind.INVOKE: ("invoke", "function_id", "function"),
}


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that holds a run back, in words. ``step`` is the name of the step that it is about.

    ``at_ms`` is when it is over, or looked at again, at the latest; None where nobody knows.
    """

    kind: Kind
    text: str
    step: str | None = None
    at_ms: int | None = None
    waiting: WaitingFor | None = None
    halt: tuple[HaltScope, Halt] | None = None


@dataclass(frozen=True, slots=True)
class Reasons:
    """Finds out why runs are not running. It may have changed by the time that it is told."""

    waits: WaitsOfRuns

    async def of(self, run: Run) -> list[Reason]:
        """Everything that is known, one at least."""
        header = run.header
        if header.outcome is not None:
            return [Reason("ended", f"it is over: {header.outcome.status}", at_ms=header.outcome.ended_at_ms)]
        found = [reason async for reason in self._of_run(run)]
        found += [reason async for reason in self._of_steps(run)]
        if header.trouble:
            found.append(Reason("trouble", f"its queue had trouble with it: {header.trouble}"))
        return found or [self._nothing_known(header)]

    async def _of_run(self, run: Run) -> AsyncIterator[Reason]:
        header, now_ms = run.header, self.waits.clock.now_ms()
        closed = halt_of(header, await self.waits.registry.halts_now())
        if closed is not None:
            yield await self._halted(header, closed)
        waiting = await self.waits.of(header)
        if waiting is not None:
            yield _limited(waiting)
        starts_ms = max((event.ts_ms for event in run.events), default=0)
        if header.started_at_ms is None and starts_ms > now_ms:
            yield Reason("scheduled", f"it is to start at {format_instant(starts_ms)}", at_ms=starts_ms)
        retry_at_ms = header.progress.retry_at_ms
        if retry_at_ms is not None and retry_at_ms > now_ms:
            text = f"attempt {header.progress.attempt} of its call failed; it is called again at "
            yield Reason("retry", text + format_instant(retry_at_ms), at_ms=retry_at_ms)
        if header.lease_until_ms is not None and header.lease_until_ms > now_ms:
            yield Reason("call", "a worker has it: it is being called, or is about to be", at_ms=header.lease_until_ms)

    async def _halted(self, header: RunHeader, closed: tuple[HaltScope, Halt]) -> Reason:
        scope, halt = closed
        gate, place = halt_gate(_needs(header), header.function_id), Place(header.order_ms, header.run_id)
        ahead = await self.waits.flow.gates.count_ahead(gate, place, AHEAD_MAX)
        option = " --app" if scope.kind == "app" else ""
        text = (
            f"{halt_text(scope, halt)}, since {format_instant(halt.since_ms)}; {ahead_text(ahead)}; "
            f"`stepwell resume{option} {scope.id}` lets it go on"
        )
        return Reason("draining" if halt.draining else "paused", text, halt=closed)

    async def _of_steps(self, run: Run) -> AsyncIterator[Reason]:
        pending = [entry for entry in run.steps.values() if entry.pending]
        looks = _PLANNED_MAX
        for entry in pending[:STEPS_MAX]:
            reason = _waits(entry)
            if reason is None:
                waiting = await self.waits.of(run.header, entry) if looks > 0 else None
                looks -= 1
                reason = _queued(entry) if waiting is None else _limited(waiting, entry.name)
            yield reason
        if len(pending) > STEPS_MAX:
            yield Reason("queued", f"{len(pending) - STEPS_MAX} more steps are under way, or wait")

    def _nothing_known(self, header: RunHeader) -> Reason:
        """Nothing is wrong as far as anybody knows: it is queued."""
        again_at_ms = self.waits.clock.now_ms() + SWEEP_MS
        doing = "starts" if header.started_at_ms is None else "goes on"
        return Reason(
            "queued", f"nothing known holds it back: it {doing} as soon as a worker is free", at_ms=again_at_ms
        )


def halt_of(header: RunHeader, halts: Halts) -> tuple[HaltScope, Halt] | None:
    """What keeps a run that is not over from its start or from its next call."""
    return halts.closed_by(_needs(header), header.function_id, header.app_id)


def _needs(header: RunHeader) -> Halted:
    return Halted.STARTS if header.started_at_ms is None else Halted.CALLS


def _limited(waiting: WaitingFor, step: str | None = None) -> Reason:
    of = "" if step is None else f'step "{step}" '
    return Reason("limit", of + waiting.text, step, waiting.again_at_ms, waiting)


def _waits(entry: StepEntry) -> Reason | None:
    """What a step waits for that no worker does; None for one that a worker executes, or is to."""
    kind, until = kind_of(entry.op), "" if entry.due_at_ms is None else f" until {format_instant(entry.due_at_ms)}"
    match entry.status:
        case StepStatus.SLEEPING:
            return Reason("sleep", f'step "{entry.name}" sleeps{until}', entry.name, entry.due_at_ms)
        case StepStatus.WAITING if kind in _WAIT_KINDS:
            reason, member, noun = _WAIT_KINDS[kind]
            accepted = f" with {entry.opts['if']}" if entry.opts.get("if") else ""
            text = f'step "{entry.name}" waits for {noun} {entry.opts[member]}{accepted}{until}'
            return Reason(reason, text, entry.name, entry.due_at_ms)
        case StepStatus.RUNNING:
            return Reason("call", f'step "{entry.name}" is being executed', entry.name, entry.claim_until_ms)
        case StepStatus.ERRORED:
            at = "" if entry.due_at_ms is None else f"; tried again at {format_instant(entry.due_at_ms)}"
            text = f'attempt {entry.failed_attempts} of step "{entry.name}" failed{at}'
            return Reason("retry", text, entry.name, entry.due_at_ms)
        case _:
            return None


def _queued(entry: StepEntry) -> Reason:
    return Reason("queued", f'step "{entry.name}" is queued, and is executed as soon as a worker is free', entry.name)
