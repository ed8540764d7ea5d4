from __future__ import annotations

import datetime as dt
from itertools import pairwise

import pytest

import stepwell
from stepwell.testing import Engine, ExpectationError
from stepwell_orchestrator.accepting.register import InvalidFunctionsError
from tests.orchestrator.entry.testing.apps import fan, reminder

MOMENT = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


async def test_a_run_goes_through_its_days(engine: Engine) -> None:
    """Sent, a run goes as far as it gets; time that passes wakes it to the millisecond, and not before."""
    engine.serve(reminder())
    run = await engine.send_one("user/signup", {"name": "bo"})
    assert (run.status, run.step("welcome").output) == ("running", "BO")
    await engine.advance(dt.timedelta(days=3) - dt.timedelta(milliseconds=1))
    assert run.step("nap").status == "sleeping"
    await engine.advance(0.001)
    assert run.completed
    assert run.output == {"mail": 1}


async def test_nothing_happens_behind_the_test_s_back(engine: Engine) -> None:
    """An event that was sent starts nothing before the engine settles, and does so then."""
    engine.serve(fan())
    await engine.send("order/created", {"total": 1})
    assert engine.runs == []
    await engine.settle()
    assert [run.output for run in engine.runs] == ["packed"]


async def test_what_is_due_on_the_way_happens_in_order_at_its_time(engine: Engine) -> None:
    """Sleeps of several runs end one after another, each when the clock stands at its end."""
    app = stepwell.App("clock", dev=True)
    seen: list[tuple[str, float]] = []

    @app.function(on="nap")
    async def nap(ctx: stepwell.Context) -> None:
        data = ctx.event.data
        for lap in range(2):
            await ctx.step.sleep(f"sleep-{lap}", data["seconds"])
            await ctx.step.run(f"note-{lap}", lambda: seen.append((data["name"], engine.now.timestamp())))

    engine.serve(app)
    for name, seconds in (("slow", 50), ("fast", 20)):
        await engine.send("nap", {"name": name, "seconds": seconds})
    start = MOMENT.timestamp()
    await engine.advance("2h")
    assert [(name, round(at - start)) for name, at in seen] == [("fast", 20), ("fast", 40), ("slow", 50), ("slow", 100)]
    assert engine.now == MOMENT + dt.timedelta(hours=2, milliseconds=2)


async def test_retries_follow_the_back_off_table(engine: Engine) -> None:
    """The attempts of a step come 15, 30, 60 and 120 s apart, each up to 30 s late, the same in every test run."""
    app = stepwell.App("retry", dev=True)
    at: list[float] = []

    @app.function(on="go")
    async def flaky(ctx: stepwell.Context) -> None:
        def body() -> None:
            at.append(engine.now.timestamp())
            raise ValueError("no")

        await ctx.step.run("body", body)

    engine.serve(app)
    run = await engine.send_one("go")
    await engine.advance("1h")
    gaps = [after - before for before, after in pairwise(at)]
    assert [base <= gap <= base + 30 for base, gap in zip((15, 30, 60, 120), gaps, strict=True)] == [True] * 4
    assert (run.failed, run.step("body").attempts) == (True, 5)
    assert str(run.error) == "ValueError: no"


async def test_every_engine_does_the_same_again(engine: Engine) -> None:
    """Ids, and the back-off that follows from them, are the same each time a test runs."""
    async with Engine() as again:
        for each in (engine, again):
            each.serve(reminder())
            each.fail_step("welcome")
            await each.send_one("user/signup")
        [run], [its_run] = engine.runs, again.runs
        assert (run.id, run.step("welcome").due_at) == (its_run.id, its_run.step("welcome").due_at)


async def test_advance_to_a_moment(engine: Engine) -> None:
    """Time passes up to a given moment, and a step that sleeps until then goes on."""
    app = stepwell.App("launch", dev=True)
    moment = MOMENT + dt.timedelta(days=40)

    @app.function(on="go")
    async def launch(ctx: stepwell.Context) -> str:
        await ctx.step.sleep_until("launch", moment)
        return "launched"

    engine.serve(app)
    run = await engine.send_one("go")
    assert run.step("launch").due_at == moment
    await engine.advance_to(moment)
    assert run.output == "launched"
    assert engine.now == moment


@pytest.mark.parametrize(
    ("duration", "problem"),
    [
        ("3 days", '"3 days" is not a duration'),
        (-1, "time does not run backwards"),
        (dt.timedelta(seconds=-1), "time does not run backwards"),
    ],
)
async def test_a_bad_duration_is_refused(engine: Engine, duration: object, problem: str) -> None:
    """A duration that cannot be understood, or is negative, is refused and no time passes."""
    with pytest.raises(ExpectationError, match=problem):
        await engine.advance(duration)
    assert engine.now == MOMENT


async def test_a_bad_moment_is_refused(engine: Engine) -> None:
    """A moment in the past, or without a time zone, is refused."""
    with pytest.raises(ExpectationError, match=r"lies in the past: it is 2026-01-01T00:00:00\.000Z here"):
        await engine.advance_to(MOMENT - dt.timedelta(days=1))
    with pytest.raises(ExpectationError, match="without a time zone"):
        await engine.advance_to(dt.datetime(2027, 1, 1))  # noqa: DTZ001 - that is the mistake


async def test_an_engine_starts_when_it_is_told(engine: Engine) -> None:
    """The time an engine starts at can be chosen."""
    async with Engine(now=dt.datetime(2027, 5, 1, tzinfo=dt.UTC)) as later:
        assert later.now == dt.datetime(2027, 5, 1, tzinfo=dt.UTC)
    assert engine.now == MOMENT


async def test_a_future_event_starts_its_run_then(engine: Engine) -> None:
    """The run of an event whose time lies ahead exists at once and starts at that time."""
    engine.serve(fan())
    in_an_hour = engine.now + dt.timedelta(hours=1)
    run = await engine.send_one(stepwell.Event(name="order/created", data={"total": 1}, ts=in_an_hour))
    assert run.status == "queued"
    await engine.advance("1h")
    assert run.completed


async def test_events_sent_can_be_looked_at(engine: Engine) -> None:
    """``sent`` knows the events of the test, of steps and of the engine, in order, and gives typed ones as such."""

    class Reminded(stepwell.Event, name="user/reminded"):
        data: dict[str, str]

    engine.serve(reminder())
    run = await engine.send_one("user/signup", {"name": "a"})
    await engine.send("user/signup", {"name": "b"})
    await engine.advance("4d")
    assert [event.data["name"] for event in engine.sent("user/signup")] == ["a", "b"]
    first, _ = engine.sent(Reminded)
    assert isinstance(first, Reminded)
    assert first.data == {"run": run.id}
    assert [event.data["run_id"] for event in engine.sent("inngest/function.finished")] == [
        run.id for run in engine.runs
    ]
    assert engine.sent("user/deleted") == []


async def test_events_of_one_moment_keep_their_order(engine: Engine) -> None:
    """Events that steps send one after another, without time passing, are seen in that order."""
    app = stepwell.App("count", dev=True)

    @app.function(on="go")
    async def count(ctx: stepwell.Context) -> None:
        for number in range(10):
            await ctx.step.send_event(f"tell-{number}", stepwell.Event(name="counted", data={"n": number}))

    engine.serve(app)
    await engine.send_one("go")
    assert [event.data["n"] for event in engine.sent("counted")] == list(range(10))


async def test_a_run_can_be_cancelled(engine: Engine) -> None:
    """A cancelled run never wakes again."""
    engine.serve(reminder())
    run = await engine.send_one("user/signup")
    await engine.cancel(run)
    await engine.advance("4d")
    assert (run.cancelled, run.status) == (True, "cancelled")
    assert [step.name for step in run.steps] == ["welcome", "nap"]


async def test_on_failure_runs(engine: Engine) -> None:
    """The function that is called when a run has failed is a run of its own."""
    app = stepwell.App("fails", dev=True)

    async def tell(ctx: stepwell.Context) -> str:
        return str(ctx.event.data["error"]["message"])

    @app.function(on="go", retries=0, on_failure=tell)
    async def fail(ctx: stepwell.Context) -> None:
        raise ValueError("broken")

    engine.serve(app)
    run = await engine.send_one("go")
    assert [(each.function, each.status) for each in engine.runs] == [
        ("fails-fail", "failed"),
        ("fails-fail-failure", "completed"),
    ]
    assert engine.runs[0] is run
    assert engine.runs[1].output == "broken"


async def test_send_one_names_what_could_have_started(engine: Engine) -> None:
    """An event that starts no run says which functions there are, and what they listen to."""
    with pytest.raises(ExpectationError, match=r"no app is served; call engine\.serve\(app\) first"):
        await engine.send_one("order/created")
    engine.serve(fan())
    with pytest.raises(ExpectationError) as unknown:
        await engine.send_one("order/shipped")
    assert str(unknown.value) == (
        '"order/shipped" started no function: no function listens to it; there are shop-insure (on order/created), '
        "shop-pack (on order/created), shop-receipt (on order/paid)"
    )


async def test_send_one_tells_the_condition_that_did_not_hold(engine: Engine) -> None:
    """An event that a function's condition does not accept says so, with the condition."""
    engine.serve(fan())
    with pytest.raises(ExpectationError, match=r"not to this one: shop-receipt if event\.data\.total > 0"):
        await engine.send_one("order/paid", {"total": 0})
    with pytest.raises(ExpectationError, match=r"started not insure: .*shop-insure if event\.data\.total > 100"):
        await engine.send_one("order/created", {"total": 1}, function="insure")


async def test_send_one_wants_one_run(engine: Engine) -> None:
    """An event that starts several runs names them all, and one of them can be asked for by id, slug or object."""
    app = fan()
    engine.serve(app)
    with pytest.raises(ExpectationError) as several:
        await engine.send_one("order/created", {"total": 500})
    assert str(several.value).startswith('"order/created" started 2 runs: ')
    assert 'name one: send_one(..., function="shop-' in str(several.value)
    for function in ("insure", "shop-insure", app.functions["insure"]):
        run = await engine.send_one("order/created", {"total": 500}, function=function)
        assert run.output == "insured"


async def test_an_event_sent_twice_starts_one_run(engine: Engine) -> None:
    """A second event with the same id starts nothing, and ``send_one`` says why."""
    engine.serve(fan())
    event = stepwell.Event(name="order/paid", data={"total": 1}, id="o-1")
    await engine.send_one(event)
    with pytest.raises(ExpectationError, match="or an event with the same id came before"):
        await engine.send_one(event)


async def test_an_event_has_its_data_already(engine: Engine) -> None:
    """Data beside an Event object is refused."""
    with pytest.raises(ExpectationError, match='the event "a" has its data already'):
        await engine.send(stepwell.Event(name="a"), {"n": 1})


async def test_a_refused_app_is_told_by_the_next_call(engine: Engine) -> None:
    """An app whose definition the engine refuses fails the next call, which names the function."""
    app = stepwell.App("shop", dev=True)

    @app.function(on=stepwell.on("shop/order", if_="event.data.n =="))
    async def broken(ctx: stepwell.Context) -> None: ...

    engine.serve(app)
    with pytest.raises(InvalidFunctionsError, match="function shop-broken: triggers"):
        await engine.settle()


async def test_an_app_served_again_has_its_new_functions(engine: Engine) -> None:
    """Functions defined after an app was served are there once it is served again."""
    app = stepwell.App("grow", dev=True)
    engine.serve(app)
    await engine.settle()

    @app.function(on="go")
    async def late(ctx: stepwell.Context) -> str:
        return "here"

    engine.serve(app)
    assert (await engine.send_one("go")).output == "here"
