"""The ingest endpoint and the event queries over HTTP (protocol 3, 7.2)."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from stepwell.wire.event_key import event_path
from stepwell.wire.ids import ulid_ms
from stepwell.wire.times import HOUR_MS, MINUTE_MS, format_instant
from stepwell_orchestrator.entry.virtual_clock import VIRTUAL_START_MS
from stepwell_orchestrator.limits import INGEST_BYTES_MAX
from tests.orchestrator.scripted import client_of
from tests.orchestrator.worker.harness import Script
from tests.orchestrator.worker.harness import World as ScriptedWorld
from tests.orchestrator.world import UNKNOWN_ID, World

SEED = {"x-inngest-event-id-seed": "1700000000000,AAAAAAAAAAAAAA=="}


async def test_accepted_events_are_answered_with_their_ids(api: httpx.AsyncClient, shop_world: World) -> None:
    """Events in any content type are answered with one id each and are found under these ids."""
    answer = await api.post(
        "/e/any-key", content=b'[{"name":"a"},{"name":"b"}]', headers={"content-type": "text/plain"}
    )
    ids = answer.json()["ids"]
    assert (answer.status_code, answer.json()) == (200, {"ids": ids, "status": 200})
    assert answer.headers["x-inngest-server-kind"] == "dev"
    events = [await shop_world.engine.journal.get_event(internal_id) for internal_id in ids]
    assert [event.name for event in events if event] == ["a", "b"]


async def test_seed_header_makes_ids_repeatable(api: httpx.AsyncClient) -> None:
    """A repeated request with the same seed answers the same ids, those of the official server."""
    for _ in range(2):
        answer = await api.post("/e/k", content=b'[{"name":"a"},{"name":"a"}]', headers=SEED)
        assert answer.json()["ids"] == ["01HF7YAT000000000000000001", "01HF7YAT000000000000000002"]


async def test_invalid_seed_is_ignored(api: httpx.AsyncClient) -> None:
    """A seed that cannot be read is as good as none."""
    answer = await api.post("/e/k", content=b'{"name":"a"}', headers={"x-inngest-event-id-seed": "nonsense"})
    assert answer.status_code == 200
    assert ulid_ms(answer.json()["ids"][0]) == VIRTUAL_START_MS


@pytest.mark.parametrize(
    ("content", "ids", "error"),
    [
        (b'[{"name":"a"},{"data":{}},{"name":"c"}]', 1, "event name is empty"),
        (b'{"name":"inngest/x"}', 0, "event name is reserved for internal use: inngest/x"),
        (b"123", 0, "Request body must contain an event object or an array of event objects"),
        (b"name=cap%2Fx", 0, "malformed JSON"),
    ],
)
async def test_refusal_tells_what_was_accepted(api: httpx.AsyncClient, content: bytes, ids: int, error: str) -> None:
    """A refusal is a 400 with the reason and the ids of the events before the bad one."""
    answer = await api.post("/e/k", content=content)
    assert answer.status_code == 400
    body = answer.json()
    assert (len(body["ids"]), body["status"]) == (ids, 400)
    assert body["error"].startswith(error)


async def test_body_is_bounded_while_it_is_read(api: httpx.AsyncClient) -> None:
    """A body over the bound is answered with 413 in the ingest shape."""

    async def endless() -> Any:
        chunk = b" " * (INGEST_BYTES_MAX // 8)
        for _ in range(9):
            yield chunk

    answer = await api.post("/e/k", content=endless())
    assert (answer.status_code, answer.json()["ids"]) == (413, [])


@pytest.mark.parametrize("path", ["/e", "/e/", "/e/%20"])
async def test_ingest_needs_a_key(api: httpx.AsyncClient, path: str) -> None:
    """Without a key in the path, ingest answers 401 in the protocol's words."""
    answer = await api.post(path, content=b'{"name":"a"}')
    assert answer.status_code == 401
    assert answer.json() == {"status": 401, "message": "", "error": "Event key is required"}


@pytest.mark.parametrize(
    ("options", "key", "status", "error"),
    [
        ({"event_keys": ["one", "two"]}, "two", 200, None),
        ({"event_keys": ["one", "two"]}, "three", 401, "Event key not found"),
        ({"event_keys": ["one"], "kind": "cloud"}, "ön", 401, "Event key not found"),
        ({"kind": "cloud"}, "one", 503, "no event keys are configured on this server; set STEPWELL_EVENT_KEYS"),
    ],
)
async def test_event_keys(shop_world: World, options: dict[str, Any], key: str, status: int, error: str | None) -> None:
    """Only configured keys are let in; a cloud server without any lets nobody in."""
    async with shop_world.client(**options) as client:
        answer = await client.post(f"/e/{key}", content=b'{"name":"a"}')
    assert answer.status_code == status
    assert answer.json().get("error") == error


@pytest.mark.parametrize(
    "key",
    ["Zm9v/YmFy+Zm9vYmFy=", "a/", "/a", "key with space", "käse", "a?b", "a#b", "100%41", "%2F", "a..", "a;b&c=d"],
)
async def test_an_event_key_may_hold_anything(shop_world: World, key: str) -> None:
    """A key that is percent-encoded in the path, as every SDK does, is the key that was configured, and no other is."""
    async with shop_world.client(event_keys=[key]) as client:
        accepted = await client.post(event_path(key), content=b'{"name":"a"}')
        refused = await client.post(event_path(f"{key}/more"), content=b'{"name":"a"}')
    assert (accepted.status_code, refused.status_code) == (200, 401), accepted.text


async def test_event_is_shown_as_stored(api: httpx.AsyncClient) -> None:
    """One event is shown with its ids, times and data in the success envelope."""
    sent = {"name": "a", "id": "own", "data": {"n": 1}, "user": {"id": 7}, "ts": 1_700_000_000_000, "v": "2"}
    [internal_id] = (await api.post("/e/k", json=sent)).json()["ids"]
    answer = (await api.get(f"/v1/events/{internal_id}")).json()
    received = format_instant(VIRTUAL_START_MS)
    assert answer["metadata"] == {"fetched_at": received, "cached_until": None}
    assert {key: answer["data"][key] for key in sent} == sent
    assert (answer["data"]["internal_id"], answer["data"]["received_at"]) == (internal_id, received)


@pytest.mark.parametrize(
    ("path", "status", "error"),
    [
        (f"/v1/events/{UNKNOWN_ID}", 404, "Event not found"),
        ("/v1/events/not-a-ulid", 400, "Invalid event ID: not-a-ulid"),
        ("/v1/events/not-a-ulid/runs", 400, "Invalid event ID: not-a-ulid"),
        ("/v1/events?cursor=x", 400, "Invalid event ID: x"),
        ("/v1/events?limit=0", 400, "limit must be a whole number from 1 to 100, got '0'"),
        ("/v1/events?limit=ten", 400, "limit must be a whole number from 1 to 100, got 'ten'"),
        ("/v1/events?received_after=soon", 400, 'received_after: "soon" is not a time'),
    ],
)
async def test_bad_event_queries(api: httpx.AsyncClient, path: str, status: int, error: str) -> None:
    """A bad query is answered in the error shape with the reason."""
    answer = await api.get(path)
    body = answer.json()
    assert (answer.status_code, body["status"], body["data"]) == (status, status, None)
    assert body["error"].startswith(error)


async def test_event_list_is_filtered_and_paged(api: httpx.AsyncClient, shop_world: World) -> None:
    """Events are listed newest first, within the last hour by default, by name, and page by page."""
    ids = []
    for name in ("old", "a", "b", "a"):
        ids.append(await shop_world.send(name))
        await shop_world.clock.advance(40 * MINUTE_MS if name == "old" else 10 * MINUTE_MS)

    async def listed(**query: str) -> list[str]:
        return [event["internal_id"] for event in (await api.get("/v1/events", params=query)).json()["data"]]

    old, first, second, third = ids
    assert await listed() == [third, second, first]
    assert await listed(name="a") == [third, first]
    assert await listed(limit="1") == [third]
    assert await listed(limit="2", cursor=third) == [second, first]
    earlier = format_instant(VIRTUAL_START_MS - HOUR_MS)
    assert await listed(received_after=earlier, received_before=format_instant(VIRTUAL_START_MS + 1)) == [old]


async def test_runs_of_an_event(api: httpx.AsyncClient, shop_world: World) -> None:
    """The runs an event started are listed with their status; an event without any has an empty list."""
    event_id = await shop_world.send("shop/bad")
    run = await shop_world.run_of(event_id)
    await shop_world.ended(run.run_id)
    [shown] = (await api.get(f"/v1/events/{event_id}/runs")).json()["data"]
    assert (shown["run_id"], shown["function_id"], shown["status"]) == (run.run_id, "shop-refuse", "Failed")
    assert (await api.get(f"/v1/events/{UNKNOWN_ID}/runs")).json()["data"] == []


async def test_the_runs_of_an_event_are_complete_once_it_is_routed() -> None:
    """The answer tells whether more runs may come: until the event's routing is done, and not a moment longer."""
    world = ScriptedWorld(Script([["sleep:1h"]]))
    await world.register()
    async with client_of(world) as api:
        [event_id] = (await api.post("/e/k", content=b'{"name":"order/created"}')).json()["ids"]
        before = (await api.get(f"/v1/events/{event_id}/runs")).json()
        await world.settle()
        after = (await api.get(f"/v1/events/{event_id}/runs")).json()
    assert (before["data"], before["routed"]) == ([], False)
    assert ([run["status"] for run in after["data"]], after["routed"]) == (["Running"], True)


async def test_a_server_whose_queue_cannot_be_looked_into_says_so() -> None:
    """Whether an event is routed is null, and the jobs of a run are not to be had, with a hint at what is."""
    world = ScriptedWorld(Script([["sleep:1h"]]))
    await world.register()
    async with client_of(world, looks_into_queue=False) as api:
        [event_id] = (await api.post("/e/k", content=b'{"name":"order/created"}')).json()["ids"]
        await world.settle()
        runs = (await api.get(f"/v1/events/{event_id}/runs")).json()
        jobs = await api.get(f"/v1/runs/{runs['data'][0]['run_id']}/jobs")
    assert runs["routed"] is None
    assert jobs.status_code == 501
    assert "/trace" in jobs.json()["error"]
