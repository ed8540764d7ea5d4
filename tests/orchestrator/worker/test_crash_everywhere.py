"""A worker may die before or after any port call; whatever it was doing, the run ends as it would have.

The number of port calls of a run without a crash is counted first. Then the run is done once for each of them, twice:
with a worker that dies just before the call, and with one that dies just after its effect. From then on that worker's
ports answer nothing; time passes, and another worker finishes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from stepwell.wire.ids import hash_step_id
from stepwell_orchestrator.limits import DELIVERY_LEASE_MS
from stepwell_orchestrator.model.run import RunStatus
from tests.orchestrator.worker.harness import Script, World

CHILD = "shop-child"


@dataclass(frozen=True)
class Scenario:
    """A script, what happens from outside a second after the run began, and what the function's options are."""

    script: Callable[[], Script]
    plot: Callable[[World], Awaitable[Any]] | None = None
    options: Mapping[str, Any] | None = None
    child: Callable[[], Script] | None = None


def op(name: str, kind: str, **opts: Any) -> dict[str, tuple[str, dict[str, Any]]]:
    return {name: (kind, {"timeout": "1m", **opts})}


SEQUENCES: dict[str, Callable[[], Script]] = {
    "sequence": lambda: Script([["a"], ["b"]]),
    "parallel": lambda: Script([["p", "q"], ["after"]]),
    "race": lambda: Script([["p", "q", "r"], ["after"]], race=True),
    "sleep": lambda: Script([["a"], ["sleep:1m"], ["b"]]),
    "mixed group": lambda: Script([["p", "sleep:1m"], ["after"]]),
    "retry in place": lambda: Script([["a"], ["flaky"], ["b"]], fails={"flaky": 1}),
    "retry of a planned step": lambda: Script([["p", "flaky"], ["after"]], fails={"flaky": 1}),
    "function retry": lambda: Script([["a"]], function_fails=1),
    "failed step": lambda: Script([["doomed"], ["after"]], fails={"doomed": 99}),
}


SCENARIOS = {name: Scenario(script) for name, script in SEQUENCES.items()} | {
    "wait resumed": Scenario(
        lambda: Script([["w"], ["after"]], ops=op("w", "WaitForEvent", event="paid", lookback="run")),
        lambda world: world.send("paid"),
    ),
    "wait timed out": Scenario(lambda: Script([["w"], ["after"]], ops=op("w", "WaitForEvent", event="paid"))),
    "wait beside a step": Scenario(
        lambda: Script([["p", "w"], ["after"]], ops=op("w", "WaitForEvent", event="paid", lookback="run")),
        lambda world: world.send("paid"),
    ),
    "signal timed out": Scenario(lambda: Script([["s"], ["after"]], ops=op("s", "WaitForSignal", signal="go"))),
    "invoke": Scenario(
        lambda: Script([["call"], ["after"]], ops=op("call", "InvokeFunction", function_id=CHILD)),
        child=lambda: Script([["work"]], result={"n": 1}),
    ),
    "invoke nobody": Scenario(
        lambda: Script([["call"], ["after"]], ops=op("call", "InvokeFunction", function_id="shop-nowhere"))
    ),
    "cancelled by event": Scenario(
        lambda: Script([["sleep:5m"]]),
        lambda world: world.send("stop"),
        {"cancel": [{"event": "stop"}], "timeouts": {"finish": "1h"}},
    ),
    "cancelled by deadline": Scenario(lambda: Script([["sleep:5m"]]), options={"timeouts": {"finish": "1m"}}),
}


class DeadError(Exception):
    """The worker is dead."""


class Mortal:
    """A port whose calls are counted, together with its siblings', and which dies at one of them."""

    def __init__(self, port: Any, fate: Fate) -> None:
        self._port = port
        self._fate = fate

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self._port, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            self._fate.before()
            result = await method(*args, **kwargs)
            self._fate.after()
            return result

        return call


class Fate:
    """At which call a worker dies (counted from 1; None: never), and on which side of it."""

    def __init__(self, at: int | None, *, after: bool = False) -> None:
        self.calls = 0
        self._at = at
        self._after = after
        self._dead = False

    def before(self) -> None:
        """Count a call; die before it if this is the one."""
        self.calls += 1
        if self._dead or (self.calls == self._at and not self._after):
            self._dead = True
            raise DeadError

    def after(self) -> None:
        """Die after the call if this was the one."""
        if self._dead or (self.calls == self._at and self._after):
            self._dead = True
            raise DeadError


async def live(scenario: Scenario, fate: Fate) -> World:
    """One run with a mortal worker, and an immortal one after its death."""
    others = {} if scenario.child is None else {CHILD: scenario.child()}
    world = World(scenario.script(), retries=1, options=scenario.options, others=others)
    await world.register()
    await world.send()
    backend = world.backend
    mortal = world.new_worker(Mortal(backend.journal, fate), Mortal(backend.queue, fate), Mortal(backend.waits, fate))
    plot = scenario.plot
    try:
        await world.settle(worker=mortal)
        await world.clock.advance(1_000)
        if plot is not None:
            await plot(world)
            plot = None
        while (next_ms := await world.backend.queue.next_at_ms()) is not None:
            await world.clock.advance(max(0, next_ms - world.clock.now_ms()))
            await world.settle(worker=mortal)
    except DeadError:
        await asyncio.sleep(0)
        if plot is not None:
            await world.clock.advance(1_000)
            await plot(world)
        await world.clock.advance(DELIVERY_LEASE_MS)
    await world.run_to_end()
    return world


async def nothing_filed(world: World) -> bool:
    """Whether no pause and no signal outlived the runs."""
    async with world.backend.database.read() as db:
        pauses, signals = (db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("pauses", "signals"))
    return pauses == signals == 0


async def outcome(world: World) -> tuple[RunStatus, Any, dict[str, Any]]:
    """What may not depend on crashes: status, output and every step's memo."""
    run = await world.run()
    assert run.header.outcome is not None
    assert run.header.lease_until_ms is None
    memos = {entry.name: entry.memo for entry in run.entries.values() if entry.memoised}
    return run.header.status, run.header.outcome.output, memos


@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_a_crash_at_any_port_call_is_survived(scenario: str) -> None:
    """Every crash point leads to the outcome of the run without a crash, and to one finished event."""
    unharmed = Fate(None)
    expected = await outcome(await live(SCENARIOS[scenario], unharmed))
    assert unharmed.calls > 5
    for at in range(1, unharmed.calls + 1):
        for after in (False, True):
            world = await live(SCENARIOS[scenario], Fate(at, after=after))
            assert await outcome(world) == expected, f"crash {'after' if after else 'before'} port call {at}"
            assert len(await world.events_named("inngest/function.finished")) == 1 + (scenario == "invoke")
            assert await nothing_filed(world)


KINDS: dict[str, dict[str, tuple[str, dict[str, Any]]]] = {
    "run": {},
    "sleep": {"x": ("Sleep", {"duration": "1m"})},
    "event": op("x", "WaitForEvent", event="paid"),
    "other event": op("x", "WaitForEvent", event="shipped"),
    "signal": op("x", "WaitForSignal", signal="go"),
    "other signal": op("x", "WaitForSignal", signal="stop"),
    "invoke": op("x", "InvokeFunction", function_id="shop-nowhere"),
}
CHANGES = [
    *((old, new) for old in ("event", "signal") for new in KINDS if new not in (old, f"other {old}")),
    *(("run", new) for new in KINDS if new != "run"),
]


def changing(old: str, new: str) -> Scenario:
    """Step x becomes another kind: while it waits, or when it is to be executed, and a tick has the function asked."""
    script = Script([["sleep:5s", "x"], ["after"]], ops=KINDS[old], race=True)

    async def change(*_: object) -> None:
        script.ops = KINDS[new]

    async def before_reply(target: str) -> None:
        if target == hash_step_id("x"):
            await change()

    script.before_reply = before_reply
    return Scenario(lambda: script, change)


def giving_up(kind: str) -> Scenario:
    """Step x is given up while it waits, and the run goes on to sleep."""
    script = Script([["sleep:5s", "x"], ["after"]], ops=KINDS[kind], race=True)

    async def change(*_: object) -> None:
        script.stages, script.given_up = [["sleep:5s"], ["sleep:1m"], ["after"]], ["x"]

    return Scenario(lambda: script, change)


async def check_crashes(scenario: Callable[[], Scenario]) -> None:
    """At whichever port call a worker dies, the run completes, and nothing stays filed."""
    unharmed = Fate(None)
    assert (await outcome(await live(scenario(), unharmed)))[0] is RunStatus.COMPLETED
    for at in range(1, unharmed.calls + 1):
        for after in (False, True):
            world = await live(scenario(), Fate(at, after=after))
            where = f"crash {'after' if after else 'before'} port call {at}"
            assert (await outcome(world))[0] is RunStatus.COMPLETED, where
            assert await nothing_filed(world), where


@pytest.mark.parametrize(("old", "new"), CHANGES)
async def test_a_crash_while_a_step_changes_leaves_nothing_behind(old: str, new: str) -> None:
    """What a step waited with is let go, and what it is now goes on, wherever the worker dies that does so."""
    await check_crashes(lambda: changing(old, new))


@pytest.mark.parametrize("kind", ["event", "signal", "sleep", "invoke"])
async def test_a_crash_while_a_step_is_given_up_leaves_nothing_behind(kind: str) -> None:
    """What a dropped step waited with is let go, wherever the worker dies that drops it."""
    await check_crashes(lambda: giving_up(kind))
