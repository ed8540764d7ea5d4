"""A function of the official Python package that takes a step of each kind, with ``async def`` and with ``def``."""

from __future__ import annotations

import datetime as dt
from typing import Any

from stepwell_orchestrator.model.notice import NoticeKind
from tests.interop.official import inngest
from tests.interop.server import Server

SHORT = dt.timedelta(seconds=1)
OUTPUT = [7, None, None, {"n": 1}, 4, [1, 2], 1]
"""What the function returns."""


def _on(name: str) -> inngest.TriggerEvent:
    return inngest.TriggerEvent(event=f"official/{name}")


def _soon_after(event: inngest.Event) -> dt.datetime:
    return dt.datetime.fromtimestamp(event.ts / 1000, dt.UTC) + dt.timedelta(milliseconds=100)


def coroutines(client: inngest.Inngest) -> list[Any]:
    """The function with ``async def``, and the one it invokes."""

    async def give(value: object) -> object:
        return value

    @client.create_function(fn_id="square", trigger=_on("never"))
    async def square(ctx: inngest.Context) -> object:
        return int(ctx.event.data["n"]) ** 2

    @client.create_function(fn_id="tour", trigger=_on("tour"), retries=0)
    async def tour(ctx: inngest.Context) -> object:
        step = ctx.step
        one = await step.run("one", give, 7)
        slept = await step.sleep("sleep", dt.timedelta(milliseconds=10))
        woken = await step.sleep_until("until", _soon_after(ctx.event))
        told = await step.wait_for_event("wait", event="official/told", timeout=dt.timedelta(hours=1))
        squared = await step.invoke("invoke", function=square, data={"n": 2})
        both = await ctx.group.parallel((lambda: step.run("left", give, 1), lambda: step.run("right", give, 2)))
        sent = await step.send_event("send", inngest.Event(name="official/sent"))
        return [one, slept, woken, None if told is None else dict(told.data), squared, list(both), len(sent)]

    return [tour, square]


def threads(client: inngest.Inngest) -> list[Any]:
    """The same with ``def``."""

    def give(value: object) -> object:
        return value

    @client.create_function(fn_id="square", trigger=_on("never"))
    def square(ctx: inngest.ContextSync) -> object:
        return int(ctx.event.data["n"]) ** 2

    @client.create_function(fn_id="tour", trigger=_on("tour"), retries=0)
    def tour(ctx: inngest.ContextSync) -> object:
        step = ctx.step
        one = step.run("one", give, 7)
        slept = step.sleep("sleep", dt.timedelta(milliseconds=10))
        woken = step.sleep_until("until", _soon_after(ctx.event))
        told = step.wait_for_event("wait", event="official/told", timeout=dt.timedelta(hours=1))
        squared = step.invoke("invoke", function=square, data={"n": 2})
        both = ctx.group.parallel((lambda: step.run("left", give, 1), lambda: step.run("right", give, 2)))
        sent = step.send_event("send", inngest.Event(name="official/sent"))
        return [one, slept, woken, None if told is None else dict(told.data), squared, list(both), len(sent)]

    return [tour, square]


async def take(server: Server) -> None:
    """See the tour to its end."""
    event_id = await server.send("official/tour")
    await server.watcher.told(NoticeKind.STEP_WAITING, "official-tour")
    await server.send("official/told", {"n": 1})
    outcome = await server.ended(event_id)
    assert (outcome.status, outcome.output) == ("Completed", OUTPUT)
