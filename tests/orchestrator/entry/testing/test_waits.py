from __future__ import annotations

import asyncio

import stepwell
from stepwell.testing import Engine, SyncEngine


def waiting() -> stepwell.App:
    """Functions that wait for an event, for a signal, for another function, and for whichever of two comes first."""
    app = stepwell.App("wait", dev=True)

    @app.function(on="user/signup", cancel_on=[stepwell.CancelOn("user/deleted", match="data.id")])
    async def remind(ctx: stepwell.Context) -> dict[str, bool]:
        active = await ctx.step.wait_for_event("active", event="user/active", match="data.id", timeout="7d")
        return {"active": active is not None}

    @app.function(on="doc/written")
    async def publish(ctx: stepwell.Context) -> object:
        ok = await ctx.step.wait_for_signal("ok", signal="approve", timeout="1h")
        return None if ok is None else ok.data

    @app.function()
    async def square(ctx: stepwell.Context) -> int:
        await ctx.step.sleep("think", "1h")
        return int(ctx.event.data["n"]) ** 2

    @app.function(on="sum/asked")
    async def total(ctx: stepwell.Context) -> int:
        squares = [ctx.step.invoke(f"square-{n}", function=square, data={"n": n}) for n in (3, 4)]
        return sum(await asyncio.gather(*squares))

    return app


async def test_a_wait_ends_with_its_event(engine: Engine) -> None:
    """An event that matches resumes the run when the engine settles, and another one does not."""
    engine.serve(waiting())
    run = await engine.send_one("user/signup", {"id": 7})
    await engine.advance("3d")
    await engine.send("user/active", {"id": 8})
    await engine.settle()
    assert run.step("active").status == "waiting"
    assert repr(run) == "<Run wait-remind running: active waiting until 2026-01-08 00:00:00>"
    await engine.send("user/active", {"id": 7})
    await engine.settle()
    assert run.output == {"active": True}
    assert run.step("active").output["data"] == {"id": 7}


async def test_a_wait_times_out(engine: Engine) -> None:
    """Without its event a wait ends at its timeout, to the millisecond."""
    engine.serve(waiting())
    run = await engine.send_one("user/signup", {"id": 7})
    await engine.advance("6d")
    assert run.step("active").due_at is not None
    await engine.advance_to(run.step("active").due_at)
    assert run.output == {"active": False}
    assert (run.step("active").status, run.step("active").output) == ("timed_out", None)


async def test_an_event_that_came_before_is_not_waited_for(engine: Engine) -> None:
    """An event sent just before the one that starts the run does not resume its wait, though no time was let pass."""
    engine.serve(waiting())
    await engine.send("user/active", {"id": 7})
    run = await engine.send_one("user/signup", {"id": 7})
    assert run.step("active").status == "waiting"


async def test_events_of_one_settling_are_seen_both(engine: Engine) -> None:
    """An event sent after the one that starts the run ends its wait, even when the engine settles after both."""
    engine.serve(waiting())
    await engine.send("user/signup", {"id": 7})
    await engine.advance(0)
    await engine.send("user/active", {"id": 7})
    await engine.advance("1s")
    assert engine.runs[0].output == {"active": True}


async def test_an_event_cancels(engine: Engine) -> None:
    """A run is cancelled by the event its function names."""
    engine.serve(waiting())
    run = await engine.send_one("user/signup", {"id": 7})
    await engine.send("user/deleted", {"id": 7})
    await engine.settle()
    assert run.cancelled


async def test_a_signal_resumes(engine: Engine) -> None:
    """A signal of the test's, or of the app's, resumes the run that waits for it, and is told whom it resumed."""
    app = waiting()
    engine.serve(app)
    for send in (engine.send_signal, app.send_signal):
        run = await engine.send_one("doc/written")
        assert await send("approve", {"by": "ada"}) == run.id
        assert not run.completed
        await engine.settle()
        assert run.output == {"by": "ada"}
    assert await engine.send_signal("approve") is None


def test_a_signal_resumes_without_async(engine: SyncEngine) -> None:
    """The sync face sends signals too."""
    engine.serve(waiting())
    run = engine.send_one("doc/written")
    assert engine.send_signal("approve", 1) == run.id
    engine.settle()
    assert run.output == 1


async def test_invoked_functions_have_runs_of_their_own(engine: Engine) -> None:
    """Functions that a step invokes are seen as runs, and the step ends with their output."""
    engine.serve(waiting())
    run = await engine.send_one("sum/asked")
    assert [each.function for each in engine.runs] == ["wait-total", "wait-square", "wait-square"]
    await engine.advance("1h")
    assert run.output == 25
