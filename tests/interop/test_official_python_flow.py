"""Debounces and batches of an app of the official Python package: registered as it sends them, and run here."""

from __future__ import annotations

import datetime as dt
from typing import Any

import inngest

from stepwell_orchestrator.model.notice import NoticeKind
from tests.interop.official import official

SECOND = dt.timedelta(seconds=1)
LONG = dt.timedelta(seconds=60)
LARGE = "x" * 700_000
"""Seven events of it are too large for one call request, so that the package fetches them."""


def flow_functions(client: inngest.Inngest) -> list[Any]:
    """A function that debounces, and two that batch."""

    @client.create_function(
        fn_id="index",
        trigger=inngest.TriggerEvent(event="official/edited"),
        debounce=inngest.Debounce(period=SECOND, key="event.data.doc"),
    )
    async def index(ctx: inngest.Context) -> list[Any]:
        return [event.data["version"] for event in ctx.events]

    @client.create_function(
        fn_id="send",
        trigger=inngest.TriggerEvent(event="official/due"),
        batch_events=inngest.Batch(max_size=7, timeout=LONG),
    )
    async def send(ctx: inngest.Context) -> list[Any]:
        async def numbers() -> list[Any]:
            return [event.data["n"] for event in ctx.events]

        return [await ctx.step.run("numbers", numbers), ctx.event.data["n"]]

    @client.create_function(
        fn_id="soon",
        trigger=inngest.TriggerEvent(event="official/soon"),
        batch_events=inngest.Batch(max_size=7, timeout=SECOND),
    )
    async def soon(ctx: inngest.Context) -> list[Any]:
        return [event.data["n"] for event in ctx.events]

    return [index, send, soon]


async def test_a_debounce_runs_the_last_event_of_each_key() -> None:
    """Of three events of one key the last one runs; another key has its own run."""
    async with official(flow_functions) as server:
        events = [await server.send("official/edited", {"doc": "a", "version": n}) for n in (1, 2, 3)]
        other = await server.send("official/edited", {"doc": "b", "version": 9})
        assert (await server.ended(events[-1])).output == [3]
        assert (await server.ended(other)).output == [9]
        assert [await server.get(f"/v1/events/{event}/runs") for event in events[:-1]] == [[], []]
        assert server.calls_by_function() == {"official-index": 2}


async def test_a_batch_has_all_its_events_also_those_that_are_fetched() -> None:
    """Seven large events run together, in order, through ``use_api``; each leads to the run."""
    async with official(flow_functions) as server:
        events = [await server.send("official/due", {"n": n, "large": LARGE}) for n in range(7)]
        ended = await server.ended(events[-1])
        assert ended.output == [[0, 1, 2, 3, 4, 5, 6], 0]
        assert {(await server.run_of(event))["run_id"] for event in events} == {ended.run_id}


async def test_a_batch_that_is_not_full_runs_after_its_timeout() -> None:
    """What came within a second of the first event."""
    async with official(flow_functions) as server:
        events = [await server.send("official/soon", {"n": n}) for n in range(2)]
        await server.watcher.told(NoticeKind.EVENT_WAITING, "official-soon", 2)
        assert (await server.ended(events[0])).output == [0, 1]
