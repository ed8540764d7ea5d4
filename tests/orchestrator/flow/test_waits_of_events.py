"""What an event says it waits for."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from stepwell_orchestrator.controlling.waits_of_events import EventWait, WaitsOfEvents
from stepwell_orchestrator.entry.virtual_clock import VIRTUAL_START_MS
from stepwell_orchestrator.model.event import Event
from tests.orchestrator.flow.mortal import route
from tests.orchestrator.flow.stage import SLUG, Stage, a_stage

BATCH = {"maxSize": 3, "timeout": "10s", "key": "event.data.user", "if": "event.data.small != false"}


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    """A stage on which nobody works, with a function that batches, one that debounces and one that does neither."""
    others = {"shop-last": {"debounce": {"period": "5s"}}, "shop-plain": {}}
    async with a_stage("sqlite", others=others, batchEvents=BATCH) as opened:
        await opened.stop()
        yield opened


async def waits(stage: Stage, event: Event) -> list[EventWait]:
    """What an event waits for."""
    return await WaitsOfEvents(stage.store.flow, stage.store.registry, stage.clock).of(event)


async def sent(stage: Stage, at_ms: int, **data: object) -> Event:
    """An event that was sent and routed."""
    (event,) = await stage.send_at(at_ms, **data)
    await route(stage, event)
    return event


async def test_an_event_says_for_how_many_and_for_what_and_until_when(stage: Stage) -> None:
    """Of a batch how many there are, of a debounce which event will run, of both until when and the key."""
    first = await sent(stage, 0, user="ada")
    second = await sent(stage, 1_000, user="ada")
    batch = EventWait(SLUG, "batch", "ada", VIRTUAL_START_MS + 10_000, events=2, most=3)
    debounce = EventWait("shop-last", "debounce", "", VIRTUAL_START_MS + 6_000)
    superseded = EventWait("shop-last", "debounce", "", VIRTUAL_START_MS + 6_000, superseded_by=second.internal_id)
    assert {wait.option: wait for wait in await waits(stage, first)} == {"batch": batch, "debounce": superseded}
    assert {wait.option: wait for wait in await waits(stage, second)} == {"batch": batch, "debounce": debounce}


async def test_an_event_that_runs_waits_for_nothing(stage: Stage) -> None:
    """Neither one that the batch's condition lets run alone, nor one whose batch is full, nor one that was run."""
    alone = await sent(stage, 0, user="ada", small=False)
    assert [wait.option for wait in await waits(stage, alone)] == ["debounce"]
    for at_ms in range(1, 4):
        last = await sent(stage, at_ms, user="bob")
    assert [wait.option for wait in await waits(stage, last)] == ["debounce"]
    stage.start()
    await stage.until(60_000)
    assert await waits(stage, last) == []
    await stage.stop()
    await sent(stage, 70_000, user="eve")
    assert await waits(stage, last) == []
