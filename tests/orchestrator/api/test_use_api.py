"""Runs that are too large for a call request: their function fetches state and events from the API (protocol 4.4)."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

import stepwell
from stepwell.client.http import HttpResponse
from stepwell.client.outbound import OutboundRequest
from stepwell.serving.asgi_app import AsgiApp
from stepwell.serving.handler import Handler
from stepwell_orchestrator.engine.waits import items
from stepwell_orchestrator.entry.in_process import in_process_url
from stepwell_orchestrator.limits import MEBIBYTE
from stepwell_orchestrator.model.event import Event
from stepwell_orchestrator.model.run import RunHeader
from tests.orchestrator.world import World, running_world

MEGABYTE = "x" * MEBIBYTE
KEY = "signkey-test-12345678"
BOTH = pytest.mark.parametrize("keys", [(KEY,), ()], ids=["keyed", "keyless"])
RUN_ID = "01JZZZZZZZZZZZZZZZZZZZZZZZ"


def large(keys: tuple[str, ...]) -> stepwell.App:
    """An app of functions with large steps, and large events."""
    key = keys[0] if keys else None
    app = stepwell.App("large", dev=not keys, signing_key=key, event_key="key", base_url="http://api")

    @app.function(on="large/steps", retries=0, checkpoint=False)
    async def steps(ctx: stepwell.Context) -> int:
        return sum([len(await ctx.step.run(f"step-{number}", lambda: MEGABYTE)) for number in range(10)])

    @app.function(on="large/events", retries=0)
    async def events(ctx: stepwell.Context) -> list[int]:
        await ctx.step.run("first", lambda: 1)
        return [len(event.data["text"]) for event in ctx.events]

    return app


async def serve_through_api(world: World, app: stepwell.App, client: httpx.AsyncClient) -> list[str]:
    """Serve the app; what it asks its server, it asks over HTTP. The paths it will have asked for are returned."""
    asked: list[str] = []

    async def fetch(request: OutboundRequest) -> HttpResponse:
        answer = await client.request(request.method, request.url, headers=dict(request.headers))
        asked.append(answer.request.url.path.rpartition("/")[2])
        return HttpResponse(answer.status_code, dict(answer.headers), answer.content)

    await world.engine.serve(app)
    handler = Handler(app, dev=app.settings.dev, framework="test", now_ms=world.clock.now_ms, fetch=fetch)
    world.engine.in_process.mount(in_process_url(app.id), AsgiApp(handler))
    return asked


async def output(world: World, run_id: str) -> Any:
    outcome = (await world.ended(run_id)).outcome
    assert outcome is not None
    assert outcome.error is None, outcome.error
    return outcome.output


@BOTH
async def test_ten_steps_of_a_megabyte(keys: tuple[str, ...]) -> None:
    """A run whose steps hold ten megabytes ends well; from four on, its state is fetched."""
    async with running_world(signing_keys=keys) as world, world.client(signing_keys=keys) as client:
        app = large(keys)
        asked = await serve_through_api(world, app, client)
        run = await world.run_of(await world.send("large/steps"))
        assert await output(world, run.run_id) == 10 * MEBIBYTE
    assert set(asked) == {"actions", "batch"}
    assert len(asked) >= 2 * 6


@BOTH
async def test_eight_events_of_a_megabyte(keys: tuple[str, ...]) -> None:
    """A run of many large events ends well: all of them are fetched, though only the first could be sent."""
    async with running_world(signing_keys=keys) as world, world.client(signing_keys=keys) as client:
        asked = await serve_through_api(world, large(keys), client)
        now_ms = world.clock.now_ms()
        ids = [f"01JYYYYYYYYYYYYYYYYYYYYYY{number}" + "0" for number in range(8)]
        for event_id in ids:
            event = Event(event_id, "large/events", event_id, now_ms, now_ms, data={"text": MEGABYTE})
            await world.engine.journal.put_event(event)
        header = RunHeader(RUN_ID, "large", "large-events", "large/events", tuple(ids), now_ms)
        await world.engine.journal.create_run(header, idempotency_keys=(), expires_at_ms=now_ms)
        await world.engine.queue.send([items.start(header, now_ms).item])
        assert await output(world, RUN_ID) == [MEBIBYTE] * 8
    assert set(asked) == {"actions", "batch"}
