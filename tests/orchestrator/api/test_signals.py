"""Sending signals and cancelling many runs at once over HTTP (protocol 6.7, 6.9, 7.2)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from stepwell.wire.times import DAY_MS, HOUR_MS, format_instant
from stepwell_orchestrator.limits import SIGNAL_BYTES_MAX
from stepwell_orchestrator.model.run import RunStatus
from tests.orchestrator.scripted import client_of
from tests.orchestrator.worker.harness import SLUG, Script, World

KEY = "signkey-test-12345678"


def waiting(signal: str = "approve", timeout: str = "1h", conflict: str = "fail") -> Script:
    """A function that waits for a signal and then takes one more step."""
    opts = {"signal": signal, "timeout": timeout, "conflict": conflict}
    return Script([["wait"], ["after"]], ops={"wait": ("WaitForSignal", opts)})


async def a_world(script: Script, count: int = 1) -> World:
    """A world with ``count`` runs, a millisecond apart, that have gone as far as they get."""
    world = World(script)
    await world.register()
    for number in range(1, count + 1):
        await world.send(number=number, data={"id": number})
        await world.pass_time(1)
    return world


@pytest.fixture
async def world() -> World:
    """A world with one run that waits for the signal ``approve``."""
    return await a_world(waiting())


@pytest.fixture
async def api(world: World) -> AsyncIterator[httpx.AsyncClient]:
    """A client of its keyless dev API."""
    async with client_of(world) as client:
        yield client


async def signal(api: httpx.AsyncClient, name: Any = "approve", data: Any = None) -> httpx.Response:
    """Send a signal."""
    return await api.post("/v1/signals", json={"signal": name, "data": data})


@pytest.mark.parametrize("data", [{"by": "ada"}, None, [1], "yes", 0, False, 2**60])
async def test_a_signal_resumes_the_run_that_waits(world: World, api: httpx.AsyncClient, data: Any) -> None:
    """The answer names the run, whose memo has the signal's name and data, and the run goes on."""
    run_id = (await world.run()).header.run_id
    answer = await signal(api, data=data)
    assert answer.status_code == 200
    at = format_instant(world.clock.now_ms())
    assert answer.json() == {"data": {"run_id": run_id}, "metadata": {"fetched_at": at, "cached_until": None}}
    assert (await world.entry("wait")).memo == {"data": {"signal": "approve", "data": data}}
    await world.settle()
    assert (await world.run()).header.status is RunStatus.COMPLETED
    assert world.script.bodies == {"after": 1}


async def test_a_signal_without_data_has_null(world: World, api: httpx.AsyncClient) -> None:
    """``data`` may be left out."""
    assert (await api.post("/v1/signals", json={"signal": "approve"})).status_code == 200
    assert (await world.entry("wait")).memo == {"data": {"signal": "approve", "data": None}}


@pytest.mark.parametrize("name", ["deny", "APPROVE", "approve ", "approv", "*"])
async def test_a_signal_that_nobody_waits_for_is_not_found(world: World, api: httpx.AsyncClient, name: str) -> None:
    """The answer is a 404 in the protocol's words, nothing is kept of the signal, and no other name hears it."""
    answer = await signal(api, name)
    assert answer.status_code == 404
    assert answer.json() == {"error": "No signal found", "data": None, "status": 404}
    assert len(await world.backend.queue.items_of_run((await world.run()).header.run_id)) == 1, "the timer alone"


async def test_a_signal_before_the_wait_is_lost() -> None:
    """A wait that comes later is not resumed by a signal that found nobody."""
    world = World(waiting())
    await world.register()
    async with client_of(world) as api:
        assert (await signal(api)).status_code == 404
        await world.send()
        await world.settle()
        assert (await world.run()).header.status is RunStatus.RUNNING
        assert (await signal(api)).status_code == 200


@pytest.mark.parametrize("settled_between", [True, False])
async def test_of_two_signals_in_a_row_one_is_heard(
    world: World, api: httpx.AsyncClient, settled_between: bool
) -> None:
    """The first of two signals resumes the run, and the second finds nobody, whether or not the run has gone on."""
    assert (await signal(api, data=1)).status_code == 200
    if settled_between:
        await world.settle()
    assert (await signal(api, data=2)).status_code == 404
    await world.run_to_end()
    assert (await world.entry("wait")).memo["data"]["data"] == 1
    assert world.script.bodies == {"after": 1}


async def test_of_signals_at_once_one_is_heard(world: World, api: httpx.AsyncClient) -> None:
    """Exactly one of several concurrent senders is told that it resumed the run, and its data is what the run got."""
    answers = await asyncio.gather(*(signal(api, data=number) for number in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 404, 404, 404, 404]
    winner = next(number for number, answer in enumerate(answers) if answer.status_code == 200)
    await world.run_to_end()
    assert (await world.entry("wait")).memo["data"]["data"] == winner
    assert world.script.bodies == {"after": 1}


@pytest.mark.parametrize("handled", [True, False])
async def test_a_signal_after_the_time_is_up_is_not_found(world: World, api: httpx.AsyncClient, handled: bool) -> None:
    """From the wait's last millisecond on a signal finds nobody, also when its timer has not been handled yet."""
    await world.clock.advance(HOUR_MS)
    if handled:
        await world.settle()
    assert (await signal(api)).status_code == 404
    await world.run_to_end()
    assert (await world.entry("wait")).memo is None


async def test_a_signal_to_an_ended_run_is_not_found(world: World, api: httpx.AsyncClient) -> None:
    """A cancelled run waits for nothing any more."""
    run_id = (await world.run()).header.run_id
    assert (await api.delete(f"/v1/runs/{run_id}")).status_code == 200
    assert (await signal(api)).status_code == 404


@pytest.mark.parametrize(("conflict", "heard"), [("fail", 0), ("replace", 1)])
async def test_of_two_runs_one_holds_the_name(conflict: str, heard: int) -> None:
    """The signal goes to the run that holds the name, the first with ``fail``, the last with ``replace``."""
    world = await a_world(waiting(conflict=conflict), count=2)
    async with client_of(world) as api:
        holder = (await world.headers())[heard]
        assert (await signal(api)).json()["data"] == {"run_id": holder.run_id}
        assert (await signal(api)).status_code == 404


@pytest.mark.parametrize("name", ["x" * 255, "ä ö/ü", "approve-01M8226XFK38FN4FDW35DJ7CJD"])
async def test_a_name_is_any_text_within_its_bound(name: str) -> None:
    """Names of 1 to 255 characters are heard, whatever the characters."""
    async with client_of(await a_world(waiting(name))) as api:
        assert (await signal(api, name)).status_code == 200


@pytest.mark.parametrize("name", ["", "x" * 256, None, 5, ["approve"], {"signal": "approve"}, True])
async def test_a_bad_name_is_refused(api: httpx.AsyncClient, name: Any) -> None:
    """A name that is no text, empty or too long is a 400 that tells the bound."""
    answer = await signal(api, name)
    assert answer.status_code == 400
    assert answer.json()["error"] == "signal must be a text of 1 to 255 characters"


@pytest.mark.parametrize("path", ["/v1/signals", "/v1/cancellations"])
@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", "malformed JSON: "),
        (b"{", "malformed JSON: "),
        (b'{"signal": "approve", "data": NaN}', "malformed JSON: NaN found"),
        (b"[]", "the body must be a JSON object"),
        (b'"approve"', "the body must be a JSON object"),
        (b"null", "the body must be a JSON object"),
        (b'{"a":' * 40_000, "malformed JSON: "),
        (b"\xff", "malformed JSON: "),
    ],
    ids=["empty", "cut", "not a number", "list", "text", "null", "deep", "not UTF-8"],
)
async def test_a_body_that_is_no_object_is_refused(
    world: World, api: httpx.AsyncClient, path: str, content: bytes, error: str
) -> None:
    """What is not a JSON object is a 400 that says why, and changes nothing."""
    answer = await api.post(path, content=content)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(error)
    assert answer.json()["status"] == 400
    assert (await world.entry("wait")).memo is None


@pytest.mark.parametrize("path", ["/v1/signals", "/v1/cancellations"])
async def test_an_oversized_body_is_refused(world: World, api: httpx.AsyncClient, path: str) -> None:
    """A body over the bound is a 413, and one at the bound is read."""
    envelope = len(json.dumps({"signal": "approve", "data": ""}))
    for length, status in ((SIGNAL_BYTES_MAX + 1, 413), (SIGNAL_BYTES_MAX, 200 if path == "/v1/signals" else 400)):
        content = json.dumps({"signal": "approve", "data": "x" * (length - envelope)})
        answer = await api.post(path, content=content.encode())
        assert (len(content), answer.status_code) == (length, status)
    assert (await world.run()).header.status is RunStatus.RUNNING


@pytest.mark.parametrize("path", ["/v1/signals", "/v1/cancellations"])
async def test_keys_are_asked_for(world: World, path: str) -> None:
    """On a keyed server both endpoints need the bearer, and do nothing without."""
    async with client_of(world, signing_keys=[KEY]) as api:
        assert (await api.post(path, json={"signal": "approve"})).status_code == 401
        allowed = await api.post(path, json={"signal": "approve"}, headers={"authorization": f"Bearer {KEY}"})
        assert allowed.status_code == (200 if path == "/v1/signals" else 400)


async def cancel_many(api: httpx.AsyncClient, **changes: Any) -> httpx.Response:
    """Ask to cancel the runs of the world's function."""
    body = {"app_id": "shop", "function_id": "fulfil", "started_before": "2026-01-01T01:00:00Z", **changes}
    return await api.post("/v1/cancellations", json={name: value for name, value in body.items() if value != "absent"})


async def cancelled(world: World) -> list[bool]:
    """Which of the runs are cancelled, once everything due is done."""
    await world.settle()
    return [header.status is RunStatus.CANCELLED for header in await world.headers()]


async def test_a_cancellation_is_shown() -> None:
    """The answer repeats the criteria and gives the cancellation an id; two cancellations have two."""
    world = await a_world(waiting())
    await world.clock.advance(HOUR_MS)
    window = {"started_after": "2026-01-01T00:00:00.000Z", "started_before": "2026-01-01T00:30:00.000Z"}
    async with client_of(world) as api:
        answers = [await cancel_many(api, **window, **{"if": "true"}) for _ in range(2)]
    first, second = (answer.json()["data"] for answer in answers)
    assert [answer.status_code for answer in answers] == [200, 200]
    assert first.pop("id") < second.pop("id")
    assert first == second == {"app_id": "shop", "function_id": "fulfil", **window, "if": "true"}


@pytest.mark.parametrize("function_id", ["fulfil", SLUG])
@pytest.mark.parametrize(
    ("window", "condition", "expected"),
    [
        ((None, 10), None, [True] * 4),
        ((1, 3), None, [False, True, True, False]),
        ((None, 1), None, [True, False, False, False]),
        ((3, 10), None, [False, False, False, True]),
        ((10, 11), None, [False] * 4),
        ((None, 10), "event.data.id == 2", [False, True, False, False]),
        ((None, 10), "event.data.id > 1 && event.data.id < 4 || event.data.nope == 5", [False, True, True, False]),
        ((1, 10), "event.data.id != 3", [False, True, False, True]),
        ((None, 10), "event.data.id", [False] * 4),
        ((None, 10), "", [True] * 4),
    ],
)
async def test_what_meets_the_criteria_is_cancelled(
    function_id: str, window: tuple[int | None, int], condition: str | None, expected: list[bool]
) -> None:
    """Exactly the runs in the window whose event the expression accepts end as cancelled."""
    world = await a_world(Script([["sleep:1d"]]), count=4)
    start_ms = (await world.headers())[0].created_at_ms
    await world.clock.advance(HOUR_MS)
    after, before = window
    criteria = {
        "function_id": function_id,
        "started_after": None if after is None else format_instant(start_ms + after),
        "started_before": format_instant(start_ms + before),
        "if": condition,
    }
    async with client_of(world) as api:
        assert (await cancel_many(api, **criteria)).status_code == 200
        assert await cancelled(world) == expected
        assert (await cancel_many(api, **criteria)).status_code == 200, "a repeat finds nothing left to do"
    assert await cancelled(world) == expected
    events = await world.events_named("inngest/function.cancelled")
    assert len(events) == expected.count(True)


async def test_other_functions_and_ended_runs_are_left_alone() -> None:
    """A cancellation of another function, or of another app, ends nothing, and a run that has ended stays."""
    world = await a_world(Script([]), count=2)
    await world.clock.advance(HOUR_MS)
    async with client_of(world) as api:
        for criteria in ({}, {"function_id": "other"}, {"app_id": "mail"}, {"app_id": "mail", "function_id": SLUG}):
            assert (await cancel_many(api, started_before=format_instant(world.clock.now_ms()), **criteria)).is_success
    assert await cancelled(world) == [False, False]


async def test_more_runs_than_a_page_are_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cancellation goes on page by page until no run is left."""
    monkeypatch.setattr("stepwell_orchestrator.worker.cancelling.PAUSE_PAGE", 3)
    world = await a_world(Script([["sleep:1d"]]), count=8)
    async with client_of(world) as api:
        await cancel_many(api, started_before=format_instant(world.clock.now_ms()))
    assert await cancelled(world) == [True] * 8


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"function_id": "absent", "started_before": "absent"}, "function_id is required\nstarted_before is required"),
        ({"app_id": ""}, "app_id is required"),
        ({"app_id": None, "function_id": None, "started_before": None}, "app_id is required\nfunction_id is required"),
        ({"started_before": "2030-01-01T00:00:00Z"}, "started_before must be in the past"),
        ({"started_before": "2026-01-01T01:00:00.001Z"}, "started_before must be in the past"),
        ({"started_before": "yesterday"}, 'started_before: "yesterday" is not a time; write it like'),
        ({"started_after": "soon"}, 'started_after: "soon" is not a time; write it like'),
        ({"started_before": 1_700_000_000}, 'started_before: "1700000000" is not a time; write it like'),
        ({"started_after": "2026-01-01T01:00:00Z"}, "started_after must be before started_before"),
        ({"started_after": "2026-01-01T02:00:00Z"}, "started_after must be before started_before"),
        ({"app_id": 5}, "app_id must be a text"),
        ({"function_id": ["a"]}, "function_id must be a text"),
        ({"if": "event.data.id =="}, "if: expression, line 1, column 17: "),
        ({"if": "true &&\n  async.data.id == 1"}, "if: expression, line 2, column 3: "),
        ({"if": "true || " * 1_000 + "true"}, "if: "),
        ({"if": 5}, "if must be a text"),
    ],
)
async def test_bad_criteria_are_refused(changes: dict[str, Any], error: str) -> None:
    """What is missing or cannot be understood is a 400 that names the member, and nothing is cancelled."""
    world = await a_world(Script([["sleep:1d"]]))
    await world.clock.advance(HOUR_MS - 1)
    async with client_of(world) as api:
        answer = await cancel_many(api, **changes)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(error)
    assert await cancelled(world) == [False]


async def test_runs_that_start_later_are_not_cancelled() -> None:
    """A cancellation is about the past: a run created after it stays."""
    world = await a_world(Script([["sleep:2d"]]))
    await world.clock.advance(DAY_MS)
    async with client_of(world) as api:
        await cancel_many(api, started_before=format_instant(world.clock.now_ms()))
    await world.send(number=2)
    assert await cancelled(world) == [True, False]


async def test_a_function_named_like_its_app_is_told_apart() -> None:
    """An id that begins like its app's name means the function of that id, if there is one."""
    sleeps = [["sleep:1d"]]
    world = World(Script(sleeps), others={"shop-shop-fulfil": Script(sleeps)})
    await world.register()
    await world.send()
    await world.pass_time(1)
    async with client_of(world) as api:
        before = format_instant(world.clock.now_ms())
        await cancel_many(api, function_id="shop-fulfil", started_before=before)
        assert await cancelled(world) == [False]
        await cancel_many(api, function_id="fulfil", started_before=before)
        assert await cancelled(world) == [True]
