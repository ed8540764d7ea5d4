"""Waits for events: one resolution each, by the right event, whatever the order things happen in."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from stepwell.wire.ids import hash_step_id
from stepwell_orchestrator.engine.waits import items
from stepwell_orchestrator.engine.waits.matching import file_under
from stepwell_orchestrator.model.pause import Pause, PauseKey, PauseKind
from stepwell_orchestrator.model.run import RunStatus
from stepwell_orchestrator.model.step import StepStatus
from tests.orchestrator.worker.harness import Script, World

MATCH = "event.data.user == async.data.user"


def waiting(timeout: str = "1h", *, event: str = "order/paid", **opts: Any) -> Mapping[str, tuple[str, dict[str, Any]]]:
    return {"wait": ("WaitForEvent", {"event": event, "timeout": timeout, **opts})}


async def started(script: Script, *, count: int = 1, **options: Any) -> World:
    """A world in which ``count`` runs, of users 1 to ``count``, have gone as far as they get."""
    world = World(script, **options)
    await world.register()
    for number in range(1, count + 1):
        await world.send(number=number, data={"user": number})
    await world.settle()
    return world


async def pauses_of(world: World, event: str = "order/paid") -> int:
    found = 0
    async with world.backend.database.read() as db:
        found = db.execute("SELECT count(*) FROM pauses WHERE event_name = ?", (event,)).fetchone()[0]
    return int(found)


async def test_a_matching_event_resumes_the_run_with_the_bare_event() -> None:
    """The memo is the event itself, without a wrapper, and its pause is gone."""
    world = await started(Script([["wait"], ["after"]], ops=waiting(**{"if": MATCH})))
    assert (await world.entry("wait")).status is StepStatus.WAITING
    sent = await world.send("order/paid", data={"user": 1, "amount": 5})
    await world.settle()
    assert (await world.entry("wait")).memo == sent.wire()
    assert (await world.run()).header.status is RunStatus.COMPLETED
    assert world.script.bodies == {"after": 1}
    assert await pauses_of(world) == 0


@pytest.mark.parametrize(
    ("name", "data"), [("order/paid", {"user": 2}), ("order/paid", {}), ("order/refunded", {"user": 1})]
)
async def test_other_events_leave_the_run_waiting(name: str, data: dict[str, Any]) -> None:
    """Another user's event, one that lacks the attribute, and one of another name do not match."""
    world = await started(Script([["wait"]], ops=waiting(**{"if": MATCH})))
    await world.send(name, data=data)
    await world.settle()
    assert (await world.entry("wait")).status is StepStatus.WAITING


async def test_without_an_event_the_wait_times_out_with_null() -> None:
    """At its time, not before, the memo is null and the run goes on."""
    world = await started(Script([["wait"]], ops=waiting("10s")))
    await world.pass_time(9_999)
    assert (await world.entry("wait")).status is StepStatus.WAITING
    await world.pass_time(1)
    entry = await world.entry("wait")
    assert (entry.status, entry.memo) == (StepStatus.TIMED_OUT, None)
    assert (await world.run()).header.status is RunStatus.COMPLETED
    assert await pauses_of(world) == 0


async def test_one_event_resumes_every_run_that_waits_for_it() -> None:
    """Each matching run goes on, each other one stays."""
    world = await started(Script([["wait"]], ops=waiting(**{"if": "async.data.all || " + MATCH})), count=7)
    await world.send("order/paid", data={"user": 3})
    await world.settle()
    statuses = [header.status for header in await world.headers()]
    assert statuses.count(RunStatus.COMPLETED) == 1
    await world.send("order/paid", number=2, data={"all": True})
    await world.settle()
    assert {header.status for header in await world.headers()} == {RunStatus.COMPLETED}


async def test_an_event_during_the_reporting_call_is_not_lost() -> None:
    """An event that was received and routed before the pause was stored resumes the run (promise 7)."""
    script = Script([["wait"]], ops=waiting(**{"if": MATCH}))
    world = World(script)
    routed = []

    async def overtake(target: str) -> None:
        if not routed:
            routed.append(await world.send("order/paid", data={"user": 1}))
            await world.worker.handle(items.route(routed[0].internal_id, 0).item, 1)

    script.before_reply = overtake
    await world.register()
    await world.send(data={"user": 1})
    await world.settle()
    assert (await world.entry("wait")).memo == routed[0].wire()
    assert (await world.run()).header.status is RunStatus.COMPLETED


async def test_an_event_between_entry_and_pause_is_not_lost() -> None:
    """The event is routed after the wait was committed and before its pause is filed."""
    script = Script([["wait"]], ops=waiting(**{"if": MATCH}))
    world = World(script)
    overtaken = []

    class SlowWaits:
        def __getattr__(self, name: str) -> Any:
            return getattr(world.backend.waits, name)

        async def put_pause(self, pause: Any) -> None:
            event = await world.send("order/paid", data={"user": 1})
            await world.worker.handle(items.route(event.internal_id, 0).item, 1)
            overtaken.append(event)
            await world.backend.waits.put_pause(pause)

    slow = world.new_worker(world.backend.journal, world.backend.queue, SlowWaits())
    await world.register()
    await world.send(data={"user": 1})
    await world.settle(worker=slow)
    assert (await world.entry("wait")).memo == overtaken[0].wire()


async def test_an_earlier_event_does_not_count() -> None:
    """What was sent before the wait was reported is not what it waits for."""
    world = World(Script([["wait"]], ops=waiting("10s")))
    await world.register()
    await world.send("order/paid")
    await world.clock.advance(1)
    await world.send()
    await world.run_to_end()
    assert (await world.entry("wait")).status is StepStatus.TIMED_OUT


@pytest.mark.parametrize(("lookback", "found"), [("run", True), ("2h", True), ("30m", False), (None, False)])
async def test_lookback_finds_what_was_sent_before(lookback: str | None, found: bool) -> None:
    """With a lookback, an event sent while the run was busy elsewhere counts as far back as asked."""
    opts = {} if lookback is None else {"lookback": lookback}
    world = await started(Script([["sleep:1h"], ["wait"]], ops=waiting("10s", **{"if": MATCH}, **opts)))
    sent = await world.send("order/paid", data={"user": 1})
    await world.run_to_end()
    entry = await world.entry("wait")
    assert (entry.status, entry.memo) == (
        (StepStatus.COMPLETED, sent.wire()) if found else (StepStatus.TIMED_OUT, None)
    )


@pytest.mark.parametrize("opts", [{}, {"lookback": "run"}])
async def test_the_event_that_started_a_run_never_satisfies_its_wait(opts: dict[str, str]) -> None:
    """A wait for the trigger's own name waits for the next one."""
    world = await started(Script([["wait"]], ops=waiting(event="order/created", **opts)))
    assert (await world.entry("wait")).status is StepStatus.WAITING


@pytest.mark.parametrize("opts", [{}, {"lookback": "run"}])
async def test_successive_waits_take_successive_events(opts: dict[str, str]) -> None:
    """One event resumes one of a run's waits in a row, even within the same millisecond."""
    ops = {name: ("WaitForEvent", {"event": "tick", "timeout": "1h", **opts}) for name in ("one", "two")}
    world = await started(Script([["one"], ["two"]], ops=ops))
    first = await world.send("tick")
    await world.settle()
    assert (await world.entry("one")).memo == first.wire()
    assert (await world.entry("two")).status is StepStatus.WAITING
    second = await world.send("tick", number=2)
    await world.settle()
    assert (await world.entry("two")).memo == second.wire()


async def test_parallel_waits_of_a_run_take_the_same_event() -> None:
    """Two waits that stand side by side both resolve by one event that both match."""
    ops = {name: ("WaitForEvent", {"event": "tick", "timeout": "1h"}) for name in ("one", "two")}
    world = await started(Script([["one", "two"]], ops=ops))
    sent = await world.send("tick")
    await world.settle()
    run = await world.run()
    assert [entry.memo for entry in run.entries.values()] == [sent.wire(), sent.wire()]
    assert run.header.status is RunStatus.COMPLETED


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
@pytest.mark.parametrize("at_once", [False, True])
async def test_of_events_of_one_moment_each_wait_takes_one(order: tuple[int, ...], at_once: bool) -> None:
    """Of three matching events, routed in any order, each of thirty waits is ended by one, and the run goes on once."""
    names = [f"wait-{number}" for number in range(30)]
    ops = {name: ("WaitForEvent", {"event": "tick", "timeout": "1h"}) for name in names}
    world = await started(Script([names], ops=ops))
    sent = [await world.send("tick", number=number) for number in range(3)]
    routes = [world.worker.handle(items.route(sent[number].internal_id, 0).item, 1) for number in order]
    if at_once:
        await asyncio.gather(*routes)
    else:
        for route in routes:
            await route
    await world.run_to_end()
    run = await world.run()
    assert len(run.entries) == 30
    assert all(entry.memo in [event.wire() for event in sent] for entry in run.entries.values())
    assert run.header.status is RunStatus.COMPLETED
    assert len(await world.events_named("inngest/function.finished")) == 1


@pytest.mark.parametrize("timeout_first", [True, False])
@pytest.mark.parametrize("copies", [1, 2])
async def test_timeout_and_event_in_one_millisecond_resolve_once(timeout_first: bool, copies: int) -> None:
    """In both orders, and delivered twice at once, the wait has one memo and the run one end."""
    world = await started(Script([["wait"], ["after"]], ops=waiting("10s")))
    await world.clock.advance(9_999)
    event = await world.send("order/paid")
    await world.clock.advance(1)
    timer = items.timer((await world.run()).header.run_id, hash_step_id("wait"), world.clock.now_ms()).item
    route = items.route(event.internal_id, 0).item
    for item in (timer, route) if timeout_first else (route, timer):
        await asyncio.gather(*(world.worker.handle(item, 1) for _ in range(copies)))
    await world.run_to_end(copies=copies)
    assert (await world.entry("wait")).memo == event.wire()
    assert world.script.bodies == {"after": 1}
    assert len(await world.events_named("inngest/function.finished")) == 1


async def test_an_event_at_the_expiry_is_too_late() -> None:
    """The window of a wait ends just before its timeout."""
    world = await started(Script([["wait"]], ops=waiting("10s")))
    await world.clock.advance(10_000)
    event = await world.send("order/paid")
    await world.worker.handle(items.route(event.internal_id, 0).item, 1)
    await world.settle()
    assert (await world.entry("wait")).status is StepStatus.TIMED_OUT


async def test_the_losers_pauses_go_when_the_run_ends() -> None:
    """A wait that lost a race leaves nothing filed."""
    world = await started(Script([["quick", "wait"]], ops=waiting(), race=True))
    assert await pauses_of(world) == 1
    await world.worker.handle(items.cancel((await world.run()).header.run_id, 0).item, 1)
    assert await pauses_of(world) == 0


@pytest.mark.parametrize(
    ("opts", "name", "hint"),
    [
        ({"if": "event.data.user =="}, "InvalidExpression", 'step "wait"'),
        ({"if": "steps.a == 1"}, "InvalidExpression", "steps"),
        ({"if": "(" * 2_000}, "InvalidExpression", 'step "wait"'),
        ({"timeout": "367d"}, "InngestErrTimeoutTooLong", "366 days"),
        ({"timeout": "soon"}, "InvalidTime", "soon"),
        ({"timeout": None}, "InvalidTime", "no timeout"),
        ({"lookback": "yesterday"}, "InvalidExpression", "yesterday"),
    ],
)
async def test_an_impossible_wait_fails_the_run(opts: dict[str, Any], name: str, hint: str) -> None:
    """What cannot be waited for is a final error that names the step, and nothing is filed."""
    world = await started(Script([["wait"]], ops=waiting(**{"timeout": "1h"} | opts)))
    outcome = (await world.run()).header.outcome
    assert outcome is not None
    assert outcome.error is not None
    assert outcome.error["name"] == name
    assert hint in outcome.error["message"]
    assert await pauses_of(world) == 0


async def test_lifecycle_events_can_be_waited_for() -> None:
    """A run waits for another run's end like for any event."""
    ops = {"wait": ("WaitForEvent", {"event": "inngest/function.finished", "timeout": "1h"})}
    world = await started(Script([["wait"]], ops=ops, result=None))
    await world.clock.advance(1)
    other = await world.send(number=2)
    await world.settle()
    (first, second) = await world.headers()
    await world.worker.handle(items.cancel(second.run_id, 0).item, 1)
    await world.settle()
    finished = (await world.backend.journal.load(first.run_id)).entries[hash_step_id("wait")].memo  # type: ignore[union-attr]
    assert finished["data"]["run_id"] == second.run_id
    assert finished["data"]["event"] == other.wire()


class Ledger:
    """Counts a port's calls by name."""

    def __init__(self, port: Any, counts: dict[str, int]) -> None:
        self._port = port
        self._counts = counts

    def __getattr__(self, name: str) -> Any:
        self._counts[name] = self._counts.get(name, 0) + 1
        return getattr(self._port, name)


def _pause_of_user(number: int, trigger_id: str) -> Pause:
    shape, index = file_under(MATCH, {"data": {"user": number}})
    key = PauseKey("order/paid", index, f"run-{number}", hash_step_id("wait"))
    return Pause(key, PauseKind.RESUME, shape, MATCH, trigger_id, 0, 2**52)


async def _cost_of_one_match(waiters: int) -> dict[str, int]:

    world = await started(Script([["wait"]], ops=waiting(**{"if": MATCH})))
    trigger_id = (await world.run()).header.event_ids[0]
    await asyncio.gather(
        *(world.backend.waits.put_pause(_pause_of_user(number, trigger_id)) for number in range(2, waiters + 1))
    )
    counts: dict[str, int] = {}
    ledger = world.new_worker(
        Ledger(world.backend.journal, counts),
        Ledger(world.backend.queue, counts),
        Ledger(world.backend.waits, counts),
    )
    await world.send("order/paid", data={"user": 1})
    await world.settle(worker=ledger)
    assert (await world.run()).header.status is RunStatus.COMPLETED
    return counts


async def test_the_cost_of_an_event_does_not_grow_with_the_waiters() -> None:
    """One event that resumes one of 100,000 waiting runs makes the very same port calls as with 10."""
    assert await _cost_of_one_match(100_000) == await _cost_of_one_match(10)
