"""Starting one function over HTTP, whatever its triggers (protocol 3.4, 7.1)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

import stepwell
from stepwell.wire.headers import EVENT_ID_SEED
from stepwell.wire.ids import decode_seed
from stepwell_orchestrator.controlling.control import Invocation
from stepwell_orchestrator.limits import SPARE_ITEM_DELAY_MS
from tests.orchestrator.world import World, running_world

SEED = "1700000000000,AAECAwQFBgcICQ=="


def quiet() -> stepwell.App:
    """An app whose functions no event starts."""
    app = stepwell.App("quiet", dev=True)

    @app.function(on=None)
    async def double(ctx: stepwell.Context) -> dict[str, Any]:
        return {"twice": 2 * ctx.event.data["n"], "event": ctx.event.name, "user": ctx.event.user}

    @app.function(on=None, idempotency="event.data.n")
    async def once(ctx: stepwell.Context) -> int:
        return int(ctx.event.data["n"])

    return app


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """An engine that serves the quiet app."""
    async with running_world(quiet()) as world:
        yield world


@pytest.fixture
async def client(world: World) -> AsyncIterator[httpx.AsyncClient]:
    """A client of its API."""
    async with world.client() as client:
        yield client


async def test_the_function_runs_once_on_the_event(world: World, client: httpx.AsyncClient) -> None:
    """The answer has the event's internal id; the event is renamed, and its data and user reach the function."""
    answer = await client.post("/invoke/quiet-double", json={"name": "my/event", "data": {"n": 4}, "user": {"id": 1}})
    assert (answer.status_code, answer.json()["status"]) == (200, 200)
    event_id = answer.json()["id"]
    [run] = (await client.get(f"/v1/events/{event_id}/runs")).json()["data"]
    ended = await world.ended(run["run_id"])
    assert ended.outcome is not None
    assert ended.outcome.output == {"twice": 8, "event": "inngest/function.invoked", "user": {"id": 1}}
    await world.clock.advance(2 * SPARE_ITEM_DELAY_MS)
    assert len((await client.get("/v1/runs")).json()["data"]) == 1


async def test_an_empty_body_is_an_event_without_data(world: World, client: httpx.AsyncClient) -> None:
    """Nothing has to be sent at all."""
    answer = await client.post("/invoke/quiet-double")
    assert answer.status_code == 200
    run = await world.run_of(answer.json()["id"])
    assert run.event_name == "inngest/function.invoked"


async def test_a_seed_makes_a_repeat_the_same(world: World, client: httpx.AsyncClient) -> None:
    """Two requests with one seed are one event, with the id of ordinal 0, and one run."""
    seed = decode_seed(SEED)
    assert seed is not None
    for _ in range(2):
        answer = await client.post("/invoke/quiet-double", json={"data": {"n": 1}}, headers={EVENT_ID_SEED: SEED})
        assert answer.json() == {"id": seed.event_id(0), "status": 200}
    assert len((await client.get("/v1/runs")).json()["data"]) == 1


@pytest.mark.parametrize(("slug", "members"), [("quiet-double", {"id": "mine"}), ("quiet-once", {})])
async def test_registration_is_obeyed(
    world: World, client: httpx.AsyncClient, slug: str, members: dict[str, Any]
) -> None:
    """An event id, or the function's idempotency, makes a second invocation a repeat that starts nothing."""
    body = {"data": {"n": 1}, **members}
    ids = [(await client.post(f"/invoke/{slug}", json=body)).json()["id"] for _ in range(2)]
    assert len(set(ids)) == 2
    assert len((await client.get("/v1/runs")).json()["data"]) == 1


async def test_a_repeat_names_the_run_before() -> None:
    """Whoever invokes learns which run it is, and whether it is a new one."""
    async with running_world(quiet()) as world:
        first = await world.engine.control.invoke("quiet-once", {"data": {"n": 1}})
        again = await world.engine.control.invoke("quiet-once", {"data": {"n": 1}})
        assert first.is_new
        assert again == Invocation(again.event_id, first.run_id, is_new=False)


@pytest.mark.parametrize(
    ("slug", "body", "status", "error"),
    [
        ("quiet-none", b"{}", 404, "could not find function with ID: quiet-none; serve its app and sync it"),
        ("quiet-double", b"[]", 400, "the body must be a JSON object"),
        ("quiet-double", b"{", 400, "malformed JSON"),
        ("quiet-double", b'{"data": 7}', 400, "event data must be an object"),
        ("quiet-double", b'{"data": {"x": "' + b"x" * 3 * 1024 * 1024 + b'"}}', 400, "Event is over the max size"),
        ("quiet-double", b'{"data": {"x": "' + b"x" * 5 * 1024 * 1024 + b'"}}', 413, "the request body is over"),
    ],
)
async def test_a_bad_invocation_starts_nothing(
    client: httpx.AsyncClient, slug: str, body: bytes, status: int, error: str
) -> None:
    """A bad event or function is refused in the error shape, and neither event nor run is made."""
    answer = await client.post(f"/invoke/{slug}", content=body)
    assert (answer.status_code, answer.json()["status"]) == (status, status), answer.text
    assert error in answer.json()["error"]
    assert (await client.get("/v1/events?include_internal=true")).json()["data"] == []


async def test_an_invocation_outlives_its_asker() -> None:
    """The wish is queued before it is acted upon: an asker that dies in between starts the function all the same."""
    async with running_world(quiet()) as world:
        control = world.engine.control

        async def die(*_: Any) -> None:
            raise ConnectionError

        control._handle = die  # the worker is gone
        with pytest.raises(ConnectionError):
            await control.invoke("quiet-once", {"data": {"n": 3}})
        await world.clock.advance(SPARE_ITEM_DELAY_MS)
        [event] = await world.engine.journal.events_since("inngest/function.invoked", 0, after=None, limit=10)
        run = await world.run_of(event.internal_id)
        ended = await world.ended(run.run_id)
        assert ended.outcome is not None
        assert ended.outcome.output == 3
