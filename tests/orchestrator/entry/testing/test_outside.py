from __future__ import annotations

import asyncio
import itertools
import threading

import pytest

import stepwell
from stepwell.client.sender import Sender
from stepwell.errors import EventError
from stepwell.testing import Engine, ExpectationError
from tests.orchestrator.entry.testing.apps import fan, reminder
from tests.patience import Patience


async def test_real_io_is_waited_for(engine: Engine) -> None:
    """Settling ends only when step bodies have, whether they use the loop, real time or threads."""
    app = stepwell.App("busy", dev=True)
    released = threading.Event()

    async def looping() -> str:
        for _ in range(100):
            await asyncio.sleep(0)
        await asyncio.sleep(0.005)  # the shortest real time
        released.set()
        return "looped"

    def blocking() -> bool:
        return released.wait(60)

    @app.function(on="go")
    async def busy(ctx: stepwell.Context) -> list[object]:
        results = await asyncio.gather(
            ctx.step.run("loop", looping),
            ctx.step.run("block", blocking),
            ctx.step.run("thread", asyncio.to_thread, blocking),
        )
        await ctx.step.sleep("nap", "1h")
        return [*results, await ctx.step.run("again", looping)]

    engine.serve(app)
    run = await engine.send_one("go")
    assert [run.step(name).output for name in ("loop", "block", "thread")] == ["looped", True, True]
    await engine.advance("1h")
    assert run.output == ["looped", True, True, "looped"]


async def test_an_engine_that_does_not_come_to_rest_says_why() -> None:
    """A step that never ends is told by name after the patience is out, and stopped."""
    app = stepwell.App("stuck", dev=True)
    ended: list[str] = []
    patience = Patience()

    async def forever() -> None:
        patience.end()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("stopped")

    @app.function(on="go")
    async def stuck(ctx: stepwell.Context) -> None:
        await ctx.step.run("hang", forever)

    async with Engine(patience=5) as engine:
        engine._world.timeout = patience
        engine.serve(app)
        with pytest.raises(ExpectationError) as impatient:
            await engine.send_one("go")
        assert str(impatient.value) == (
            "the engine did not come to rest within 5 s of real time; the last steps begun: hang. Something waits "
            "for the outside world, or never ends: stub it, or give Engine(patience=...) more seconds"
        )
        assert ended == ["stopped"]
        assert [run.status for run in engine.runs] == ["running"]


async def test_a_loop_of_events_does_not_hang_the_test() -> None:
    """A function that starts itself again and again is stopped when the patience is out."""
    app = stepwell.App("loop", dev=True)
    patience, turns = Patience(), itertools.count(1)

    @app.function(on="go")
    async def again(ctx: stepwell.Context) -> None:
        if next(turns) == 20:
            patience.end()
        await ctx.step.send_event("again", stepwell.Event(name="go"))

    async with Engine() as engine:
        engine._world.timeout = patience
        engine.serve(app)
        await engine.send("go")
        with pytest.raises(ExpectationError, match="did not come to rest"):
            await engine.settle()


async def test_a_test_may_act_while_the_engine_works(engine: Engine) -> None:
    """A body that waits for the test goes on when the test lets it, while the test awaits the engine in a task."""
    app = stepwell.App("turns", dev=True)
    asked, answered = asyncio.Event(), asyncio.Event()

    async def ask() -> str:
        asked.set()
        await answered.wait()
        return "answered"

    @app.function(on="go")
    async def turns(ctx: stepwell.Context) -> str:
        return await ctx.step.run("ask", ask)

    engine.serve(app)
    sending = asyncio.create_task(engine.send_one("go"))
    await asked.wait()
    answered.set()
    assert (await sending).output == "answered"


async def test_cancelling_the_wait_stops_the_work(engine: Engine) -> None:
    """A test that gives up waiting leaves nothing running."""
    app = stepwell.App("slow", dev=True)
    started, ended = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    @app.function(on="go")
    async def wait(ctx: stepwell.Context) -> None:
        await ctx.step.run("slow", slow)

    engine.serve(app)
    sending = asyncio.create_task(engine.send_one("go"))
    await started.wait()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert ended.is_set()


async def test_calls_side_by_side_take_turns(engine: Engine) -> None:
    """Engine calls that are made at once do not get in each other's way."""
    engine.serve(fan())
    runs = await asyncio.gather(*(engine.send_one("order/paid", {"total": number}) for number in range(1, 6)))
    assert [run.output for run in runs] == ["sent"] * 5
    assert len({run.id for run in runs}) == 5
    await asyncio.gather(engine.advance("1h"), engine.advance("1h"))


async def test_an_app_sends_into_the_engine(engine: Engine) -> None:
    """Code under test may use ``app.send``, and ``app.send_sync`` in a thread; what follows happens on settling."""
    app = fan()
    engine.serve(app)
    event = stepwell.Event(name="order/paid", data={"total": 1})
    await app.send(event)
    await asyncio.to_thread(app.send_sync, event)
    assert engine.runs == []
    await engine.settle()
    assert [run.output for run in engine.runs] == ["sent", "sent"]


async def test_two_engines_serve_one_app_side_by_side(engine: Engine) -> None:
    """Each of two engines has its own runs, time, stubs and events, those an app sends in a function included."""
    app = stepwell.App("twice", dev=True)

    @app.function(on="go")
    async def go(ctx: stepwell.Context) -> str:
        await ctx.step.sleep("nap", "1d")
        await app.send(stepwell.Event(name="went", id=ctx.run_id))
        return await ctx.step.run("who", lambda: "nobody")

    async with Engine() as other:
        engine.serve(app)
        other.serve(app)
        engine.stub("who", "first")
        other.stub("who", "second")
        run, its_run = await asyncio.gather(engine.send_one("go"), other.send_one("go"))
        await engine.advance("1d")
        assert (run.output, its_run.status) == ("first", "running")
        await other.advance("1d")
        assert its_run.output == "second"
        assert {event.id for event in engine.sent("went")} == {run.id}
        assert {event.id for event in other.sent("went")} == {its_run.id}
        await app.send(stepwell.Event(name="latest"))
        await other.settle()
        assert len(other.sent("latest")) == 1
    await app.send(stepwell.Event(name="left"))
    await engine.settle()
    assert (len(engine.sent("left")), engine.sent("latest")) == (1, [])


async def test_closing_gives_the_app_back() -> None:
    """A closed engine leaves the app sending where it did before, in whatever order engines are closed."""
    app = reminder()
    app.transport = before = Sender(app.settings)
    first, second = Engine(), Engine()
    first.serve(app)
    second.serve(app)
    first.close()
    assert app.transport is not before
    second.close()
    assert app.transport is before


def test_only_asyncio_will_do() -> None:
    """On anything but asyncio the engine says what it runs on."""
    engine = Engine()
    settling = engine.settle()
    with pytest.raises(ExpectationError, match="the engine runs on asyncio, and this test does not"):
        settling.send(None)
    engine.close()


async def test_a_thread_needs_a_loop_to_send_to() -> None:
    """An app that was served outside any loop refuses what a thread sends before the engine was awaited."""
    app = fan()
    made = await asyncio.to_thread(lambda: _served(app))
    with pytest.raises(EventError, match="the engine has no event loop yet"):
        await app.send(stepwell.Event(name="order/paid"))
    assert made.runs == []


def _served(app: stepwell.App) -> Engine:
    engine = Engine()
    engine.serve(app)
    return engine
