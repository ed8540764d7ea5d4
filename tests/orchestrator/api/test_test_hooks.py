"""Changing one function's limits in a dev server, as tests of SDKs do (protocol 7.1)."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

import stepwell
from tests.orchestrator.world import World, running_world


def counter() -> stepwell.App:
    """An app with two functions of three steps."""
    app = stepwell.App("counter", dev=True)
    for name in ("one", "other"):

        @app.function(id=name, on=f"count/{name}", retries=0)
        async def count(ctx: stepwell.Context) -> int:
            return sum([await ctx.step.run(f"step-{number}", lambda: 1) for number in range(3)])

    return app


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """An engine that serves the counter."""
    async with running_world(counter()) as world:
        yield world


async def failure(world: World, name: str) -> str | None:
    """The name of the error that a run ended with."""
    run = await world.run_of(await world.send(f"count/{name}"))
    outcome = (await world.ended(run.run_id)).outcome
    return None if outcome is None or outcome.error is None else str(outcome.error["name"])


@pytest.mark.parametrize(
    ("path", "limit", "error"),
    [
        ("/fn/step-limit", "2", "InngestErrFunctionOverflowed"),
        ("/fn/state-size-limit", "20", "InngestErrStateOverflowed"),
    ],
)
@pytest.mark.parametrize("as_form", [True, False])
async def test_a_limit_is_changed_for_one_function(
    world: World, path: str, limit: str, error: str, as_form: bool
) -> None:
    """A changed limit fails that function's runs, no other's, and none once it is taken back."""
    values = {"functionId": "counter-one", "limit": limit}
    async with world.client() as client:
        answer = await (client.post(path, data=values) if as_form else client.post(path, params=values))
        assert answer.status_code == 200
        assert [await failure(world, name) for name in ("one", "other")] == [error, None]
        again = await client.delete(path, params={"functionId": "counter-one"})
        assert again.status_code == 200
    assert await failure(world, "one") is None


@pytest.mark.parametrize(
    ("values", "status", "error"),
    [
        ({"limit": "1"}, 404, "functionId: there is no function ''"),
        ({"functionId": "x", "limit": "1"}, 404, "functionId: there is no function 'x'"),
        ({"functionId": "counter-one"}, 400, "limit must be a whole number"),
        ({"functionId": "counter-one", "limit": "-1"}, 400, "limit must be a whole number"),
        ({"functionId": "counter-one", "limit": "0"}, 400, "limit must be a whole number"),
    ],
)
async def test_bad_changes(world: World, values: dict[str, str], status: int, error: str) -> None:
    """A change that cannot be understood is refused with the reason and changes nothing."""
    async with world.client() as client:
        answer = await client.post("/fn/step-limit", data=values)
    assert (answer.status_code, answer.json()["error"].startswith(error)) == (status, True)
    assert await failure(world, "one") is None


async def test_a_cloud_server_has_no_hooks(world: World) -> None:
    """On a server of the other kind there is nothing to change."""
    async with world.client(kind="cloud", signing_keys=("signkey-test-00",)) as client:
        headers: httpx.Headers = httpx.Headers({"authorization": "Bearer signkey-test-00"})
        answer = await client.post("/fn/step-limit?functionId=counter-one&limit=1", headers=headers)
    assert answer.status_code == 404
