"""A cancelled caller takes the runs along that it waits for, whatever comes between the two."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from stepwell_orchestrator.engine.waits import items
from stepwell_orchestrator.limits import DELIVERY_LEASE_MS
from stepwell_orchestrator.model.queue_item import Cancel, Route, Start
from stepwell_orchestrator.model.run import RunStatus
from stepwell_orchestrator.model.step import StepStatus
from tests.orchestrator.worker.harness import SLUG, Script, World
from tests.orchestrator.worker.test_crash_everywhere import DeadError, Fate, Mortal, nothing_filed

CHILD = "shop-child"
GRANDCHILD = "shop-grandchild"


def calling(function_id: str = CHILD, on_parent_cancel: str | None = "cancel", **opts: Any) -> Script:
    option = {} if on_parent_cancel is None else {"on_parent_cancel": on_parent_cancel}
    return Script([["call"]], ops={"call": ("InvokeFunction", {"function_id": function_id, **option, **opts})})


async def waiting(caller: Script | None = None, **children: Script) -> World:
    """A world whose caller has been called once and waits; nothing that it sent has been handled."""
    world = World(caller or calling(), others={CHILD: Script([["sleep:1h"]]), **children}, retries=0)
    await world.register()
    await world.send()
    await handle(world, Route)
    await handle(world, Start)
    return world


async def handle(world: World, kind: type[Any]) -> None:
    """Handle every item of one kind that is queued, and leave the others to a later delivery."""
    now_ms = world.clock.now_ms()
    for delivery in await world.backend.queue.receive(100, now_ms, now_ms + 1):
        if isinstance(delivery.item.work, kind):
            await world.worker.handle(delivery.item, 1)
            await world.backend.queue.ack(delivery)
    await world.clock.advance(1)


async def cancel(world: World, slug: str = SLUG) -> None:
    run_id = (await world.run(slug)).header.run_id
    await world.worker.handle(items.cancel(run_id, world.clock.now_ms()).item, 1)


async def statuses(world: World, *slugs: str) -> list[RunStatus]:
    return [(await world.run(slug)).header.status for slug in slugs]


async def test_a_cancelled_caller_takes_its_child_along() -> None:
    """The child is cancelled once, however often the caller's cancellation is delivered."""
    world = await waiting()
    await world.settle()
    await cancel(world)
    await cancel(world)
    await world.run_to_end()
    assert await statuses(world, SLUG, CHILD) == [RunStatus.CANCELLED, RunStatus.CANCELLED]
    cancelled = await world.events_named("inngest/function.cancelled")
    assert sorted(event.data["function_id"] for event in cancelled) == [CHILD, SLUG]


@pytest.mark.parametrize("option", [None, "abandon"])
async def test_a_child_that_is_to_go_on_does(option: str | None) -> None:
    """So it is where the invocation says so, and where it says nothing, as other SDKs' invocations do."""
    world = await waiting(calling(on_parent_cancel=option))
    await world.settle()
    await cancel(world)
    await world.run_to_end()
    assert await statuses(world, SLUG, CHILD) == [RunStatus.CANCELLED, RunStatus.COMPLETED]


async def test_a_child_that_is_not_there_yet_never_starts() -> None:
    """The cancellation finds no child; the event that is routed later makes one that has ended and was never called."""
    world = await waiting()
    await cancel(world)
    await handle(world, Cancel)
    assert await world.headers(CHILD) == []
    await world.run_to_end()
    assert await statuses(world, CHILD) == [RunStatus.CANCELLED]
    assert world.scripts[CHILD].calls == []


async def test_a_caller_cancelled_while_its_child_is_created_takes_it_along() -> None:
    """The router looked at the caller before its end, so the canceller finds the child that is there by then."""
    world = await waiting()
    await handle(world, Route)
    assert await statuses(world, CHILD) == [RunStatus.QUEUED]
    await cancel(world)
    await handle(world, Cancel)
    await world.run_to_end()
    assert await statuses(world, CHILD) == [RunStatus.CANCELLED]
    assert world.scripts[CHILD].calls == []


async def test_an_invocation_that_was_not_sent_yet_is_not_sent() -> None:
    """A driver that died after it had committed the step sends nothing, nor does anybody after the cancellation."""
    world = World(calling(), others={CHILD: Script([["sleep:1h"]])}, retries=0)
    await world.register()
    await world.send()
    await handle(world, Route)

    class Silent:
        async def send(self, _items: Any) -> None:
            raise DeadError

    class Unheard:
        def __getattr__(self, name: str) -> Any:
            return getattr(world.backend.journal, name)

        async def put_event(self, _event: Any) -> None:
            raise DeadError

    header = (await world.run()).header
    with pytest.raises(DeadError):
        await world.new_worker(Unheard(), Silent()).handle(items.start(header, 0).item, 1)
    assert (await world.entry("call")).status is StepStatus.WAITING
    await cancel(world)
    await world.run_to_end()
    assert await world.events_named("inngest/function.invoked") == []
    assert await world.headers(CHILD) == []


async def test_a_child_that_has_ended_stays_as_it_is() -> None:
    """A result that the caller did not live to see is the child's all the same."""
    world = await waiting(**{CHILD: Script([], result={"n": 1})})
    await handle(world, Route)
    await handle(world, Start)
    assert await statuses(world, CHILD) == [RunStatus.COMPLETED]
    await cancel(world)
    await world.run_to_end()
    assert await statuses(world, SLUG, CHILD) == [RunStatus.CANCELLED, RunStatus.COMPLETED]


async def test_a_child_that_is_waited_for_no_longer_goes_on() -> None:
    """An invocation that timed out has let its child go before the caller was cancelled."""
    caller = calling(timeout="1m")
    caller.stages = [["call"], ["sleep:1d"]]
    world = await waiting(caller)
    await world.pass_time(60_000)
    assert (await world.entry("call")).status is StepStatus.TIMED_OUT
    await cancel(world)
    await world.run_to_end()
    assert await statuses(world, SLUG, CHILD) == [RunStatus.CANCELLED, RunStatus.COMPLETED]


async def test_a_caller_that_ends_otherwise_leaves_its_child() -> None:
    """Only a cancellation takes children along, not a return past them."""
    caller = calling()
    world = await waiting(caller)
    await world.settle()
    caller.stages = []
    await world.worker.handle(items.retry((await world.run()).header.run_id, 0).item, 1)
    await world.run_to_end()
    assert (await world.run(CHILD)).header.status is RunStatus.COMPLETED


@pytest.mark.parametrize(
    ("option", "status"),
    [("cancel", RunStatus.CANCELLED), ("abandon", RunStatus.COMPLETED), (None, RunStatus.COMPLETED)],
)
async def test_grandchildren_fall_by_the_same_rule(option: str | None, status: RunStatus) -> None:
    """A child that is taken along takes along what it waits for itself, where its own invocation says so."""
    world = await waiting(**{CHILD: calling(GRANDCHILD, option), GRANDCHILD: Script([["sleep:1h"]])})
    await world.settle()
    await cancel(world)
    await world.run_to_end()
    assert await statuses(world, SLUG, CHILD) == [RunStatus.CANCELLED, RunStatus.CANCELLED]
    assert await statuses(world, GRANDCHILD) == [status]


async def end_with(fate: Fate, *, first: type[Any]) -> World:
    """Cancel a caller whose child is to be made, by a mortal worker and then another; ``first`` goes first."""
    world = await waiting()
    run_id = (await world.run()).header.run_id
    await world.backend.queue.send([items.cancel(run_id, world.clock.now_ms()).item])
    backend, immortal = world.backend, world.worker
    world.worker = world.new_worker(
        Mortal(backend.journal, fate), Mortal(backend.queue, fate), Mortal(backend.waits, fate)
    )
    try:
        await handle(world, first)
        await world.run_to_end()
    except DeadError:
        await asyncio.sleep(0)
        await world.clock.advance(DELIVERY_LEASE_MS)
    world.worker = immortal
    await world.run_to_end()
    return world


@pytest.mark.parametrize("first", [Cancel, Route])
async def test_a_crash_at_any_port_call_leaves_no_child_behind(first: type[Any]) -> None:
    """Wherever the worker dies, with either item first, both runs end as cancelled, each told once."""
    unharmed = Fate(None)
    await end_with(unharmed, first=first)
    assert unharmed.calls > 5
    for at in range(1, unharmed.calls + 1):
        for after in (False, True):
            world = await end_with(Fate(at, after=after), first=first)
            where = f"crash {'after' if after else 'before'} port call {at}"
            assert await statuses(world, SLUG, CHILD) == [RunStatus.CANCELLED, RunStatus.CANCELLED], where
            assert len(await world.events_named("inngest/function.cancelled")) == 2, where
            assert await nothing_filed(world), where
