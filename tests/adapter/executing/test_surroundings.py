"""What surrounds a step call reaches its body, as it would reach a plain call."""

from __future__ import annotations

import asyncio
import contextvars
import decimal
from collections.abc import Callable
from typing import Any

import pytest

from stepwell.middleware.base import Middleware, StepInfo
from stepwell.middleware.hooks import Chain
from tests.adapter.executing.support import Fn, call, data, only

TENANT: contextvars.ContextVar[str] = contextvars.ContextVar("tenant", default="nobody")


async def _tenant() -> str:
    return TENANT.get()


def _plain_tenant() -> str:
    return TENANT.get()


def _later_tenant() -> Any:
    return _tenant()


async def _tenant_in_a_task() -> str:
    return await asyncio.create_task(_tenant())


async def _tenant_in_a_thread() -> str:
    return await asyncio.to_thread(TENANT.get)


BODIES = [_tenant, _plain_tenant, _later_tenant, _tenant_in_a_task, _tenant_in_a_thread, TENANT.get]


def _coroutine_function(body: Callable[[], Any]) -> Callable[[Any], Any]:
    async def handler(ctx: Any) -> None:
        TENANT.set("early")
        await ctx.step.run("first", _tenant)
        TENANT.set("acme")
        pending = ctx.step.run("second", body)
        TENANT.set("late")
        await pending

    return handler


def _plain_function(body: Callable[[], Any]) -> Callable[[Any], Any]:
    def handler(ctx: Any) -> None:
        TENANT.set("early")
        ctx.step.run("first", _tenant)
        token = TENANT.set("acme")
        try:
            ctx.step.run("second", body)
        finally:
            TENANT.reset(token)

    return handler


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("make", [_coroutine_function, _plain_function])
@pytest.mark.parametrize("how", [{}, {"attempt": 2}, {"target": "second"}, {"target": "second", "attempt": 3}])
async def test_a_body_sees_the_variables_of_its_step_call(make: Any, body: Any, how: dict[str, Any]) -> None:
    """On the first run, on a retry and in a targeted call, with any kind of body, what counts is the step call."""
    opcode = only(await call(make(body), {"first": data("early")}, **how))

    assert opcode.data == "acme"


@pytest.mark.parametrize("make", [_coroutine_function, _plain_function])
async def test_what_a_body_sets_stays_in_it(make: Any) -> None:
    """A body works on a copy, so that a replay, which runs no body, sees what the first run saw."""
    seen: list[str] = []

    async def body() -> None:
        TENANT.set("the body's own")

    async def handler(ctx: Any) -> None:
        TENANT.set("acme")
        await ctx.step.run("a", body)
        seen.append(TENANT.get())

    await call(handler, {"a": data(None)})
    await call(handler)

    assert set(seen) == {"acme"}


async def test_a_decimal_context_reaches_a_body() -> None:
    """What the standard library keeps in context variables counts, too."""

    def third() -> str:
        return str(decimal.Decimal(1) / 3)

    async def handler(ctx: Any) -> None:
        with decimal.localcontext(prec=3):
            await ctx.step.run("a", third)

    assert only(await call(handler)).data == "0.333"


class _Tracing(Middleware):
    async def before_execution(self, step: StepInfo) -> None:
        TENANT.set(f"traced {step.id}")


@pytest.mark.parametrize("body", [_tenant, _plain_tenant])
async def test_what_a_hook_sets_before_a_body_reaches_it(body: Any) -> None:
    """Middleware that sets a variable around the execution of a step is closer to the body than the function."""

    async def handler(ctx: Any) -> None:
        TENANT.set("acme")
        await ctx.step.run("a", body)

    function = Fn(handler, middleware=Chain(None, (_Tracing,)))

    assert only(await call(function)).data == "traced a"


async def test_tasks_of_a_body_are_none_of_the_function() -> None:
    """What a body starts and leaves behind does not hold up the function, and timers of a body are no steps."""

    async def body() -> str:
        await asyncio.sleep(0)
        async with asyncio.timeout(60):
            await asyncio.wait_for(asyncio.sleep(0, "waited"), 60)
        return "done"

    async def handler(ctx: Any) -> None:
        await ctx.step.run("a", body)

    opcode = only(await call(handler))

    assert (opcode.op, opcode.data) == ("StepRun", "done")
