"""Commands carried out. Each may be repeated, and any may be lost to a crash: a commit lets it be derived again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from stepwell_orchestrator.engine.runs.route import invoked, patterns
from stepwell_orchestrator.engine.waits import items
from stepwell_orchestrator.engine.waits.matching import accepts, is_eligible
from stepwell_orchestrator.engine.waits.waiting import waits_for_signal
from stepwell_orchestrator.limits import PAUSE_PAGE
from stepwell_orchestrator.model.decision import Command, DropSignal, Emit, LeaveGates, Send, TakeSignal, Unwatch, Watch
from stepwell_orchestrator.model.event import Event
from stepwell_orchestrator.model.pause import Pause, PauseKind
from stepwell_orchestrator.model.queue_item import EventArrived, QueueItem, WaitRefused
from stepwell_orchestrator.ports import Clock, Journal, Queue, Registry, Waits
from stepwell_orchestrator.worker.limiting.gatekeeping import Gatekeeper


@dataclass(frozen=True, slots=True)
class Dispatcher:
    """Carries out commands on the ports."""

    journal: Journal
    waits: Waits
    registry: Registry
    queue: Queue
    clock: Clock
    keeper: Gatekeeper

    async def dispatch(self, commands: Sequence[Command]) -> None:
        """Carry out commands in order. Queue items, those that the other commands lead to as well, go out last."""
        sends: list[QueueItem] = []
        for command in commands:
            sends += await self._carry_out(command)
        if sends:
            await self.queue.send(sends)

    async def _carry_out(self, command: Command) -> list[QueueItem]:
        match command:
            case Send(item):
                return [item]
            case Emit(event):
                await self.journal.put_event(event)
                return (
                    [items.route(event.internal_id, event.received_at_ms).item] if await self._is_heard(event) else []
                )
            case Watch(pause):
                return await self._watch(pause)
            case Unwatch(keys):
                await self.waits.drop_pauses(keys)
            case TakeSignal():
                return await self._take_signal(command)
            case DropSignal(wait):
                await self.waits.drop_signal(wait)
            case LeaveGates():
                await self.keeper.leave_as_ended(command)
            case _:
                assert_never(command)
        return []

    async def _is_heard(self, event: Event) -> bool:
        """Whether a stored event may start, resume or cancel anything: if not, this was all of its routing.

        It is stored before anybody is looked for, as a router does it: a wait that is filed later finds it by itself.
        """
        if invoked(event) is not None or await self.registry.functions_on(patterns(event.name)):
            return True
        return bool(await self.waits.shapes(event.name))

    async def _watch(self, pause: Pause) -> list[QueueItem]:
        await self.waits.put_pause(pause)
        if pause.kind is PauseKind.CANCEL and await self._has_ended(pause.key.run_id):
            await self.waits.drop_pauses([pause.key])
            return []
        event = await self.find_event(pause)
        return [] if event is None else [consequence(pause, event, self.clock.now_ms())]

    async def _has_ended(self, run_id: str) -> bool:
        """Whether a run that may be cancelled is over, so that the pause that was just filed is taken out here.

        A run's pauses are taken out after its end; the worker that files one looks after that whether it has ended.
        The pause of a wait needs no look: its timer, which is queued after it, takes it out at the latest.
        """
        header = await self.journal.get_header(run_id)
        return header is not None and header.outcome is not None

    async def find_event(self, pause: Pause) -> Event | None:
        """Returns the first event received since the pause began that it accepts, or None."""
        trigger = await self.journal.get_event(pause.trigger_event_id)
        after: Event | None = None
        while trigger is not None:
            page = await self.journal.events_since(pause.key.event_name, pause.since_ms, after=after, limit=PAUSE_PAGE)
            for event in page:
                if is_eligible(pause, event) and accepts(pause, trigger.wire(), event.wire(), self.clock.now_ms()):
                    return event
            if len(page) < PAUSE_PAGE:
                return None
            after = page[-1]
        return None

    async def _take_signal(self, command: TakeSignal) -> list[QueueItem]:
        wait, now_ms = command.wait, self.clock.now_ms()
        if await self.waits.take_signal(wait, replace=command.replace, now_ms=now_ms):
            return []
        if await self._free_signal(wait.name) and await self.waits.take_signal(wait, replace=False, now_ms=now_ms):
            return []
        refused = WaitRefused("Signal conflict; signal wait already exists for another run", wait.expires_at_ms)
        return [items.settle(wait.run_id, wait.step_id, refused, now_ms).item]

    async def _free_signal(self, name: str) -> bool:
        """Whether nobody waits for a signal: a waiter whose run ended while it became the waiter does not count."""
        holder = await self.waits.get_signal(name)
        if holder is None:
            return True
        header = await self.journal.get_header(holder.run_id)
        entry = await self.journal.get_entry(holder.run_id, holder.step_id)
        if header is not None and header.outcome is None and entry is not None and waits_for_signal(entry, name):
            return False
        await self.waits.drop_signal(holder)
        return True


def consequence(pause: Pause, event: Event, now_ms: int) -> QueueItem:
    """What follows when an event matches a pause."""
    match pause.kind:
        case PauseKind.RESUME:
            cause = EventArrived(event.internal_id)
            return items.settle(pause.key.run_id, pause.key.pause_id, cause, now_ms).item
        case PauseKind.CANCEL:
            return items.cancel(pause.key.run_id, now_ms).item
        case _:
            assert_never(pause.kind)
