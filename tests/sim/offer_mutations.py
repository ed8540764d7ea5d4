"""Ways to break debounces and batches on purpose; ``mutations.py`` has the list of all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from stepwell_orchestrator.engine.waits import items
from stepwell_orchestrator.local.flow import batches
from stepwell_orchestrator.local.flow.batches import SqliteBatches
from stepwell_orchestrator.model.flow import Debounced, DebounceStage, Offer
from stepwell_orchestrator.worker.limiting import batching, debouncing
from stepwell_orchestrator.worker.limiting.batching import Batcher

Patch = pytest.MonkeyPatch


async def _no(*_: object, **__: object) -> bool:
    return False


def keep_the_first_event(patch: Patch) -> None:
    """Run the first event of a debounce instead of the last one."""
    patch.setattr(Offer, "order", property(lambda _: (-1, -1, "")))


def never_restart_the_period(patch: Patch) -> None:
    """Fire a period after the first event, whatever comes."""
    after = Debounced.after

    def hasty(self: Debounced, offer: Offer) -> Debounced:
        changed = after(self, offer)
        goes_on = changed.first_event_id == self.first_event_id
        return replace(changed, due_at_ms=self.due_at_ms) if goes_on else changed

    patch.setattr(Debounced, "after", hasty)


def begin_again_for_a_redelivery(patch: Patch) -> None:
    """Take the redelivery of an event that ran for a new event."""
    after = Debounced.after

    def forgetful(self: Debounced, offer: Offer) -> Debounced:
        return Debounced.begun(offer) if self.stage is DebounceStage.OVER else after(self, offer)

    patch.setattr(Debounced, "after", forgetful)


def set_no_debounce_timer(patch: Patch) -> None:
    """Keep events and never look at them again."""
    never = items.timer("nobody", "nothing", 0)
    patch.setattr(items, "fire_debounce", lambda *_: never)


def end_a_debounce_before_its_run(patch: Patch) -> None:
    """Forget what was taken before its run exists."""
    begin = debouncing.Debouncer._begin

    async def careless(self: Any, gate: str, taken: Debounced, function_id: str) -> None:
        await self.tools.flow.debounces.forget(gate, taken.first_event_id)
        await begin(self, gate, taken, function_id)

    patch.setattr(debouncing.Debouncer, "_begin", careless)


def take_one_more(patch: Patch) -> None:
    """Close a batch one event too late."""
    is_full = batches._is_full
    patch.setattr(batches, "_is_full", lambda row, bounds: is_full(row, replace(bounds, size=bounds.size + 1)))


def close_batches_early(patch: Patch) -> None:
    """Run a batch whenever its timer is delivered."""
    close = Batcher.close

    async def hasty(self: Batcher, work: Any) -> int | None:
        return await close(self, replace(work, until_ms=0))

    patch.setattr(Batcher, "close", hasty)


def run_batched_events_again(patch: Patch) -> None:
    """Run every event of a batch, whether another run has it or not."""

    async def careless(self: Batcher, closed: Any, _function: Any) -> list[Any]:
        found = [await self.tools.journal.get_event(event_id) for event_id in closed.event_ids]
        return batching.in_order([event for event in found if event is not None])

    patch.setattr(Batcher, "_events", careless)


def turn_batches_around(patch: Patch) -> None:
    """Hand the events of a batch out in the wrong order."""
    in_order = batching.in_order
    patch.setattr(batching, "in_order", lambda events: in_order(events)[::-1])


def batch_ids_twice(patch: Patch) -> None:
    """Batch a second event with an id that was there."""
    patch.setattr(Batcher, "_is_repeat", _no)


def forget_a_batch_before_its_run(patch: Patch) -> None:
    """Forget a batch before its run exists."""
    close = SqliteBatches.close

    async def careless(self: SqliteBatches, gate: str, batch_id: str, now_ms: int) -> Any:
        closed = await close(self, gate, batch_id, now_ms)
        await self.forget(gate, batch_id)
        return closed

    patch.setattr(SqliteBatches, "close", careless)


MUTATIONS = (
    keep_the_first_event,
    never_restart_the_period,
    begin_again_for_a_redelivery,
    set_no_debounce_timer,
    end_a_debounce_before_its_run,
    take_one_more,
    close_batches_early,
    run_batched_events_again,
    turn_batches_around,
    batch_ids_twice,
    forget_a_batch_before_its_run,
)
