"""What a type checker must know of step calls; read by mypy and pyright and never run."""

from __future__ import annotations

import datetime as dt
from typing import Any, assert_type

import pydantic

import stepwell
from stepwell import ai
from stepwell.authoring.function import Function


class Amount(pydantic.BaseModel):
    cents: int


class Paid(stepwell.Event, name="order/paid"):
    data: Amount


async def count(text: str) -> int:
    return len(text)


NOON = dt.datetime(2027, 1, 1, 12, tzinfo=dt.UTC)
MODEL = ai.openai("gpt-4o-mini", api_key="key")

app = stepwell.App("shop")


@app.function()
async def price(ctx: stepwell.Context) -> Amount:
    return Amount(cents=await ctx.step.run("count", count, "abc"))


@app.function()
def numbers(ctx: stepwell.SyncContext) -> list[int]:
    return [ctx.step.run("count", count, "abc")]


@app.function()
async def every_kind(ctx: stepwell.Context) -> None:
    step = ctx.step
    assert_type(await step.run("async", count, "abc"), int)
    assert_type(await step.run("plain", len, "abc"), int)
    assert_type(await step.ai.wrap("async", count, text="abc"), int)
    assert_type(await step.ai.wrap("plain", len, "abc"), int)
    assert_type(await step.ai.infer("ask", model=MODEL, body={}), Any)
    assert_type(await step.fetch("get", "https://api.test", json=[1]), stepwell.Response)
    assert_type(await step.sleep("nap", "1h"), None)
    assert_type(await step.sleep_until("later", NOON), None)
    assert_type(await step.send_event("tell", stepwell.Event(name="a/b")), list[str])
    assert_type(await step.wait_for_event("typed", event=Paid, timeout="1h"), Paid | None)
    assert_type(await step.wait_for_event("named", event="order/paid", timeout="1h"), stepwell.Event | None)
    assert_type(await step.wait_for_signal("signal", signal="go", timeout="1h"), stepwell.Signal | None)
    assert_type(await step.send_signal("send", signal="go"), str | None)
    assert_type(await step.invoke("object", function=price), Amount)
    assert_type(await step.invoke("plain", function=numbers), list[int])
    assert_type(await step.invoke("id", function="shop-price"), Any)


@app.function()
def every_kind_plainly(ctx: stepwell.SyncContext) -> None:
    step = ctx.step
    assert_type(step.run("async", count, "abc"), int)
    assert_type(step.run("plain", len, "abc"), int)
    assert_type(step.ai.wrap("async", count, text="abc"), int)
    assert_type(step.ai.wrap("plain", len, "abc"), int)
    assert_type(step.ai.infer("ask", model=MODEL, body={}), Any)
    assert_type(step.fetch("get", "https://api.test", json=[1]), stepwell.Response)
    assert_type(step.sleep("nap", "1h"), None)
    assert_type(step.sleep_until("later", NOON), None)
    assert_type(step.send_event("tell", stepwell.Event(name="a/b")), list[str])
    assert_type(step.wait_for_event("typed", event=Paid, timeout="1h"), Paid | None)
    assert_type(step.wait_for_event("named", event="order/paid", timeout="1h"), stepwell.Event | None)
    assert_type(step.wait_for_signal("signal", signal="go", timeout="1h"), stepwell.Signal | None)
    assert_type(step.send_signal("send", signal="go"), str | None)
    assert_type(step.invoke("object", function=price), Amount)
    assert_type(step.invoke("plain", function=numbers), list[int])
    assert_type(step.invoke("id", function="shop-price"), Any)
    assert_type(step.parallel(lambda: step.run("plain", len, "abc"), [lambda: step.sleep("nap", 1)]), list[Any])


@app.function()
async def written_wrongly(ctx: stepwell.Context) -> None:
    step = ctx.step
    await step.run("no argument", count)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    await step.run("wrong argument", count, 1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    await step.sleep("no duration")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await step.fetch("get", "https://api.test", jsn=[1])  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await step.invoke("no function", fn=price)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


@app.function()
def written_wrongly_and_plainly(ctx: stepwell.SyncContext) -> None:
    step = ctx.step
    step.run("no argument", count)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    step.run("wrong argument", count, 1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    step.sleep("no duration")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    step.fetch("get", "https://api.test", jsn=[1])  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    step.invoke("no function", fn=price)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


assert_type(price, Function[Amount])
assert_type(numbers, Function[list[int]])
assert_type(every_kind, Function[None])
