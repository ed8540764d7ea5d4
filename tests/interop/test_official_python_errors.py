"""What the official Python package's errors, failure handlers, middleware and typed outputs come to on our server."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pydantic
import pytest
import pytest_asyncio

from stepwell_orchestrator.model.notice import NoticeKind
from tests.interop.official import inngest, official
from tests.interop.server import Server

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Money(pydantic.BaseModel):
    amount: int
    currency: str = "EUR"


class Shout(inngest.Middleware):
    """Changes what functions and steps return, and what is sent."""

    async def transform_output(self, result: inngest.TransformOutputResult) -> None:
        if isinstance(result.output, str):
            result.output = result.output.upper()

    async def before_send_events(self, events: list[inngest.Event]) -> None:
        for event in events:
            event.data = {**event.data, "stamp": "by middleware"}


def _on(name: str) -> inngest.TriggerEvent:
    return inngest.TriggerEvent(event=f"official/{name}")


def fails(error: Exception, times: int = 99) -> Any:
    """A step body that raises that often, and then tells how often it was called."""
    calls: Counter[str] = Counter()

    async def body() -> int:
        calls["body"] += 1
        if calls["body"] <= times:
            raise error
        return calls["body"]

    return body


def failing_functions(client: inngest.Inngest) -> list[Any]:
    """Functions that fail, each in its own way; the name says which."""
    body, later = fails(ValueError("doomed")), dt.timedelta(seconds=1)
    busy = fails(inngest.RetryAfterError("busy", later), times=1)

    @client.create_function(fn_id="caught", trigger=_on("caught"), retries=1)
    async def caught(ctx: inngest.Context) -> object:
        try:
            return await ctx.step.run("doomed", body)
        except inngest.StepError as error:
            return [error.name, error.message, await ctx.step.run("after", fails(ValueError(), times=0))]

    @client.create_function(fn_id="uncaught", trigger=_on("uncaught"), retries=0)
    async def uncaught(ctx: inngest.Context) -> None:
        await ctx.step.run("doomed", body)

    @client.create_function(fn_id="final", trigger=_on("final"), retries=5)
    async def final(ctx: inngest.Context) -> None:
        raise inngest.NonRetriableError("never")

    @client.create_function(fn_id="final-step", trigger=_on("final-step"), retries=5)
    async def final_step(ctx: inngest.Context) -> None:
        await ctx.step.run("final", fails(inngest.NonRetriableError("never")))

    @client.create_function(fn_id="busy", trigger=_on("busy"), retries=1)
    async def busy_once(ctx: inngest.Context) -> object:
        return await ctx.step.run("busy", busy)

    @client.create_function(fn_id="retried", trigger=_on("retried"), retries=2)
    async def retried(ctx: inngest.Context) -> object:
        if ctx.attempt < 2:
            raise ValueError("not yet")
        return ctx.attempt

    return [caught, uncaught, final, final_step, busy_once, retried]


def other_functions(client: inngest.Inngest) -> list[Any]:
    """A failure handler, two triggers, odd ids, typed outputs, and a function that changes its mind."""
    seen: Counter[str] = Counter()

    async def one() -> int:
        return 1

    async def tell(ctx: inngest.Context) -> None:
        data = dict(ctx.event.data)
        await ctx.step.send_event("tell", inngest.Event(name="official/hooked.told", data=data))

    @client.create_function(fn_id="hooked", trigger=_on("hooked"), retries=0, on_failure=tell)
    async def hooked(ctx: inngest.Context) -> None:
        raise TypeError("to the hook")

    @client.create_function(fn_id="two", trigger=[_on("either"), inngest.TriggerEvent(event="or", expression="false")])
    async def two(ctx: inngest.Context) -> object:
        return ctx.event.name

    @client.create_function(fn_id="ids", trigger=_on("ids"))
    async def ids(ctx: inngest.Context) -> object:
        return [await ctx.step.run(step_id, one) for step_id in ("x", "x", "odd: ü/π?&=#%", " ", "x", "y:1")]

    @client.create_function(fn_id="typed", trigger=_on("typed"), output_type=Money)
    async def typed(ctx: inngest.Context) -> Money:
        async def earn() -> Money:
            return Money(amount=3)

        earned = await ctx.step.run("earn", earn, output_type=Money)
        return Money(amount=earned.amount * 2)

    @client.create_function(fn_id="shouted", trigger=_on("shouted"))
    async def shouted(ctx: inngest.Context) -> object:
        async def whisper() -> str:
            return "quiet"

        told = await ctx.step.run("whisper", whisper)
        await ctx.step.send_event("send", inngest.Event(name="official/stamped"))
        return f"{told} please"

    @client.create_function(fn_id="fickle", trigger=_on("fickle"), retries=0)
    async def fickle(ctx: inngest.Context) -> None:
        seen["calls"] += 1
        if seen["calls"] > 1:
            await ctx.step.run("other", one)
        await ctx.group.parallel((lambda: ctx.step.run("a", one), lambda: ctx.step.run("b", one)))

    return [hooked, two, ids, typed, shouted, fickle]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[Server]:
    options = {"middleware": [Shout], "serializer": inngest.PydanticSerializer()}
    async with official(lambda client: failing_functions(client) + other_functions(client), **options) as serving:
        yield serving


async def test_errors_end_as_their_kind_says(server: Server) -> None:
    """What is caught is handled, what is retried succeeds, and what is final fails after one attempt."""
    names = ("caught", "uncaught", "final", "final-step", "busy", "retried")
    ended = dict(zip(names, await asyncio.gather(*(server.outcome(f"official/{name}") for name in names)), strict=True))
    completed = {name: (run.output, run.calls) for name, run in ended.items() if run.status == "Completed"}
    failed = {name: (run.output["message"], run.calls) for name, run in ended.items() if run.status == "Failed"}
    assert completed == {"caught": (["ValueError", "doomed", 1], 4), "busy": (2, 3), "retried": (2, 3)}
    assert failed == {"uncaught": ("doomed", 2), "final": ("never", 1), "final-step": ("never", 1)}


async def test_on_failure_is_told_what_happened(server: Server) -> None:
    """Its event has the function, the run, the event that started it and the error."""
    event_id = await server.send("official/hooked", {"n": 1})
    failed = await server.ended(event_id)
    await server.watcher.told(NoticeKind.RUN_COMPLETED, "official-hooked-failure")
    [sent] = await server.get("/v1/events?name=official/hooked.told")
    data = sent["data"]
    assert (data["function_id"], data["run_id"], data["event"]["data"]) == ("official-hooked", failed.run_id, {"n": 1})
    assert (data["error"]["name"], data["error"]["message"]) == ("TypeError", "to the hook")
    assert "to the hook" in data["error"]["stack"]


async def test_either_trigger_starts_a_function_if_its_condition_holds(server: Server) -> None:
    """An event that no trigger takes starts nothing."""
    never = await server.send("or")
    assert (await server.outcome("official/either")).output == "OFFICIAL/EITHER"
    assert await server.get(f"/v1/events/{never}/runs") == []


async def test_ids_may_be_odd_and_repeat(server: Server) -> None:
    """Each step runs once, in its own call, whatever its id."""
    outcome = await server.outcome("official/ids")
    assert (outcome.output, outcome.calls) == ([1] * 6, 7)


async def test_models_come_out_as_models(server: Server) -> None:
    """A pydantic model is the output of a step and of a function."""
    assert (await server.outcome("official/typed")).output == {"amount": 6, "currency": "EUR"}


async def test_middleware_of_the_package_works(server: Server) -> None:
    """What it makes of outputs and of sent events is what the server has."""
    outcome = await server.outcome("official/shouted")
    [sent] = await server.get("/v1/events?name=official/stamped")
    assert outcome.output == "QUIET PLEASE"
    assert sent["data"] == {"stamp": "by middleware"}


async def test_a_function_that_changes_its_steps_fails_with_the_reason(server: Server) -> None:
    """A targeted call that meets another step than the planned one ends the run with the package's own error."""
    outcome = await server.outcome("official/fickle")
    assert (outcome.status, outcome.output["code"]) == ("Failed", "step_unexpected")
