from __future__ import annotations

from decimal import Decimal
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest

import stepwell
from stepwell.testing import Engine, ExpectationError


async def cost(sku: str, *, pieces: int) -> Decimal:
    raise AssertionError("the real body must not run")


def shop() -> stepwell.App:
    """Two functions that have a step id in common."""
    app = stepwell.App("shop", dev=True)

    @app.function(on="order/created")
    async def order(ctx: stepwell.Context) -> str:
        return str(await ctx.step.run("cost", cost, "tea", pieces=2) * 2)

    @app.function(on="quote/asked")
    async def quote(ctx: stepwell.Context) -> str:
        return str(await ctx.step.run("cost", cost, "pot", pieces=1))

    return app


async def test_a_value_replaces_the_body(engine: Engine) -> None:
    """A stubbed step gives the value in the type the real body is annotated with, and notes its arguments."""
    engine.serve(shop())
    stub = engine.stub("cost", "1.50")
    run = await engine.send_one("order/created")
    assert run.output == "3.00"
    assert stub.calls == [(("tea",), {"pieces": 2})]


@pytest.mark.parametrize("stand_in", [Mock, AsyncMock], ids=["plain", "async"])
async def test_a_callable_is_called_as_the_body(engine: Engine, stand_in: type[Mock]) -> None:
    """A callable gets the step's arguments, awaited if need be, and its result goes through JSON as any."""
    engine.serve(shop())
    body = stand_in(return_value=Decimal("2.25"))
    engine.stub("cost", body)
    run = await engine.send_one("order/created")
    assert run.output == "4.50"
    assert run.step("cost").output == "2.25"
    body.assert_called_once_with("tea", pieces=2)


async def test_a_value_that_does_not_fit_fails_as_the_body_would(engine: Engine) -> None:
    """A stub of the wrong type fails the step for good, naming the step and the annotation."""
    engine.serve(shop())
    engine.stub("cost", {"wrong": "type"})
    run = await engine.send_one("order/created")
    assert run.failed
    assert run.error is not None
    assert 'step "cost": the result does not fit the annotation of cost, -> Decimal' in run.error.message


async def test_an_exception_is_raised_and_retried(engine: Engine) -> None:
    """An exception, or its class, is raised at every attempt, through the real retries."""
    engine.serve(shop())
    engine.stub("cost", ConnectionError("closed"), function="order")
    engine.stub("cost", stepwell.NonRetriableError, function="quote")
    run = await engine.send_one("order/created")
    await engine.advance("1h")
    assert (run.failed, run.step("cost").attempts) == (True, 5)
    quote = await engine.send_one("quote/asked")
    assert (quote.failed, quote.step("cost").attempts) == (True, 1)


async def test_a_list_holds_an_outcome_for_each_execution(engine: Engine) -> None:
    """The outcomes of a list are taken in turn, and values may come after exceptions."""
    engine.serve(shop())
    engine.stub("cost", [TimeoutError("slow"), lambda sku, pieces: Decimal(pieces), "7"])
    run = await engine.send_one("order/created")
    assert run.step("cost").error is not None
    assert run.step("cost").error.name == "TimeoutError"
    await engine.advance("1m")
    assert (run.output, run.step("cost").attempts) == ("4", 2)
    assert (await engine.send_one("quote/asked")).output == "7"


async def test_a_list_that_is_used_up_fails_the_step(engine: Engine) -> None:
    """An execution more than a list has outcomes fails for good and says so."""
    engine.serve(shop())
    engine.stub("cost", ["1"])
    await engine.send_one("order/created")
    run = await engine.send_one("order/created")
    assert run.step("cost").attempts == 1
    assert run.error is not None
    assert 'the stub of step "cost" has 1 outcomes, and the step was executed again' in run.error.message


async def test_an_empty_list_is_refused(engine: Engine) -> None:
    """A list without outcomes is refused with how to return one."""
    with pytest.raises(ExpectationError, match=r"stub it with lambda \*_: \[\]"):
        engine.stub("cost", [])


async def test_a_stub_may_be_for_one_function(engine: Engine) -> None:
    """Of stubs for one id, the latest that is meant for the function counts."""
    app = shop()
    engine.serve(app)
    engine.stub("cost", "1")
    engine.stub("cost", "5", function=app.functions["quote"])
    assert (await engine.send_one("order/created")).output == "2"
    assert (await engine.send_one("quote/asked")).output == "5"
    engine.stub("cost", "9")
    assert (await engine.send_one("quote/asked")).output == "9"


async def test_attempts_fail_as_often_as_told(engine: Engine) -> None:
    """The first executions fail, then the stub, or the body, gets its turn; what is memoised is not run again."""
    engine.serve(shop())
    stub = engine.stub("cost", "1")
    engine.fail_step("cost", times=2, error=ValueError("busy"))
    run = await engine.send_one("order/created")
    assert str(run.step("cost").error) == "ValueError: busy"
    assert stub.calls == []
    await engine.advance("2m")
    assert (run.output, run.step("cost").attempts, len(stub.calls)) == ("2", 3, 1)


async def test_a_step_fails_once_unless_told_otherwise(engine: Engine) -> None:
    """Without more ado one execution fails, with an error that says why."""
    engine.serve(shop())
    engine.stub("cost", "1")
    engine.fail_step("cost")
    run = await engine.send_one("order/created")
    assert str(run.step("cost").error) == 'RuntimeError: step "cost" was told to fail'
    await engine.advance("1m")
    assert run.completed


async def test_a_step_may_fail_always(engine: Engine) -> None:
    """With ``times=None`` no attempt succeeds."""
    engine.serve(shop())
    engine.fail_step("cost", times=None)
    run = await engine.send_one("order/created")
    await engine.advance("1h")
    assert (run.failed, run.step("cost").attempts) == (True, 5)
    with pytest.raises(ExpectationError, match="times is 0; it must be 1 or more, or None for always"):
        engine.fail_step("cost", times=0)


async def test_sending_an_event_can_be_stubbed(engine: Engine) -> None:
    """A stubbed ``send_event`` sends nothing and gives what the stub gives."""
    app = stepwell.App("relay", dev=True)

    @app.function(on="go")
    async def relay(ctx: stepwell.Context) -> list[str]:
        return await ctx.step.send_event("tell", stepwell.Event(name="gone", data={"n": 1}))

    engine.serve(app)
    stub = engine.stub("tell", lambda events: ["fake"])
    run = await engine.send_one("go")
    assert run.output == ["fake"]
    assert engine.sent("gone") == []
    assert stub.calls[0].args == ([{"name": "gone", "data": {"n": 1}}],)


async def test_parallel_and_plain_steps_can_be_stubbed(engine: Engine) -> None:
    """Stubs reach the steps of ``def`` functions and those that are executed side by side."""
    app = stepwell.App("plain", dev=True)

    def real() -> int:
        raise AssertionError("the real body must not run")

    @app.function(on="go")
    def plain(ctx: stepwell.SyncContext) -> list[Any]:
        return ctx.step.parallel([lambda name=name: ctx.step.run(name, real) for name in ("a", "b")])

    engine.serve(app)
    engine.stub("a", 1)
    engine.stub("b", lambda: 2)
    run = await engine.send_one("go")
    assert run.output == [1, 2]
