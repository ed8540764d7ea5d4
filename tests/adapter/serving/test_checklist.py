"""The adapter's conformance checklist, over real HTTP with app and server on uvicorn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from fastapi import FastAPI

import stepwell
from stepwell.client import system
from stepwell.wire import headers as names
from stepwell.wire.encoding import decode, encode
from stepwell.wire.ids import hash_step_id
from stepwell.wire.opcodes import Op
from stepwell.wire.registration import decode_registration
from stepwell.wire.reply import Failed, Finished, Instructions
from stepwell.wire.signing import verify_response
from tests.adapter.serving.live import Caller, Orchestrator, served
from tests.adapter.serving.support import FALLBACK, KEY

OTHER_KEY = "signkey-test-00000000"
A, B = hash_step_id("a"), hash_step_id("b")


async def give(value: Any) -> Any:
    """A step body."""
    return value


async def fail() -> None:
    """A step body that fails."""
    raise ValueError("no")


def define(app: stepwell.App) -> None:
    """The functions that the checklist needs."""

    @app.function(on="go")
    async def one_step(ctx: stepwell.Context) -> Any:
        return await ctx.step.run("a", give, (1, 2))

    @app.function()
    async def repeated(ctx: stepwell.Context) -> None:
        for number in range(3):
            await ctx.step.run("x", give, number)

    @app.function()
    async def parallel(ctx: stepwell.Context) -> Any:
        return await asyncio.gather(ctx.step.run("a", give, 1), ctx.step.run("b", give, 2))

    @app.function()
    async def race(ctx: stepwell.Context) -> Any:
        tasks = [asyncio.create_task(ctx.step.run(name, give, name)) for name in ("a", "b")]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return [task.result() for task in done]

    @app.function()
    async def failing(ctx: stepwell.Context) -> None:
        await ctx.step.run("a", fail)

    @app.function()
    def plain(ctx: stepwell.SyncContext) -> Any:
        return ctx.step.run("a", lambda: "plain")

    @app.function()
    async def sending(ctx: stepwell.Context) -> Any:
        return await ctx.step.send_event("a", stepwell.Event(name="mail/send"))


@pytest.fixture
async def orchestrator() -> AsyncIterator[Orchestrator]:
    """The server's API, not yet served."""
    return Orchestrator()


@pytest.fixture
async def caller(orchestrator: Orchestrator) -> AsyncIterator[Caller]:
    """The server's hand on an app in cloud mode that is served by the bare ASGI application."""
    async with served(orchestrator) as api, aiohttp.ClientSession() as session:
        app = stepwell.App(
            "shop", dev=False, base_url=api, event_key="events", signing_key=KEY, signing_key_fallback=FALLBACK
        )
        define(app)
        async with served(stepwell.asgi(app)) as origin:
            yield Caller(session, f"{origin}/api/inngest", KEY)


async def test_every_response_names_the_sdk(caller: Caller) -> None:
    """Right and wrong requests alike are answered with the SDK's name and the server kind it expects."""
    answers = [
        await caller.request("GET"),
        await caller.request("PUT"),
        await caller.request("DELETE"),
        await caller.request("POST", body=b"{}", signed=False),
        await caller.call("one-step"),
        await caller.call("gone"),
    ]
    assert [answer.status for answer in answers] == [200, 200, 405, 401, 206, 500]
    assert {answer.headers[names.SDK] for answer in answers} == {"stepwell-py:v0.1.0"}
    assert {answer.headers[names.EXPECTED_SERVER_KIND] for answer in answers} == {"cloud"}


async def test_a_step_is_a_206_with_an_array(caller: Caller) -> None:
    """A single executed step is reported in a list, its value after the JSON round trip."""
    answer = await caller.call("one-step")
    (opcode,) = decode(answer.body)
    assert (answer.status, opcode["op"], opcode["id"], opcode["data"]) == (206, "StepRun", A, [1, 2])


async def test_repeated_step_ids_are_counted(caller: Caller) -> None:
    """The second and third use of an id are the steps ``x:1`` and ``x:2``."""
    seen: dict[str, Any] = {}
    for expected in ("x", "x:1", "x:2"):
        outcome = await caller.outcome("repeated", steps=seen)
        assert isinstance(outcome, Instructions)
        assert [opcode.id for opcode in outcome.opcodes] == [hash_step_id(expected)]
        seen[outcome.opcodes[0].id] = {"data": outcome.opcodes[0].data}
    assert await caller.outcome("repeated", steps=seen) == Finished(None)


@pytest.mark.parametrize(("stack", "winner"), [([A, B], "a"), ([B, A], "b")])
async def test_memos_resolve_in_stack_order(caller: Caller, stack: list[str], winner: str) -> None:
    """A race is won by the step that finished first, not by the one written first."""
    steps = {A: {"data": "a"}, B: {"data": "b"}}
    assert await caller.outcome("race", steps=steps, stack=stack) == Finished([winner])


async def test_parallel_steps_are_planned(caller: Caller) -> None:
    """Several new steps are reported and none of them runs."""
    outcome = await caller.outcome("parallel")
    assert isinstance(outcome, Instructions)
    assert [(opcode.op, opcode.id) for opcode in outcome.opcodes] == [(Op.STEP_PLANNED, A), (Op.STEP_PLANNED, B)]


async def test_a_step_is_planned_when_told_to(caller: Caller) -> None:
    """Under ``disable_immediate_execution`` even a lone step is only reported."""
    outcome = await caller.outcome("one-step", disable_immediate_execution=True)
    assert isinstance(outcome, Instructions)
    assert [(opcode.op, opcode.id) for opcode in outcome.opcodes] == [(Op.STEP_PLANNED, A)]


async def test_only_the_target_runs(caller: Caller) -> None:
    """A targeted call runs and reports that step alone."""
    outcome = await caller.outcome("parallel", step=B)
    assert isinstance(outcome, Instructions)
    assert [(opcode.op, opcode.id, opcode.data) for opcode in outcome.opcodes] == [(Op.STEP_RUN, B, 2)]


@pytest.mark.parametrize(("attempt", "op"), [(0, Op.STEP_ERROR), (1, Op.STEP_FAILED)])
async def test_a_step_fails_for_good_on_its_last_attempt(caller: Caller, attempt: int, op: Op) -> None:
    """A failure with attempts left asks for another one, the last one does not."""
    outcome = await caller.outcome("failing", attempt=attempt, max_attempts=2)
    assert isinstance(outcome, Instructions)
    assert [opcode.op for opcode in outcome.opcodes] == [op]
    assert outcome.opcodes[0].error is not None
    assert (outcome.opcodes[0].error.name, outcome.opcodes[0].error.message) == ("ValueError", "no")


async def test_an_uncaught_step_error_is_not_retried(caller: Caller) -> None:
    """A step that failed for good and is not caught fails the run at once."""
    failed = {A: {"error": {"name": "ValueError", "message": "no"}}}
    outcome = await caller.outcome("failing", steps=failed)
    assert isinstance(outcome, Failed)
    assert (outcome.no_retry, outcome.error.code) == (True, "step_errored")


async def test_large_state_is_fetched_with_the_fallback_key(caller: Caller, orchestrator: Orchestrator) -> None:
    """With ``use_api`` the memos come from the API, which knows only the fallback key."""
    orchestrator.steps = {A: {"data": "stored"}}
    orchestrator.events = [{"name": "go", "data": {}, "id": "e1", "ts": 1}]
    outcome = await caller.outcome("one-step", use_api=True, stack=[A])
    assert outcome == Finished("stored")


async def test_an_out_of_band_sync_registers(caller: Caller, orchestrator: Orchestrator) -> None:
    """A PUT makes the app register itself under the URL it was reached at."""
    answer = await caller.request("PUT")
    assert (answer.status, decode(answer.body)["modified"]) == (200, True)
    (registration,) = map(decode_registration, orchestrator.registrations)
    assert (registration.app_id, registration.url) == ("shop", caller.url)
    assert "shop-one-step" in [function.id for function in registration.functions]


async def test_an_in_band_sync_answers_itself(caller: Caller, orchestrator: Orchestrator) -> None:
    """A signed in-band PUT is answered with the registration and causes no request."""
    headers = {names.SYNC_KIND: names.SYNC_IN_BAND}
    answer = await caller.request("PUT", body=encode({"url": caller.url}), headers=headers)
    assert (answer.status, answer.headers[names.SYNC_KIND]) == (200, "in_band")
    assert decode(answer.body)["functions"][0]["id"] == "shop-one-step"
    assert orchestrator.registrations == []


@pytest.mark.parametrize("key", [KEY, FALLBACK])
async def test_the_response_is_signed(caller: Caller, key: str) -> None:
    """The raw bytes that arrive carry a signature by the key of the request."""
    caller.key = key
    for answer in (await caller.call("one-step"), await caller.request("POST", query={"probe": "trust"}, body=b"{}")):
        assert verify_response(answer.body, answer.headers[names.SIGNATURE], [key], system.now_ms() // 1000) == key


async def test_a_bad_signature_is_401(caller: Caller) -> None:
    """A call signed with another key is refused."""
    caller.key = OTHER_KEY
    assert (await caller.call("one-step")).status == 401


async def test_a_plain_function_is_served(caller: Caller) -> None:
    """A ``def`` function runs its step and finishes like an async one."""
    outcome = await caller.outcome("plain")
    assert isinstance(outcome, Instructions)
    assert outcome.opcodes[0].data == "plain"
    assert await caller.outcome("plain", steps={A: {"data": "plain"}}) == Finished("plain")


async def test_a_function_sends_events_through_the_app(caller: Caller, orchestrator: Orchestrator) -> None:
    """``step.send_event`` posts to the ingest endpoint, and its ids are the step's value."""
    outcome = await caller.outcome("sending")
    assert isinstance(outcome, Instructions)
    assert outcome.opcodes[0].data == ["id"]
    ((path, events),) = orchestrator.ingested
    assert (path, [event["name"] for event in events]) == ("/e/events", ["mail/send"])


@pytest.fixture
def keyless() -> Orchestrator:
    """A dev server without keys."""
    return Orchestrator(kind="dev", keys=())


async def test_a_keyless_dev_server_is_enough(keyless: Orchestrator) -> None:
    """In dev mode everything works unsigned: sync, calls and sending."""
    async with served(keyless) as api, aiohttp.ClientSession() as session:
        app = stepwell.App("shop", dev=True, base_url=api)
        define(app)
        async with served(stepwell.asgi(app)) as origin:
            caller = Caller(session, origin, key=None)
            assert (await caller.request("PUT", headers={names.SERVER_KIND: "dev"})).status == 200
            assert (await caller.call("one-step")).headers[names.EXPECTED_SERVER_KIND] == "dev"
        assert await app.send(stepwell.Event(name="go")) == ["id"]
        assert len(keyless.registrations) == 1


async def test_a_stream_is_read_whole(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    """With streaming forced the reply arrives as a 201 that ends in the same outcome."""
    monkeypatch.setenv("STEPWELL_STREAMING", "force")
    app = stepwell.App("shop", dev=False, signing_key=KEY)
    define(app)
    async with served(stepwell.asgi(app)) as origin:
        caller.url = origin
        answer = await caller.call("plain", steps={A: {"data": "streamed"}})
        assert (answer.status, answer.body[:1]) == (201, b" ")
        assert await caller.outcome("plain", steps={A: {"data": "streamed"}}) == Finished("streamed")


async def test_fastapi_serves_the_app_beside_its_own_routes(caller: Caller) -> None:
    """``stepwell.fastapi.serve`` answers at its path, leaves the others alone and stays out of the API schema."""
    api = FastAPI()

    @api.get("/hello")
    async def hello() -> str:
        return "hello"

    app = stepwell.App("shop", dev=False, signing_key=KEY)
    define(app)
    stepwell.fastapi.serve(api, app)
    async with served(api) as origin:
        caller.url = f"{origin}/api/inngest"
        answer = await caller.call("one-step")
        assert (answer.status, answer.headers[names.FRAMEWORK]) == (206, "fastapi")
        assert (await caller.request("DELETE")).status == 405
        caller.url = f"{origin}/hello"
        assert (await caller.request("GET")).body == b'"hello"'
        assert list(api.openapi()["paths"]) == ["/hello"]
