"""Apps of the official TypeScript package against our dev server: every step, in each of the package's modes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from stepwell_orchestrator.entry.dev import listen
from stepwell_orchestrator.entry.dev_server import own_origin
from stepwell_orchestrator.model.notice import NoticeKind
from tests.interop.node import APPS, typescript, why_not
from tests.interop.server import Outcome, Server
from tests.orchestrator.transports.provider import provider

pytestmark = [
    pytest.mark.skipif(bool(why_not()), reason=why_not()),
    pytest.mark.asyncio(loop_scope="module"),
]


async def stand_in(request: web.Request) -> web.Response:
    """What the apps fetch from: an echo, and a model that says whether it was asked with its key."""
    if request.path == "/echo":
        seen = {"method": request.method, "body": await request.text(), "x-a": request.headers["x-a"]}
        return web.json_response(seen, status=201)
    if request.path == "/v1/chat/completions":
        known = request.headers["authorization"] == "Bearer sk-secret"
        content = f"{(await request.json())['model']} {'with its key' if known else 'without'}"
        return web.json_response({"choices": [{"message": {"content": content}}]})
    return web.Response(status=404)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[Server]:
    with listen("127.0.0.1", 0) as listener:
        async with provider(stand_in) as outside:
            environment = {"INNGEST_DEV": own_origin(listener), "GATEWAY_ORIGIN": outside.origin}
            async with typescript(listener, environment) as serving:
                yield serving


STEPS: dict[str, Any] = {
    "plain": {"event": {}, "nothing": None},
    "steps": [{"n": 1, "at": "1970-01-01T00:00:00.000Z"}, 2, 42, None, "stamped steps"],
    "twenty": 210,
    "send": [1, 2],
}
GROUPS: dict[str, Any] = {
    "parallel": [[1, 2, 3], "x"],
    "chains": ["aa", "bb"],
    "mixed": ["ran", "slept", None],
    "race": "quick",
    "settled": [1, "rejected: TypeError"],
}
WAITS: dict[str, Any] = {
    "sleep": "awake",
    "invoke": [
        8,
        10,
        ["SyntaxError", "broken child"],
        ["InngestInvokeTimeoutError", "Timed out waiting for invoked function to complete"],
        ["Error", "could not find function with ID: no-body"],
    ],
}
ERRORS: dict[str, Any] = {
    "step-retried": 3,
    "function-retried": 2,
    "retry-after": 2,
    "caught": [["RangeError", "too far"], "went on"],
    "caught-final": ["NonRetriableError", "never"],
}
GATEWAYS: dict[str, Any] = {
    "fetch": [201, {"method": "POST", "body": "hello", "x-a": "b"}, 404],
    "infer": "gpt-x with its key",
}
FAILURES = {"uncaught": ("RangeError", "too far"), "final": ("NonRetriableError", "never")}


KINDS = {"steps": STEPS, "groups": GROUPS, "waits": WAITS, "errors": ERRORS, "gateways": GATEWAYS}


async def everywhere(scenario: Callable[[str], Awaitable[Any]]) -> dict[str, Any]:
    """What a scenario gives with each app, all of them side by side."""
    return dict(zip(APPS, await asyncio.gather(*(scenario(app) for app in APPS)), strict=True))


async def outcomes(server: Server, app: str, names: Iterable[str]) -> dict[str, Outcome]:
    """How an app's functions end, run side by side."""
    return dict(zip(names, await asyncio.gather(*(server.outcome(f"{app}/{name}") for name in names)), strict=True))


@pytest.mark.parametrize("expected", KINDS.values(), ids=KINDS)
async def test_functions_return_what_was_meant(server: Server, expected: dict[str, Any]) -> None:
    """Steps, odd and repeated ids, groups, races, sleeps, invocations and handled errors give what they should."""

    async def outputs(app: str) -> dict[str, Any]:
        ended = await outcomes(server, app, expected)
        return {name: outcome.output for name, outcome in ended.items() if outcome.status == "Completed"}

    assert await everywhere(outputs) == dict.fromkeys(APPS, expected)


async def test_what_is_not_handled_fails_the_run(server: Server) -> None:
    """A step's error that nobody catches and a non-retriable error are the run's output."""

    async def failures(app: str) -> dict[str, tuple[str, str]]:
        ended = await outcomes(server, app, FAILURES)
        return {
            name: (run.output["name"], run.output["message"]) for name, run in ended.items() if run.status == "Failed"
        }

    assert await everywhere(failures) == dict.fromkeys(APPS, FAILURES)


async def test_on_failure_is_told_what_happened(server: Server) -> None:
    """The failure handler gets the function, the run, the event and the error, and its own steps run."""

    async def told(app: str) -> dict[str, Any]:
        failed = await server.outcome(f"{app}/hooked", {"n": 1})
        await server.watcher.told(NoticeKind.RUN_COMPLETED, f"{app}-hooked-failure")
        [sent] = await server.get(f"/v1/events?name={app}/hooked-told")
        return {**sent["data"], "failed": sent["data"]["run_id"] == failed.run_id, "run_id": ""}

    def expected(app: str) -> dict[str, Any]:
        error = ["TypeError", "to the hook"]
        return {"function_id": f"{app}-hooked", "original": {"n": 1}, "error": error, "failed": True, "run_id": ""}

    assert await everywhere(told) == {app: expected(app) for app in APPS}


async def test_an_event_ends_the_wait_it_matches(server: Server) -> None:
    """A wait with ``match`` takes the event that matches, and one with ``if`` that no event fulfils gives null."""

    async def waited(app: str) -> Any:
        event_id = await server.send(f"{app}/wait", {"user": "ada"})
        await server.watcher.told(NoticeKind.STEP_WAITING, f"{app}-wait")
        for user in ("bob", "ada"):
            await server.send(f"{app}/paid", {"user": user})
        return (await server.ended(event_id)).output

    assert await everywhere(waited) == {app: [{"user": "ada"}, None] for app in APPS}


async def test_a_signal_ends_the_wait_for_it(server: Server) -> None:
    """``step.sendSignal`` learns which run it resumed; a signal that nobody sends gives null at its timeout."""

    async def signalled(app: str) -> Any:
        event_id = await server.send(f"{app}/signal")
        waiting = await server.watcher.told(NoticeKind.STEP_WAITING, f"{app}-signal")
        sender = await server.outcome(f"{app}/send-signal", {"waiter": waiting.run_id})
        return [sender.output, (await server.ended(event_id)).output]

    assert await everywhere(signalled) == {
        app: [True, [{"signal": f"{app}-signal", "data": {"n": 1}}, None]] for app in APPS
    }


async def test_cancellation_obeys_its_condition(server: Server) -> None:
    """Of two sleeping runs, an event cancels the one whose trigger it matches."""

    async def statuses(app: str) -> tuple[str, str]:
        first, second = [await server.send(f"{app}/cancellable", {"id": number}) for number in (1, 2)]
        await server.watcher.told(NoticeKind.STEP_SLEEPING, f"{app}-cancellable", count=2)
        await server.send(f"{app}/stop", {"id": 2})
        cancelled = (await server.ended(second)).status
        return (await server.run_of(first))["status"], cancelled

    assert await everywhere(statuses) == dict.fromkeys(APPS, ("Running", "Cancelled"))


async def test_metadata_of_a_run_is_kept(server: Server) -> None:
    """What a function notes outside its steps is shown, and the process that noted it lives on."""

    async def noted(app: str) -> Any:
        outcome = await server.outcome(f"{app}/noted", {"n": 1})
        [metadata] = await server.get(f"/v1/runs/{outcome.run_id}/metadata")
        return outcome.output, metadata["scope"], metadata["kind"], metadata["values"]

    assert await everywhere(noted) == dict.fromkeys(APPS, ("noted", "run", "userland.default", {"n": 1}))


HARNESS = """
query Harness($event: ULID!, $run: String!) {
  eventV2(id: $event) { name idempotencyKey runs { id status } }
  run(runID: $run) { status trace(preview: true) { ...Span childrenSpans { ...Span } } }
  stream(query: {limit: 50, includeInternalEvents: false}) { id trigger runs { id function { name } } }
}
fragment Span on RunTraceSpan { name status attempts outputID stepOp metadata { scope kind values updatedAt } }
"""


async def test_the_harness_sees_a_run(server: Server) -> None:
    """The query of the package's own test harness is answered whole: no refused member empties it."""
    event_id = await server.send("off/noted", {"n": 2})
    run_id = (await server.ended(event_id)).run_id
    variables = {"event": event_id, "run": run_id}
    async with server.session.post("/v0/gql", json={"query": HARNESS, "variables": variables}) as answer:
        body = await answer.json()
    assert "errors" not in body, body
    found = body["data"]
    event = {"name": "off/noted", "idempotencyKey": event_id, "runs": [{"id": run_id, "status": "COMPLETED"}]}
    assert found["eventV2"] == event
    trace = found["run"]["trace"]
    assert [(child["name"], child["stepOp"]) for child in trace["childrenSpans"]] == [("a", "RUN")]
    assert [one["values"] for one in trace["metadata"]] == [{"n": 2}]
    [streamed] = [item for item in found["stream"] if item["id"] == event_id]
    assert streamed["runs"] == [{"id": run_id, "function": {"name": "noted"}}]


async def test_a_plain_race_goes_on_with_the_winner(server: Server) -> None:
    """Without optimised parallelism the function sees the first step end while the other still runs."""
    assert (await server.outcome("plain/plain-race")).output == "quick"


async def test_a_function_may_have_two_triggers(server: Server) -> None:
    """Either event starts it, the second only where its condition holds."""
    either = await server.send("js/either")
    not_really = await server.send("js/or", {"really": False})
    really = await server.send("js/or", {"really": True})
    started = [len(await server.runs_of(event_id, len(APPS))) for event_id in (either, really)]
    assert started == [len(APPS), len(APPS)]
    assert await server.get(f"/v1/events/{not_really}/runs") == []


CALLS = {
    # Without checkpoints there is a call for each step and one for the end; a group takes one more, which plans it.
    "off": {"steps": 5, "twenty": 21, "parallel": 6, "chains": 7, "caught": 4, "final": 1, "uncaught": 2},
    # With them a call goes on from step to step, up to a group or an error.
    "default": {"steps": 1, "twenty": 1, "parallel": 5, "caught": 3, "final": 1, "uncaught": 2},
    "buffered": {"steps": 1, "twenty": 1, "parallel": 5, "caught": 3, "final": 1, "uncaught": 2},
}


@pytest.mark.parametrize("app", CALLS)
async def test_how_many_calls_a_run_takes(server: Server, app: str) -> None:
    """There are as many as on the official server."""
    ended = await outcomes(server, app, CALLS[app])
    assert {name: outcome.calls for name, outcome in ended.items()} == CALLS[app]


@pytest.mark.parametrize(("app", "calls"), [("default", 1), ("off", 11)])
async def test_ten_steps_of_a_megabyte_reach_their_function(server: Server, app: str, calls: int) -> None:
    """A state too large for a call is asked for by the package, and saved step by step with checkpoints."""
    outcome = await server.outcome(f"{app}/big")
    assert (outcome.output, outcome.calls) == ([1024 * 1024] * 10, calls)
