"""Looking at runs, cancelling and rerunning them over HTTP (protocol 4.4, 7.1, 7.2)."""

from __future__ import annotations

import httpx
import pytest

from stepwell.wire.ids import hash_step_id
from stepwell.wire.times import HOUR_MS, MINUTE_MS, SECOND_MS, format_instant
from stepwell_orchestrator.entry.virtual_clock import VIRTUAL_START_MS
from stepwell_orchestrator.model.notice import NoticeKind
from tests.orchestrator.world import UNKNOWN_ID, World, until

FETCH, NAP = hash_step_id("fetch-user"), hash_step_id("cool-off")
START = format_instant(VIRTUAL_START_MS)


async def sleeping_run(world: World) -> str:
    """A run of the shop's that has done its first step and sleeps."""
    run = await world.run_of(await world.send("shop/order", {"n": 1}))
    await world.step_reached(run.run_id, "sleeping")
    return run.run_id


async def test_run_is_shown(api: httpx.AsyncClient, shop_world: World) -> None:
    """A run shows its function, event, times and, once it is over, status and output."""
    run_id = await sleeping_run(shop_world)
    before = (await api.get(f"/v1/runs/{run_id}")).json()["data"]
    assert (before["status"], before["ended_at"], before["output"]) == ("Running", None, None)
    await shop_world.clock.advance(HOUR_MS)
    await shop_world.ended(run_id)
    after = (await api.get(f"/v1/runs/{run_id}")).json()["data"]
    assert after == before | {
        "status": "Completed",
        "ended_at": format_instant(VIRTUAL_START_MS + HOUR_MS),
        "output": {"user": {"name": "Ada"}},
    }
    shown = {key: after[key] for key in ("run_id", "function_id", "app_id", "event_name", "run_started_at")}
    assert shown == {
        "run_id": run_id,
        "function_id": "shop-fulfil",
        "app_id": "shop",
        "event_name": "shop/order",
        "run_started_at": START,
    }


async def test_trace_lists_the_steps_in_order(api: httpx.AsyncClient, shop_world: World) -> None:
    """The trace has a row for each step with exactly the promised members."""
    run_id = await sleeping_run(shop_world)
    rows = (await api.get(f"/v1/runs/{run_id}/trace")).json()["data"]
    assert rows == [
        {
            "id": FETCH,
            "name": "fetch-user",
            "op": "StepRun",
            "status": "Completed",
            "attempts": 1,
            "queued_at": START,
            "started_at": START,
            "ended_at": START,
            "output": {"name": "Ada"},
            "error": None,
        },
        {
            "id": NAP,
            "name": "cool-off",
            "op": "Sleep",
            "status": "Sleeping",
            "attempts": 1,
            "queued_at": START,
            "started_at": START,
            "ended_at": None,
            "output": None,
            "error": None,
        },
    ]


async def test_trace_shows_why_a_step_failed(api: httpx.AsyncClient, shop_world: World) -> None:
    """A failed step shows its error, and the failed run the error body."""
    run = await shop_world.run_of(await shop_world.send("shop/bad"))
    await shop_world.ended(run.run_id)
    [row] = (await api.get(f"/v1/runs/{run.run_id}/trace")).json()["data"]
    assert (row["status"], row["attempts"], row["output"]) == ("Failed", 1, None)
    assert (row["error"]["name"], row["error"]["message"]) == ("NonRetriableError", "card declined")
    shown = (await api.get(f"/v1/runs/{run.run_id}")).json()["data"]
    assert (shown["status"], shown["output"]["message"]) == ("Failed", "card declined")


async def test_queued_items_of_a_run(api: httpx.AsyncClient, shop_world: World) -> None:
    """A sleeping run has one queue item, due when the sleep ends."""
    run_id = await sleeping_run(shop_world)

    async def only_the_timer() -> bool:
        return len(await shop_world.engine.queue.items_of_run(run_id)) == 1

    await until(only_the_timer)
    [item] = (await api.get(f"/v1/runs/{run_id}/jobs")).json()["data"]
    assert (item["kind"], item["position"]) == ("timerdue", 0)
    assert item["at"] == format_instant(VIRTUAL_START_MS + HOUR_MS)


@pytest.mark.parametrize(("version", "status"), [("v1", 200), ("v0", 204)])
async def test_cancel(api: httpx.AsyncClient, shop_world: World, version: str, status: int) -> None:
    """Cancelling ends a run before the answer is given; a second time, nothing more happens."""
    run_id = await sleeping_run(shop_world)
    for _ in range(2):
        answer = await api.delete(f"/{version}/runs/{run_id}")
        assert (answer.status_code, answer.content) == (status, b"")
        assert (await api.get(f"/v1/runs/{run_id}")).json()["data"]["status"] == "Cancelled"
    await shop_world.clock.advance(2 * HOUR_MS)
    assert (await api.get(f"/v1/runs/{run_id}")).json()["data"]["output"] is None
    ends = [notice for notice in shop_world.notices if notice.kind is NoticeKind.RUN_CANCELLED]
    assert [notice.run_id for notice in ends] == [run_id]


async def test_cancelling_an_ended_run_changes_nothing(api: httpx.AsyncClient, shop_world: World) -> None:
    """A run that has ended stays as it ended, and the answer is success."""
    run = await shop_world.run_of(await shop_world.send("shop/bad"))
    await shop_world.ended(run.run_id)
    assert (await api.delete(f"/v1/runs/{run.run_id}")).status_code == 200
    assert (await api.get(f"/v1/runs/{run.run_id}")).json()["data"]["status"] == "Failed"


async def test_rerun_is_a_new_run_of_the_same_events(api: httpx.AsyncClient, shop_world: World) -> None:
    """A rerun starts the function again on the same event; it names the original, which stays as it was."""
    original = await shop_world.run_of(await shop_world.send("shop/bad"))
    await shop_world.ended(original.run_id)
    await shop_world.clock.advance(5 * SECOND_MS)
    answer = await api.post(f"/v1/runs/{original.run_id}/rerun")
    rerun = await shop_world.ended(answer.json()["data"]["run_id"])
    assert rerun.run_id > original.run_id
    assert rerun.event_ids == original.event_ids
    shown = (await api.get(f"/v1/runs/{rerun.run_id}")).json()["data"]
    assert (shown["original_run_id"], shown["function_id"]) == (original.run_id, "shop-refuse")
    assert (await api.get(f"/v1/runs/{original.run_id}")).json()["data"]["original_run_id"] is None
    assert len((await api.get(f"/v1/events/{original.event_ids[0]}/runs")).json()["data"]) == 2


async def test_rerun_needs_the_function(api: httpx.AsyncClient, shop_world: World) -> None:
    """A run of a function that is not registered any more cannot be run again, and nothing is created."""
    run = await shop_world.run_of(await shop_world.send("shop/bad"))
    await shop_world.ended(run.run_id)
    [app] = await shop_world.engine.registry.list_apps()
    await shop_world.engine.registry.remove_app(app.url)
    answer = await api.post(f"/v1/runs/{run.run_id}/rerun")
    assert (answer.status_code, answer.json()["code"]) == (404, "function_not_found")
    assert len((await api.get("/v1/runs")).json()["data"]) == 1


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize(
    ("run_id", "status", "error"),
    [("bad", 400, "Invalid run ID: bad"), (UNKNOWN_ID, 404, f"Unable to load function run: {UNKNOWN_ID}")],
)
async def test_unknown_runs(api: httpx.AsyncClient, method: str, run_id: str, status: int, error: str) -> None:
    """What is no run id is a 400 and an unknown run a 404, in the error shape."""
    answer = await api.request(method, f"/v1/runs/{run_id}")
    assert (answer.status_code, answer.json()) == (status, {"error": error, "data": None, "status": status})


@pytest.mark.parametrize("tail", ["trace", "jobs"])
async def test_unknown_run_has_no_details(api: httpx.AsyncClient, tail: str) -> None:
    """Of an unknown run there is no trace and no queue item, but a 404."""
    assert (await api.get(f"/v1/runs/{UNKNOWN_ID}/{tail}")).status_code == 404


async def test_run_list_is_filtered_and_paged(api: httpx.AsyncClient, shop_world: World) -> None:
    """Runs are listed newest first, by status, function, app and time, and page by page."""
    bad = (await shop_world.run_of(await shop_world.send("shop/bad"))).run_id
    await shop_world.ended(bad)
    await shop_world.clock.advance(MINUTE_MS)
    asleep = await sleeping_run(shop_world)

    async def listed(query: str) -> list[str]:
        return [run["run_id"] for run in (await api.get(f"/v1/runs?{query}")).json()["data"]]

    assert await listed("") == [asleep, bad]
    assert await listed("status=Running") == [asleep]
    assert await listed("status=failed,cancelled") == [bad]
    assert await listed("status=running&status=Failed") == [asleep, bad]
    assert await listed("function_id=shop-fulfil") == [asleep]
    assert await listed("app_id=other") == []
    minute = format_instant(VIRTUAL_START_MS + MINUTE_MS)
    assert await listed(f"from={minute}") == [asleep]
    assert await listed(f"until={minute}") == [bad]
    page = (await api.get("/v1/runs?limit=1")).json()
    assert page["page"] == {"cursor": asleep, "has_more": True, "limit": 1}
    rest = (await api.get(f"/v1/runs?limit=1&cursor={page['page']['cursor']}")).json()
    assert [run["run_id"] for run in rest["data"]] == [bad]
    assert rest["page"] == {"cursor": None, "has_more": False, "limit": 1}


@pytest.mark.parametrize(
    ("query", "error"),
    [
        (
            "status=sleepy",
            "there is no run status 'sleepy'; it is one of Scheduled, Running, Completed, Failed, Cancelled",
        ),
        ("cursor=x", "cursor must be a run id, got 'x'"),
        ("limit=-1", "limit must be a whole number from 1 to 100, got '-1'"),
        ("from=yesterday", 'from: "yesterday" is not a time; write it like "2027-01-01T09:00:00Z"'),
    ],
)
async def test_bad_run_queries(api: httpx.AsyncClient, query: str, error: str) -> None:
    """A bad filter is answered with 400 and the fix."""
    answer = await api.get(f"/v1/runs?{query}")
    assert (answer.status_code, answer.json()["error"]) == (400, error)


async def test_list_limit_is_capped(api: httpx.AsyncClient) -> None:
    """A larger page than allowed is cut to the largest allowed."""
    assert (await api.get("/v1/runs?limit=100000")).json()["page"]["limit"] == 100


async def test_state_for_a_slim_call_request(api: httpx.AsyncClient, shop_world: World) -> None:
    """The memos and events of a run are served bare: only finished steps, and every event whole."""
    run_id = await sleeping_run(shop_world)
    assert (await api.get(f"/v0/runs/{run_id}/actions")).json() == {FETCH: {"data": {"name": "Ada"}}}
    [event] = (await api.get(f"/v0/runs/{run_id}/batch")).json()
    assert (event["name"], event["data"], event["ts"]) == ("shop/order", {"n": 1}, VIRTUAL_START_MS)


@pytest.mark.parametrize("what", ["actions", "batch"])
async def test_state_of_an_unknown_run(api: httpx.AsyncClient, what: str) -> None:
    """State that is gone is a 410, and what is no run id a 400."""
    gone = await api.get(f"/v0/runs/{UNKNOWN_ID}/{what}")
    error = f"runtime state is no longer available for runID: {UNKNOWN_ID}"
    assert (gone.status_code, gone.json()) == (410, {"error": error, "data": None, "status": 410})
    assert (await api.get(f"/v0/runs/bad/{what}")).status_code == 400


async def test_journal_is_one_document(api: httpx.AsyncClient, shop_world: World) -> None:
    """The journal has the run, its events, its steps in order, memos of finished ones, and the outcome once there."""
    run_id = await sleeping_run(shop_world)
    before = (await api.get(f"/v1/runs/{run_id}/journal")).json()["data"]
    assert {key: before[key] for key in ("format", "version", "run_id", "app_id", "function_id", "status")} == {
        "format": "stepwell.journal",
        "version": 1,
        "run_id": run_id,
        "app_id": "shop",
        "function_id": "shop-fulfil",
        "status": "Running",
    }
    assert (before["exported_at"], before["created_at"], before["outcome"]) == (START, START, None)
    assert [(event["name"], event["data"]) for event in before["events"]] == [("shop/order", {"n": 1})]
    assert before["stack"] == [FETCH]
    fetched, sleeping = before["steps"]
    assert fetched == {
        "id": FETCH,
        "name": "fetch-user",
        "op": "StepRun",
        "opts": {},
        "status": "Completed",
        "attempts": 1,
        "queued_at": START,
        "ended_at": START,
        "error": None,
        "memo": {"data": {"name": "Ada"}},
    }
    assert (sleeping["id"], sleeping["op"], sleeping["status"]) == (NAP, "Sleep", "Sleeping")
    assert "memo" not in sleeping

    await shop_world.clock.advance(HOUR_MS)
    await shop_world.ended(run_id)
    after = (await api.get(f"/v1/runs/{run_id}/journal")).json()["data"]
    assert after["stack"] == [FETCH, NAP]
    assert after["steps"][1]["memo"] is None
    ended_at = format_instant(VIRTUAL_START_MS + HOUR_MS)
    output = {"user": {"name": "Ada"}}
    assert after["outcome"] == {"status": "Completed", "ended_at": ended_at, "output": output, "error": None}


async def test_journal_of_an_unknown_run(api: httpx.AsyncClient) -> None:
    """A run that is not there has no journal, and what is no run id is refused."""
    assert (await api.get(f"/v1/runs/{UNKNOWN_ID}/journal")).status_code == 404
    assert (await api.get("/v1/runs/bogus/journal")).status_code == 400
