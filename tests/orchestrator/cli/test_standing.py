"""``stepwell pause``, ``drain``, ``resume`` and ``why``."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.orchestrator.cli.conftest import Stepwell
from tests.orchestrator.cli.fake_server import FakeServer
from tests.orchestrator.cli.samples import EVENT_ID, RUN_ID, run_answer

WHY = f"GET /v1/runs/{RUN_ID}/why"
EVENT = {"internal_id": EVENT_ID, "name": "order/created", "data": {}, "received_at": "now"}


@pytest.fixture(autouse=True)
def at_the_fake_server(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPWELL_BASE_URL", server.origin)


def why_answer(*texts: str) -> dict[str, Any]:
    """What the server says why."""
    reasons = [{"kind": "limit", "text": text} for text in texts]
    return {"run_id": RUN_ID, "function_id": "shop-f", "status": "Scheduled", "reasons": reasons}


@pytest.mark.parametrize(
    ("args", "path"),
    [(["shop-f"], "functions/shop-f"), (["--app", "shop"], "apps/shop"), (["--app", "a/b"], "apps/a%2Fb")],
)
@pytest.mark.parametrize("action", ["pause", "drain"])
def test_stop(stepwell: Stepwell, server: FakeServer, action: str, args: list[str], path: str) -> None:
    """A function or an app is named, with who asks and why; the answer is one line."""
    stands = {"text": "it stands still", "state": "paused"}
    server.says(f"POST /v1/{path}/{action}", stands)
    result = stepwell(action, *args, "--by", "ada", "--reason", "the bank is down")
    assert (result.exit_code, result.stdout) == (0, "✓ it stands still\n")
    assert server.asked[0].body == {"by": "ada", "reason": "the bank is down"}
    assert json.loads(stepwell(action, *args, "--json").stdout) == stands


def test_drain_says_how_many_are_left(stepwell: Stepwell, server: FakeServer) -> None:
    """What still runs, and what waits to start."""
    server.says("POST /v1/functions/shop-f/drain", {"text": "function shop-f drains", "running": 3, "queued": 14})
    result = stepwell("drain", "shop-f")
    assert result.stdout == "✓ function shop-f drains; 3 still running, 14 wait to start\n"


def test_resume(stepwell: Stepwell, server: FakeServer) -> None:
    """It says that it goes on."""
    server.says("POST /v1/functions/shop-f/resume", {"text": "function shop-f is running"})
    assert stepwell("resume", "shop-f").stdout == "✓ function shop-f is running\n"


@pytest.mark.parametrize("action", ["pause", "drain", "resume"])
def test_names(stepwell: Stepwell, server: FakeServer, action: str) -> None:
    """Neither and both are wrong arguments; an unknown one is a no with the server's words."""
    for args in ([], ["shop-f", "--app", "shop"]):
        result = stepwell(action, *args)
        assert result.exit_code == 2
        assert "name a function, or an app with --app ID, and not both" in result.stderr
    server.refuses(f"POST /v1/functions/shop-g/{action}", 404, "there is no function; did you mean shop-f?")
    result = stepwell(action, "shop-g")
    assert result.exit_code == 1
    assert "did you mean shop-f?" in result.stderr


def test_why_of_a_run(stepwell: Stepwell, server: FakeServer) -> None:
    """Each reason is a line of its own; for programs, everything that the server says."""
    server.says(WHY, why_answer("it waits", "it sleeps"))
    result = stepwell("why", RUN_ID)
    assert (result.exit_code, result.stdout) == (0, f"run {RUN_ID} of shop-f: Scheduled\n  it waits\n  it sleeps\n")
    told = json.loads(stepwell("why", RUN_ID, "--json").stdout)
    assert (told["event"], told["runs"]) == (None, [why_answer("it waits", "it sleeps")])


def test_why_by_a_part_of_an_id(stepwell: Stepwell, server: FakeServer) -> None:
    """A run may be named by its end, as everywhere."""
    server.says("GET /v1/runs", [run_answer()])
    server.says(WHY, why_answer("it waits"))
    assert "it waits" in stepwell("why", RUN_ID[-8:]).stdout


@pytest.mark.parametrize(
    ("waits", "runs", "routed", "says"),
    [
        (
            [],
            [],
            True,
            "it started no run: no function has a trigger that it matches, or another event ran instead",
        ),
        (["waits in a batch"], [], True, "it started no run yet"),
        ([], [], False, "it started no run yet: it is still being offered to functions"),
        ([], [run_answer()], True, "it started 1 run"),
        (["waits in a batch", "waits in a debounce"], [run_answer()], True, "it started 1 run"),
    ],
)
def test_why_of_an_event(
    stepwell: Stepwell, server: FakeServer, waits: list[str], runs: list[dict[str, Any]], routed: bool, says: str
) -> None:
    """Its runs, or that there are none; and the debounces and batches that it waits in, a line each."""
    server.refuses(f"GET /v1/runs/{EVENT_ID}/why", 404, "Unable to load")
    server.says(f"GET /v1/events/{EVENT_ID}", EVENT | {"waiting_for": [{"text": text} for text in waits]})
    server.answers[f"GET /v1/events/{EVENT_ID}/runs"] = (
        200,
        {"data": runs, "metadata": {"fetched_at": "2030-03-17T17:46:42.000Z"}, "routed": routed},
    )
    server.says(WHY, why_answer("it waits"))
    result = stepwell("why", EVENT_ID)
    first, *others = result.stdout.splitlines()
    assert (result.exit_code, first) == (0, f"event order/created: {says}")
    told = [f"run {RUN_ID} of shop-f: Scheduled", "  it waits"] if runs else []
    assert others == [f"  {text}" for text in waits] + told


def test_why_of_nothing(stepwell: Stepwell, server: FakeServer) -> None:
    """An id of neither a run nor an event is a no."""
    server.refuses(f"GET /v1/runs/{EVENT_ID}/why", 404, "Unable to load")
    server.refuses(f"GET /v1/events/{EVENT_ID}", 404, "Event not found")
    result = stepwell("why", EVENT_ID)
    assert result.exit_code == 1
    assert f"there is no run and no event {EVENT_ID}" in result.stderr


def test_other_trouble_is_told(stepwell: Stepwell, server: FakeServer) -> None:
    """A server that cannot say why is not asked for an event instead."""
    server.refuses(f"GET /v1/runs/{EVENT_ID}/why", 501, "not offered")
    result = stepwell("why", EVENT_ID)
    assert (result.exit_code, len(server.asked)) == (1, 1)
    assert "not offered" in result.stderr


def test_run_shows_what_holds_it_back(stepwell: Stepwell, server: FakeServer) -> None:
    """The timeline of a run ends with the pause and the limit it waits at."""
    held = {"halt": {"text": "function shop-f is paused"}, "waiting_for": {"text": "waits at a limit: 1 call"}}
    server.says(f"GET /v1/runs/{RUN_ID}", run_answer() | held)
    server.says(f"GET /v1/runs/{RUN_ID}/trace", [])
    shown = stepwell("run", RUN_ID).stdout.splitlines()
    assert [line.partition(" ")[2] for line in shown[-2:]] == ["function shop-f is paused", "waits at a limit: 1 call"]
