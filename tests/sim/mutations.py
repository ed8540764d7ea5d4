"""Ways to break the engine on purpose. ``python -m tests.sim.mutations`` says at which seed each is noticed."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest

from stepwell.wire.ids import derived_ulid
from stepwell.wire.times import MINUTE_MS
from stepwell_orchestrator.engine.journal import discovery, stack
from stepwell_orchestrator.engine.runs import deferred, ending, route
from stepwell_orchestrator.engine.waits import items
from stepwell_orchestrator.local import commit, journal
from stepwell_orchestrator.local.journal import SqliteJournal
from stepwell_orchestrator.model.run import Progress, Run
from stepwell_orchestrator.model.step import StepEntry, StepStatus
from stepwell_orchestrator.worker import calling, cancelling, committing, discovering, driving, executing, routing
from stepwell_orchestrator.worker.discovering import Discoverer
from stepwell_orchestrator.worker.dispatch import Dispatcher
from stepwell_orchestrator.worker.driving import Driver
from tests.sim import flow_mutations, wait_mutations
from tests.sim.backends import BackendName
from tests.sim.simulate import simulate

Patch = pytest.MonkeyPatch

SEEDS_MAX = 150


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
    for module in (committing, driving):
        patch.setattr(module, "recover", lambda *_: ())


def forget_what_a_cancel_owes(patch: Patch) -> None:
    """Cancel without telling of the end."""
    patch.setattr(cancelling, "recover", lambda *_: ())


def forget_the_discovery_of_a_takeover(patch: Patch) -> None:
    """Take a dead driver's run over as if its last discovery had been dealt with, even when nothing is pending."""
    original = discovery.owes_discovery

    def owes(run: Run, now_ms: int) -> bool:
        progress = run.header.progress
        dealt_with = progress.attempt == 0 and progress.discovered == len(stack.stack_of(run))
        return not dealt_with and original(run, now_ms)

    patch.setattr(discovering, "owes_discovery", owes)
    patch.setattr(
        committing, "fence", lambda run, _term: replace(run.header.progress, discovered=len(stack.stack_of(run)))
    )


def lose_sends(patch: Patch) -> None:
    """Carry out the first command of a decision only."""
    original = Dispatcher.dispatch
    patch.setattr(Dispatcher, "dispatch", lambda dispatcher, commands: original(dispatcher, commands[:1]))


def lose_retries(patch: Patch) -> None:
    """Drop a retry that comes while the worker's clock is behind."""

    async def drop(*_: object) -> None:
        return None

    patch.setattr(Discoverer, "_keep_retry", drop)


def lose_ends(patch: Patch) -> None:
    """Do not look, at a redelivery, whether the run's end was told."""

    async def drop(*_: object) -> None:
        return None

    patch.setattr(Driver, "_finish_end", drop)


def never_look_for_the_end(patch: Patch) -> None:
    """Call without looking whether the run was cancelled or taken over."""

    async def yes(*_: object) -> bool:
        return True

    patch.setattr(Discoverer, "_is_current", yes)


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


def forget_what_is_deferred(patch: Patch) -> None:
    """Start nothing of what a run has deferred."""
    patch.setattr(deferred, "schedules", lambda *_: iter(()))


def draw_deferred_ids(patch: Patch) -> None:
    """Give the event of what was deferred a new id each time the run's end is told."""
    numbers = itertools.count()
    patch.setattr(deferred, "derived_ulid", lambda ms, *parts: derived_ulid(ms, *parts, str(next(numbers))))


def let_a_deferral_cost_a_result(patch: Patch) -> None:
    """Give a step's result up when something else of the same reply is in the journal already."""
    is_claimed = executing._is_claimed
    looked: set[object] = set()

    def once(run: Run, work: Any, claimed_at_ms: int) -> bool:
        first = (run.header.run_id, work, claimed_at_ms) not in looked
        looked.add((run.header.run_id, work, claimed_at_ms))
        return first and is_claimed(run, work, claimed_at_ms)

    patch.setattr(executing, "_is_claimed", once)


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
    """Put what arrived together in another order each time; a request asks for the order twice."""
    numbers = itertools.count()
    original = stack.stack_of
    patch.setattr(
        "stepwell_orchestrator.engine.calls.request.stack_of",
        lambda run: original(run)[:: -1 if next(numbers) // 2 % 2 else 1],
    )


def save_in_silence(patch: Patch) -> None:
    """Save steps without telling the driver that waits for the call."""

    async def silent(*_: object) -> bool:
        return True

    patch.setattr(SqliteJournal, "wake", silent)


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
    patch.setattr("stepwell_orchestrator.engine.journal.situation.Situation.last_attempt", lambda *_, **__: False)


def answer_before_it_is_stored(patch: Patch) -> None:
    """Accept events without storing them."""

    async def nothing(*_: object) -> None:
        return None

    patch.setattr("stepwell_orchestrator.accepting.ingest.Ingest._store", nothing)


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
    forget_what_is_deferred,
    draw_deferred_ids,
    let_a_deferral_cost_a_result,
    forget_a_memo,
    reorder_the_stack,
    save_in_silence,
    wake_early,
    never_count_attempts,
    answer_before_it_is_stored,
    *wait_mutations.MUTATIONS,
    *flow_mutations.MUTATIONS,
)


def caught_by(
    mutation: Callable[[Patch], None], seeds_max: int, backend: BackendName = "sqlite"
) -> tuple[int, str] | None:
    """The first seed that notices a mutation, counted from 0, and what it says; None when none does."""
    with pytest.MonkeyPatch.context() as patch:
        mutation(patch)
        for seed in range(seeds_max):
            failures = simulate(seed, backend=backend).report.failures
            if failures:
                return seed, failures[0].splitlines()[0].partition(": ")[2]
    return None


def print_rows(mutations: Iterable[Callable[[Patch], None]], backend: BackendName = "sqlite") -> int:
    """Print a row for each mutation; 1 when one was not noticed."""
    missed = 0
    for mutation in mutations:
        caught = caught_by(mutation, SEEDS_MAX, backend)
        missed += caught is None
        seeds, verdict = ("-", "not noticed") if caught is None else (str(caught[0] + 1), caught[1])
        print(f"| {(mutation.__doc__ or '').rstrip('.')} | {seeds} | {verdict} |", flush=True)
    return min(missed, 1)


if __name__ == "__main__":
    sys.exit(print_rows(MUTATIONS))
