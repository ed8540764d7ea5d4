"""Events made to hurt: they are refused, or stored and matched within the budget, and whoever comes after is served."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from stepwell.errors import EventError
from stepwell.wire.registration import Trigger
from stepwell_orchestrator.accepting.ingest import Ingest
from stepwell_orchestrator.fresh_ids import FreshIds
from stepwell_orchestrator.limits import JSON_DEPTH_MAX
from stepwell_orchestrator.model.run import RunStatus
from tests.orchestrator.worker.harness import Script, World
from tests.orchestrator.world import counting_entropy

MEGABYTE = 1_000_000
REFERENCES = 10


def nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {"d": value}
    return value


DEEP = {"x": nested(JSON_DEPTH_MAX - 4)}
KEYS = {"x": {f"key-{number}": number for number in range(100_000)}}
LIST = {"x": [0] * 100_000}
TEXT = {"x": "a" * MEGABYTE}
HUGE = {"x": 10**400}
LONG_NAME = {"x": 1, "a" * MEGABYTE: 1}

BEYOND_THE_BUDGET: list[tuple[str, Mapping[str, Any]]] = [
    ("{}.data.x.all(k, {}.data.x[k] >= 0 && k != '')", KEYS),
    ("{}.data.x.all(a, {}.data.x.all(b, a == b))", LIST),
    ("{}.data.x.map(a, {}.data.x).size() > 0 && {}.data.x.all(a, {}.data.x.all(b, true))", LIST),
    ("!{}.data.x.matches('^(a?){{60}}a{{60}}b$')", TEXT),
    ("[1, 2, 3, 4, 5, 6, 7, 8, 9].all(n, {}.data.x.matches('(a+)+$'))", TEXT),
    ("[1, 2, 3, 4, 5, 6, 7, 8, 9].all(n, {}.data.x + {}.data.x != '')", TEXT),
]
"""Expressions that would be true, and what makes each cost more than an evaluation may."""

WITHIN_THE_BUDGET: list[tuple[str, Mapping[str, Any]]] = [
    ("{}.data.x.matches('(a+)+$')", TEXT),
    ("{}.data.x.startsWith('aaaa')", TEXT),
    ("size({}.data.x) == 1000000", TEXT),
    ("size({}.data.x) == 100000 && {}.data.x['key-99999'] == 99999", KEYS),
    ("{}.data.x == {}.data.x && has({}.data.x.d.d.d)", DEEP),
    ("{}.data.x > 1.5", HUGE),
    ("{}.data.x == 1", LONG_NAME),
]
"""Expressions that such events may well match."""

SMALL = [{"x": {"a": 1}}, {"x": [0] * 9}, {"x": [0] * 9}, {"x": "aaa"}, {"x": "aaa"}, {"x": "aaa"}]
IDS = ["keys", "list", "nested lists", "backtracking", "nested repeats", "concatenation"]


async def a_world(script: Script, **options: Any) -> tuple[World, Ingest]:
    """A world and the way into it."""
    world = World(script, options=options.pop("function_options", None))
    world.function = replace(world.function, triggers=(Trigger("order/created", options.pop("if_", None)),))
    await world.register()
    ids = FreshIds(world.clock, counting_entropy())
    return world, Ingest(world.backend.journal, world.backend.queue, world.clock, ids, world.notices.append)


async def accept(ingest: Ingest, name: str, data: Mapping[str, Any]) -> str:
    """Send one event as bytes, as it would come from outside."""
    (internal_id,) = await ingest.accept(json.dumps({"name": name, "data": data}).encode(), None)
    return internal_id


def waiting(expression: str) -> Script:
    return Script([["wait"]], ops={"wait": ("WaitForEvent", {"event": "tick", "timeout": "1h", "if": expression})})


def about(expression: str, variable: str) -> str:
    """The expression about one variable."""
    return expression.format(*[variable] * REFERENCES)


def or_plain(expression: str, variable: str) -> str:
    """The same with a way for a plain event to match."""
    return f"{variable}.data.plain == true || ({about(expression, variable)})"


@pytest.mark.parametrize(("expression", "data"), BEYOND_THE_BUDGET, ids=IDS)
async def test_a_trigger_that_costs_too_much_does_not_match(expression: str, data: Mapping[str, Any]) -> None:
    """The event is accepted and starts nothing; the next one starts its run."""
    world, ingest = await a_world(Script([]), if_=or_plain(expression, "event"))
    await accept(ingest, "order/created", data)
    await world.settle()
    assert await world.headers() == []
    assert await world.backend.queue.next_at_ms() is None
    await accept(ingest, "order/created", {"plain": True})
    await world.settle()
    assert [header.status for header in await world.headers()] == [RunStatus.COMPLETED]


@pytest.mark.parametrize(("expression", "data"), BEYOND_THE_BUDGET, ids=IDS)
async def test_a_wait_that_costs_too_much_does_not_match(expression: str, data: Mapping[str, Any]) -> None:
    """The run goes on waiting and is resumed by the next event, and the costly one is looked at once."""
    world, ingest = await a_world(waiting(or_plain(expression, "async")))
    await accept(ingest, "order/created", {})
    await world.settle()
    await accept(ingest, "tick", data)
    await world.settle()
    assert (await world.run()).header.status is RunStatus.RUNNING
    await accept(ingest, "tick", {"plain": True})
    await world.settle()
    assert (await world.entry("wait")).memo["data"] == {"plain": True}
    assert len(world.handled) == len(set(world.handled)), "nothing was handed out twice"


@pytest.mark.parametrize(
    ("expression", "small"),
    [(expression, small) for (expression, _), small in zip(BEYOND_THE_BUDGET, SMALL, strict=True)],
    ids=IDS,
)
async def test_it_is_the_cost_that_stands_in_the_way(expression: str, small: Mapping[str, Any]) -> None:
    """The same expressions hold for a little of the same data."""
    world, ingest = await a_world(Script([]), if_=about(expression, "event"))
    await accept(ingest, "order/created", small)
    await world.settle()
    assert [header.status for header in await world.headers()] == [RunStatus.COMPLETED]


async def test_an_event_that_costs_too_much_cancels_nothing_and_is_no_repeat() -> None:
    """A costly idempotency key is none, and a costly cancellation leaves the run alone."""
    key = "event.data.x.all(a, event.data.x.all(b, a == b))"
    cancel = [{"event": "tick", "if": "async.data.x == event.data.x"}]
    world, ingest = await a_world(
        Script([["sleep:1h"]]), function_options={"idempotency": key, "cancel": cancel, "timeouts": {"finish": "2h"}}
    )
    for _ in range(2):
        await accept(ingest, "order/created", {"x": [0] * 100_001})
    await world.settle()
    await accept(ingest, "tick", {"x": [0] * 100_001 + [1]})
    await accept(ingest, "tick", DEEP)
    await world.settle()
    assert [header.status for header in await world.headers()] == [RunStatus.RUNNING] * 2


@pytest.mark.parametrize(("expression", "data"), WITHIN_THE_BUDGET)
async def test_a_large_event_may_match(expression: str, data: Mapping[str, Any]) -> None:
    """Deep nesting, many keys, long texts and names, and integers of any size are data like any other."""
    world, ingest = await a_world(waiting(about(expression, "async")), if_=about(expression, "event"))
    await accept(ingest, "order/created", data)
    await world.settle()
    await accept(ingest, "tick", data)
    await world.settle()
    assert (await world.entry("wait")).memo["data"] == data
    assert (await world.run()).header.status is RunStatus.COMPLETED


@pytest.mark.parametrize("value", [DEEP["x"], KEYS["x"], LIST["x"], TEXT["x"], None, -0.0, 2**53 + 1, 1e308, "1"])
async def test_a_hostile_value_under_an_index_matches_nothing_else(value: Any) -> None:
    """Where waits are found by a value, an event with any other value there resumes none, and the right one does."""
    world, ingest = await a_world(waiting("event.data.x == async.data.x && async.data.name != 'no'"))
    await accept(ingest, "order/created", {"x": 1})
    await world.settle()
    await accept(ingest, "tick", {"x": value})
    await world.settle()
    assert (await world.run()).header.status is RunStatus.RUNNING
    await accept(ingest, "tick", {"x": 1})
    await world.settle()
    assert (await world.run()).header.status is RunStatus.COMPLETED


@pytest.mark.parametrize("value", [10**400, -(10**4_000)], ids=["large", "larger"])
async def test_an_integer_of_any_size_under_an_index_is_no_match(value: int) -> None:
    """An arriving integer that is no double is looked up like any other value and found nowhere."""
    world, ingest = await a_world(waiting("event.data.x == async.data.x"))
    await accept(ingest, "order/created", {"x": 1})
    await world.settle()
    await accept(ingest, "tick", {"x": value})
    await world.settle()
    assert (await world.run()).header.status is RunStatus.RUNNING


@pytest.mark.parametrize("value", [DEEP["x"], KEYS["x"], TEXT["x"], 10**400, None], ids=type)
async def test_a_hostile_trigger_can_wait_and_be_cancelled(value: Any) -> None:
    """A run whose own event is hostile waits for an event about the same value, and is resumed by it."""
    condition = "event.data.x == async.data.x"
    options = {"cancel": [{"event": "stop", "if": condition}]}
    world, ingest = await a_world(waiting(condition), function_options=options)
    await accept(ingest, "order/created", {"x": value})
    await accept(ingest, "order/created", {"x": value, "other": True})
    await world.settle()
    await accept(ingest, "tick", {"x": value})
    await world.settle()
    assert {header.status for header in await world.headers()} == {RunStatus.COMPLETED}


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b'{"name": "a", "data": ' + b'{"d":' * 300 + b"1" + b"}" * 301, "nested more than 200 levels"),
        (b'{"name": "a", "data": ' + b'{"d":' * 200_000 + b"1" + b"}" * 200_001, "malformed JSON"),
        (b'{"name": "a", "data": {"l": ' + b"[" * 200_000 + b"]" * 200_000 + b"}}", "malformed JSON"),
        (b'{"name": "a", "data": {"n": ' + b"9" * 5_000 + b"}}", "malformed JSON"),
        (b'{"name": "a", "data": {"n": 1e999}}', "malformed JSON"),
        (b'{"name": "a", "data": {"t": "\\ud800"}}', "malformed JSON"),
        (b'{"name": "a", "data": {"t": "' + b"a" * 3_200_000 + b'"}}', "Event is over the max size"),
        (b'{"name": "a", "data": {"t": "\xff"}}', "malformed JSON"),
    ],
    ids=["deep", "deeper", "deep list", "long integer", "infinity", "half a pair", "large", "not UTF-8"],
)
async def test_what_no_worker_could_bear_is_refused(body: bytes, why: str) -> None:
    """Such a body is refused in one line that says what is wrong, and nothing of it is stored or queued."""
    world, ingest = await a_world(Script([]))
    with pytest.raises(EventError) as refusal:
        await ingest.accept(body, None)
    assert why in str(refusal.value)
    assert len(str(refusal.value)) < 300
    assert await world.backend.queue.next_at_ms() is None
    assert await world.events_named("a") == []
