"""Ways to break the engine on purpose. ``python -m tests.sim.mutations`` says at which seed each is noticed."""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from stepwell.errors import StepwellError
from stepwell.wire.ids import derived_ulid
from stepwell.wire.opcodes import Op
from stepwell.wire.times import HOUR_MS, MINUTE_MS
from stepwell_orchestrator.control import Control
from stepwell_orchestrator.dispatch import Dispatcher
from stepwell_orchestrator.engine import ending, items, resume, route, stack, waiting
from stepwell_orchestrator.engine.opcodes.expiry import expiry_ms
from stepwell_orchestrator.engine.situation import Situation
from stepwell_orchestrator.limits import LEASE_MS
from stepwell_orchestrator.local import commit, journal
from stepwell_orchestrator.local.journal import SqliteJournal
from stepwell_orchestrator.local.waits import SqliteWaits
from stepwell_orchestrator.model.decision import Decision, PutEntry
from stepwell_orchestrator.model.pause import Pause
from stepwell_orchestrator.model.queue_item import QueueItem, SignalArrived
from stepwell_orchestrator.model.run import Progress, Run
from stepwell_orchestrator.model.signal import SignalWait
from stepwell_orchestrator.model.step import StepEntry, StepStatus
from stepwell_orchestrator.worker import calling, cancelling, driving, routing, settling
from stepwell_orchestrator.worker.driving import Driver
from stepwell_orchestrator.worker.executing import Executor
from stepwell_orchestrator.worker.settling import Settler
from tests.sim.simulate import simulate

Patch = pytest.MonkeyPatch

SEEDS_MAX = 100


def skip_guards(patch: Patch) -> None:
    """Write entries without looking at their guards."""
    patch.setattr(commit, "_check", lambda *_: None)


def write_after_the_end(patch: Patch) -> None:
    """Take writes to a run that has ended."""
    patch.setattr(commit, "ENDED", frozenset())


def release_whatever_was_wanted(patch: Patch) -> None:
    """Release the lease without comparing ``wanted``."""
    release = SqliteJournal.release

    async def careless(self: SqliteJournal, run_id: str, term: int, wanted: int, progress: Progress | None) -> None:
        moved = await release(self, run_id, term, wanted, progress)
        if moved is not None:
            await release(self, run_id, term, moved, progress)

    patch.setattr(SqliteJournal, "release", careless)


def share_the_lease(patch: Patch) -> None:
    """Give the drive lease to whoever asks."""
    acquire = SqliteJournal.acquire

    async def generous(self: SqliteJournal, run_id: str, now_ms: int, until_ms: int) -> Any:
        async with self._database.write() as db:
            db.execute("UPDATE runs SET lease_until_ms = 0 WHERE run_id = ? AND lease_until_ms > 0", (run_id,))
        return await acquire(self, run_id, now_ms, until_ms)

    patch.setattr(SqliteJournal, "acquire", generous)


def share_claims(patch: Patch) -> None:
    """Let a step be claimed that another worker executes."""
    patch.setattr(journal, "_claimable", lambda entry, _now_ms: not entry.memoised)


def forget_recovery(patch: Patch) -> None:
    """Take a dead driver's run over without repeating its commands."""
    patch.setattr(driving, "recover", lambda *_: ())


def forget_what_a_cancel_owes(patch: Patch) -> None:
    """Cancel without telling of the end."""
    patch.setattr(cancelling, "recover", lambda *_: ())


def forget_the_discovery_of_a_takeover(patch: Patch) -> None:
    """Take a dead driver's run over as if its last discovery had been dealt with."""
    patch.setattr(
        driving, "fence", lambda run, _term: replace(run.header.progress, discovered=len(stack.stack_of(run)))
    )


def lose_sends(patch: Patch) -> None:
    """Carry out the first command of a decision only."""
    original = Dispatcher.dispatch
    patch.setattr(Dispatcher, "dispatch", lambda dispatcher, commands: original(dispatcher, commands[:1]))


def lose_retries(patch: Patch) -> None:
    """Drop a retry that comes while the worker's clock is behind."""

    async def drop(*_: object) -> None:
        return None

    patch.setattr(Driver, "_keep_retry", drop)


def lose_ends(patch: Patch) -> None:
    """Do not look, at a redelivery, whether the run's end was told."""

    async def drop(*_: object) -> None:
        return None

    patch.setattr(Executor, "_finish_end", drop)


def never_look_for_the_end(patch: Patch) -> None:
    """Call without looking whether the run was cancelled or taken over."""

    async def no(*_: object) -> bool:
        return False

    patch.setattr(Driver, "_has_ended", no)


def start_twice(patch: Patch) -> None:
    """Ignore the sender's event id."""
    patch.setattr(routing, "idempotency_keys", lambda *_: ())


def draw_run_ids(patch: Patch) -> None:
    """Give a run a new id each time its event is routed."""
    numbers = itertools.count()
    patch.setattr(route, "derived_ulid", lambda ms, *parts: derived_ulid(ms, *parts, str(next(numbers))))


def draw_event_ids(patch: Patch) -> None:
    """Give a lifecycle event a new id each time it is emitted."""
    numbers = itertools.count()
    patch.setattr(ending, "derived_ulid", lambda ms, *parts: derived_ulid(ms, *parts, str(next(numbers))))


def forget_a_memo(patch: Patch) -> None:
    """Leave the first memo out of every third call."""
    calls = itertools.count()
    original = calling.call_request

    def forgetful(run: Run, function: Any, **options: Any) -> Any:
        request = original(run, function, **options)
        kept = dict(list(request.steps.items())[1:]) if next(calls) % 3 == 2 else request.steps
        return replace(request, steps=kept)

    patch.setattr(calling, "call_request", forgetful)


def reorder_the_stack(patch: Patch) -> None:
    """Put what arrived together in another order each time."""
    numbers = itertools.count()
    original = stack.stack_of
    patch.setattr(
        "stepwell_orchestrator.engine.request.stack_of",
        lambda run: original(run)[:: -1 if next(numbers) % 2 else 1],
    )


def wake_early(patch: Patch) -> None:
    """Set every timer a minute early, and believe it."""
    timer = items.timer
    early = "stepwell_orchestrator.engine.opcodes.sleep.items.timer"
    patch.setattr(early, lambda run_id, step_id, due_at_ms: timer(run_id, step_id, due_at_ms - MINUTE_MS))
    get = SqliteJournal.get_entry

    async def get_entry(self: SqliteJournal, run_id: str, step_id: str) -> StepEntry | None:
        entry = await get(self, run_id, step_id)
        sleeping = entry is not None and entry.status is StepStatus.SLEEPING
        return replace(entry, due_at_ms=0) if entry is not None and sleeping else entry

    patch.setattr(SqliteJournal, "get_entry", get_entry)


def never_count_attempts(patch: Patch) -> None:
    """Take no attempt for the last."""
    patch.setattr("stepwell_orchestrator.engine.situation.Situation.last_attempt", lambda *_, **__: False)


def answer_before_it_is_stored(patch: Patch) -> None:
    """Accept events without storing them."""

    async def nothing(*_: object) -> None:
        return None

    patch.setattr("stepwell_orchestrator.ingest.Ingest._store", nothing)


def dispatch_before_commit(patch: Patch) -> None:
    """Carry out a decision's commands before it is committed."""
    settle = Driver._settle

    async def hasty(self: Driver, held: Any, decision: Decision, term: int) -> Any:
        await self.tools.dispatch(decision.commands)
        return await settle(self, held, replace(decision, commands=()), term)

    patch.setattr(Driver, "_settle", hasty)


def acknowledge_before_the_pause(patch: Patch) -> None:
    """File a pause a little later, and go on meanwhile."""
    watch = Dispatcher._watch
    filing: set[asyncio.Task[None]] = set()

    async def at_leisure(self: Dispatcher, pause: Pause) -> None:
        await self.clock.sleep_until(self.clock.now_ms() + LEASE_MS)
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

    patch.setattr(Settler, "_at_its_time", time_is_up)


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
    patch.setattr("stepwell_orchestrator.dispatch.accepts", lambda *_: True)
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


def forget_deadlines(patch: Patch) -> None:
    """Give runs all the time they take."""
    patch.setattr(routing, "deadlines", lambda *_: ())


def refile_for_the_dead(patch: Patch) -> None:
    """File a run's cancellations whether or not it has ended."""

    async def no(*_: object) -> bool:
        return False

    patch.setattr(Dispatcher, "_has_ended", no)


def lose_reruns(patch: Patch) -> None:
    """Accept a rerun and leave it at that."""

    async def nothing(*_: object) -> None:
        return None

    patch.setattr(routing.Router, "rerun", nothing)


MUTATIONS = (
    skip_guards,
    write_after_the_end,
    release_whatever_was_wanted,
    share_the_lease,
    share_claims,
    forget_recovery,
    forget_what_a_cancel_owes,
    forget_the_discovery_of_a_takeover,
    lose_sends,
    lose_retries,
    lose_ends,
    never_look_for_the_end,
    start_twice,
    draw_run_ids,
    draw_event_ids,
    forget_a_memo,
    reorder_the_stack,
    wake_early,
    never_count_attempts,
    answer_before_it_is_stored,
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
    forget_deadlines,
    refile_for_the_dead,
    lose_reruns,
)


def caught_by(mutation: Callable[[Patch], None], seeds_max: int) -> tuple[int, str] | None:
    """The first seed that notices a mutation, counted from 0, and what it says; None when none does."""
    with pytest.MonkeyPatch.context() as patch:
        mutation(patch)
        for seed in range(seeds_max):
            failures = simulate(seed).report.failures
            if failures:
                return seed, failures[0].splitlines()[0].partition(": ")[2]
    return None


def main() -> int:
    """Print a row for each mutation; 1 when one was not noticed."""
    missed = 0
    for mutation in MUTATIONS:
        caught = caught_by(mutation, SEEDS_MAX)
        missed += caught is None
        seeds, verdict = ("-", "not noticed") if caught is None else (str(caught[0] + 1), caught[1])
        print(f"| {(mutation.__doc__ or '').rstrip('.')} | {seeds} | {verdict} |", flush=True)
    return min(missed, 1)


if __name__ == "__main__":
    sys.exit(main())
