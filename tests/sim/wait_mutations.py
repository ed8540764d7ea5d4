"""More ways to break the engine on purpose: waits, signals, invocations, cancellations and reruns."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from stepwell.errors import StepwellError
from stepwell.wire.ids import derived_ulid
from stepwell.wire.opcodes import Op
from stepwell.wire.times import HOUR_MS
from stepwell_orchestrator.controlling.control import Control
from stepwell_orchestrator.engine.journal.situation import Situation
from stepwell_orchestrator.engine.opcodes.expiry import expiry_ms
from stepwell_orchestrator.engine.runs import children, ending
from stepwell_orchestrator.engine.waits import items, resume, waiting
from stepwell_orchestrator.limits import DELIVERY_LEASE_MS
from stepwell_orchestrator.local import commit
from stepwell_orchestrator.local.waits import SqliteWaits
from stepwell_orchestrator.model.decision import Decision, PutEntry
from stepwell_orchestrator.model.event import Event
from stepwell_orchestrator.model.pause import Pause
from stepwell_orchestrator.model.queue_item import Deadline, QueueItem, SignalArrived
from stepwell_orchestrator.model.run import RunHeader
from stepwell_orchestrator.model.signal import SignalWait
from stepwell_orchestrator.model.step import StepEntry
from stepwell_orchestrator.worker import routing, settling
from stepwell_orchestrator.worker.cancelling import Canceller
from stepwell_orchestrator.worker.committing import Committer
from stepwell_orchestrator.worker.dispatch import Dispatcher
from stepwell_orchestrator.worker.routing import Router
from stepwell_orchestrator.worker.settling import Settler

Patch = pytest.MonkeyPatch


def dispatch_before_commit(patch: Patch) -> None:
    """Carry out a decision's commands before it is committed."""
    commit = Committer.commit

    async def hasty(self: Committer, held: Any, decision: Decision) -> Any:
        await self.tools.dispatch(decision.commands)
        return await commit(self, held, replace(decision, commands=()))

    patch.setattr(Committer, "commit", hasty)


def acknowledge_before_the_pause(patch: Patch) -> None:
    """File a pause a little later, and go on meanwhile."""
    watch = Dispatcher._watch
    filing: set[asyncio.Task[None]] = set()

    async def at_leisure(self: Dispatcher, pause: Pause) -> None:
        await self.clock.sleep_until(self.clock.now_ms() + DELIVERY_LEASE_MS)
        with suppress(StepwellError):
            await self.queue.send(await watch(self, pause))

    async def later(self: Dispatcher, pause: Pause) -> list[QueueItem]:
        task = asyncio.get_running_loop().create_task(at_leisure(self, pause))
        filing.add(task)
        task.add_done_callback(filing.discard)
        return []

    patch.setattr(Dispatcher, "_watch", later)


def never_offer_the_past(patch: Patch) -> None:
    """File a pause without looking for events that came before it was filed."""

    async def watch(self: Dispatcher, pause: Pause) -> list[QueueItem]:
        await self.waits.put_pause(pause)
        return []

    patch.setattr(Dispatcher, "_watch", watch)


def time_out_without_looking(patch: Patch) -> None:
    """Let a wait time out without looking for an event that came in time."""

    async def time_is_up(self: Settler, _run_id: str, entry: StepEntry) -> StepEntry:
        return resume.time_is_up(entry, self.tools.clock.now_ms())

    patch.setattr(Settler, "_end_by_time", time_is_up)


def double_the_timer(patch: Patch) -> None:
    """Wait, and sleep, twice as long."""
    expiry = expiry_ms

    def double(situation: Situation, *args: Any) -> Any:
        at_ms = expiry(situation, *args)
        return 2 * at_ms - situation.now_ms if isinstance(at_ms, int) else at_ms

    for opcode in ("sleep", "wait_for_event", "wait_for_signal", "invoke_function"):
        patch.setattr(f"stepwell_orchestrator.engine.opcodes.{opcode}.expiry_ms", double)


def ring_late(patch: Patch) -> None:
    """Set every timer an hour late."""
    timer = items.timer
    patch.setattr(items, "timer", lambda run_id, step_id, due_at_ms: timer(run_id, step_id, due_at_ms + HOUR_MS))


def resolve_twice(patch: Patch) -> None:
    """End a wait that has ended."""
    check = commit._check
    waits = (Op.WAIT_FOR_EVENT, Op.WAIT_FOR_SIGNAL, Op.INVOKE_FUNCTION)

    def careless(db: Any, run_id: str, write: Any, term: int | None) -> None:
        if not isinstance(write, PutEntry) or write.entry.op not in waits:
            check(db, run_id, write, term)

    patch.setattr(commit, "_check", careless)


def take_any_event(patch: Patch) -> None:
    """Resume whoever waits for an event of that name and those values, whatever else the expression says."""
    patch.setattr("stepwell_orchestrator.worker.dispatch.accepts", lambda *_: True)
    patch.setattr(routing, "accepts", lambda *_: True)


def take_an_event_again(patch: Patch) -> None:
    """Let a run's next wait take the event that its last one took."""
    patch.setattr("stepwell_orchestrator.engine.opcodes.wait_for_event._used_up", lambda *_: [])


def keep_settled_pauses(patch: Patch) -> None:
    """Leave filed what nobody waits for any more."""
    for module in (settling, ending):
        patch.setattr(module, "give_up", lambda *_: ())


def share_a_signal(patch: Patch) -> None:
    """Let two runs wait for one signal."""
    take = SqliteWaits.take_signal

    async def generous(self: SqliteWaits, wait: SignalWait, *, replace: bool, now_ms: int) -> bool:
        await take(self, wait, replace=replace, now_ms=now_ms)
        return True

    patch.setattr(SqliteWaits, "take_signal", generous)


def answer_senders_early(patch: Patch) -> None:
    """Tell the sender of a signal whom it resumes, and then try."""

    async def signal(self: Control, name: str, data: Any) -> str | None:
        wait = await self._waits.get_signal(name)
        if wait is None:
            return None
        item = items.settle(wait.run_id, wait.step_id, SignalArrived(name, data), self._clock.now_ms())
        await self._queue.send([item.item])
        return wait.run_id

    patch.setattr(Control, "signal", signal)


def invoke_again(patch: Patch) -> None:
    """Give an invocation a new id each time it is sent."""
    numbers = itertools.count()
    patch.setattr(waiting, "derived_ulid", lambda ms, *parts: derived_ulid(ms, *parts, str(next(numbers))))


def forget_cancellations(patch: Patch) -> None:
    """Start runs that no event can cancel."""
    patch.setattr(routing, "cancellations", lambda *_: ())


def leave_children(patch: Patch) -> None:
    """Cancel a run and leave alone what it waits for."""
    patch.setattr(children, "cancellations", lambda *_: ())


def forget_deadlines(patch: Patch) -> None:
    """Give runs all the time they take."""
    patch.setattr(routing, "deadlines", lambda *_: ())


def refile_for_the_dead(patch: Patch) -> None:
    """File a run's cancellations whether or not it has ended."""

    async def no(*_: object) -> bool:
        return False

    patch.setattr(Dispatcher, "_has_ended", no)


def give_cancellations_time(patch: Patch) -> None:
    """Count the time of a run's cancellations from the last time its event was routed."""
    create = Router._create

    async def later(self: Router, event: Event, header: RunHeader, *rest: Any, **named: Any) -> None:
        function, keys, start_ms = rest
        await create(self, event, header, function, keys, max(start_ms, self.tools.clock.now_ms()), **named)

    patch.setattr(Router, "_create", later)


def trust_schedules(patch: Patch) -> None:
    """Take a deadline for due because it came."""
    deadline = Canceller.enforce_deadline

    async def now(self: Canceller, work: Deadline, _due_at_ms: int) -> int | None:
        return await deadline(self, work, 0)

    patch.setattr(Canceller, "enforce_deadline", now)


def lose_reruns(patch: Patch) -> None:
    """Accept a rerun and leave it at that."""

    async def nothing(*_: object) -> None:
        return None

    patch.setattr(Router, "rerun", nothing)


MUTATIONS = (
    dispatch_before_commit,
    acknowledge_before_the_pause,
    never_offer_the_past,
    time_out_without_looking,
    double_the_timer,
    ring_late,
    resolve_twice,
    take_any_event,
    take_an_event_again,
    keep_settled_pauses,
    share_a_signal,
    answer_senders_early,
    invoke_again,
    forget_cancellations,
    leave_children,
    forget_deadlines,
    refile_for_the_dead,
    give_cancellations_time,
    trust_schedules,
    lose_reruns,
)
