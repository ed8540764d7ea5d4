"""What the official Python package makes of every memo our engine stores for waits, invocations and failures."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Awaitable
from typing import Any

import pytest

from stepwell_orchestrator.model.notice import NoticeKind
from tests.interop.official import inngest, official

SHORT = dt.timedelta(seconds=1)
"""The shortest timeout the package takes."""


def invoked_functions(client: inngest.Inngest) -> list[Any]:
    """What the function below invokes."""
    trigger = inngest.TriggerEvent(event="official/never")

    @client.create_function(fn_id="double", trigger=trigger)
    async def double(ctx: inngest.Context) -> object:
        return int(ctx.event.data["n"]) * 2

    @client.create_function(fn_id="nothing", trigger=trigger)
    async def nothing(ctx: inngest.Context) -> None:
        return None

    @client.create_function(fn_id="broken", trigger=trigger, retries=0)
    async def broken(ctx: inngest.Context) -> None:
        raise ValueError("broken child")

    @client.create_function(fn_id="slow", trigger=trigger)
    async def slow(ctx: inngest.Context) -> None:
        await ctx.step.sleep("long", dt.timedelta(days=1))

    return [double, nothing, broken, slow]


async def value() -> object:
    return {"data": 1, "list": [None]}


async def empty() -> None:
    return None


async def doomed() -> None:
    raise KeyError("lost")


async def error_of(pending: Awaitable[object]) -> list[str]:
    """Name and message of the step error that is raised."""
    with pytest.raises(inngest.StepError) as caught:
        await pending
    return [caught.value.name, caught.value.message]


def memo_functions(client: inngest.Inngest) -> list[Any]:
    """A function that meets one memo of each kind and returns what the package made of it, and those it invokes."""
    double, nothing, broken, slow = invoked = invoked_functions(client)

    @client.create_function(fn_id="memos", trigger=inngest.TriggerEvent(event="official/memos"), retries=0)
    async def memos(ctx: inngest.Context) -> object:
        step, seen = ctx.step, dict[str, Any]()
        seen["run"] = await step.run("run", value)
        seen["run null"] = await step.run("run null", empty)
        seen["run failed"] = await error_of(step.run("run failed", doomed))
        seen["sleep"] = await step.sleep("sleep", SHORT)
        paid = await step.wait_for_event(
            "wait", event="official/paid", if_exp="event.data.user == async.data.user", timeout=dt.timedelta(hours=1)
        )
        seen["wait"] = None if paid is None else [paid.name, dict(paid.data)]
        seen["wait timed out"] = await step.wait_for_event("wait timed out", event="official/never", timeout=SHORT)
        seen["invoke"] = await step.invoke("invoke", function=double, data={"n": 4})
        seen["invoke null"] = await step.invoke("invoke null", function=nothing)
        seen["invoke failed"] = await error_of(step.invoke("invoke failed", function=broken))
        seen["invoke timed out"] = await error_of(step.invoke("invoke timed out", function=slow, timeout=SHORT))
        seen["invoke unknown"] = await error_of(
            step.invoke_by_id("invoke unknown", app_id="official", function_id="nobody")
        )
        return seen

    return [memos, *invoked]


async def test_the_official_package_reads_every_memo() -> None:
    """Values, nulls, errors, events and timeouts arrive as the package's users know them."""
    async with official(memo_functions) as server:
        event_id = await server.send("official/memos", {"user": "ada"})
        await server.watcher.told(NoticeKind.STEP_WAITING, "official-memos")
        await server.send("official/paid", {"user": "bob", "amount": 1})
        await server.send("official/paid", {"user": "ada", "amount": 2})
        await server.watcher.told(NoticeKind.RUN_COMPLETED, "official-memos")
        run = await server.run_of(event_id)
    seen = run["output"]
    assert seen == {
        "run": {"data": 1, "list": [None]},
        "run null": None,
        "run failed": ["KeyError", "'lost'"],
        "sleep": None,
        "wait": ["official/paid", {"user": "ada", "amount": 2}],
        "wait timed out": None,
        "invoke": 8,
        "invoke null": None,
        "invoke failed": ["ValueError", "broken child"],
        "invoke timed out": [
            "InngestInvokeTimeoutError",
            "Timed out waiting for invoked function to complete",
        ],
        "invoke unknown": ["Error", "could not find function with ID: official-nobody"],
    }


def group_functions(client: inngest.Inngest) -> list[Any]:
    """The flows whose request counts the official tests fix, and a function that may be cancelled."""

    async def one() -> int:
        return 1

    @client.create_function(fn_id="child", trigger=inngest.TriggerEvent(event="official/never"))
    async def child(ctx: inngest.Context) -> object:
        return 2

    @client.create_function(fn_id="mixed", trigger=inngest.TriggerEvent(event="official/mixed"))
    async def mixed(ctx: inngest.Context) -> object:
        step = ctx.step
        results = await ctx.group.parallel(
            (
                lambda: step.invoke("call", function=child),
                lambda: step.run("a", one),
                lambda: step.run("b", one),
                lambda: step.run("c", one),
            )
        )
        return [*results, await step.run("after", one)]

    @client.create_function(
        fn_id="cancellable",
        trigger=inngest.TriggerEvent(event="official/cancellable"),
        cancel=[inngest.Cancel(event="official/stop", if_exp="event.data.id == async.data.id")],
    )
    async def cancellable(ctx: inngest.Context) -> None:
        await ctx.step.sleep("long", dt.timedelta(days=1))

    return [mixed, child, cancellable]


async def test_request_counts_are_those_of_the_official_tests() -> None:
    """Three parallel runs and a parallel invoke, then one step, take six requests (protocol 5.6)."""
    async with official(group_functions) as server:
        event_id = await server.send("official/mixed", {})
        await server.watcher.told(NoticeKind.RUN_COMPLETED, "official-mixed")
        run = await server.run_of(event_id)
        calls = Counter(notice.function_id for notice in server.watcher.notices if notice.kind is NoticeKind.CALLED)
    assert run["output"] == [2, 1, 1, 1, 1]
    assert calls["official-mixed"] == 6


async def test_cancellation_by_event_obeys_its_expression() -> None:
    """Only the run whose trigger matches is cancelled."""
    async with official(group_functions) as server:
        first, second = [await server.send("official/cancellable", {"id": number}) for number in (1, 2)]
        await server.watcher.told(NoticeKind.STEP_SLEEPING, "official-cancellable", count=2)
        await server.send("official/stop", {"id": 2})
        await server.watcher.told(NoticeKind.RUN_CANCELLED, "official-cancellable")
        statuses = [(await server.run_of(event_id))["status"] for event_id in (first, second)]
    assert statuses == ["Running", "Cancelled"]
