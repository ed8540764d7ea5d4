"""Why a run is not running."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell_orchestrator.controlling.waiting_for import WaitingFor, WaitsOfRuns
from stepwell_orchestrator.entry.virtual_clock import VIRTUAL_START_MS
from stepwell_orchestrator.views.waiting_view import waiting_body
from tests.orchestrator.flow.stage import Stage, a_stage

BOTH = pytest.mark.parametrize("store", ["sqlite", "dynamodb"])


async def told(stage: Stage) -> list[WaitingFor | None]:
    """What each run waits for, the oldest first."""
    waits = WaitsOfRuns(stage.store.flow, stage.store.registry, stage.clock)
    return [await waits.of(header) for header in await stage.headers()]


async def three_in_turn(stage: Stage, **data: Any) -> None:
    """Three events, a millisecond after each other."""
    for number in range(3):
        await stage.until(number)
        await stage.send(**data)
    await stage.until(10)


@BOTH
async def test_a_waiting_run_says_for_which_slots_it_waits(store: str) -> None:
    """The limit, its key, who has the slot, how many stand before it, and when it is looked at again at the latest."""
    async with a_stage(store, concurrency=[{"limit": 1, "key": "event.data.tenant"}]) as stage:
        await three_in_turn(stage, tenant="acme")
        first = (await stage.headers())[0].run_id
        again_at_ms = VIRTUAL_START_MS + 10 + 60_000
        limit = "calls fn event.data.tenant"
        assert await told(stage) == [
            None,
            WaitingFor(limit, "acme", 1, (first,), 0, again_at_ms),
            WaitingFor(limit, "acme", 1, (first,), 1, again_at_ms),
        ]


@BOTH
async def test_a_throttled_run_says_when_the_next_one_starts(store: str) -> None:
    """Nobody holds a start; the next one is let through at a known time."""
    async with a_stage(store, throttle={"limit": 1, "period": "3s"}) as stage:
        await three_in_turn(stage)
        next_ms = VIRTUAL_START_MS + 3_000
        assert (await told(stage))[1:] == [
            WaitingFor("starts fn", "", 1, (), 0, next_ms),
            WaitingFor("starts fn", "", 1, (), 1, next_ms),
        ]


async def test_a_run_without_a_limit_waits_for_none() -> None:
    """Neither does one that has ended."""
    async with a_stage("sqlite") as stage:
        await three_in_turn(stage)
        assert await told(stage) == [None] * 3
        await stage.until(5_000)
        assert await told(stage) == [None] * 3


def test_what_is_told_over_the_api() -> None:
    """The times are instants, the holders a list; a run that waits for nothing says so."""
    waiting = WaitingFor("calls fn", "acme", 2, ("one", "other"), 3, VIRTUAL_START_MS)
    assert waiting_body(None) is None
    assert waiting_body(waiting) == {
        "text": "waits at a limit: 2 calls at a time; held by one, other; 3 before it in line; "
        "looked at again by 2026-01-01T00:00:00.000Z",
        "limit": "calls fn",
        "key": "acme",
        "most": 2,
        "holders": ["one", "other"],
        "ahead": 3,
        "again_at": "2026-01-01T00:00:00.000Z",
    }
