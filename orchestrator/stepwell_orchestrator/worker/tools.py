"""What every part of the worker is handed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stepwell_orchestrator.controlling.lines import Lines
from stepwell_orchestrator.engine.calls.notices import notices
from stepwell_orchestrator.engine.calls.recover import recover
from stepwell_orchestrator.engine.journal.retry import RetryPolicy
from stepwell_orchestrator.flow_ports import FlowPorts
from stepwell_orchestrator.limits import ChangedLimits, Limits
from stepwell_orchestrator.model.decision import Command, Decision, EndRun
from stepwell_orchestrator.model.notice import Observe
from stepwell_orchestrator.model.run import Run, RunHeader
from stepwell_orchestrator.ports import Clock, Journal, Queue, Registry, Waits
from stepwell_orchestrator.worker.dispatch import Dispatcher
from stepwell_orchestrator.worker.limiting.gatekeeping import Gatekeeper


@dataclass(frozen=True, slots=True)
class Tools:
    """Ports, policies and the observer.

    ``stops_at_ms`` tells from when on this process starts nothing more, if it has such a time.
    """

    journal: Journal
    waits: Waits
    registry: Registry
    queue: Queue
    clock: Clock
    limits: Limits
    retries: RetryPolicy
    observe: Observe
    stops_at_ms: Callable[[], int | None]
    changed_limits: ChangedLimits
    flow: FlowPorts

    @property
    def keeper(self) -> Gatekeeper:
        """What lets runs through gates."""
        lines = Lines(self.flow, self.journal, self.registry, self.queue, self.clock)
        return Gatekeeper(self.flow, lines, self.clock, self.observe)

    @property
    def dispatcher(self) -> Dispatcher:
        """What carries out commands."""
        return Dispatcher(self.journal, self.waits, self.registry, self.queue, self.clock, self.keeper)

    def is_late(self, now_ms: int) -> bool:
        """Whether nothing more is started here."""
        stops_at_ms = self.stops_at_ms()
        return stops_at_ms is not None and now_ms >= stops_at_ms

    def limits_of(self, run: Run) -> Limits:
        """The limits that hold for a run."""
        return self.changed_limits.of(run.header.function_id, self.limits)

    async def dispatch(self, commands: Sequence[Command]) -> None:
        """Carry out commands."""
        await self.dispatcher.dispatch(commands)

    async def dispatch_what_follows(self, run: Run, decision: Decision) -> None:
        """Carry out the commands of a decision that was made for ``run`` and is written.

        Beside an end, steps that were executed meanwhile may have deferred functions, or aborted them, of which ``run``
        does not know: then it is told from the journal as that is after the end, to which nobody adds.
        """
        ends = any(isinstance(write, EndRun) for write in decision.writes)
        if ends and any(entry.planned and entry.pending for entry in run.entries.values()):
            await self.dispatch(recover(await self.load(run.header.run_id), self.clock.now_ms()))
        else:
            await self.dispatch(decision.commands)

    def tell(self, header: RunHeader, decision: Decision) -> None:
        """Tell the observer what a committed decision changed."""
        for notice in notices(header, decision, self.clock.now_ms()):
            self.observe(notice)

    async def load(self, run_id: str) -> Run:
        """Load a run that is known to exist."""
        run = await self.journal.load(run_id)
        assert run is not None, f"run {run_id} has a header but cannot be loaded"
        return run
