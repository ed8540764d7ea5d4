"""REST v2: its envelope, its errors, and what of it means something here (protocol 7.3)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from stepwell.wire.ids import hash_step_id
from stepwell.wire.times import HOUR_MS, format_instant
from stepwell_orchestrator.entry.virtual_clock import VIRTUAL_START_MS
from tests.orchestrator.world import UNKNOWN_ID, World

START = format_instant(VIRTUAL_START_MS)
LATER = format_instant(VIRTUAL_START_MS + HOUR_MS)
TRIGGERS = [{"event": "shop/order"}]


@pytest.fixture(params=["/v2", "/api/v2"])
async def v2(shop_world: World, request: pytest.FixtureRequest) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the keyless API, under each of its bases."""
    async with shop_world.client() as client:
        client.base_url = httpx.URL(f"http://api{request.param}")
        yield client


async def ended_run(world: World) -> str:
    run = await world.run_of(await world.send("shop/order", {"n": 1}))
    await world.step_reached(run.run_id, "sleeping")
    await world.clock.advance(HOUR_MS)
    await world.ended(run.run_id)
    return run.run_id


async def test_health_and_events(v2: httpx.AsyncClient, shop_world: World) -> None:
    """Health is told in the envelope, and an event is taken in and starts what it starts."""
    answer = await v2.get("/health")
    assert answer.json() == {"data": {"status": "ok"}, "metadata": {"fetchedAt": START, "cachedUntil": None}}
    assert answer.headers["x-inngest-server-kind"] == "dev"
    sent = await v2.post("/events", json={"name": "shop/bad", "data": {"n": 1}, "id": "mine"})
    event_id = sent.json()["data"]["eventId"]
    run = await shop_world.run_of(event_id)
    await shop_world.ended(run.run_id)
    found = (await v2.get(f"/events/{event_id}/runs?includeOutput=true")).json()
    assert [(one["id"], one["status"], one["output"]["message"]) for one in found["data"]] == [
        (run.run_id, "FAILED", "card declined")
    ]
    assert found["page"] == {"cursor": None, "hasMore": False, "limit": 20}


async def test_a_run_and_its_trace(v2: httpx.AsyncClient, shop_world: World) -> None:
    """A run shows times, function, trigger and output, and its trace a span for each step."""
    run_id = await ended_run(shop_world)
    run = (await v2.get(f"/runs/{run_id}")).json()["data"]
    [event_id] = run["trigger"].pop("eventIds")
    assert run == {
        "id": run_id,
        "status": "COMPLETED",
        "queuedAt": START,
        "startedAt": START,
        "endedAt": LATER,
        "durationMs": str(HOUR_MS),
        "app": {"id": "shop"},
        "function": {"id": "shop-fulfil", "name": "fulfil"},
        "trigger": {"eventName": "shop/order", "isBatch": False, "batchId": None, "cronSchedule": None},
        "originalRunId": None,
        "output": {"user": {"name": "Ada"}},
    }
    assert (await shop_world.engine.journal.get_event(event_id)) is not None
    trace = (await v2.get(f"/runs/{run_id}/trace")).json()["data"]
    assert (trace["runId"], trace["rootSpan"]["status"]) == (run_id, "COMPLETED")
    fetch, nap = trace["rootSpan"]["children"]
    assert fetch == {
        "id": hash_step_id("fetch-user"),
        "name": "fetch-user",
        "status": "COMPLETED",
        "stepId": hash_step_id("fetch-user"),
        "stepOp": "RUN",
        "queuedAt": START,
        "startedAt": START,
        "endedAt": START,
        "durationMs": "0",
        "output": {"name": "Ada"},
        "metadata": [],
        "children": [],
    }
    assert (nap["stepOp"], nap["durationMs"], nap["endedAt"]) == ("SLEEP", str(HOUR_MS), LATER)


async def test_runs_are_filtered_and_paged(v2: httpx.AsyncClient, shop_world: World) -> None:
    """Runs are listed newest first, by status, app, function and time, and page by page."""
    done = await ended_run(shop_world)
    bad = await shop_world.run_of(await shop_world.send("shop/bad"))
    await shop_world.ended(bad.run_id)

    async def listed(path: str) -> list[str]:
        return [run["id"] for run in (await v2.get(path)).json()["data"]]

    assert await listed("/runs") == [bad.run_id, done]
    assert await listed("/runs?status=COMPLETED") == [done]
    assert await listed("/runs?status[]=COMPLETED&status[]=failed") == [bad.run_id, done]
    assert await listed("/runs?appId=shop&functionId=refuse") == [bad.run_id]
    assert await listed("/runs?functionId[]=shop-refuse") == [bad.run_id]
    assert await listed("/apps/shop/functions/fulfil/runs") == [done]
    assert await listed("/apps/shop/functions/shop-fulfil/runs") == [done]
    assert await listed(f"/runs?from={LATER}&order=desc&timeField=QUEUED_AT") == [bad.run_id]
    assert await listed(f"/runs?until={LATER}") == [done]
    page = (await v2.get("/runs?limit=1")).json()
    assert "output" not in page["data"][0]
    assert page["page"] == {"cursor": bad.run_id, "hasMore": True, "limit": 1}
    assert await listed(f"/runs?limit=1&cursor={bad.run_id}") == [done]
    event_id = bad.event_ids[0]
    assert await listed(f"/events/{event_id}/runs?cursor={bad.run_id}") == []


async def test_a_run_is_cancelled_once(v2: httpx.AsyncClient, shop_world: World) -> None:
    """Cancelling a run that goes on ends it; then, and on a run that ended otherwise, it is a conflict."""
    run = await shop_world.run_of(await shop_world.send("shop/order"))
    await shop_world.step_reached(run.run_id, "sleeping")
    assert (await v2.post(f"/runs/{run.run_id}/cancel")).json()["data"] == {"runId": run.run_id}
    again = await v2.post(f"/runs/{run.run_id}/cancel")
    assert (again.status_code, again.json()["errors"][0]["code"]) == (409, "run_already_cancelled")
    bad = await shop_world.run_of(await shop_world.send("shop/bad"))
    await shop_world.ended(bad.run_id)
    ended = await v2.post(f"/runs/{bad.run_id}/cancel")
    assert (ended.status_code, ended.json()["errors"][0]["code"]) == (409, "run_already_ended")


async def test_a_run_is_run_again(v2: httpx.AsyncClient, shop_world: World) -> None:
    """A rerun is a new run, from the start or from a step."""
    run_id = await ended_run(shop_world)
    for body, steps in ((None, 2), ({}, 2), ({"fromStep": {"stepId": "cool-off"}}, 2)):
        rerun = (await v2.post(f"/runs/{run_id}/rerun", json=body)).json()["data"]["runId"]
        await shop_world.step_reached(rerun, "sleeping")
        run = await shop_world.engine.journal.load(rerun)
        assert run is not None
        assert (run.header.original_run_id, len(run.entries)) == (run_id, steps)
    refused = await v2.post(f"/runs/{run_id}/rerun", json={"fromStep": {"stepId": "x"}})
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (404, "not_found")


async def test_apps_and_functions(v2: httpx.AsyncClient) -> None:
    """Apps and functions are listed and shown, a function by its id with or without its app's."""
    [app] = (await v2.get("/apps")).json()["data"]
    assert (app["id"], (await v2.get("/apps/shop")).json()["data"]) == ("shop", app)
    functions = (await v2.get("/apps/shop/functions")).json()["data"]
    assert [function["id"] for function in functions] == ["shop-fulfil", "shop-refuse"]
    for function_id in ("fulfil", "shop-fulfil"):
        function = (await v2.get(f"/apps/shop/functions/{function_id}")).json()["data"]
        assert function == functions[0]
    assert functions[0] == {
        "id": "shop-fulfil",
        "name": "fulfil",
        "app": {"id": "shop"},
        "triggers": TRIGGERS,
        "configuration": {"retries": 0},
        "isPaused": False,
        "isArchived": False,
    }


async def test_invoking_with_a_key_is_invoking_once(v2: httpx.AsyncClient, shop_world: World) -> None:
    """A key that was used is a conflict that names the run before; without one, every call is a run."""
    path = "/apps/shop/functions/refuse/invoke"
    body = {"data": {"n": 1}, "idempotencyKey": "k"}
    first = await v2.post(path, json=body)
    run_id = first.json()["data"]["runId"]
    again = await v2.post(path, json=body)
    assert (again.status_code, again.json()["errors"][0]["code"]) == (409, "idempotency_conflict")
    assert again.json()["data"] == {"runId": run_id}
    other = await v2.post(path, json={"data": {"n": 1}})
    third = await v2.post("/apps/shop/functions/fulfil/invoke", json=body)
    runs = [run["id"] for run in (await v2.get("/runs")).json()["data"]]
    assert sorted(runs) == sorted([run_id, other.json()["data"]["runId"], third.json()["data"]["runId"]])


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", f"/runs/{UNKNOWN_ID}", None, 404, "not_found"),
        ("GET", "/runs/bad", None, 400, "invalid_request"),
        ("GET", f"/runs/{UNKNOWN_ID}/trace", None, 404, "not_found"),
        ("GET", "/events/bad/runs", None, 400, "invalid_request"),
        ("GET", "/runs?status=SLEEPY", None, 400, "invalid_request"),
        ("GET", "/runs?order=asc", None, 400, "invalid_request"),
        ("GET", "/runs?timeField=endedAt", None, 400, "invalid_request"),
        ("GET", "/runs?cursor=x", None, 400, "invalid_request"),
        ("GET", "/runs?appId=a&appId=b", None, 400, "invalid_request"),
        ("GET", "/runs?appId=a&functionId=b", None, 404, "not_found"),
        ("GET", "/apps/none", None, 404, "not_found"),
        ("GET", "/apps/none/functions", None, 404, "not_found"),
        ("GET", "/apps/shop/functions/none", None, 404, "not_found"),
        ("GET", "/apps/other/functions/shop-fulfil", None, 404, "not_found"),
        ("POST", "/events", {"name": " "}, 400, "validation_error"),
        ("POST", "/events", [], 400, "invalid_request"),
        ("POST", "/apps/shop/functions/none/invoke", {}, 404, "not_found"),
        ("POST", "/apps/shop/functions/fulfil/invoke", {"data": 1}, 400, "validation_error"),
        ("POST", "/apps/shop/functions/fulfil/invoke", {"idempotencyKey": 1}, 400, "validation_error"),
        ("POST", "/apps/shop/syncs", {}, 501, "not_implemented"),
        ("GET", "/envs", None, 501, "not_implemented"),
        ("PATCH", "/envs/x", None, 501, "not_implemented"),
        ("GET", "/insights/a/b", None, 501, "not_implemented"),
        ("POST", f"/runs/{UNKNOWN_ID}/scores", None, 501, "not_implemented"),
        ("GET", "/nothing", None, 501, "not_implemented"),
    ],
)
async def test_refusals(
    v2: httpx.AsyncClient, shop_world: World, method: str, path: str, body: Any, status: int, code: str
) -> None:
    """Whatever is refused is told in one envelope with a code, and changes nothing."""
    answer = await v2.request(method, path, json=body)
    assert answer.status_code == status, answer.text
    [told] = answer.json()["errors"]
    assert (told["code"], bool(told["message"])) == (code, True)
    assert (await v2.get("/runs")).json()["data"] == []


async def test_keys(shop_world: World) -> None:
    """On a keyed server all but health wants the key."""
    async with shop_world.client(signing_keys=("signkey-test-00",)) as client:
        assert (await client.get("/v2/health")).status_code == 200
        for path in ("/v2/runs", "/api/v2/envs"):
            answer = await client.get(path)
            assert (answer.status_code, answer.json()["errors"][0]["code"]) == (401, "invalid_signing_key")
        assert (await client.get("/v2/runs", headers={"authorization": "Bearer signkey-test-00"})).status_code == 200
