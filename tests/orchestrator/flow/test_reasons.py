"""Everything that is known to hold a run back, in words."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell_orchestrator.controlling.reasons import STEPS_MAX, Reason, Reasons
from stepwell_orchestrator.controlling.waiting_for import WaitsOfRuns
from stepwell_orchestrator.engine.flow.gates import gates_of
from stepwell_orchestrator.engine.flow.wording import halt_text, limit_text
from stepwell_orchestrator.entry.virtual_clock import VIRTUAL_START_MS
from stepwell_orchestrator.model.flow import Halt, HaltScope
from stepwell_orchestrator.model.notice import Notice, NoticeKind
from stepwell_orchestrator.model.queue_item import QueueItem, Start
from stepwell_orchestrator.views.why_view import reason_body
from tests.orchestrator.flow.stage import SLUG, Play, Stage, a_stage
from tests.orchestrator.flow.test_pausing import APP, BOTH, FUNCTION, control
from tests.orchestrator.flow.test_starting import routed
from tests.orchestrator.worker.harness import Script, World


def item(work: Start) -> QueueItem:
    """An item as a queue hands it out."""
    return QueueItem("item", work, VIRTUAL_START_MS)


async def gate_of(stage: Stage) -> str:
    """The gate of the only limit of the only function."""
    (gate, *_) = gates_of((await stage.headers())[0].flow, await stage.store.registry.get_function(SLUG))
    return gate.id


async def reasons(stage: Stage, number: int = 0) -> list[Reason]:
    """Why the run of that number, the oldest first, is not running."""
    run = await stage.store.journal.run_of((await stage.headers())[number])
    return await Reasons(WaitsOfRuns(stage.store.flow, stage.store.registry, stage.clock)).of(run)


@BOTH
async def test_a_paused_run_says_since_when_and_by_whom(store: str) -> None:
    """A run that waits for its start and one that waits for its next call, each with its place and the way out."""
    async with a_stage(store, Play(steps=2)) as stage:
        await stage.send()
        await stage.until(500)
        await control(stage).pause(FUNCTION, by="ada", reason="the bank is down")
        for number in range(2):
            await stage.until(1_700 + number)
            await stage.send()
        await stage.until(5_000)
        text = (
            f"function {SLUG} is paused by ada (the bank is down), since 2026-01-01T00:00:00.500Z; "
            "{}; `stepwell resume shop-fulfil` lets it go on"
        )
        found = [await reasons(stage, number) for number in range(3)]
        assert [[(reason.kind, reason.text) for reason in one] for one in found] == [
            [("paused", text.format("next in line"))],
            [("paused", text.format("next in line"))],
            [("paused", text.format("1 before it in line"))],
        ]
        body = reason_body(found[0][0])
        assert body["halt"] == {
            "kind": "function",
            "id": SLUG,
            "state": "paused",
            "text": f"function {SLUG} is paused by ada (the bank is down)",
            "since": "2026-01-01T00:00:00.500Z",
            "by": "ada",
            "reason": "the bank is down",
        }


async def test_a_drained_app_holds_back_starts_alone() -> None:
    """A run that has started is not held back by a drain, one that has not is."""
    async with a_stage("sqlite", Play(steps=1, nap_ms=60_000)) as stage:
        await stage.send()
        await stage.until(1_500)
        await control(stage).drain(APP)
        await stage.send()
        await stage.until(10_000)
        (sleeping,), (held,) = await reasons(stage), await reasons(stage, 1)
        assert (sleeping.kind, held.kind) == ("sleep", "draining")
        assert held.text.startswith("app shop drains, since")
        assert held.text.endswith("`stepwell resume --app shop` lets it go on")


@BOTH
async def test_a_run_at_a_limit_says_which_one(store: str) -> None:
    """The limit with its key, who holds it, the place in line, and when it is looked at again."""
    async with a_stage(store, concurrency=[{"limit": 1, "key": "event.data.tenant"}]) as stage:
        for number in range(2):
            await stage.until(number)
            await stage.send(tenant="acme")
        await stage.until(10)
        first = (await stage.headers())[0].run_id
        (reason,) = await reasons(stage, 1)
        assert reason.text == (
            f"waits at a limit: 1 call at a time for event.data.tenant = acme; held by {first}; next in line; "
            "looked at again by 2026-01-01T00:01:00.010Z"
        )
        assert reason_body(reason)["limit"]["holders"] == [first]
        (driven,) = await reasons(stage)
        assert driven.kind == "call"


async def test_planned_steps_say_at_which_limit_they_wait() -> None:
    """Of two steps planned at once, one has the slot and one waits for it."""
    async with a_stage("sqlite", Play(parallel=2), workers=2, concurrency=1) as stage:
        await stage.send()
        await stage.until(1_500)
        found = {reason.step: reason for reason in await reasons(stage)}
        assert sorted(reason.kind for reason in found.values()) == ["call", "limit"]
        (waits,) = (reason for reason in found.values() if reason.kind == "limit")
        assert waits.text.startswith(f'step "{waits.step}" waits at a limit: 1 call at a time; held by')


async def test_a_failed_call_says_when_it_is_tried_again() -> None:
    """The attempt that failed, and the time of the next one."""
    async with a_stage("sqlite", Play(fails=1)) as stage:
        await stage.send(fails=True)
        await stage.until(1_500)
        (reason,) = await reasons(stage)
        assert reason == Reason(
            "retry",
            "attempt 1 of its call failed; it is called again at 2026-01-01T00:00:02.000Z",
            at_ms=VIRTUAL_START_MS + 2_000,
        )


async def test_a_queued_run_that_nothing_holds_back_says_so() -> None:
    """Nothing known is wrong, and it is looked at again within a minute; once it is over, it says that."""
    async with a_stage("sqlite", Play(call_ms=lambda _data: 0)) as stage:
        (run_id,) = await routed(stage)
        (reason,) = await reasons(stage)
        assert (reason.kind, reason.at_ms) == ("queued", VIRTUAL_START_MS + 60_000)
        assert reason.text == "nothing known holds it back: it starts as soon as a worker is free"
        assert await stage.new_worker().handle((await stage.local.queue.items_of_run(run_id))[0], 1) is None
        (over,) = await reasons(stage)
        assert over == Reason("ended", "it is over: completed", at_ms=VIRTUAL_START_MS)


WAITS: list[tuple[str, tuple[str, dict[str, Any]], str, str]] = [
    (
        "paid",
        ("WaitForEvent", {"event": "order/paid", "timeout": "1h", "if": "async.data.n == 1"}),
        "event",
        'step "paid" waits for event order/paid with async.data.n == 1 until 2026-01-01T01:00:00.000Z',
    ),
    (
        "ok",
        ("WaitForSignal", {"signal": "go", "conflict": "fail", "timeout": "1h"}),
        "signal",
        'step "ok" waits for signal go until 2026-01-01T01:00:00.000Z',
    ),
    (
        "call",
        ("InvokeFunction", {"function_id": "shop-child", "payload": {"data": {}}, "timeout": "1h"}),
        "invoke",
        'step "call" waits for function shop-child until 2026-01-01T01:00:00.000Z',
    ),
]


@pytest.mark.parametrize(("name", "op", "kind", "text"), WAITS, ids=[wait[2] for wait in WAITS])
async def test_a_waiting_step_says_for_what(name: str, op: tuple[str, dict[str, Any]], kind: str, text: str) -> None:
    """An event with its expression, a signal, an invoked function, and until when."""
    world = World(Script([[name]], ops={name: op}), others={"shop-child": Script([["sleep:2h"]])})
    await world.register()
    await world.send()
    await world.settle()
    found = await Reasons(WaitsOfRuns(world.backend.flow, world.backend.registry, world.clock)).of(await world.run())
    assert [(reason.kind, reason.text, reason.step) for reason in found] == [(kind, text, name)]


async def test_of_many_steps_some_are_told() -> None:
    """A run with more steps than anybody reads says how many more there are."""
    sleeps = [[f"sleep:{number}h" for number in range(1, STEPS_MAX + 4)]]
    world = World(Script(sleeps))
    await world.register()
    await world.send()
    await world.settle()
    found = await Reasons(WaitsOfRuns(world.backend.flow, world.backend.registry, world.clock)).of(await world.run())
    assert [reason.kind for reason in found] == ["sleep"] * STEPS_MAX + ["queued"]
    assert found[-1].text == "3 more steps are under way, or wait"


@pytest.mark.parametrize(
    ("limit_id", "key", "most", "text"),
    [
        ("calls fn", "", 1, "1 call at a time"),
        ("runs fn event.data.a == 1", "true", 2, "2 runs at a time for event.data.a == 1 = true"),
        ("starts fn event.data.t", "x", 3, "its throttle of 3 starts a period for event.data.t = x"),
        ('calls env "printer"', "printer", 4, '4 calls at a time for "printer" = printer, shared by the environment'),
        ("calls account", "", 9, "9 calls at a time, shared by the account"),
    ],
)
def test_limits_in_words(limit_id: str, key: str, most: int, text: str) -> None:
    """Each kind of limit, its key and what shares it."""
    assert limit_text(limit_id, key, most) == text


def test_halts_in_words() -> None:
    """What stands still, how, by whom and why."""
    assert halt_text(HaltScope("app", "shop"), Halt("s", None, 0)) == "app shop drains"
    assert halt_text(HaltScope("function", "f"), Halt("s", "c", 0, "ada", "x")) == "function f is paused by ada (x)"


async def test_the_beginning_of_a_wait_is_told_once() -> None:
    """A run that waits at a limit, or where its function is paused, is noticed when it begins to, and not again."""
    told: list[Notice] = []
    async with a_stage("sqlite", concurrency=1) as stage:
        first, second = await routed(stage, 2)
        worker = stage.new_worker(observe=told.append)
        await stage.store.flow.gates.take_slot(
            await gate_of(stage), 1, "somebody", now_ms=stage.clock.now_ms(), until_ms=None
        )
        for _ in range(2):
            await worker.handle(item(Start(first)), 1)
        await control(stage).pause(FUNCTION)
        await worker.handle(item(Start(second)), 1)
        waiting = [notice for notice in told if notice.kind is NoticeKind.RUN_WAITING]
        assert [(notice.run_id, notice.subject) for notice in waiting] == [
            (first, "1 call at a time"),
            (second, f"function {SLUG} is paused"),
        ]
