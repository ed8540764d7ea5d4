"""An app of ours against another server of the protocol, which says what such a server was recorded to say."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import fastapi
import pytest
from aiohttp import web

import stepwell
import stepwell.fastapi
from stepwell_orchestrator.entry.dev import listen
from stepwell_orchestrator.entry.dev_server import own_origin
from tests.interop.official import PATH, on_uvicorn

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parent / "golden" / "elsewhere.json").read_text(encoding="utf-8"))
"""Traffic of the official SDKs with their server: two of its call requests, and its answers to what an app asks."""

MEGABYTE = 1024 * 1024


@dataclass(slots=True)
class Elsewhere:
    """The other server: it gives the recorded answers, and remembers what it was asked."""

    checkpoints: bool = True
    asked: dict[str, list[Any]] = field(default_factory=dict)

    async def answer(self, request: web.Request) -> web.Response:
        path = request.path
        kind = "ingested" if path.startswith("/e/") else "registered" if path == "/fn/register" else "checkpointed"
        self.asked.setdefault(kind, []).append(await request.json())
        if kind == "checkpointed" and not self.checkpoints:
            return web.Response(status=404, text="404 page not found")
        recorded = GOLDEN[kind]
        text = "" if recorded["body"] is None else json.dumps(recorded["body"])
        return web.Response(status=recorded["status"], headers=recorded["headers"], text=text)


def functions(origin: str, checkpoint: bool) -> stepwell.App:
    """Functions with the steps that the recorded ones have."""
    app = stepwell.App("capjs", dev=True, base_url=origin, checkpoint=checkpoint)

    async def give(value: Any) -> Any:
        return value

    @app.function(on="js/three-steps")
    async def three_steps(ctx: stepwell.Context) -> Any:
        values = ({"first": "x" * 2 * MEGABYTE}, 2, None)
        return [await ctx.step.run(name, give, value) is None for name, value in zip("abc", values, strict=True)]

    @app.function(on="cap/send-event")
    async def send_event(ctx: stepwell.Context) -> Any:
        events = [stepwell.Event(name="cap/emitted", data={"i": number}) for number in (1, 2)]
        return await ctx.step.send_event("emit", events)

    return app


@asynccontextmanager
async def served(elsewhere: Elsewhere, *, checkpoint: bool) -> AsyncIterator[aiohttp.ClientSession]:
    """Our app, and a session to call it with."""
    other = web.Application(client_max_size=4 * MEGABYTE)
    other.router.add_route("*", "/{path:.*}", elsewhere.answer)
    runner = web.AppRunner(other)
    await runner.setup()
    with listen("127.0.0.1", 0) as listener, listen("127.0.0.1", 0) as app_listener:
        await web.SockSite(runner, listener).start()
        api = fastapi.FastAPI()
        stepwell.fastapi.serve(api, functions(own_origin(listener), checkpoint))
        async with on_uvicorn(api, app_listener), aiohttp.ClientSession(own_origin(app_listener)) as session:
            yield session
        await runner.cleanup()


async def call(session: aiohttp.ClientSession, name: str) -> tuple[int, Any]:
    """Send a recorded call request; the status and body of the answer."""
    recorded = GOLDEN[name]
    query = {"fnId": f"capjs-{name}", "stepId": "step"}
    async with session.post(PATH, params=query, json=recorded["body"], headers=recorded["headers"]) as answer:
        return answer.status, await answer.json()


async def test_our_app_registers() -> None:
    """Asked by PUT it says what it is, and understands an answer that is JSON by another name."""
    elsewhere = Elsewhere()
    async with served(elsewhere, checkpoint=True) as session, session.put(PATH) as answer:
        assert (answer.status, (await answer.json())["message"]) == (200, "Successfully registered")
    [body] = elsewhere.asked["registered"]
    assert (body["appName"], [function["id"] for function in body["functions"]]) == (
        "capjs",
        ["capjs-three-steps", "capjs-send-event"],
    )


async def test_our_app_saves_its_steps_there() -> None:
    """The recorded call goes on through all steps; each is saved under the ids of that call, a large one too."""
    elsewhere = Elsewhere()
    async with served(elsewhere, checkpoint=True) as session:
        status, opcodes = await call(session, "three-steps")
    ctx = GOLDEN["three-steps"]["body"]["ctx"]
    ids = ("run_id", "fn_id", "qi_id", "request_id", "generation_id")
    saved = elsewhere.asked["checkpointed"]
    assert status == 206
    assert opcodes[-1]["op"] == "RunComplete"
    assert opcodes[-1]["data"] == [False, False, True]
    assert {tuple(body[name] for name in ids) for body in saved} == {tuple(ctx[name] for name in ids)}
    names = [step["name"] for body in saved for step in body["steps"]] + [step["name"] for step in opcodes[:-1]]
    assert names == ["a", "b", "c"]


@pytest.mark.parametrize("checkpoint", [False, True], ids=["off", "refused"])
async def test_our_app_answers_with_its_step_where_nothing_can_be_saved(checkpoint: bool) -> None:
    """A server without checkpoints gets the steps that were taken in the answer."""
    elsewhere = Elsewhere(checkpoints=False)
    async with served(elsewhere, checkpoint=checkpoint) as session:
        status, opcodes = await call(session, "three-steps")
    assert (status, opcodes[0]["op"], opcodes[0]["id"]) == (206, "StepRun", "86f7e437faa5a7fce15d1ddcb9eaeaea377667b8")


async def test_our_app_sends_events_there() -> None:
    """The ids that the other server gave are the step's result."""
    elsewhere = Elsewhere()
    async with served(elsewhere, checkpoint=False) as session:
        status, [opcode] = await call(session, "send-event")
    [sent] = elsewhere.asked["ingested"]
    assert (status, opcode["data"]) == (206, GOLDEN["ingested"]["body"]["ids"])
    assert [(event["name"], event["data"]) for event in sent] == [("cap/emitted", {"i": 1}), ("cap/emitted", {"i": 2})]
