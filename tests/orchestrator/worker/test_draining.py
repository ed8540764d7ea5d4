"""What drains may still need runs that have not started: those that its runs wait for."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell_orchestrator.controlling.halting import HaltControl
from stepwell_orchestrator.fresh_ids import FreshIds
from stepwell_orchestrator.model.flow import HaltScope
from stepwell_orchestrator.model.run import RunStatus
from tests.orchestrator.worker.harness import SLUG, Script, World

CHILD = "shop-child"
APP, CALLER, CALLED = HaltScope("app", "shop"), HaltScope("function", SLUG), HaltScope("function", CHILD)


def control(world: World) -> HaltControl:
    """What people ask for, in a world."""
    backend = world.backend
    ids = FreshIds(world.clock, lambda count: bytes(count))
    return HaltControl(backend.journal, backend.registry, backend.queue, world.clock, ids)


async def invoking() -> World:
    """A run that sleeps a minute, then invokes another function and waits for it."""
    call: dict[str, Any] = {"call": ("InvokeFunction", {"function_id": CHILD})}
    world = World(Script([["sleep:1m"], ["call"]], ops=call), others={CHILD: Script([["a"]])}, retries=0)
    await world.register()
    await world.send()
    await world.settle()
    return world


async def status(world: World, slug: str) -> list[RunStatus]:
    """How the runs of a function stand."""
    return [header.status for header in await world.headers(slug)]


async def test_what_a_draining_run_waits_for_starts() -> None:
    """Caller and called function drain with their app: both go on to their ends, and nothing else starts."""
    world = await invoking()
    await control(world).drain(APP)
    await world.pass_time(60_000)
    assert (await status(world, SLUG), await status(world, CHILD)) == ([RunStatus.COMPLETED], [RunStatus.COMPLETED])
    await world.send(number=2)
    await world.settle()
    assert (await status(world, SLUG))[-1] is RunStatus.QUEUED


@pytest.mark.parametrize("paused", [APP, CALLED], ids=["both", "called"])
async def test_what_is_paused_starts_for_nobody(paused: HaltScope) -> None:
    """A pause lets no run start, whoever waits for it, and all go on after the resume."""
    world = await invoking()
    await control(world).pause(paused)
    await world.pass_time(60_000)
    assert await status(world, SLUG) == [RunStatus.RUNNING]
    assert await status(world, CHILD) == ([] if paused == APP else [RunStatus.QUEUED])
    await control(world).resume(paused)
    await world.settle()
    assert (await status(world, SLUG), await status(world, CHILD)) == ([RunStatus.COMPLETED], [RunStatus.COMPLETED])


async def test_a_function_that_drains_by_itself_starts_for_no_other() -> None:
    """A run of another function, which does not drain, gets nothing started there."""
    world = await invoking()
    await control(world).drain(CALLED)
    await world.pass_time(60_000)
    assert await status(world, CHILD) == [RunStatus.QUEUED]
    await control(world).resume(CALLED)
    await world.settle()
    assert (await status(world, SLUG), await status(world, CHILD)) == ([RunStatus.COMPLETED], [RunStatus.COMPLETED])
