"""An app written with the official Python package, served by FastAPI, against our dev server."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from typing import Any

from stepwell_orchestrator.model.notice import NoticeKind
from tests.interop.official import Define, inngest, official


def parent_and_child(ran: Counter[str]) -> Define:
    """Two functions; the counter tells how often each body ran."""

    async def square(name: str, number: int) -> int:
        ran[name] += 1
        return number * number

    async def flaky() -> str:
        ran["flaky"] += 1
        if ran["flaky"] < 3:
            raise ValueError("not yet")
        return "at last"

    def define(client: inngest.Inngest) -> list[Any]:
        @client.create_function(fn_id="parent", trigger=inngest.TriggerEvent(event="official/go"), retries=2)
        async def parent(ctx: inngest.Context) -> object:
            first = await ctx.step.run("first", square, "first", int(ctx.event.data["number"]))
            await ctx.step.sleep("nap", dt.timedelta(milliseconds=20))
            pair = await ctx.group.parallel(
                (
                    lambda: ctx.step.run("left", square, "left", 2),
                    lambda: ctx.step.run("right", square, "right", 3),
                )
            )
            text = await ctx.step.run("flaky", flaky)
            ids = await ctx.step.send_event("fan", inngest.Event(name="official/child", data={"n": first}))
            return {"first": first, "pair": list(pair), "text": text, "sent": ids}

        @client.create_function(
            fn_id="child",
            trigger=inngest.TriggerEvent(event="official/child", expression="event.data.n == 49"),
            retries=0,
        )
        async def child(ctx: inngest.Context) -> None:
            await ctx.step.run("boom", square, "boom", 1)
            raise inngest.NonRetriableError("the child gives up")

        return [parent, child]

    return define


async def test_official_app_runs_to_completion() -> None:
    """Steps, a sleep, a parallel group, retries, a sent event and a failing child all do what their author meant."""
    ran: Counter[str] = Counter()
    async with official(parent_and_child(ran)) as server:
        event_id = await server.send("official/go", {"number": 7})
        await server.watcher.told(NoticeKind.RUN_COMPLETED, "official-parent")
        failed = await server.watcher.told(NoticeKind.RUN_FAILED, "official-child")
        run = await server.run_of(event_id)
        steps = await server.trace_of(run)
        child = await server.get(f"/v1/runs/{failed.run_id}")
    output = run["output"]
    assert run["status"] == "Completed"
    assert (output["first"], output["pair"], output["text"], len(output["sent"])) == (49, [4, 9], "at last", 1)
    assert child["event_id"] == output["sent"][0]
    assert (child["status"], child["output"]["message"]) == ("Failed", "the child gives up")
    assert ran == {"first": 1, "left": 1, "right": 1, "flaky": 3, "boom": 1}
    assert steps == {
        "first": ("Completed", 1),
        "nap": ("Completed", 1),
        "left": ("Completed", 1),
        "right": ("Completed", 1),
        "flaky": ("Completed", 3),
        "fan": ("Completed", 1),
    }
    calls = Counter(notice.function_id for notice in server.watcher.notices if notice.kind is NoticeKind.CALLED)
    # Discoveries: first, nap, the group, flaky three times, fan, and the end; the group's two steps are calls as well.
    assert calls == {"official-parent": 10, "official-child": 2}
