"""Running a run again from a step, as it is asked for over HTTP, with the real adapter."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

import stepwell
from stepwell.wire.ids import hash_step_id
from stepwell.wire.times import HOUR_MS
from tests.orchestrator.world import World, running_world

CHARGED: list[tuple[int, str]] = []


def bakery() -> stepwell.App:
    """An app whose second step can be given other arguments."""
    app = stepwell.App("bakery", dev=True)

    @app.function(on="bakery/order", retries=0)
    async def bake(ctx: stepwell.Context) -> dict[str, Any]:
        def charge(amount: int, currency: str) -> str:
            CHARGED.append((amount, currency))
            return f"{amount} {currency}"

        price = await ctx.step.run("price", lambda: len(CHARGED))
        paid = await ctx.step.run("charge", charge, 5, "EUR")
        await ctx.step.sleep("rise", "1h")
        return {"price": price, "paid": paid}

    return app


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """An engine that serves the bakery."""
    CHARGED.clear()
    async with running_world(bakery()) as world:
        yield world


async def ended_run(world: World) -> str:
    run = await world.run_of(await world.send("bakery/order"))
    await world.step_reached(run.run_id, "sleeping")
    await world.clock.advance(HOUR_MS)
    await world.ended(run.run_id)
    return run.run_id


async def output(world: World, client: httpx.AsyncClient, run_id: str) -> Any:
    await world.step_reached(run_id, "sleeping")
    await world.clock.advance(HOUR_MS)
    await world.ended(run_id)
    return (await client.get(f"/v1/runs/{run_id}")).json()["data"]["output"]


@pytest.mark.parametrize("step", ["charge", hash_step_id("charge")])
async def test_the_step_runs_with_its_own_arguments(world: World, step: str) -> None:
    """From a step on, named as in the code or by its hash, the function runs again; what came before stays."""
    async with world.client() as client:
        original = await ended_run(world)
        answer = await client.post(f"/v1/runs/{original}/rerun", json={"fromStep": {"stepId": step}})
        assert await output(world, client, answer.json()["data"]["run_id"]) == {"price": 0, "paid": "5 EUR"}
    assert CHARGED == [(5, "EUR")] * 2


async def test_the_step_runs_with_other_arguments(world: World) -> None:
    """The step at which the rerun begins gets the arguments that were sent."""
    async with world.client() as client:
        original = await ended_run(world)
        start = {"step_id": "charge", "input": [9, "GBP"]}
        answer = await client.post(f"/v1/runs/{original}/rerun", json={"from_step": start})
        rerun = answer.json()["data"]["run_id"]
        assert await output(world, client, rerun) == {"price": 0, "paid": "9 GBP"}
        rows = (await client.get(f"/v1/runs/{rerun}/trace")).json()["data"]
    assert CHARGED == [(5, "EUR"), (9, "GBP")]
    assert [(row["name"], row["started_at"] is None) for row in rows] == [
        ("price", True),
        ("charge", False),
        ("rise", False),
    ]


@pytest.mark.parametrize(
    ("start", "status", "error"),
    [
        ("charge", 400, "fromStep must be an object"),
        ({}, 400, "fromStep.stepId must name a step"),
        ({"stepId": "charge", "input": {"amount": 1}}, 400, "fromStep.input must be a list"),
        ({"stepId": "bake"}, 404, "the run has no step 'bake'; it has price, charge, rise"),
        ({"stepId": "rise", "input": [1]}, 400, 'step "rise" takes no arguments: it is Sleep'),
        ({"stepId": "charge", "input": ["x" * 200_000]}, 413, "the arguments are 200004 bytes"),
    ],
)
async def test_a_bad_start_changes_nothing(world: World, start: Any, status: int, error: str) -> None:
    """A start that cannot be understood, or is not there, is refused with the reason, and no run is made."""
    async with world.client() as client:
        original = await ended_run(world)
        answer = await client.post(f"/v1/runs/{original}/rerun", json={"fromStep": start})
        assert (answer.status_code, answer.json()["error"].startswith(error)) == (status, True), answer.text
        assert len((await client.get("/v1/runs")).json()["data"]) == 1


async def test_a_run_that_goes_on_is_not_run_from_a_step(world: World) -> None:
    """While the original goes on, what comes before a step may still grow: it has to end first."""
    async with world.client() as client:
        run = await world.run_of(await world.send("bakery/order"))
        await world.step_reached(run.run_id, "sleeping")
        answer = await client.post(f"/v1/runs/{run.run_id}/rerun", json={"fromStep": {"stepId": "charge"}})
    assert (answer.status_code, answer.json()["code"]) == (409, "run_not_ended")


async def test_a_body_that_is_no_object_is_refused(world: World) -> None:
    """A rerun's body is an object or nothing."""
    async with world.client() as client:
        original = await ended_run(world)
        assert (await client.post(f"/v1/runs/{original}/rerun", content=b"[]")).status_code == 400
        assert (await client.post(f"/v1/runs/{original}/rerun", content=b"{")).status_code == 400
        assert (await client.post(f"/v1/runs/{original}/rerun", content=b" ")).status_code == 200
