from __future__ import annotations

import asyncio
from typing import Any

import pytest

import stepwell
from stepwell.testing import Engine


def shop() -> stepwell.App:
    """An app whose function fetches, asks a model, and tells what it got."""
    app = stepwell.App("shop", dev=True)

    @app.function(on="shop/go", retries=2)
    async def go(ctx: stepwell.Context) -> Any:
        model = stepwell.ai.openai("gpt", api_key="sk-secret")
        response, answer = await asyncio.gather(
            ctx.step.fetch("get", "https://api.test/orders?id=7", headers={"x-a": "1"}),
            ctx.step.ai.infer("ask", model=model, body={"messages": []}),
        )
        return [response.status_code, response.text, answer]

    return app


async def test_a_stub_answers_for_a_gateway_step() -> None:
    """A value is a JSON response, and the stub notes what would have been asked."""
    async with Engine() as engine:
        engine.serve(shop())
        get, ask = engine.stub("get", {"total": 5}), engine.stub("ask", {"choices": ["yes"]})
        run = await engine.send_one("shop/go")
    assert run.completed
    assert run.output == [200, '{"total":5}', {"choices": ["yes"]}]
    ((request,), _) = get.calls[0]
    assert (request.method, request.url, request.headers) == ("GET", "https://api.test/orders?id=7", {"x-a": "1"})
    assert ask.calls == [(({"model": "gpt", "messages": []},), {})]
    assert (run.step("get").attempts, run.step("ask").attempts) == (1, 1)


@pytest.mark.parametrize(
    ("outcome", "seen"),
    [
        (stepwell.Response(404, {"x-b": "2"}, "gone"), [404, "gone"]),
        ("plain", [200, "plain"]),
        (lambda request: {"asked": request.method}, [200, '{"asked":"GET"}']),
        ([RuntimeError("down"), RuntimeError("down"), "up"], [200, "up"]),
    ],
)
async def test_a_stub_gives_any_response(outcome: Any, seen: list[Any]) -> None:
    """A Response, a text, a callable and outcomes in turn, of which an exception fails an attempt, are all given."""
    async with Engine() as engine:
        engine.serve(shop())
        engine.stub("get", outcome)
        engine.stub("ask", None)
        run = await engine.send_one("shop/go")
        await engine.advance("1h")
    assert run.output[:2] == seen


async def test_a_gateway_step_can_be_made_to_fail() -> None:
    """An attempt that ``fail_step`` lets fail is followed by another one."""
    async with Engine() as engine:
        engine.serve(shop())
        engine.stub("get", {})
        engine.stub("ask", {})
        engine.fail_step("get")
        run = await engine.send_one("shop/go")
        await engine.advance("1h")
    assert run.completed
    assert (run.step("get").attempts, run.step("ask").attempts) == (2, 1)


async def test_a_stub_may_fail_for_good() -> None:
    """A NonRetriableError is the step's error after one attempt."""
    async with Engine() as engine:
        engine.serve(shop())
        engine.stub("get", {})
        engine.stub("ask", stepwell.NonRetriableError("no such model"))
        run = await engine.send_one("shop/go")
    assert run.failed
    assert run.step("ask").attempts == 1
    assert "Error making AI request: NonRetriableError: no such model" in str(run.error)


async def test_nothing_goes_out_of_a_test() -> None:
    """A gateway step without a stub fails at once and says what to write."""
    async with Engine() as engine:
        engine.serve(shop())
        engine.stub("ask", {})
        run = await engine.send_one("shop/go")
    assert run.failed
    assert 'step "get" asks https://api.test/orders; give it a response: engine.stub("get", ...)' in str(run.error)


async def test_gateway_steps_survive_a_crash_at_every_place() -> None:
    """Wherever the worker dies, and with every delivery made twice, the run ends the same."""

    async def scenario(engine: Engine) -> None:
        engine.serve(shop())
        engine.stub("get", {"total": 5})
        engine.stub("ask", [RuntimeError("busy"), {"choices": []}])
        run = await engine.send_one("shop/go")
        await engine.advance("1h")
        assert run.output == [200, '{"total":5}', {"choices": []}]

    async with Engine() as engine:
        report = await engine.crash_everywhere(scenario)
    assert any("the request of step" in boundary for boundary in report.boundaries), report
