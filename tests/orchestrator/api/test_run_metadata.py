"""What authors note about their runs: kept, shown wherever a run's steps are, and bounded (protocol 7.2)."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from stepwell.wire.ids import hash_step_id
from stepwell.wire.times import HOUR_MS, SECOND_MS, format_instant
from stepwell_orchestrator.api import run_metadata
from stepwell_orchestrator.entry.virtual_clock import VIRTUAL_START_MS
from tests.orchestrator.world import UNKNOWN_ID, World

START = format_instant(VIRTUAL_START_MS)
FETCH = hash_step_id("fetch-user")


async def a_run(world: World) -> str:
    """A run of the shop's that has done its first step and sleeps."""
    run = await world.run_of(await world.send("shop/order"))
    await world.step_reached(run.run_id, "sleeping")
    return run.run_id


def update(kind: str = "userland.default", op: str = "set", **values: Any) -> dict[str, Any]:
    return {"kind": kind, "op": op, "values": values}


async def note(api: httpx.AsyncClient, run_id: str, *updates: Any, **target: Any) -> httpx.Response:
    """Send updates about a run or a step of it."""
    body = {"target": {"run_id": run_id, **target}, "metadata": list(updates)}
    return await api.post(f"/v1/runs/{run_id}/metadata", json=body)


async def noted(api: httpx.AsyncClient, run_id: str) -> list[dict[str, Any]]:
    """What the API shows."""
    found: list[dict[str, Any]] = (await api.get(f"/v1/runs/{run_id}/metadata")).json()["data"]
    return found


async def test_an_update_is_kept_and_answered_without_a_body(api: httpx.AsyncClient, shop_world: World) -> None:
    """What is set is shown with its scope, its kind and when; the answer is an empty 200, as SDKs expect it."""
    run_id = await a_run(shop_world)
    answer = await note(api, run_id, update(foreign=1))
    assert (answer.status_code, answer.content) == (200, b"")
    expected = {"scope": "run", "step_id": None, "kind": "userland.default", "values": {"foreign": 1}}
    assert await noted(api, run_id) == [expected | {"updated_at": START}]


async def test_set_replaces_and_merge_adds(api: httpx.AsyncClient, shop_world: World) -> None:
    """Updates of one kind and scope are combined in the order in which they came; other kinds stay apart."""
    run_id = await a_run(shop_world)
    for updates in [update(a=1, b=1)], [update(op="merge", b=2)], [update("userland.k", x=1)], [update("userland.k")]:
        assert (await note(api, run_id, *updates)).status_code == 200
        await shop_world.clock.advance(SECOND_MS)
    assert [(one["kind"], one["values"]) for one in await noted(api, run_id)] == [
        ("userland.default", {"a": 1, "b": 2}),
        ("userland.k", {}),
    ]


@pytest.mark.parametrize(
    ("target", "scope", "step_id"),
    [
        ({"step_id": "fetch-user"}, "step", FETCH),
        ({"step_id": FETCH, "step_attempt": 0}, "step_attempt", FETCH),
        ({"step_id": "x", "step_index": 2}, "step", hash_step_id("x:2")),
        ({"step_id": "fetch-user", "span_id": "s"}, "extended_trace", FETCH),
    ],
)
async def test_a_step_is_named_as_authors_or_as_the_wire_names_it(
    api: httpx.AsyncClient, shop_world: World, target: dict[str, Any], scope: str, step_id: str
) -> None:
    """By the id in the code, with its repetition, or by its hash."""
    run_id = await a_run(shop_world)
    await note(api, run_id, update(a=1), **target)
    assert [(one["scope"], one["step_id"]) for one in await noted(api, run_id)] == [(scope, step_id)]


async def test_spans_show_what_is_noted_of_them(api: httpx.AsyncClient, shop_world: World) -> None:
    """The run's own stands at its root, a step's at the step, in GraphQL and in REST v2 alike."""
    run_id = await a_run(shop_world)
    await note(api, run_id, update(of="run"))
    await note(api, run_id, update(of="step"), step_id="fetch-user")
    span = "metadata { scope kind values updatedAt }"
    query = f'{{ run(runID: "{run_id}") {{ trace(preview: true) {{ {span} childrenSpans {{ {span} }} }} }} }}'
    body = (await api.post("/v0/gql", json={"query": query})).json()
    trace = body["data"]["run"]["trace"]
    root = {"scope": "run", "kind": "userland.default", "values": {"of": "run"}, "updatedAt": START}
    step = root | {"scope": "step", "values": {"of": "step"}}
    assert (trace["metadata"], [child["metadata"] for child in trace["childrenSpans"]]) == ([root], [[step], []])
    rest = (await api.get(f"/v2/runs/{run_id}/trace")).json()["data"]["rootSpan"]
    assert (rest["metadata"], [child["metadata"] for child in rest["children"]]) == ([root], [[step], []])


async def test_a_run_that_has_ended_takes_metadata_too(api: httpx.AsyncClient, shop_world: World) -> None:
    """A score is given when the result is there; nothing is started or listed by it."""
    run_id = await a_run(shop_world)
    await shop_world.clock.advance(HOUR_MS)
    await shop_world.ended(run_id)
    before = (await api.get("/v1/events")).json()["data"]
    assert (await note(api, run_id, update("inngest.score", good=0.5))).status_code == 200
    assert [one["values"] for one in await noted(api, run_id)] == [{"good": 0.5}]
    assert (await api.get("/v1/events")).json()["data"] == before


GOOD = {"kind": "k", "op": "set", "values": {}}


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, 'the body must be like {"target": {"run_id": ...}'),
        ({"target": {}, "metadata": []}, "the body must be like"),
        ({"target": 1, "metadata": [GOOD]}, "the body must be like"),
        ({"target": {"run_id": UNKNOWN_ID}, "metadata": [GOOD]}, "target.run_id is not the run of the path"),
        ({"target": {"step_id": 1}, "metadata": [GOOD]}, "target.step_id must be a text"),
        ({"target": {"step_id": "a", "step_index": "1"}, "metadata": [GOOD]}, "target.step_index a whole number"),
        ({"target": {}, "metadata": [1]}, "metadata[0] must be an object"),
        ({"target": {}, "metadata": [GOOD, GOOD | {"kind": ""}]}, "metadata[1].kind must be a text of 1 to 255"),
        ({"target": {}, "metadata": [GOOD | {"op": "add"}]}, 'metadata[0].op must be "set" or "merge", got \'add\''),
        ({"target": {}, "metadata": [GOOD | {"values": 1}]}, "metadata[0].values must be an object"),
    ],
)
async def test_a_bad_update_is_refused(api: httpx.AsyncClient, shop_world: World, body: Any, says: str) -> None:
    """One line says what is wrong, with 400, and nothing is kept."""
    run_id = await a_run(shop_world)
    answer = await api.post(f"/v1/runs/{run_id}/metadata", json=body)
    assert (answer.status_code, says in answer.json()["error"]) == (400, True), answer.text
    assert "\n" not in answer.json()["error"]
    assert await noted(api, run_id) == []


async def test_a_run_keeps_so_many_updates(
    api: httpx.AsyncClient, shop_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond them an update is refused with what to do; those before it stay."""
    monkeypatch.setattr(run_metadata, "METADATA_UPDATES_MAX", 2)
    run_id = await a_run(shop_world)
    answers = [await note(api, run_id, update(n=number)) for number in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 409]
    assert "2 updates of its metadata, the most that are kept; note less often" in answers[-1].json()["error"]
    assert len(await noted(api, run_id)) == 1


async def test_what_is_too_large_or_about_no_run_is_refused(api: httpx.AsyncClient, shop_world: World) -> None:
    """413 for a large body, 404 for a run that there is not, 400 for what is no run id."""
    run_id = await a_run(shop_world)
    assert (await note(api, run_id, update(a="x" * 65_536))).status_code == 413
    assert (await note(api, UNKNOWN_ID, update(a=1))).status_code == 404
    assert (await note(api, "x", update(a=1))).status_code == 400
