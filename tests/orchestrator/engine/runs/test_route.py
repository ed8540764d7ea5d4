"""An event starts a function at most once, and only where a trigger accepts it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stepwell.wire.registration import Trigger
from stepwell_orchestrator.engine.runs.route import patterns, route, starts_at_ms
from stepwell_orchestrator.engine.runs.starting import idempotency_keys
from tests.orchestrator.engine.builders import FUNCTION, NOW_MS, event


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("plain", {"plain"}),
        ("a/b.c", {"a/b.c", "a/*", "a/b.*"}),
        ("a/b/c.d.e", {"a/b/c.d.e", "a/*", "a/b/*", "a/b/c.*", "a/b/c.d.*"}),
    ],
)
def test_the_names_an_event_answers_to(name: str, expected: set[str]) -> None:
    """Wildcards follow a slash or a dot, at every level."""
    assert set(patterns(name)) == expected


@pytest.mark.parametrize(
    ("triggers", "started"),
    [
        ([Trigger("order/created")], 1),
        ([Trigger("order/*")], 1),
        ([Trigger("order/created"), Trigger("order/*")], 1),
        ([Trigger("order/paid")], 0),
        ([Trigger(cron="0 9 * * 1")], 0),
        ([Trigger("order/created", "event.data.total > 100")], 1),
        ([Trigger("order/created", "event.data.total > 1000")], 0),
        ([Trigger("order/created", "event.data.total > 1000"), Trigger("order/*")], 1),
        ([Trigger("order/created", "event.data.missing.deeper == 1")], 0),
        ([Trigger("order/created", "event.data.total")], 0),
        ([], 0),
    ],
)
def test_one_run_a_function(triggers: list[Trigger], started: int) -> None:
    """The first trigger that matches wins; an expression that fails or is no boolean does not match."""
    function = replace(FUNCTION, triggers=tuple(triggers))
    assert len(route(event(total=500), [function], NOW_MS)) == started


def test_run_ids_depend_on_event_and_function_alone() -> None:
    """Routing twice makes the same run, another function another one, both at the event's receipt time."""
    function = replace(FUNCTION, triggers=(Trigger("order/created"),))
    other = replace(function, slug="shop-other")
    first, second = route(event(), [function, other], NOW_MS)
    assert route(event(), [function], NOW_MS + 999)[0].run_id == first.run_id
    assert first.run_id != second.run_id
    assert first.run_id[:10] == second.run_id[:10]


@pytest.mark.parametrize(
    ("changes", "options", "count"),
    [
        ({}, {}, 0),
        ({"id": "order-7"}, {}, 1),
        ({}, {"idempotency": "event.data.order"}, 1),
        ({"id": "order-7"}, {"idempotency": "event.data.order"}, 2),
        ({}, {"idempotency": "event.data.missing"}, 0),
    ],
)
def test_what_makes_an_event_a_repeat(changes: dict[str, str], options: dict[str, str], count: int) -> None:
    """The sender's own id does, and the value of the function's expression; a missing value does not."""
    keys = idempotency_keys(replace(event(order=7), **changes), replace(FUNCTION, options=options), NOW_MS)
    assert len(set(keys)) == count


def test_keys_are_a_functions_own() -> None:
    """The same event id is no repeat for another function."""
    mine, other = (
        idempotency_keys(replace(event(), id="x"), replace(FUNCTION, slug=slug), NOW_MS) for slug in ("a", "b")
    )
    assert not set(mine) & set(other)


@pytest.mark.parametrize(("ahead_ms", "delay_ms"), [(-5_000, 0), (0, 0), (2_000, 0), (2_001, 2_001), (60_000, 60_000)])
def test_a_future_event_starts_its_runs_then(ahead_ms: int, delay_ms: int) -> None:
    """Two seconds of clock skew count as now."""
    assert starts_at_ms(replace(event(), ts_ms=NOW_MS + ahead_ms), NOW_MS) == NOW_MS + delay_ms
