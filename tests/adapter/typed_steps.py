"""What a type checker must know of step calls; read by mypy and pyright and never run."""

from __future__ import annotations

from typing import Any, assert_type

import pydantic

import stepwell
from stepwell.authoring.function import Function


class Amount(pydantic.BaseModel):
    cents: int


class Paid(stepwell.Event, name="order/paid"):
    data: Amount


async def count(text: str) -> int:
    return len(text)


app = stepwell.App("shop")


@app.function()
async def price(ctx: stepwell.Context) -> Amount:
    return Amount(cents=await ctx.step.run("count", count, "abc"))


@app.function()
def numbers(ctx: stepwell.SyncContext) -> list[int]:
    return [ctx.step.run("count", count, "abc")]


@app.function()
async def waiting(ctx: stepwell.Context) -> None:
    step = ctx.step
    assert_type(await step.wait_for_event("typed", event=Paid, timeout="1h"), Paid | None)
    assert_type(await step.wait_for_event("named", event="order/paid", timeout="1h"), stepwell.Event | None)
    assert_type(await step.wait_for_signal("signal", signal="go", timeout="1h"), stepwell.Signal | None)
    assert_type(await step.send_signal("send", signal="go"), str | None)
    assert_type(await step.invoke("object", function=price), Amount)
    assert_type(await step.invoke("plain", function=numbers), list[int])
    assert_type(await step.invoke("id", function="shop-price"), Any)


@app.function()
def plainly_waiting(ctx: stepwell.SyncContext) -> None:
    step = ctx.step
    assert_type(step.wait_for_event("typed", event=Paid, timeout="1h"), Paid | None)
    assert_type(step.wait_for_event("named", event="order/paid", timeout="1h"), stepwell.Event | None)
    assert_type(step.wait_for_signal("signal", signal="go", timeout="1h"), stepwell.Signal | None)
    assert_type(step.send_signal("send", signal="go"), str | None)
    assert_type(step.invoke("object", function=price), Amount)
    assert_type(step.invoke("plain", function=numbers), list[int])
    assert_type(step.invoke("id", function="shop-price"), Any)


assert_type(price, Function[Amount])
assert_type(numbers, Function[list[int]])
assert_type(waiting, Function[None])
