"""What clients do in a world: send events, some twice, some for later, and cancel runs; they insist until answered."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from stepwell.wire.ids import EventIdSeed
from stepwell.wire.times import HOUR_MS, MINUTE_MS, SECOND_MS
from tests.sim.chance import stream
from tests.sim.corpus import EVENT_NAMES
from tests.sim.facts import EventAnswered
from tests.sim.node import InjectedError, Node

if TYPE_CHECKING:
    from tests.sim.world import World

_RETRY_MS = 5 * SECOND_MS
_SPREAD_MS = 2 * MINUTE_MS
_CANCEL_SPREAD_MS = 10 * MINUTE_MS


class Workload:
    """The clients of one world."""

    def __init__(self, world: World, seed: int) -> None:
        self._world = world
        self._chance = stream(seed, "workload")

    async def run(self) -> None:
        """All clients, side by side, until each was answered."""
        knobs, chance = self._world.knobs, self._chance
        has = self._world.plan.has
        events = [_draw_event(chance) for _ in range(knobs.events)]
        cancels = [(chance.randint(0, _CANCEL_SPREAD_MS), chance.random()) for _ in range(knobs.cancels)]
        await asyncio.gather(
            *(self._send(number, *event) for number, event in enumerate(events, 1) if has(f"event {number}")),
            *(self._cancel(*cancel) for number, cancel in enumerate(cancels, 1) if has(f"cancel {number}")),
        )

    async def _send(self, number: int, delay_ms: int, raw: dict[str, Any], later_ms: int, entropy: bytes) -> None:
        clock = self._world.clock
        await clock.sleep_until(clock.now_ms() + delay_ms)
        seed = EventIdSeed(clock.now_ms(), entropy)
        if later_ms:
            raw["ts"] = clock.now_ms() + later_ms

        async def accept(node: Node) -> None:
            for internal_id in await node.ingest.accept_events([raw], seed):
                self._world.tell(EventAnswered(internal_id))

        await self._insist(f"send event {number}, {raw['name']} {raw.get('id', '')}", "", accept)

    async def _cancel(self, delay_ms: int, which: float) -> None:
        clock = self._world.clock
        await clock.sleep_until(clock.now_ms() + delay_ms)
        run_ids = list(self._world.ledger.runs)
        if run_ids:
            run_id = run_ids[int(which * len(run_ids))]
            await self._insist("cancel", run_id, lambda node: node.control.cancel(run_id))

    async def _insist(self, what: str, run_id: str, act: Callable[[Node], Coroutine[Any, Any, None]]) -> None:
        """Ask one worker, and then another, until one answers."""
        world, clock = self._world, self._world.clock
        whom = f"{what} {world.names.of(run_id)}"
        while True:
            node = world.alive(whom)
            if node is not None:
                world.trace.note("client", f"{what} ({node.name})", run_id)
                try:
                    await world.on(node, run_id, whom, act(node))
                    return
                except InjectedError:
                    world.trace.note("client", f"{what} was not answered", run_id)
            await clock.sleep_until(clock.now_ms() + _RETRY_MS)


def _draw_event(chance: random.Random) -> tuple[int, dict[str, Any], int, bytes]:
    """When it is sent, what, how far ahead its own time lies, and the entropy of its internal id."""
    raw: dict[str, Any] = {"name": chance.choice(EVENT_NAMES), "data": {"n": chance.randint(0, 9)}}
    if chance.random() < 0.5:
        raw["id"] = f"id{chance.randint(0, 2)}-{raw['name']}"
    later_ms = chance.randint(MINUTE_MS, HOUR_MS) if chance.random() < 0.15 else 0
    return chance.randint(0, _SPREAD_MS), raw, later_ms, chance.randbytes(10)
