"""Waits, signals, invocations and cancellations: the real adapter on the real engine, on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pydantic
import pytest

import stepwell
from stepwell.client.http import HttpResponse
from stepwell.client.outbound import OutboundRequest
from stepwell.client.sender import Sender
from stepwell.client.settings import Overrides, read_settings
from stepwell.errors import InvokeTimeoutError, StepError
from stepwell_orchestrator.model.run import RunStatus
from stepwell_orchestrator.model.step import StepStatus
from stepwell_orchestrator.ports import CallError, EventFilter, HttpReply
from tests.orchestrator.scene import Scene, played
from tests.orchestrator.world import World


class Amount(pydantic.BaseModel):
    cents: int


class Paid(stepwell.Event, name="order/paid"):
    data: Amount


APP = stepwell.App("shop", dev=True)


async def give(value: Any) -> Any:
    return value


@APP.function(on="all/go")
async def all_of(ctx: stepwell.Context) -> Any:
    step = ctx.step
    events = await asyncio.gather(
        *(step.wait_for_event(name, event=f"{name}/came", timeout="1h") for name in ("a", "b", "c"))
    )
    return [event.data if event else None for event in events]


@APP.function(on="any/go")
async def any_of(ctx: stepwell.Context) -> Any:
    step = ctx.step
    waits = [
        asyncio.create_task(step.wait_for_event(name, event=f"{name}/came", timeout="1h"), name=name) for name in "ab"
    ]
    done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    return [await step.run("after", give, sorted(task.get_name() for task in done))]


@APP.function(on="group/go")
async def grouped(ctx: stepwell.Context) -> Any:
    async with asyncio.TaskGroup() as group:
        paid = group.create_task(ctx.step.wait_for_event("paid", event=Paid, timeout="1h"))
        other = group.create_task(ctx.step.wait_for_event("other", event="a/came", timeout="1h"))
    event, second = paid.result(), other.result()
    assert event is not None
    assert isinstance(event.data, Amount)
    return [event.data.cents, second and second.name]


@APP.function(on="match/go")
async def matching(ctx: stepwell.Context) -> Any:
    event = await ctx.step.wait_for_event("paid", event="order/paid", timeout="1h", match="data.order")
    return event and event.data


@APP.function(on="if/go")
async def choosing(ctx: stepwell.Context) -> Any:
    condition = "async.data.cents >= event.data.least && async.data.to.startsWith('A')"
    event = await ctx.step.wait_for_event("paid", event="order/paid", timeout="1h", if_=condition)
    return event and event.data


@APP.function(on="back/go")
async def looking_back(ctx: stepwell.Context) -> Any:
    await ctx.step.sleep("nap", "10m")
    first = await ctx.step.wait_for_event("run", event="a/came", timeout="1m", lookback="run")
    second = await ctx.step.wait_for_event("some", event="b/came", timeout="1m", lookback="5m")
    third = await ctx.step.wait_for_event("none", event="c/came", timeout="1m")
    return [event and event.data for event in (first, second, third)]


@APP.function(on="typed/go", retries=0)
async def typed(ctx: stepwell.Context) -> Any:
    return await ctx.step.wait_for_event("paid", event=Paid, timeout="1h")


@APP.function(on="plain/go")
def plain(ctx: stepwell.SyncContext) -> Any:
    step = ctx.step
    first = step.wait_for_event("a", event="a/came", timeout="1h")
    both = step.parallel(
        lambda: step.wait_for_event("b", event="b/came", timeout="1h"),
        lambda: step.wait_for_signal("signal", signal="plain", timeout="1h"),
    )
    sent = step.send_signal("send", signal="nobody")
    doubled = step.invoke("call", function=double, data={"n": 4})
    return [first and first.data, both[0] and both[0].data, both[1] and both[1].data, sent, doubled.cents]


@APP.function(on="signal/go", retries=0)
async def listener(ctx: stepwell.Context) -> Any:
    signal = await ctx.step.wait_for_signal(
        "wait", signal="go", timeout="1h", on_conflict=ctx.event.data.get("conflict", "fail")
    )
    return signal and [signal.signal, signal.data]


@APP.function(on="signal/send")
async def sender(ctx: stepwell.Context) -> Any:
    return [await ctx.step.send_signal(f"send-{n}", signal="go", data={"n": n}) for n in range(2)]


@APP.function()
async def double(ctx: stepwell.Context) -> Amount:
    return Amount(cents=await ctx.step.run("double", give, 2 * ctx.event.data["n"]))


@APP.function(retries=0)
async def broken(ctx: stepwell.Context) -> None:
    raise LookupError("no such order")


@APP.function()
async def slow(ctx: stepwell.Context) -> str:
    await ctx.step.sleep("nap", "2h")
    return "done at last"


@APP.function(on="invoke/go")
async def invoker(ctx: stepwell.Context) -> Any:
    typed_amount = await ctx.step.invoke("object", function=double, data={"n": 1})
    assert isinstance(typed_amount, Amount)
    by_id = await ctx.step.invoke("id", function="shop-double", data={"n": 2})
    return [typed_amount.cents, by_id]


@APP.function(on="fail/go")
async def rescuer(ctx: stepwell.Context) -> Any:
    try:
        await ctx.step.invoke("call", function=ctx.event.data["function"], timeout="1h")
    except StepError as problem:
        kind = type(problem) is InvokeTimeoutError
        return [kind, problem.name, problem.message, "LookupError" in (problem.stack or "")]


@APP.function(on="race/go")
async def fail_fast(ctx: stepwell.Context) -> Any:
    try:
        await asyncio.gather(
            ctx.step.invoke("call", function=broken), ctx.step.wait_for_event("a", event="a/came", timeout="1h")
        )
    except StepError as problem:
        return await ctx.step.run("give-up", give, problem.message)


@APP.function(on="official/go")
async def official(ctx: stepwell.Context) -> Any:
    step = ctx.step
    results = await asyncio.gather(
        *(step.run(name, give, name) for name in "abc"),
        step.invoke("call", function=double, data={"n": 3}),
        return_exceptions=True,
    )
    return await step.run("after", give, results)


@APP.function(on="plain-official/go")
def plainly_official(ctx: stepwell.SyncContext) -> Any:
    step = ctx.step
    results = step.parallel(
        lambda: step.run("a", give, "a"),
        lambda: step.run("b", give, "b"),
        lambda: step.run("c", give, "c"),
        lambda: step.invoke("call", function=double, data={"n": 3}),
    )
    return step.run("after", give, results)


@APP.function(on="fan/go")
async def fan(ctx: stepwell.Context) -> Any:
    events = [stepwell.Event(name="mail/send", data={"n": n}) for n in range(3)]
    return await ctx.step.send_event("mails", events)


@APP.function(
    on="cancel/go",
    cancel_on=[
        stepwell.CancelOn("order/dropped", match="data.order"),
        stepwell.CancelOn("shop/closed", if_="async.data.rank > event.data.rank", timeout="30m"),
    ],
)
async def cancellable(ctx: stepwell.Context) -> str:
    await ctx.step.sleep("nap", "1h")
    return "slept"


@APP.function(on="timeouts/go", timeouts=stepwell.Timeouts(start="10m", finish="30m"))
async def bounded(ctx: stepwell.Context) -> str:
    await ctx.step.sleep("nap", ctx.event.data["nap"])
    return "slept"


@APP.function(on="idempotent/go", idempotency="event.data.order")
async def once(ctx: stepwell.Context) -> Any:
    return ctx.event.data["n"]


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    """The app, served."""
    async with played(APP) as scene:
        yield scene


async def test_a_run_waits_for_several_events_together(scene: Scene) -> None:
    """A gather of waits ends with the last of them, gives them in the order of the calls, and costs two calls."""
    await scene.send("all/go")
    for name in ("c", "a", "b"):
        assert scene.calls()["shop-all-of"] == 1
        assert len(await scene.pauses("shop-all-of")) == {"c": 3, "a": 2, "b": 1}[name]
        await scene.send(f"{name}/came", {"from": name})
    assert await scene.output("shop-all-of") == [{"from": "a"}, {"from": "b"}, {"from": "c"}]
    assert await scene.pauses("shop-all-of") == []
    assert scene.calls()["shop-all-of"] == 2


async def test_one_of_several_waits_may_time_out(scene: Scene) -> None:
    """A wait whose time is up gives None, the others their events."""
    await scene.send("all/go")
    await scene.send("b/came", {"from": "b"})
    await scene.later("59m59s")
    assert (await scene.run("shop-all-of")).header.outcome is None
    await scene.later("1s")
    assert await scene.output("shop-all-of") == [None, {"from": "b"}, None]
    assert (await scene.step("shop-all-of", "a")).status is StepStatus.TIMED_OUT
    assert await scene.pauses("shop-all-of") == []


@pytest.mark.parametrize(("winner", "loser"), ["ab", "ba"])
async def test_the_first_of_several_events_wins(scene: Scene, winner: str, loser: str) -> None:
    """asyncio.wait(FIRST_COMPLETED) goes on with whichever came; the loser's pause goes with the run's end."""
    await scene.send("any/go")
    assert len(await scene.pauses("shop-any-of")) == 2
    await scene.send(f"{winner}/came")
    assert await scene.output("shop-any-of") == [[winner]]
    assert await scene.pauses("shop-any-of") == []
    await scene.send(f"{loser}/came")
    assert (await scene.step("shop-any-of", loser)).pending


async def test_a_task_group_of_waits(scene: Scene) -> None:
    """A TaskGroup of waits gives each its event, in the class that was asked for."""
    await scene.send("group/go")
    await scene.send("order/paid", {"cents": 5})
    await scene.send("a/came")
    assert await scene.output("shop-grouped") == [5, "a/came"]


async def test_one_event_resumes_every_run_that_waits(scene: Scene) -> None:
    """All waiting runs get the event."""
    for _ in range(3):
        await scene.send("match/go", {"order": 7})
    await scene.send("order/paid", {"order": 7})
    runs = await scene.runs("shop-matching")
    assert [run.header.outcome and run.header.outcome.output for run in runs] == [{"order": 7}] * 3


async def test_match_takes_the_event_with_the_same_value(scene: Scene) -> None:
    """Only the event that holds at the path what the run's own event holds there resumes it."""
    await scene.send("match/go", {"order": 7})
    for order in (8, "7", None):
        await scene.send("order/paid", {"order": order})
    await scene.send("order/paid", {})
    assert (await scene.run("shop-matching")).header.outcome is None
    await scene.send("order/paid", {"order": 7, "cents": 1})
    assert await scene.output("shop-matching") == {"order": 7, "cents": 1}


async def test_if_takes_the_event_it_is_true_for(scene: Scene) -> None:
    """The expression sees the run's own event as ``event`` and the arriving one as ``async``."""
    await scene.send("if/go", {"least": 10})
    for cents, to in ((9, "Ada"), (10, "Bob")):
        await scene.send("order/paid", {"cents": cents, "to": to})
    assert (await scene.run("shop-choosing")).header.outcome is None
    await scene.send("order/paid", {"cents": 10, "to": "Ada"})
    assert await scene.output("shop-choosing") == {"cents": 10, "to": "Ada"}


async def test_lookback_finds_what_came_before_the_wait(scene: Scene) -> None:
    """With ``"run"`` events count since the run began, with a duration since that long ago, and else from the wait."""
    await scene.send("a/came", {"n": 0})
    await scene.send("back/go")
    await scene.send("a/came", {"n": 1})
    await scene.send("b/came", {"n": 2})
    await scene.later("7m")
    await scene.send("b/came", {"n": 3})
    await scene.send("c/came", {"n": 4})
    await scene.later("10m")
    assert await scene.output("shop-looking-back") == [{"n": 1}, {"n": 3}, None]


async def test_an_event_of_another_shape_fails_the_run_with_its_field(scene: Scene) -> None:
    """What came is not of the class: the error names step, event and field."""
    await scene.send("typed/go")
    await scene.send("order/paid", {"cents": "many"})
    error = await scene.error("shop-typed")
    assert error["name"] == "EventError"
    assert error["message"].startswith('step "paid": event "order/paid", data.cents: Input should be a valid integer')


async def test_a_plain_function_waits_signals_and_invokes(scene: Scene) -> None:
    """Every kind of step works in a ``def`` function, side by side too."""
    await scene.send("plain/go")
    await scene.send("a/came", {"n": 1})
    await scene.send("b/came", {"n": 2})
    assert await APP.send_signal("plain", {"n": 3}) is not None
    await scene.settle()
    assert await scene.output("shop-plain") == [{"n": 1}, {"n": 2}, {"n": 3}, None, 8]


async def test_a_signal_resumes_the_run_that_waits_for_it(scene: Scene) -> None:
    """The first of two sends resumes the run and gets its id, the second finds nobody."""
    await scene.send("signal/go")
    await scene.send("signal/send")
    run_id = (await scene.run("shop-listener")).header.run_id
    assert await scene.output("shop-listener") == ["go", {"n": 0}]
    assert await scene.output("shop-sender") == [run_id, None]


async def test_a_signal_may_be_sent_from_another_thread(scene: Scene) -> None:
    """A loop of another thread hands the signal over to the engine's, and gets the run's id back."""
    await scene.send("signal/go")
    sent = asyncio.to_thread(lambda: asyncio.run(APP.send_signal("go", 1)))
    assert await sent == (await scene.run("shop-listener")).header.run_id
    await scene.settle()
    assert await scene.output("shop-listener") == ["go", 1]


async def test_a_signal_nobody_sends_times_out(scene: Scene) -> None:
    """The wait gives None when its time is up, and the name is free again."""
    await scene.send("signal/go")
    await scene.later("1h")
    assert await scene.output("shop-listener") is None
    assert await APP.send_signal("go") is None


async def test_a_second_waiter_of_a_signal_is_refused(scene: Scene) -> None:
    """With conflict "fail" the second run's step fails, and the first goes on waiting."""
    await scene.send("signal/go")
    await scene.send("signal/go")
    first, second = await scene.runs("shop-listener")
    assert first.header.outcome is None
    assert second.header.outcome is not None
    assert second.header.outcome.error is not None
    assert second.header.outcome.error["message"] == "Signal conflict; signal wait already exists for another run"
    assert await APP.send_signal("go") == first.header.run_id


async def test_a_second_waiter_may_take_a_signal_over(scene: Scene) -> None:
    """With conflict "replace" the second run gets the signal, and the first can only time out."""
    await scene.send("signal/go")
    await scene.send("signal/go", {"conflict": "replace"})
    _, second = await scene.runs("shop-listener")
    assert await APP.send_signal("go", 5) == second.header.run_id
    await scene.later("1h")
    outcomes = [run.header.outcome for run in await scene.runs("shop-listener")]
    assert [outcome and outcome.output for outcome in outcomes] == [None, ["go", 5]]


async def test_the_adapter_sends_signals_over_http(scene: Scene) -> None:
    """An app without an engine in its process resumes a run through the API, whose 404 means that nobody waits."""
    async with World(scene.engine, scene.clock).client() as client:

        async def fetch(request: OutboundRequest) -> HttpResponse:
            answer: httpx.Response = await client.request(request.method, request.url, content=request.body)
            return HttpResponse(answer.status_code, dict(answer.headers), answer.content)

        remote = Sender(read_settings(Overrides(base_url="http://api", dev=True), {}), fetch)
        assert await remote.send_signal("go", None) is None
        await scene.send("signal/go")
        assert await remote.send_signal("go", {"n": 1}) == (await scene.run("shop-listener")).header.run_id
        assert await remote.send_signal("go", {"n": 2}) is None
    await scene.settle()
    assert await scene.output("shop-listener") == ["go", {"n": 1}]


async def test_a_function_is_invoked_by_object_and_by_id(scene: Scene) -> None:
    """The result of an object is of the type it is annotated with, that of an id plain JSON."""
    await scene.send("invoke/go")
    assert await scene.output("shop-invoker") == [2, {"cents": 4}]
    assert len(await scene.runs("shop-double")) == 2


@pytest.mark.parametrize(
    ("function", "seen"),
    [
        ("shop-broken", [False, "LookupError", "no such order", True]),
        ("shop-nowhere", [False, "Error", "could not find function with ID: shop-nowhere", False]),
    ],
)
async def test_a_failed_invocation_is_raised_at_once(scene: Scene, function: str, seen: list[Any]) -> None:
    """The child's name, message and stack arrive as a StepError that can be caught; so does an unknown function."""
    await scene.send("fail/go", {"function": function})
    assert await scene.output("shop-rescuer") == seen


async def test_an_invocation_that_takes_too_long_is_given_up(scene: Scene) -> None:
    """After the timeout InvokeTimeoutError is raised, and the child runs on to its end."""
    await scene.send("fail/go", {"function": "shop-slow"})
    await scene.later("1h")
    message = "Timed out waiting for invoked function to complete"
    assert await scene.output("shop-rescuer") == [True, "InngestInvokeTimeoutError", message, False]
    await scene.later("1h")
    assert await scene.output("shop-slow") == "done at last"


async def test_a_failed_invocation_ends_a_gather_while_others_wait(scene: Scene) -> None:
    """The function goes on as soon as the child has failed, though a wait beside it is open for an hour."""
    await scene.send("race/go")
    assert await scene.output("shop-fail-fast") == "no such order"
    assert await scene.pauses("shop-fail-fast") == []


@pytest.mark.parametrize(
    ("event", "function"), [("official/go", "shop-official"), ("plain-official/go", "shop-plainly-official")]
)
async def test_requests_are_as_many_as_the_official_tests_count(scene: Scene, event: str, function: str) -> None:
    """Three runs and an invocation side by side, then a step, are 6 calls (protocol 5.6), less that for the result."""
    await scene.send(event)
    assert await scene.output(function) == ["a", "b", "c", {"cents": 6}]
    assert scene.calls()[function] == 5


async def test_a_repeated_send_event_sends_nothing_twice(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call whose reply was lost is made again, derives the same ids, and the events stay three."""
    call, lost = scene.engine.in_process.call, []

    async def losing(*request: Any) -> HttpReply:
        reply = await call(*request)
        if not lost:
            lost.append(reply)
            raise CallError("the connection was lost")
        return reply

    monkeypatch.setattr(scene.engine.in_process, "call", losing)
    await scene.send("fan/go")
    await scene.later("2m")
    ids = await scene.output("shop-fan")
    events = await scene.engine.journal.list_events(EventFilter(name="mail/send"), cursor=None, limit=100)
    assert len(lost) == 1
    assert scene.calls()["shop-fan"] == 3
    assert sorted(event.internal_id for event in events) == sorted(ids)
    assert sorted(event.data["n"] for event in events) == [0, 1, 2]


@pytest.mark.parametrize(
    ("name", "data", "status"),
    [
        ("order/dropped", {"order": 7}, RunStatus.CANCELLED),
        ("order/dropped", {"order": 8}, RunStatus.RUNNING),
        ("shop/closed", {"rank": 3}, RunStatus.CANCELLED),
        ("shop/closed", {"rank": 2}, RunStatus.RUNNING),
    ],
)
async def test_cancel_on_ends_the_run(scene: Scene, name: str, data: dict[str, Any], status: RunStatus) -> None:
    """An event that ``match`` or ``if_`` accepts cancels the run, and any other leaves it alone."""
    await scene.send("cancel/go", {"order": 7, "rank": 2})
    await scene.send(name, data)
    assert (await scene.run("shop-cancellable")).header.status is status


async def test_cancel_on_applies_until_its_timeout(scene: Scene) -> None:
    """After the timeout from the start of the run the event no longer cancels it."""
    await scene.send("cancel/go", {"order": 7, "rank": 2})
    await scene.later("31m")
    await scene.send("shop/closed", {"rank": 3})
    await scene.later("1h")
    assert await scene.output("shop-cancellable") == "slept"


@pytest.mark.parametrize(("nap", "status"), [("29m", RunStatus.COMPLETED), ("31m", RunStatus.CANCELLED)])
async def test_timeouts_bound_the_run(scene: Scene, nap: str, status: RunStatus) -> None:
    """A run that has not finished in its time is cancelled."""
    await scene.send("timeouts/go", {"nap": nap})
    await scene.later("2h")
    assert (await scene.run("shop-bounded")).header.status is status


async def test_idempotency_starts_one_run_for_a_value(scene: Scene) -> None:
    """Of events for which the expression gives the same value one in 24 h starts a run."""
    for n, order in enumerate(("x", "y", "x")):
        await scene.send("idempotent/go", {"order": order, "n": n})
    await scene.later("25h")
    await scene.send("idempotent/go", {"order": "x", "n": 3})
    outcomes = [run.header.outcome for run in await scene.runs("shop-once")]
    assert [outcome and outcome.output for outcome in outcomes] == [0, 1, 3]


async def test_options_are_registered_as_the_engine_reads_them(scene: Scene) -> None:
    """What the adapter sends at sync is in the registry with the members the engine acts on."""
    registry = scene.engine.registry
    functions = {slug: await registry.get_function(slug) for slug in ("shop-cancellable", "shop-bounded", "shop-once")}
    options = {slug: function and function.options for slug, function in functions.items()}
    assert options == {
        "shop-cancellable": {
            "cancel": [
                {"event": "order/dropped", "if": "event.data.order == async.data.order"},
                {"event": "shop/closed", "if": "async.data.rank > event.data.rank", "timeout": "30m"},
            ]
        },
        "shop-bounded": {"timeouts": {"start": "10m", "finish": "30m"}},
        "shop-once": {"idempotency": "event.data.order"},
    }
