"""What a function gives up is gone: every style of giving up, every kind of pending step, every kind of next step.

What a step waited with is taken out of the store at once. Three things stay, by design: a queue item cannot be called
back, so the timer or the retry of a step that was given up comes, and does nothing; a body that is executing is let
finish, and its result is dropped; and a run that was invoked goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

import anyio
import pytest

import stepwell
from stepwell.testing import Engine
from stepwell.wire.ids import hash_step_id
from stepwell_orchestrator.limits import CLAIM_LEASE_MS
from stepwell_orchestrator.model.step import StepStatus
from stepwell_orchestrator.ports import Claimed

Ask = Callable[[stepwell.Context], Awaitable[Any]]
GiveUp = Callable[[stepwell.Context, Ask], Awaitable[None]]

ASKS: Final[dict[str, Ask]] = {
    "run planned": lambda ctx: ctx.step.run("x", lambda: "ran"),
    "run running": lambda ctx: ctx.step.run("x", lambda: "ran"),
    "sleep": lambda ctx: ctx.step.sleep("x", "2h"),
    "wait_for_event": lambda ctx: ctx.step.wait_for_event("x", event="paid", timeout="2h"),
    "wait_for_signal": lambda ctx: ctx.step.wait_for_signal("x", signal="go", timeout="2h"),
    "invoke": lambda ctx: ctx.step.invoke("x", function="leaving-child", data={}),
    "infer": lambda ctx: ctx.step.ai.infer("x", model=stepwell.ai.openai("gpt", api_key="key"), body={}),
    "fetch": lambda ctx: ctx.step.fetch("x", "http://api.test/x"),
}
EXECUTED: Final = {"run planned", "run running", "infer", "fetch"}
"""The kinds that a call, or a request of the engine's, executes. Their first attempt fails: the retry is pending."""


async def timeout(ctx: stepwell.Context, ask: Ask) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(5):
            await ask(ctx)


async def wait_for(ctx: stepwell.Context, ask: Ask) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(ask(ctx), 5)


async def cancel(ctx: stepwell.Context, ask: Ask) -> None:
    task = asyncio.ensure_future(ask(ctx))
    await ctx.step.sleep("tick", "5s")
    task.cancel()


async def first_completed(ctx: stepwell.Context, ask: Ask) -> None:
    x, tick = asyncio.ensure_future(ask(ctx)), asyncio.ensure_future(ctx.step.sleep("tick", "5s"))
    await asyncio.wait({x, tick}, return_when=asyncio.FIRST_COMPLETED)
    x.cancel()


async def task_group(ctx: stepwell.Context, ask: Ask) -> None:
    async def asked() -> None:
        await ask(ctx)

    async def fail() -> None:
        await ctx.step.sleep("tick", "5s")
        raise ValueError("a sibling")

    with suppress(ExceptionGroup):
        async with asyncio.TaskGroup() as group:
            group.create_task(asked())
            group.create_task(fail())


async def move_on_after(ctx: stepwell.Context, ask: Ask) -> None:
    with anyio.move_on_after(5):
        await ask(ctx)


async def leave(ctx: stepwell.Context, ask: Ask) -> None:
    """Go on without it, and return while it is pending."""
    x = asyncio.ensure_future(ask(ctx))
    await asyncio.wait({x, asyncio.ensure_future(ctx.step.sleep("tick", "5s"))}, return_when=asyncio.FIRST_COMPLETED)


STYLES: Final[tuple[GiveUp, ...]] = (timeout, wait_for, cancel, first_completed, task_group, move_on_after)
NEXT: Final = ("nothing", "a step", "the same again")
ROWS: Final = [
    *((style, kind, then) for style in STYLES for kind in ASKS for then in NEXT),
    *((leave, kind, "nothing") for kind in ASKS),
]


def serving(style: GiveUp, kind: str, then: str, calls: list[int]) -> stepwell.App:
    """A function that gives step x up after five seconds, and what it may invoke."""
    app = stepwell.App("leaving", dev=True)

    @app.function(on="go")
    async def leaving(ctx: stepwell.Context) -> str:
        calls.append(ctx.attempt)
        await style(ctx, ASKS[kind])
        if then == "a step":
            return await ctx.step.run("after", lambda: "done")
        if then == "the same again":
            await ASKS[kind](ctx)
        return "done"

    @app.function()
    async def child(ctx: stepwell.Context) -> str:
        await ctx.step.sleep("nap", "1h")
        return "child"

    return app


class Bed:
    """The engine's own stores, looked into."""

    def __init__(self, engine: Engine, run_id: str) -> None:
        self._world = engine._world
        self._run_id = run_id

    async def filed(self) -> tuple[list[str], list[str]]:
        """The steps that pauses and signals are filed for."""
        async with self._world._backend.database.read() as db:
            pauses = [step_id for (step_id,) in db.execute("SELECT pause_id FROM pauses")]
            return pauses, [step_id for (step_id,) in db.execute("SELECT step_id FROM signals")]

    async def claim(self, name: str) -> None:
        """Begin to execute a step, as a worker does that is then not heard of for a while."""
        now_ms = self._world.clock.now_ms()
        until_ms = now_ms + CLAIM_LEASE_MS
        claim = await self._world.journal.claim(self._run_id, hash_step_id(name), 1, now_ms=now_ms, until_ms=until_ms)
        assert isinstance(claim, Claimed)

    async def left(self) -> tuple[int, int, int]:
        """How many pauses, signals and queue items there are."""
        tables = ("pauses", "signals", "queue")
        async with self._world._backend.database.read() as db:
            pauses, signals, queued = (db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables)
        return pauses, signals, queued

    async def status(self, name: str) -> StepStatus | None:
        """What the journal says of a step."""
        entry = await self._world.journal.get_entry(self._run_id, hash_step_id(name))
        return None if entry is None else entry.status


def calls_of(kind: str, then: str) -> int:
    """How often the function is called: to find x, and to execute it; when its time is up; and for what comes next.

    What comes next is planned while x is pending, so a call executes it, and one more goes on from there.
    """
    found = 2 if kind in EXECUTED else 1
    after = {"nothing": 0, "a step": 2, "the same again": 2 if kind in EXECUTED else 1}
    return found + 1 + after[then]


def status_of(kind: str, then: str) -> StepStatus:
    """What the journal says of x once it was given up."""
    if then != "nothing":
        return StepStatus.DROPPED
    pending = {"run running": StepStatus.RUNNING, "sleep": StepStatus.SLEEPING} | dict.fromkeys(
        EXECUTED - {"run running"}, StepStatus.ERRORED
    )
    return pending.get(kind, StepStatus.WAITING)


@pytest.mark.parametrize(("style", "kind", "then"), ROWS)
async def test_what_is_given_up_is_gone(engine: Engine, style: GiveUp, kind: str, then: str) -> None:
    """The run goes on at once, the journal says so, nothing stays filed, and what comes later changes nothing."""
    calls: list[int] = []
    if kind in EXECUTED:
        engine.stub("x", [RuntimeError("not yet"), {"ok": True}, {"ok": True}])
    engine.serve(serving(style, kind, then, calls))
    run = await engine.send_one("go")
    bed = Bed(engine, run.id)
    if kind == "run running":
        await bed.claim("x")
    await engine.advance("5s")
    waits_again = then == "the same again" and kind not in EXECUTED
    again = [hash_step_id("x:1")] if waits_again else []
    assert await bed.filed() == (
        again if kind == "wait_for_event" else [],
        again if kind == "wait_for_signal" else [],
    )
    assert run.completed is not waits_again
    assert await bed.status("x") is status_of(kind, then)
    await engine.advance("3h")
    assert (run.completed, run.output) == (True, "done"), run.timeline()
    assert await bed.status("x") is status_of(kind, then)
    children = (kind == "invoke") * (1 + waits_again)
    assert await bed.left() == (0, 0, children), "the timers of invocations lie a year ahead"
    assert len(engine.runs) == 1 + children
    assert len(calls) == calls_of(kind, then)
