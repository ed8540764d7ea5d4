"""Invoking a function: once for each step, and its end is the step's end."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell_orchestrator.engine.waits import items
from stepwell_orchestrator.model.run import RunStatus
from stepwell_orchestrator.model.step import StepStatus
from tests.orchestrator.worker.harness import SLUG, Script, World

CHILD = "shop-child"


def calling(function_id: str = CHILD, **opts: Any) -> dict[str, tuple[str, dict[str, Any]]]:
    return {"call": ("InvokeFunction", {"function_id": function_id, "payload": {"data": {"n": 1}}, **opts})}


async def started(child: Script, **opts: Any) -> World:
    world = World(Script([["call"]], ops=calling(**opts)), others={CHILD: child}, retries=0)
    await world.register()
    await world.send()
    return world


async def test_the_child_inherits_sessions() -> None:
    """The invoked event's sessions are those that the payload propagates and its own, merged as at ingest."""
    meta = {"propagated_sessions": {"chat": "c1", "user": "u1"}, "sessions": {"user": 7, "chat": None}, "other": 1}
    world = await started(Script([["work"]]), payload={"data": {}, "meta": meta})
    await world.run_to_end()
    assert (await world.run(CHILD)).events[0].meta == {"sessions": {"user": "7"}}


@pytest.mark.parametrize("result", [{"sum": 2}, None, [1], "text"])
async def test_the_childs_result_is_the_steps_result(result: Any) -> None:
    """The memo wraps the result, null included; the child sees the caller's data under the invoked event's name."""
    world = await started(Script([["work"]], result=result))
    await world.run_to_end()
    assert (await world.entry("call")).memo == {"data": result}
    child = await world.run(CHILD)
    assert child.events[0].name == "inngest/function.invoked"
    assert child.events[0].data["n"] == 1
    parent = await world.run()
    assert child.header.invoked_by is not None
    assert child.header.invoked_by.run_id == parent.header.run_id
    assert (await world.run()).header.status is RunStatus.COMPLETED


async def test_the_finished_event_names_the_caller() -> None:
    """Only an invoked run's finished event carries a correlation id."""
    world = await started(Script([]))
    await world.run_to_end()
    data = {event.data["function_id"]: event.data for event in await world.events_named("inngest/function.finished")}
    parent = (await world.run()).header.run_id
    assert data[CHILD]["correlation_id"].startswith(parent)
    assert "correlation_id" not in data[SLUG]


async def test_a_failed_child_hands_its_error_over() -> None:
    """Name and message are the child's; the step is not tried again."""
    world = await started(Script([], function_fails=9))
    await world.run_to_end()
    entry = await world.entry("call")
    assert entry.status is StepStatus.FAILED
    assert entry.memo["error"]["name"] == "RuntimeError"
    assert entry.memo["error"]["message"] == "not yet"
    assert len(await world.headers(CHILD)) == 1


async def test_a_cancelled_child_is_an_error() -> None:
    """The caller learns that the function it invoked was cancelled."""
    world = await started(Script([["sleep:1d"]]))
    await world.settle()
    await world.worker.handle(items.cancel((await world.run(CHILD)).header.run_id, 0).item, 1)
    await world.settle()
    assert (await world.entry("call")).memo == {"error": {"name": "Error", "message": "invoked function was cancelled"}}


async def test_an_unknown_function_is_an_error_at_once() -> None:
    """The step fails with the id that could not be found."""
    world = World(Script([["call"]], ops=calling("shop-nowhere")), retries=0)
    await world.register()
    await world.send()
    await world.settle()
    assert (await world.entry("call")).memo == {
        "error": {"name": "Error", "message": "could not find function with ID: shop-nowhere"}
    }


async def test_a_slow_child_times_out_and_goes_on() -> None:
    """The caller gets the timeout error of the protocol; the child runs to its own end and changes nothing more."""
    world = await started(Script([["sleep:1h"]]), timeout="10s")
    await world.pass_time(10_000)
    entry = await world.entry("call")
    assert entry.status is StepStatus.TIMED_OUT
    assert entry.memo["error"]["name"] == "InngestInvokeTimeoutError"
    await world.run_to_end()
    assert (await world.run(CHILD)).header.status is RunStatus.COMPLETED
    assert (await world.entry("call")) == entry


async def test_a_cancelled_caller_leaves_its_child_running() -> None:
    """The child ends by itself, and its end finds nobody to tell."""
    world = await started(Script([["sleep:1h"]]))
    await world.settle()
    await world.worker.handle(items.cancel((await world.run()).header.run_id, 0).item, 1)
    await world.run_to_end()
    assert (await world.run()).header.status is RunStatus.CANCELLED
    assert (await world.run(CHILD)).header.status is RunStatus.COMPLETED


@pytest.mark.parametrize(
    ("opts", "name"),
    [
        ({"function_id": ""}, "InvalidInvoke"),
        ({"payload": {"data": [1]}}, "InvalidInvoke"),
        ({"payload": {"meta": 1}}, "InvalidInvoke"),
        ({"payload": {"meta": {"sessions": {"a": []}}}}, "InvalidInvoke"),
        ({"on_parent_cancel": "keep"}, "InvalidInvoke"),
        ({"timeout": "400d"}, "InngestErrTimeoutTooLong"),
    ],
)
async def test_an_impossible_invocation_fails_the_run(opts: dict[str, Any], name: str) -> None:
    """What cannot be invoked is a final error."""
    options = calling()["call"][1] | opts
    world = World(Script([["call"]], ops={"call": ("InvokeFunction", options)}), retries=0)
    await world.register()
    await world.send()
    await world.settle()
    outcome = (await world.run()).header.outcome
    assert outcome is not None
    assert outcome.error is not None
    assert outcome.error["name"] == name


async def test_an_invoked_run_inherits_sessions() -> None:
    """Sessions that the SDK propagates are the invoked event's, but for those that the caller set or cut."""
    meta = {"sessions": {"chat": None, "order": 7}, "propagated_sessions": {"user": "u1", "chat": "c1"}}
    world = await started(Script([]), payload={"data": {}, "meta": meta})
    await world.run_to_end()
    [event] = (await world.run(CHILD)).events
    assert event.wire()["meta"] == {"sessions": {"user": "u1", "order": "7"}}


async def test_sessions_that_cannot_be_are_refused() -> None:
    """The run fails and says which session is wrong; nothing is invoked."""
    world = await started(Script([]), payload={"meta": {"sessions": {"user": True}}})
    await world.run_to_end()
    outcome = (await world.run()).header.outcome
    assert outcome is not None
    assert outcome.error is not None
    assert outcome.error["message"] == 'step "call": event session "user" must be a string, number, or null'
    assert await world.headers(CHILD) == []
