"""A step that is given up while its body runs: the body is let finish, its result is dropped, nothing is retried."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from stepwell.wire import headers as names
from stepwell.wire.call import DISCOVERY_STEP_ID, CallRequest
from stepwell.wire.ids import hash_step_id
from stepwell_orchestrator.limits import CLAIM_LEASE_MS, DELIVERY_LEASE_MS
from stepwell_orchestrator.model.queue_item import Execute, QueueItem
from stepwell_orchestrator.model.run import RunStatus
from stepwell_orchestrator.model.step import StepStatus
from tests.orchestrator.worker.harness import Script, World

SLOW, FAST = hash_step_id("slow"), hash_step_id("fast")


@dataclass
class GivesUp(Script):
    """Waits for two steps, gives ``slow`` up once it has ``fast``, and sleeps."""

    async def answer(self, request: CallRequest, target: str) -> tuple[int, Any]:
        if not self._past(request, target):
            return await super().answer(request, target)
        after = replace(self, stages=[["sleep:10s"]])
        return await Script.answer(after, request, target)

    def headers(self, request: CallRequest, target: str) -> dict[str, str]:
        return {names.GIVEN_UP: SLOW} if self._past(request, target) and SLOW not in request.steps else {}

    def _past(self, request: CallRequest, target: str) -> bool:
        return target == DISCOVERY_STEP_ID and FAST in request.steps


@dataclass
class Scene:
    """A run with two planned steps, and the queue items that execute them."""

    world: World
    slow: QueueItem
    fast: QueueItem

    async def handle(self, item: QueueItem, deliveries: int = 1) -> int | None:
        return await self.world.worker.handle(item, deliveries)

    async def status(self) -> StepStatus:
        return (await self.world.entry("slow")).status

    async def ends_with(self, *, bodies: int) -> None:
        """The run ends as if the step had never been, whose body ran so often."""
        await self.world.run_to_end()
        assert self.world.script.bodies["slow"] == bodies
        assert (await self.world.run()).header.status is RunStatus.COMPLETED


async def planned(**options: Any) -> Scene:
    world = World(GivesUp([["slow", "fast"]], race=True, **options))
    await world.register()
    await world.send()
    found: dict[str, QueueItem] = {}
    while len(found) < 2:
        now_ms = world.clock.now_ms()
        for delivery in await world.backend.queue.receive(10, now_ms, now_ms + DELIVERY_LEASE_MS):
            if isinstance(delivery.item.work, Execute):
                found[delivery.item.work.step_id] = delivery.item
            else:
                await world.worker.handle(delivery.item, 1)
                await world.backend.queue.ack(delivery)
    return Scene(world, found[SLOW], found[FAST])


def while_body_runs(scene: Scene) -> None:
    """Have the run get past the step while its body runs."""

    async def before_reply(target: str) -> None:
        if target == SLOW:
            await scene.handle(scene.fast)

    scene.world.script.before_reply = before_reply


def while_it_is_given_up(scene: Scene) -> None:
    """Have the body run, and its result come, while the call that gives the step up is in flight."""

    async def before_reply(target: str) -> None:
        if target == DISCOVERY_STEP_ID:
            scene.world.script.before_reply = None
            await scene.handle(scene.slow)

    scene.world.script.before_reply = before_reply


async def test_what_a_body_gives_after_it_was_given_up_is_dropped() -> None:
    """The result comes after the drop is known: it is not written."""
    scene = await planned()
    while_body_runs(scene)
    await scene.handle(scene.slow)
    assert await scene.status() is StepStatus.DROPPED
    await scene.ends_with(bodies=1)


async def test_a_body_that_fails_after_it_was_given_up_is_not_tried_again() -> None:
    """The failure comes after the drop is known: no attempt follows it."""
    scene = await planned(fails={"slow": 1})
    while_body_runs(scene)
    await scene.handle(scene.slow)
    assert await scene.status() is StepStatus.DROPPED
    await scene.ends_with(bodies=1)


async def test_a_body_that_ends_before_it_is_given_up_has_finished() -> None:
    """The result comes first: it stays, and the drop changes nothing."""
    scene = await planned()
    while_it_is_given_up(scene)
    await scene.handle(scene.fast)
    assert await scene.status() is StepStatus.COMPLETED
    await scene.ends_with(bodies=1)


async def test_a_body_that_failed_before_it_is_given_up_is_not_tried_again() -> None:
    """The failure comes first, and its retry is queued: the drop takes the attempt away from it."""
    scene = await planned(fails={"slow": 1})
    while_it_is_given_up(scene)
    await scene.handle(scene.fast)
    assert await scene.status() is StepStatus.DROPPED
    await scene.ends_with(bodies=1)


async def test_a_body_that_begins_while_it_is_given_up_is_dropped() -> None:
    """A claim comes between the driver's look at the journal and its commit."""
    scene = await planned()

    async def before_reply(target: str) -> None:
        now_ms = scene.world.clock.now_ms()
        run_id = (await scene.world.run()).header.run_id
        if target == DISCOVERY_STEP_ID:
            journal = scene.world.backend.journal
            await journal.claim(run_id, SLOW, 0, now_ms=now_ms, until_ms=now_ms + CLAIM_LEASE_MS)

    scene.world.script.before_reply = before_reply
    await scene.handle(scene.fast)
    assert await scene.status() is StepStatus.DROPPED
    await scene.ends_with(bodies=0)


async def test_a_worker_that_dies_after_the_drop_is_not_replaced() -> None:
    """Its item comes again when its claim has run out, and finds no attempt to make."""
    scene = await planned()
    now_ms = scene.world.clock.now_ms()
    run_id = (await scene.world.run()).header.run_id
    await scene.world.backend.journal.claim(run_id, SLOW, 0, now_ms=now_ms, until_ms=now_ms + CLAIM_LEASE_MS)
    await scene.handle(scene.fast)
    assert await scene.status() is StepStatus.DROPPED
    await scene.world.clock.advance(CLAIM_LEASE_MS + 1)
    await scene.handle(scene.slow, deliveries=2)
    await scene.ends_with(bodies=0)
