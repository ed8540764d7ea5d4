from __future__ import annotations

from dataclasses import replace

from stepwell.wire.registration import Trigger
from tests.orchestrator.scripted import client_of
from tests.orchestrator.worker.harness import SLUG, Script, World


async def scheduled() -> World:
    """A function with two schedules and an event."""
    world = World(Script([]), others={"shop-other": Script([])})
    crons = (Trigger(cron="TZ=Europe/London 0 9 * * 1", jitter="10s"), Trigger(cron="@daily", missed="last"))
    world.function = replace(world.function, triggers=(Trigger("order/created"), *crons))
    await world.register()
    return world


async def test_schedules_are_listed_with_their_next_ticks():
    """Each schedule of each function has its next ticks, in UTC and by the clocks of its zone."""
    async with client_of(await scheduled()) as client:
        answer = (await client.get("/v1/crons", params={"limit": 2})).json()["data"]
    assert answer == [
        {
            "function_id": SLUG,
            "app_id": "shop",
            "cron": "TZ=Europe/London 0 9 * * 1",
            "tz": "Europe/London",
            "jitter_ms": 10_000,
            "missed": "skip",
            "next": [
                {"at": "2026-01-05T09:00:00.000Z", "local": "2026-01-05T09:00:00+00:00"},
                {"at": "2026-01-12T09:00:00.000Z", "local": "2026-01-12T09:00:00+00:00"},
            ],
        },
        {
            "function_id": SLUG,
            "app_id": "shop",
            "cron": "@daily",
            "tz": "UTC",
            "jitter_ms": 0,
            "missed": "last",
            "next": [
                {"at": "2026-01-02T00:00:00.000Z", "local": "2026-01-02T00:00:00+00:00"},
                {"at": "2026-01-03T00:00:00.000Z", "local": "2026-01-03T00:00:00+00:00"},
            ],
        },
    ]


async def test_schedules_of_one_function_or_app():
    """Schedules can be asked for by function and by app; a bad number of ticks is refused."""
    async with client_of(await scheduled()) as client:
        assert len((await client.get("/v1/crons", params={"function_id": SLUG})).json()["data"]) == 2
        assert (await client.get("/v1/crons", params={"function_id": "shop-other"})).json()["data"] == []
        assert (await client.get("/v1/crons", params={"app_id": "other"})).json()["data"] == []
        assert (await client.get("/v1/crons", params={"limit": 0})).status_code == 400
