"""What clients do in a world: send events and signals, cancel runs and run them again; they insist until answered."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from stepwell.wire.ids import EventIdSeed
from stepwell.wire.times import HOUR_MS, MINUTE_MS, SECOND_MS
from stepwell_orchestrator.controlling.control import Criteria
from stepwell_orchestrator.model.flow import HaltScope
from tests.sim.aims import Aims, draw_aim
from tests.sim.chance import stream
from tests.sim.corpus import APP, EVENT_NAMES, STOP_EVENT
from tests.sim.facts import BulkCancelAsked, CancelAsked, RerunAnswered, RerunAsked
from tests.sim.node import InjectedError, Node
from tests.sim.steps import SIGNALS, WAIT_EVENTS

if TYPE_CHECKING:
    from tests.sim.world import World

T = TypeVar("T")

_RETRY_MS = 5 * SECOND_MS
_SPREAD_MS = 2 * MINUTE_MS
_LATER_SPREAD_MS = 10 * MINUTE_MS
_USERS = 3
HALTED_MAX_MS = 20 * MINUTE_MS
"""How long a client has something stand still at most."""


class Workload:
    """The clients of one world."""

    def __init__(self, world: World, seed: int) -> None:
        self._world = world
        chance = stream(seed, "workload")
        knobs = world.drawn
        self._clients = [
            *_numbered("event", [partial(self._start, *_draw_start(chance)) for _ in range(knobs.events)]),
            *_numbered("poke", [partial(self._send_in, *_draw_poke(chance)) for _ in range(knobs.pokes)]),
            *_numbered("stop", [partial(self._send_in, *_draw_stop(chance)) for _ in range(knobs.stops)]),
            *_numbered("signal", [partial(self._signal_in, *_draw_signal(chance)) for _ in range(knobs.signals)]),
            *_numbered("cancel", [partial(self._cancel, *_draw_choice(chance)) for _ in range(knobs.cancels)]),
            *_numbered("rerun", [partial(self._rerun, *_draw_choice(chance)) for _ in range(knobs.reruns)]),
            *_numbered("bulk", [partial(self._cancel_many, *_draw_choice(chance)) for _ in range(knobs.bulk_cancels)]),
        ]
        halting = stream(seed, "halts")
        halts = [partial(self._halt, *_draw_halt(halting)) for _ in range(halting.randint(0, 3))]
        self._clients += _numbered("halt", halts)
        aims = [draw_aim(chance, number) for number in range(1, knobs.aims + 1)]
        self.aims = Aims(world, self, [aim for aim in aims if world.plan.has(f"aim {aim.number}")])

    async def run(self) -> None:
        """All clients, side by side, until each was answered."""
        has = self._world.plan.has
        await asyncio.gather(*(client(name) for name, client in self._clients if has(name)))

    async def send(self, client: str, at_ms: int, raw: dict[str, Any], entropy: bytes, *, later_ms: int = 0) -> None:
        """Send an event at that time."""
        clock, front = self._world.clock, self._world.front
        await clock.sleep_until(at_ms)
        seed = EventIdSeed(clock.now_ms(), entropy)
        event = {**raw, "ts": clock.now_ms() + later_ms} if later_ms else raw
        what = f"send {client}, {raw['name']} {raw.get('id', '')}"
        await self._insist(what, "", lambda node: front.accept(node, [event], seed))

    async def signal(self, client: str, at_ms: int, name: str) -> None:
        """Send a signal at that time."""
        await self._world.clock.sleep_until(at_ms)
        await self._insist(f"send {client}, {name}", "", lambda node: self._world.front.signal(node, name))

    async def _start(self, delay_ms: int, raw: dict[str, Any], entropy: bytes, later_ms: int, client: str) -> None:
        await self.send(client, self._world.clock.now_ms() + delay_ms, raw, entropy, later_ms=later_ms)

    async def _send_in(self, delay_ms: int, raw: dict[str, Any], entropy: bytes, client: str) -> None:
        await self.send(client, self._world.clock.now_ms() + delay_ms, raw, entropy)

    async def _signal_in(self, delay_ms: int, name: str, client: str) -> None:
        await self.signal(client, self._world.clock.now_ms() + delay_ms, name)

    async def _cancel(self, delay_ms: int, which: float, client: str) -> None:
        run_id = await self._choose(delay_ms, which)
        if run_id is not None:
            self._world.tell(CancelAsked(run_id))
            await self._insist(client, run_id, lambda node: node.control.cancel(run_id))

    async def _rerun(self, delay_ms: int, which: float, client: str) -> None:
        run_id = await self._choose(delay_ms, which)
        if run_id is None:
            return

        async def rerun(node: Node) -> None:
            self._world.tell(RerunAnswered(await node.control.rerun(run_id)))

        self._world.tell(RerunAsked(run_id))
        await self._insist(client, run_id, rerun)

    async def _cancel_many(self, delay_ms: int, which: float, client: str) -> None:
        """Cancel all runs of a function so far, or those of one user."""
        world = self._world
        await world.clock.sleep_until(world.clock.now_ms() + delay_ms)
        slugs = list(world.members)
        if not slugs:
            return
        slug = slugs[int(which * len(slugs))]
        user = int(which * 1_000) % (2 * _USERS)
        asked = BulkCancelAsked(slug, world.clock.now_ms(), user if user < _USERS else None)
        expression = None if asked.user is None else f"event.data.user == {asked.user}"

        async def cancel(node: Node) -> None:
            await node.control.cancel_matching(Criteria(APP, slug, None, asked.until_ms, expression))
            world.tell(BulkCancelAsked(slug, asked.until_ms, asked.user, accepted=True))

        world.tell(asked)
        await self._insist(client, "", cancel)

    async def _halt(self, delay_ms: int, which: float, drains: bool, held_ms: int, client: str) -> None:
        """Pause or drain a function, or the app, and resume it some time later."""
        world, clock = self._world, self._world.clock
        slugs = list(world.members)
        index = int(which * (len(slugs) + 1))
        scope = HaltScope("function", slugs[index]) if index < len(slugs) else HaltScope("app", APP)
        await clock.sleep_until(clock.now_ms() + delay_ms)

        async def stop(node: Node) -> None:
            halting = node.control.halting
            await (halting.drain(scope) if drains else halting.pause(scope))

        async def resume(node: Node) -> None:
            await node.control.halting.resume(scope)

        await self._insist(f"{client} stops", "", stop)
        await clock.sleep_until(clock.now_ms() + held_ms)
        await self._insist(f"{client} resumes", "", resume)

    async def _choose(self, delay_ms: int, which: float) -> str | None:
        clock = self._world.clock
        await clock.sleep_until(clock.now_ms() + delay_ms)
        run_ids = list(self._world.ledger.runs)
        return run_ids[int(which * len(run_ids))] if run_ids else None

    async def _insist(self, what: str, run_id: str, act: Callable[[Node], Coroutine[Any, Any, T]]) -> T:
        """Ask one worker, and then another, until one answers."""
        world, clock = self._world, self._world.clock
        whom = f"{what} {world.names.of(run_id)}"
        while True:
            node = world.alive(whom)
            if node is not None:
                world.trace.note("client", f"{what} ({node.name})", run_id)
                try:
                    return await world.on(node, run_id, whom, act(node))
                except InjectedError:
                    world.trace.note("client", f"{what} was not answered", run_id)
            await clock.sleep_until(clock.now_ms() + _RETRY_MS)


Client = Callable[[str], Coroutine[Any, Any, None]]


def _numbered(kind: str, clients: list[Client]) -> list[tuple[str, Client]]:
    return [(f"{kind} {number}", client) for number, client in enumerate(clients, 1)]


def _draw_start(chance: random.Random) -> tuple[int, dict[str, Any], bytes, int]:
    """When an event is sent, what, the entropy of its internal id, and how far ahead its own time lies."""
    raw: dict[str, Any] = {"name": chance.choice(EVENT_NAMES), "data": _draw_data(chance, (0, 1, 2, 3, 4))}
    if chance.random() < 0.5:
        raw["id"] = f"id{chance.randint(0, 2)}-{raw['name']}"
    later_ms = chance.randint(MINUTE_MS, HOUR_MS) if chance.random() < 0.15 else 0
    return chance.randint(0, _SPREAD_MS), raw, chance.randbytes(10), later_ms


def _draw_poke(chance: random.Random) -> tuple[int, dict[str, Any], bytes]:
    """The same for an event that starts nothing; some have the same id, which is nothing to a wait."""
    raw: dict[str, Any] = {"name": chance.choice(WAIT_EVENTS), "data": _draw_data(chance, (0, 3, 7))}
    if chance.random() < 0.3:
        raw["id"] = f"id{chance.randint(0, 1)}-{raw['name']}"
    return chance.randint(0, _LATER_SPREAD_MS), raw, chance.randbytes(10)


def _draw_stop(chance: random.Random) -> tuple[int, dict[str, Any], bytes]:
    raw = {"name": STOP_EVENT, "data": _draw_data(chance, (0, 3, 7))}
    return chance.randint(0, _SPREAD_MS), raw, chance.randbytes(10)


def _draw_data(chance: random.Random, numbers: tuple[int, ...]) -> dict[str, Any]:
    data = {"n": chance.choice(numbers), "user": chance.randrange(_USERS)}
    if chance.random() < 0.1:
        del data["user"]
    return data


def _draw_signal(chance: random.Random) -> tuple[int, str]:
    return chance.randint(0, _LATER_SPREAD_MS), chance.choice(SIGNALS)


def _draw_halt(chance: random.Random) -> tuple[int, float, bool, int]:
    """When something is brought to a stand, what, whether it drains, and how long it stands still."""
    held_ms = chance.choice((0, MINUTE_MS, HALTED_MAX_MS, HALTED_MAX_MS))
    return chance.randint(0, _SPREAD_MS), chance.random(), chance.random() < 0.3, held_ms


def _draw_choice(chance: random.Random) -> tuple[int, float]:
    """When, and which one of the runs there are by then."""
    return chance.randint(0, _LATER_SPREAD_MS), chance.random()
