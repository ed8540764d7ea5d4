"""A thousand runs of fifty tenants, two at a time each and twenty in all."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from tests.orchestrator.flow.stage import Called, Play, Stage, a_stage, at_once

TENANTS, RUNS, EACH, ALL = 50, 1_000, 2, 20
LIMITS = [{"limit": EACH, "key": "event.data.tenant"}, {"limit": ALL}]
CALL_MS = 1_000


class Counted:
    """A port that counts what it is asked for."""

    def __init__(self, port: Any, asked: Counter[str]) -> None:
        self._port, self._asked = port, asked

    def __getattr__(self, name: str) -> Any:
        self._asked[name] += 1
        return getattr(self._port, name)


def counting(stage: Stage) -> Counter[str]:
    """What is asked of the gates from now on."""
    asked: Counter[str] = Counter()
    flow = stage.store.flow
    worker = stage.new_worker(flow=replace(flow, gates=Counted(flow.gates, asked)))
    stage.begin_with(worker)
    return asked


def by_tenant(calls: list[Called]) -> list[list[Called]]:
    """The calls of each tenant."""
    return [[call for call in calls if call.event % TENANTS == tenant] for tenant in range(TENANTS)]


async def test_the_limits_hold_and_the_time_is_nearly_ideal() -> None:
    """No tenant has more than two and all have no more than twenty; it takes a tenth longer than it must, at most."""
    async with a_stage("sqlite", Play(lambda _data: CALL_MS), concurrency=LIMITS) as stage:
        await stage.stop()
        asked = counting(stage)
        for number in range(RUNS):
            await stage.send(tenant=f"t{(number + 1) % TENANTS}")
        await stage.until(3 * CALL_MS * RUNS // ALL)
        assert len(stage.calls) == RUNS
        assert stage.most_at_once <= ALL
        assert max(at_once(calls) for calls in by_tenant(stage.calls)) <= EACH
        assert max(call.ended_ms for call in stage.calls) <= 1.1 * CALL_MS * RUNS / ALL
        assert sum(asked.values()) / RUNS <= 21, asked


@pytest.mark.parametrize("death_ms", [1_500, 10_200])
async def test_the_limits_hold_when_a_worker_dies(death_ms: int) -> None:
    """All calls of a worker that dies lose their slots when these run out; the rest go on, and all runs end."""
    async with a_stage("sqlite", Play(lambda _data: CALL_MS), concurrency=LIMITS) as stage:
        for number in range(200):
            await stage.send(tenant=f"t{(number + 1) % TENANTS}")
        await stage.until(death_ms)
        await stage.stop()
        stage.start()
        await stage.until(10 * 60_000)
        assert [header.status for header in await stage.headers()] == ["completed"] * 200
        assert stage.most_at_once <= ALL
        assert max(at_once(calls) for calls in by_tenant(stage.calls)) <= EACH
