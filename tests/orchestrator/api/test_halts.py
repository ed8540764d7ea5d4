"""Pausing, draining and resuming over HTTP, and asking why a run is not running."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from stepwell.wire.times import HOUR_MS, format_instant
from stepwell_orchestrator.entry.virtual_clock import VIRTUAL_START_MS
from tests.orchestrator.world import UNKNOWN_ID, World

START = format_instant(VIRTUAL_START_MS)
SLUG = "shop-fulfil"


async def paused_run(api: httpx.AsyncClient, world: World, path: str = f"functions/{SLUG}") -> str:
    """A run that was to start after its function, or app, was paused."""
    said = {"by": "ada", "reason": "the bank is down"}
    assert (await api.post(f"/v1/{path}/pause", json=said)).status_code == 200
    run = await world.run_of(await world.send("shop/order", {"n": 1}))
    return run.run_id


@pytest.mark.parametrize(("kind", "name"), [("functions", SLUG), ("apps", "shop")])
async def test_pause_and_resume(api: httpx.AsyncClient, shop_world: World, kind: str, name: str) -> None:
    """A pause answers how it stands, keeps runs where they are, and is told of a function, a run and why."""
    run_id = await paused_run(api, shop_world, f"{kind}/{name}")
    await shop_world.clock.advance(HOUR_MS)
    noun = kind.removesuffix("s")
    stands = {
        "kind": noun,
        "id": name,
        "state": "paused",
        "text": f"{noun} {name} is paused by ada (the bank is down)",
        "since": START,
        "by": "ada",
        "reason": "the bank is down",
    }
    again = (await api.post(f"/v1/{kind}/{name}/pause")).json()["data"]
    assert again == stands
    function = (await api.get(f"/v1/functions/{SLUG}")).json()["data"]
    assert function == {"id": SLUG, "app_id": "shop", "stands": stands, "running": 0, "queued": 1}
    listed = (await api.get("/v1/apps/shop/functions")).json()["data"]
    assert next(each for each in listed if each["id"] == SLUG)["stands"] == stands
    run = (await api.get(f"/v1/runs/{run_id}")).json()["data"]
    assert (run["status"], run["halt"], run["waiting_for"]) == ("Scheduled", stands, None)
    why = (await api.get(f"/v1/runs/{run_id}/why")).json()["data"]
    assert {key: why[key] for key in ("run_id", "function_id", "status")} == {
        "run_id": run_id,
        "function_id": SLUG,
        "status": "Scheduled",
    }
    assert [(reason["kind"], reason["halt"]) for reason in why["reasons"]] == [("paused", stands)]
    resumed = (await api.post(f"/v1/{kind}/{name}/resume")).json()["data"]
    assert (resumed["state"], resumed["text"]) == ("running", f"{noun} {name} is running")
    await shop_world.step_reached(run_id, "sleeping")
    assert (await api.get(f"/v1/runs/{run_id}")).json()["data"]["halt"] is None


@pytest.mark.parametrize(("kind", "name"), [("functions", SLUG), ("apps", "shop")])
async def test_a_drain_tells_how_many_are_left(api: httpx.AsyncClient, shop_world: World, kind: str, name: str) -> None:
    """Asked for again, it tells how many are left by then."""
    run = await shop_world.run_of(await shop_world.send("shop/order", {"n": 1}))
    await shop_world.step_reached(run.run_id, "sleeping")
    first = (await api.post(f"/v1/{kind}/{name}/drain")).json()["data"]
    assert (first["state"], first["running"], first["queued"]) == ("draining", 1, 0)
    await shop_world.clock.advance(HOUR_MS)
    await shop_world.ended(run.run_id)
    again = (await api.post(f"/v1/{kind}/{name}/drain")).json()["data"]
    assert (again["since"], again["running"]) == (first["since"], 0)
    function = (await api.get(f"/v1/functions/{SLUG}")).json()["data"]
    assert function["stands"]["state"] == "draining"


async def test_why_of_a_sleeping_run(api: httpx.AsyncClient, shop_world: World) -> None:
    """What its steps wait for is told, each with its kind, step and time."""
    run = await shop_world.run_of(await shop_world.send("shop/order", {"n": 1}))
    await shop_world.step_reached(run.run_id, "sleeping")
    await shop_world.clock.advance(0)
    reasons = (await api.get(f"/v1/runs/{run.run_id}/why")).json()["data"]["reasons"]
    at = format_instant(VIRTUAL_START_MS + HOUR_MS)
    told = {"kind": "sleep", "text": f'step "cool-off" sleeps until {at}', "step": "cool-off", "at": at}
    assert told | {"limit": None, "halt": None} in reasons


@pytest.mark.parametrize("action", ["pause", "drain", "resume"])
async def test_unknown_names(api: httpx.AsyncClient, shop_world: World, action: str) -> None:
    """What is not known is refused with the nearest names."""
    answer = await api.post(f"/v1/functions/shop-fulfill/{action}")
    assert answer.status_code == 404
    assert answer.json()["code"] == "function_not_found"
    assert "did you mean shop-fulfil" in answer.json()["error"]
    answer = await api.post(f"/v1/apps/shopp/{action}")
    assert (answer.status_code, answer.json()["code"]) == (404, "app_not_found")


async def test_unknown_runs_and_functions(api: httpx.AsyncClient, shop_world: World) -> None:
    """Nobody says why of what is not there."""
    assert (await api.get(f"/v1/runs/{UNKNOWN_ID}/why")).status_code == 404
    assert (await api.get("/v1/functions/shop-nothing")).status_code == 404


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"who": "ada"}, "there is no member 'who'; the members are by, reason"),
        ({"by": 1}, "by must be a text of 200 characters at most"),
        ({"reason": "x" * 201}, "reason must be a text of 200 characters at most"),
    ],
)
async def test_bad_bodies(api: httpx.AsyncClient, shop_world: World, body: dict[str, Any], error: str) -> None:
    """What is said beside is bounded, and nothing changes when it is refused."""
    answer = await api.post(f"/v1/functions/{SLUG}/pause", json=body)
    assert (answer.status_code, answer.json()["error"]) == (400, error)
    function = (await api.get(f"/v1/functions/{SLUG}")).json()["data"]
    assert function["stands"]["state"] == "running"
