"""Debounced and batched events over HTTP: what they wait for, and how their runs are found."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

import stepwell
from stepwell.wire.times import format_instant
from stepwell_orchestrator.entry.virtual_clock import VIRTUAL_START_MS
from stepwell_orchestrator.model.notice import NoticeKind
from tests.orchestrator.world import World, running_world, until


def desk() -> stepwell.App:
    """An app with a function that debounces and one that batches."""
    app = stepwell.App("desk", dev=True)

    @app.function(on="doc/edited", debounce=stepwell.Debounce("10s", key="event.data.doc"))
    async def index(ctx: stepwell.Context) -> int:
        return int(ctx.event.data["version"])

    @app.function(on="mail/due", batch=stepwell.Batch(3, "1m"))
    async def send(ctx: stepwell.Context) -> list[int]:
        return [event.data["n"] for event in ctx.events]

    return app


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """The desk at work."""
    async with running_world(desk()) as opened:
        yield opened


@pytest.fixture
async def client(world: World) -> AsyncIterator[httpx.AsyncClient]:
    """Its API."""
    async with world.client() as opened:
        yield opened


async def sent(world: World, name: str, **data: object) -> str:
    """An event that was sent, and taken in by what it waits for."""
    before = sum(notice.kind is NoticeKind.EVENT_WAITING for notice in world.notices)
    event_id = await world.send(name, dict(data))

    async def waits() -> bool:
        return sum(notice.kind is NoticeKind.EVENT_WAITING for notice in world.notices) > before

    await until(waits)
    return event_id


async def test_a_debounced_event_says_until_when_and_what_runs_instead(world: World, client: httpx.AsyncClient):
    """The event that will run has nothing before it; the one before is superseded by it."""
    first, second = (
        await sent(world, "doc/edited", doc="a", version=1),
        await sent(world, "doc/edited", doc="a", version=2),
    )
    until = format_instant(VIRTUAL_START_MS + 10_000)
    text = f"waits in a debounce of desk-index of key a, until {until} unless more events come"
    wait = {
        "function_id": "desk-index",
        "option": "debounce",
        "key": "a",
        "until": until,
        "events": None,
        "most": None,
    }
    for event_id, instead, told in ((first, second, f"; event {second} runs instead"), (second, None, "")):
        body = (await client.get(f"/v1/events/{event_id}")).json()["data"]
        assert body["waiting_for"] == [{**wait, "superseded_by": instead, "text": text + told}]


async def test_a_batched_event_says_how_many_there_are(world: World, client: httpx.AsyncClient):
    """Of how many, and until when it waits for more."""
    await sent(world, "mail/due", n=1)
    second = await sent(world, "mail/due", n=2)
    (wait,) = (await client.get(f"/v1/events/{second}")).json()["data"]["waiting_for"]
    assert (wait["option"], wait["events"], wait["most"]) == ("batch", 2, 3)
    assert wait["until"] == format_instant(VIRTUAL_START_MS + 60_000)
    assert wait["text"] == f"waits in a batch of desk-send: 2 of 3 events, until {wait['until']} at the latest"


async def test_every_event_of_a_batch_names_its_run(world: World, client: httpx.AsyncClient):
    """The three have one run, whose result says their order, and wait for nothing any more."""
    events = [await sent(world, "mail/due", n=n) for n in (1, 2)] + [await world.send("mail/due", {"n": 3})]
    run = await world.run_of(events[-1])
    ended = await world.ended(run.run_id)
    assert ended.outcome is not None
    assert ended.outcome.output == [1, 2, 3]
    for event_id in events:
        found = (await client.get(f"/v1/events/{event_id}/runs")).json()["data"]
        assert [each["run_id"] for each in found] == [run.run_id]
        assert (await client.get(f"/v1/events/{event_id}")).json()["data"]["waiting_for"] == []


async def test_a_debounce_has_a_run_under_the_event_that_fired(world: World, client: httpx.AsyncClient):
    """The one before it has none."""
    first, second = (
        await sent(world, "doc/edited", doc="a", version=1),
        await sent(world, "doc/edited", doc="a", version=2),
    )
    await world.clock.advance(10_000)
    run = await world.run_of(second)
    ended = await world.ended(run.run_id)
    assert ended.outcome is not None
    assert ended.outcome.output == 2
    assert (await client.get(f"/v1/events/{first}/runs")).json()["data"] == []


async def test_an_invocation_that_waits_is_told_so(world: World, client: httpx.AsyncClient):
    """REST v2 answers with a run, and here there is none yet; the other endpoints answer with the event."""
    answer = await client.post("/v2/apps/desk/functions/send/invoke", json={"data": {"n": 1}})
    (error,) = answer.json()["errors"]
    assert (answer.status_code, error["code"]) == (422, "function_debounced")
    assert "its run does not exist yet" in error["message"]
    answer = await client.post("/invoke/desk-send", json={"data": {"n": 2}})
    (wait,) = (await client.get(f"/v1/events/{answer.json()['id']}")).json()["data"]["waiting_for"]
    assert (wait["function_id"], wait["events"]) == ("desk-send", 2)
