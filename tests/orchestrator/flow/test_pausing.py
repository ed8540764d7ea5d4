"""Pausing, draining and resuming: what stands still, what may come between, and who dies."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from stepwell_orchestrator.controlling import lines
from stepwell_orchestrator.controlling.halting import HALTS_MAX, HaltControl, RunCounts
from stepwell_orchestrator.engine.flow.halting import halt_gate
from stepwell_orchestrator.engine.schedules.tick import tick_item
from stepwell_orchestrator.entry.virtual_clock import VIRTUAL_START_MS
from stepwell_orchestrator.errors import ApiError
from stepwell_orchestrator.fresh_ids import FreshIds
from stepwell_orchestrator.limits import DRIVE_LEASE_MS, SWEEP_MS
from stepwell_orchestrator.model.flow import Halt, Halted, HaltScope
from stepwell_orchestrator.model.function import Function
from stepwell_orchestrator.model.queue_item import Cancel, OpenGate, QueueItem, Start
from stepwell_orchestrator.model.run import RunStatus
from stepwell_orchestrator.model.schedule import schedules_of
from tests.orchestrator.flow.stage import SLUG, Play, Stage, a_stage
from tests.orchestrator.flow.test_starting import DeadError, Mortal, handle, routed, waiting

BOTH = pytest.mark.parametrize("store", ["sqlite", "dynamodb"])
FUNCTION, APP = HaltScope("function", SLUG), HaltScope("app", "shop")
SCOPES = pytest.mark.parametrize("scope", [FUNCTION, APP], ids=["function", "app"])
OTHER = "shop-other"


def control(stage: Stage, **ports: Any) -> HaltControl:
    """What people ask for, on a stage."""
    store = stage.store
    found = {"journal": store.journal, "registry": store.registry, "queue": stage.local.queue, "clock": stage.clock}
    return HaltControl(**found | ports, ids=FreshIds(stage.clock, lambda count: bytes(count)))


async def line(stage: Stage, halted: Halted, slug: str = SLUG) -> int:
    """How many stand still at a gate of a function."""
    state = await stage.store.flow.gates.look(halt_gate(halted, slug), stage.clock.now_ms(), waiters=1_000)
    return len(state.line)


async def statuses(stage: Stage) -> list[str]:
    """How the runs stand, the oldest first."""
    return [header.status.value for header in await stage.headers()]


class Meanwhile:
    """A port, after or before whose call of a method something else happens once."""

    def __init__(self, port: Any, method: str, act: Callable[[], Awaitable[Any]], *, before: bool = False) -> None:
        self.port, self.method, self.act, self.before = port, method, act, before
        self.acted = False

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.port, name)
        if name != self.method or self.acted:
            return method

        async def call(*args: Any, **kwargs: Any) -> Any:
            self.acted = True
            if self.before:
                await self.act()
                return await method(*args, **kwargs)
            result = await method(*args, **kwargs)
            await self.act()
            return result

        return call


def flow_with(stage: Stage, gates: Any) -> Any:
    """The ports of flow control with other gates."""
    from dataclasses import replace

    return replace(stage.store.flow, gates=gates)


@BOTH
@SCOPES
async def test_events_of_a_paused_function_wait_and_all_start_on_resume(store: str, scope: HaltScope) -> None:
    """No run starts while it is paused, nothing polls, nothing is lost, and all start once it is resumed."""
    async with a_stage(store) as stage:
        await control(stage).pause(scope)
        for number in range(3):
            await stage.until(number * 1_100)
            await stage.send()
        await stage.until(10_000)
        assert (stage.begun, await statuses(stage)) == ([], ["queued"] * 3)
        handled = stage.handled
        await stage.until(3_600_000)
        assert (stage.begun, stage.handled) == ([], handled)
        await control(stage).resume(scope)
        await stage.until(3_610_000)
        assert sorted(number for number, _ in stage.begun) == [1, 2, 3]
        assert {at_ms for _, at_ms in stage.begun} <= {3_600_000, 3_601_000}
        assert await statuses(stage) == ["completed"] * 3
        assert await waiting_at(stage) == []


async def waiting_at(stage: Stage) -> list[str]:
    """The gates at which anybody waits."""
    gates, _ = await stage.store.flow.gates.gates_waited_at(cursor=None, limit=100)
    found = [await stage.store.flow.gates.look(gate, stage.clock.now_ms(), waiters=1) for gate in gates]
    return [state.line[0].place.waiter for state in found if state.line]


@BOTH
async def test_a_paused_run_stays_where_it_is_after_its_call(store: str) -> None:
    """A call under way ends and its step is kept; no further one is made; on resume the run goes on from there."""
    async with a_stage(store, Play(steps=3)) as stage:
        await stage.send()
        await stage.until(1_500)
        await control(stage).pause(FUNCTION)
        await stage.until(60_000)
        assert [began_ms for _, began_ms in stage.begun] in ([0, 1_000], [0, 1_000, 2_000])
        paused_after = len(stage.begun)
        assert (await statuses(stage), await line(stage, Halted.CALLS)) == (["running"], 1)
        await control(stage).resume(FUNCTION)
        await stage.until(120_000)
        assert await statuses(stage) == ["completed"]
        assert len(stage.begun) == 4
        assert stage.begun[paused_after][1] == 60_000


@BOTH
async def test_no_call_begins_once_the_pause_is_known(store: str) -> None:
    """A second after the pause was put, every worker knows of it, however many runs, steps and workers there are."""
    async with a_stage(store, Play(steps=5, parallel=3, call_ms=lambda _data: 300), workers=3) as stage:
        await stage.send(5)
        await stage.until(400)
        await control(stage).pause(APP)
        await stage.until(30_000)
        assert max(began_ms for _, began_ms in stage.begun) <= 400 + 1_000
        await control(stage).resume(APP)
        await stage.until(60_000)
        assert await statuses(stage) == ["completed"] * 5
        assert await waiting_at(stage) == []


async def test_planned_steps_of_a_paused_run_wait() -> None:
    """Steps that were planned before the pause are not called during it, and are called once each after it."""
    async with a_stage("sqlite", Play(parallel=2)) as stage:
        await stage.send()
        await stage.until(500)
        await control(stage).pause(FUNCTION)
        await stage.until(30_000)
        assert (len(stage.begun), await line(stage, Halted.CALLS)) == (1, 2)
        await control(stage).resume(FUNCTION)
        await stage.until(60_000)
        assert await statuses(stage) == ["completed"]
        assert len(stage.begun) == 4


async def test_a_sleep_ends_while_its_run_is_paused() -> None:
    """Time goes on: what a run sleeps for is over in time, and its next call waits for the resume."""
    async with a_stage("sqlite", Play(steps=1, nap_ms=5_000)) as stage:
        await stage.send()
        await stage.until(2_500)
        await control(stage).pause(FUNCTION)
        await stage.until(60_000)
        called = len(stage.begun)
        assert await line(stage, Halted.CALLS) == 1
        await control(stage).resume(FUNCTION)
        await stage.until(62_000)
        assert (len(stage.begun), await statuses(stage)) == (called + 1, ["completed"])


async def test_a_retry_waits_for_the_resume() -> None:
    """A failed call is tried again when the function goes on, and not before."""
    async with a_stage("sqlite", Play(fails=1)) as stage:
        await stage.send(fails=True)
        await stage.until(500)
        await control(stage).pause(FUNCTION)
        await stage.until(60_000)
        assert len(stage.begun) == 1
        await control(stage).resume(FUNCTION)
        await stage.until(62_000)
        assert ([at_ms for _, at_ms in stage.begun], await statuses(stage)) == ([0, 60_000], ["completed"])


async def test_a_paused_run_holds_no_slot_for_calls() -> None:
    """What it shares with other functions is theirs while it is paused."""
    limit = {"concurrency": [{"limit": 1, "scope": "env", "key": '"printer"'}]}
    async with a_stage("sqlite", Play(steps=1), others={OTHER: limit}, **limit) as stage:
        await stage.send()
        await stage.until(500)
        await control(stage).pause(FUNCTION)
        await stage.until(60_000)
        assert sorted(header.status.value for header in await stage.headers()) in (
            ["completed", "running"],
            ["completed", "queued"],
        )
        await control(stage).resume(FUNCTION)
        await stage.until(120_000)
        assert await statuses(stage) == ["completed"] * 2
        assert stage.most_at_once == 1


async def test_limits_hold_when_many_are_resumed() -> None:
    """All that waited start as their limits let them, and in their order."""
    async with a_stage("sqlite", concurrency=2) as stage:
        await control(stage).pause(FUNCTION)
        for number in range(6):
            await stage.until(number + 1)
            await stage.send()
        await stage.until(1_000)
        await control(stage).resume(FUNCTION)
        await stage.until(30_000)
        assert stage.most_at_once == 2
        assert [number for number, _ in stage.begun] == [1, 2, 3, 4, 5, 6]


@BOTH
async def test_a_line_longer_than_a_page_is_opened_page_by_page(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many wait, each opening of the line sends for one page, and the last of them for nobody."""
    monkeypatch.setattr(lines, "LINE_PAGE", 4)
    async with a_stage(store) as stage:
        await control(stage).pause(FUNCTION)
        await stage.send(10)
        await stage.until(100)
        await stage.stop()
        await control(stage).resume(FUNCTION)
        left = []
        for _ in range(3):
            item = await next_opening(stage)
            await stage.new_worker().handle(item, 1)
            left.append(await line(stage, Halted.STARTS))
        assert left == [6, 2, 0]
        assert await next_opening(stage) is None


async def next_opening(stage: Stage) -> Any:
    """Take the next opening of the line of starts out of the queue."""
    now_ms = stage.clock.now_ms()
    for delivery in await stage.local.queue.receive(1_000, now_ms, now_ms + 1):
        if delivery.item.work == OpenGate(halt_gate(Halted.STARTS, SLUG)):
            await stage.local.queue.ack(delivery)
            return delivery.item
        if isinstance(delivery.item.work, OpenGate):
            await stage.local.queue.ack(delivery)
        else:
            await stage.local.queue.postpone(delivery, now_ms)
    return None


@SCOPES
async def test_what_drains_starts_nothing_and_ends_what_runs(scope: HaltScope) -> None:
    """What has started goes on to its end; what comes meanwhile waits; how many are left is told."""
    async with a_stage("sqlite", Play(steps=2, nap_ms=60_000)) as stage:
        await stage.send()
        await stage.until(500)
        await control(stage).drain(scope)
        await stage.send(2)
        await stage.until(1_000)
        assert await control(stage).counts(scope) == RunCounts(running=1, queued=2)
        await stage.until(600_000)
        assert await statuses(stage) == ["completed", "queued", "queued"]
        assert await control(stage).counts(scope) == RunCounts(running=0, queued=2)
        await control(stage).resume(scope)
        await stage.until(1_200_000)
        assert await statuses(stage) == ["completed"] * 3


async def test_a_pause_becomes_a_drain_and_a_drain_a_pause() -> None:
    """What is paused goes on once it drains, and new runs wait through both."""
    async with a_stage("sqlite", Play(steps=2)) as stage:
        await stage.send()
        await stage.until(500)
        paused = await control(stage).pause(FUNCTION)
        await stage.send()
        await stage.until(10_000)
        before = len(stage.begun)
        drains = await control(stage).drain(FUNCTION)
        assert (drains.starts_id, drains.draining) == (paused.starts_id, True)
        await stage.until(10_500)
        assert len(stage.begun) == before + 1
        again = await control(stage).pause(FUNCTION)
        assert again.starts_id == paused.starts_id
        assert again.calls_id not in (None, paused.calls_id)
        await stage.until(20_000)
        assert await statuses(stage) == ["running", "queued"]
        await control(stage).resume(FUNCTION)
        await stage.until(60_000)
        assert await statuses(stage) == ["completed"] * 2


async def test_a_function_of_a_paused_app_goes_on_when_both_are_resumed() -> None:
    """A function's own pause and its app's are two: either keeps it where it is."""
    async with a_stage("sqlite") as stage:
        await control(stage).pause(FUNCTION)
        await control(stage).pause(APP)
        await stage.send()
        await stage.until(1_000)
        await control(stage).resume(FUNCTION)
        await stage.until(120_000)
        assert (stage.begun, await line(stage, Halted.STARTS)) == ([], 1)
        await control(stage).resume(APP)
        await stage.until(121_500)
        assert (stage.begun, await statuses(stage)) == ([(1, 120_000)], ["completed"])


async def test_only_what_is_paused_stands_still() -> None:
    """Other functions of the app go on."""
    async with a_stage("sqlite", others={OTHER: {}}) as stage:
        await control(stage).pause(FUNCTION)
        await stage.send()
        await stage.until(5_000)
        assert [call.slug for call in stage.calls] == [OTHER]


@BOTH
async def test_a_deploy_lifts_no_pause(store: str) -> None:
    """A registration, with other options or of fewer functions, leaves what is paused paused."""
    async with a_stage(store) as stage:
        await control(stage).pause(FUNCTION)
        await stage.register({SLUG: {"concurrency": 3}})
        await stage.send()
        await stage.until(5_000)
        assert stage.begun == []
        await stage.register({OTHER: {}})
        assert await control(stage).resume(FUNCTION) is not None


async def test_pausing_twice_is_pausing_once() -> None:
    """What is asked for again changes nothing, and a resume of what goes on does nothing."""
    async with a_stage("sqlite") as stage:
        first = await control(stage).pause(FUNCTION, by="ada", reason="the bank is down")
        await stage.until(1_000)
        assert await control(stage).pause(FUNCTION, by="bob") == first
        assert (first.since_ms, first.by, first.reason) == (VIRTUAL_START_MS, "ada", "the bank is down")
        drains = await control(stage).drain(FUNCTION)
        assert await control(stage).drain(FUNCTION) == drains
        assert await control(stage).resume(FUNCTION) == drains
        assert await control(stage).resume(FUNCTION) is None


@pytest.mark.parametrize(
    ("scope", "message"),
    [
        (HaltScope("function", "shop-fulfill"), "there is no function 'shop-fulfill'; did you mean shop-fulfil?"),
        (HaltScope("app", "shopp"), "there is no app 'shopp'; did you mean shop?"),
        (HaltScope("app", "q"), "there is no app 'q'; serve its app and sync it"),
    ],
)
async def test_an_unknown_name_is_refused_with_the_nearest_ones(scope: HaltScope, message: str) -> None:
    """Whatever is asked for, and nothing changes."""
    async with a_stage("sqlite") as stage:
        for act in (control(stage).pause, control(stage).drain, control(stage).resume):
            with pytest.raises(ApiError) as refused:
                await act(scope)
            assert (refused.value.status, refused.value.message) == (404, message)
        assert (await stage.store.registry.halts()).by_scope == {}


async def test_too_many_halts_are_refused() -> None:
    """What stands still is bounded, and what does already can still be changed."""
    async with a_stage("sqlite") as stage:
        for number in range(HALTS_MAX - 1):
            scope = HaltScope("app", f"app{number}")
            await stage.store.registry.put_halt(scope, Halt("s", None, 0), instead_of=None)
        await control(stage).drain(FUNCTION)
        with pytest.raises(ApiError, match="stand still already") as refused:
            await control(stage).pause(APP)
        assert refused.value.status == 409
        assert not (await control(stage).pause(FUNCTION)).draining


async def test_two_who_ask_at_once_agree() -> None:
    """A pause that meets a resume is decided on what that left."""
    async with a_stage("sqlite") as stage:
        old = await control(stage).drain(FUNCTION)
        registry = Meanwhile(stage.store.registry, "put_halt", lambda: control(stage).resume(FUNCTION), before=True)
        await stage.until(5)
        halt = await control(stage, registry=registry).pause(FUNCTION)
        assert halt.starts_id != old.starts_id
        assert (await stage.store.registry.halts()).by_scope == {FUNCTION: halt}


# What may come between. The tables are in worker/limiting/halting.py and decision 20.


async def test_a_resume_before_the_joining_is_seen_by_the_second_look() -> None:
    """Who finds a halt that is lifted before it stands in line goes on at once, and stands there no more."""
    async with a_stage("sqlite", Play(call_ms=lambda _data: 0)) as stage:
        (run_id,) = await routed(stage)
        await control(stage).pause(FUNCTION)
        gates = Meanwhile(stage.store.flow.gates, "join_line", lambda: control(stage).resume(FUNCTION), before=True)
        await handle(stage, Start(run_id, SLUG), flow=flow_with(stage, gates))
        assert gates.acted
        assert (await statuses(stage), await waiting(stage)) == (["completed"], 0)


async def test_a_resume_after_the_second_look_sends_for_the_waiter() -> None:
    """Who looked twice and found the halt is in line by the time that whoever lifts it looks there."""
    async with a_stage("sqlite", Play(call_ms=lambda _data: 0)) as stage:
        (run_id,) = await routed(stage)
        await control(stage).pause(FUNCTION)
        registry = Meanwhile(stage.store.registry, "halts_now", lambda: control(stage).resume(FUNCTION))
        await handle(stage, Start(run_id, SLUG), registry=registry)
        assert (await statuses(stage), await waiting(stage)) == (["queued"], 1)
        stage.start()
        await stage.until(1)
        assert (await statuses(stage), await waiting(stage)) == (["completed"], 0)


async def test_a_halt_that_became_another_one_is_waited_for_anew() -> None:
    """Who joined for a closing that is over waits for the one in force, and is sent for when that is over."""
    async with a_stage("sqlite", Play(call_ms=lambda _data: 0)) as stage:
        (run_id,) = await routed(stage)
        await control(stage).pause(FUNCTION)

        async def again() -> None:
            await control(stage).resume(FUNCTION)
            await stage.until(5)
            await control(stage).pause(FUNCTION)

        gates = Meanwhile(stage.store.flow.gates, "join_line", again, before=True)
        await handle(stage, Start(run_id, SLUG), flow=flow_with(stage, gates))
        halt = (await stage.store.registry.halts()).by_scope[FUNCTION]
        (waiter,) = (await stage.store.flow.gates.look(halt_gate(Halted.STARTS, SLUG), 0, waiters=9)).line
        assert waiter.limit_id == f"halt {halt.starts_id}"
        await control(stage).resume(FUNCTION)
        stage.start()
        await stage.until(10)
        assert await statuses(stage) == ["completed"]


async def test_who_stands_in_line_again_is_not_taken_out() -> None:
    """One that was sent for, met another halt and joined for that before it was taken out, goes on standing."""
    async with a_stage("sqlite", Play(call_ms=lambda _data: 0)) as stage:
        (run_id,) = await routed(stage)
        await control(stage).pause(FUNCTION)
        await handle(stage, Start(run_id, SLUG))
        await control(stage).resume(FUNCTION)
        await stage.until(5)

        async def paused_again() -> None:
            await control(stage).pause(FUNCTION)
            await handle(stage, Start(run_id, SLUG))

        gates = Meanwhile(stage.store.flow.gates, "leave_line", paused_again, before=True)
        await handle(stage, OpenGate(halt_gate(Halted.STARTS, SLUG)), flow=flow_with(stage, gates))
        assert gates.acted
        assert await line(stage, Halted.STARTS) == 1
        await control(stage).resume(FUNCTION)
        stage.start()
        await stage.until(10)
        assert (await statuses(stage), await waiting(stage)) == (["completed"], 0)


@BOTH
async def test_a_paused_run_is_cancelled_at_once(store: str) -> None:
    """Before its start as well as after it; it stands in line no more, and a resume does nothing to it."""
    async with a_stage(store, Play(steps=2)) as stage:
        await stage.send()
        await stage.until(500)
        await control(stage).pause(FUNCTION)
        await stage.send()
        await stage.until(10_000)
        called = len(stage.begun)
        for header in await stage.headers():
            await handle(stage, Cancel(header.run_id, stage.clock.now_ms()))
        assert await statuses(stage) == ["cancelled"] * 2
        assert (await line(stage, Halted.STARTS), await line(stage, Halted.CALLS)) == (0, 0)
        await control(stage).resume(FUNCTION)
        await stage.until(60_000)
        assert (len(stage.begun), await statuses(stage)) == (called, ["cancelled"] * 2)


async def test_a_run_that_was_cancelled_while_it_joined_is_over_when_it_is_sent_for() -> None:
    """A waiter whose run is over by the time of the resume makes no call."""
    async with a_stage("sqlite") as stage:
        (run_id,) = await routed(stage)
        await control(stage).pause(FUNCTION)
        cancel = Cancel(run_id, stage.clock.now_ms())
        gates = Meanwhile(stage.store.flow.gates, "join_line", lambda: handle(stage, cancel), before=True)
        await handle(stage, Start(run_id, SLUG), flow=flow_with(stage, gates))
        assert await line(stage, Halted.STARTS) == 1
        await control(stage).resume(FUNCTION)
        stage.start()
        await stage.until(5_000)
        assert (stage.begun, await statuses(stage), await waiting(stage)) == ([], ["cancelled"], 0)


async def test_a_driver_that_dies_in_line_is_replaced_without_a_call() -> None:
    """The sweep drives a run whose driver died after it joined; that one joins again, and calls nobody."""
    async with a_stage("sqlite", Play(steps=2, call_ms=lambda _data: 0)) as stage:
        (run_id,) = await routed(stage)
        calls = Meanwhile(stage.store.journal, "acquire", lambda: control(stage).pause(FUNCTION))
        dying = Mortal(stage.store.journal, "release")

        class Both:
            def __getattr__(self, name: str) -> Any:
                return getattr(calls if name == "acquire" else dying, name)

        with pytest.raises(DeadError):
            await handle(stage, Start(run_id, SLUG), journal=Both())
        await stage.store.journal.renew(run_id, 1, stage.clock.now_ms() + DRIVE_LEASE_MS)
        stage.start()
        await stage.until(DRIVE_LEASE_MS + 2 * SWEEP_MS)
        assert (stage.begun, await line(stage, Halted.CALLS)) == ([], 1)
        await control(stage).resume(FUNCTION)
        await stage.until(DRIVE_LEASE_MS + 2 * SWEEP_MS + 1)
        assert await statuses(stage) == ["completed"]


@BOTH
async def test_a_resume_that_dies_is_finished_by_the_sweep(store: str) -> None:
    """What was lifted is lifted; whoever waits is sent for within a minute."""
    async with a_stage(store) as stage:
        await control(stage).pause(FUNCTION)
        await stage.send(3)
        await stage.until(10)
        with pytest.raises(DeadError):
            await control(stage, queue=Mortal(stage.local.queue, "send")).resume(FUNCTION)
        await stage.until(10 + SWEEP_MS + 5_000)
        assert await statuses(stage) == ["completed"] * 3
        assert await waiting_at(stage) == []


@pytest.mark.parametrize("nth", [1, 2, 3])
async def test_a_page_that_is_cut_off_is_sent_again(nth: int) -> None:
    """Whoever opens the line dies amid a page: the next delivery sends for those that are left, and each runs once."""
    async with a_stage("sqlite", Play(call_ms=lambda _data: 0)) as stage:
        await control(stage).pause(FUNCTION)
        await stage.send(3)
        await stage.until(10)
        await stage.stop()
        await control(stage).resume(FUNCTION)
        gates = Mortal(stage.store.flow.gates, "leave_line", nth)
        with pytest.raises(DeadError):
            await handle(stage, OpenGate(halt_gate(Halted.STARTS, SLUG)), flow=flow_with(stage, gates))
        assert await line(stage, Halted.STARTS) == 4 - nth
        stage.start()
        await stage.until(20)
        assert sorted(number for number, _ in stage.begun) == [1, 2, 3]
        assert (await statuses(stage), await waiting(stage)) == (["completed"] * 3, 0)


async def test_start_timeouts_count_while_paused() -> None:
    """A run that is to start in time or not at all is cancelled in time, paused or not."""
    async with a_stage("sqlite", timeouts={"start": "30s"}) as stage:
        await control(stage).pause(FUNCTION)
        await stage.send()
        await stage.until(31_000)
        assert (await statuses(stage), stage.begun) == (["cancelled"], [])


async def test_finish_timeouts_count_while_paused() -> None:
    """So is one that is to end in time."""
    async with a_stage("sqlite", Play(steps=2), timeouts={"finish": "30s"}) as stage:
        await stage.send()
        await stage.until(500)
        await control(stage).pause(FUNCTION)
        await stage.until(31_000)
        assert await statuses(stage) == ["cancelled"]


async def test_ticks_of_a_paused_function_are_skipped() -> None:
    """No run of a tick that came while it was paused starts later; the schedule goes on, and so does its next tick."""
    async with a_stage("sqlite") as stage:
        function = await ticking(stage)
        await control(stage).pause(FUNCTION)
        schedule = schedules_of(function)[0]
        await stage.local.queue.send([tick_item(schedule, VIRTUAL_START_MS + SWEEP_MS)])
        await stage.until(3 * SWEEP_MS + 10_000)
        assert await stage.headers() == []
        await control(stage).resume(FUNCTION)
        await stage.until(4 * SWEEP_MS + 10_000)
        assert [header.created_at_ms - VIRTUAL_START_MS for header in await stage.headers()] == [4 * SWEEP_MS]


async def test_a_tick_whose_event_is_stored_is_kept() -> None:
    """A ticker that died before a pause is followed by one that finishes its tick: the run waits."""
    async with a_stage("sqlite") as stage:
        schedule = schedules_of(await ticking(stage))[0]
        await stage.stop()
        await stage.clock.advance(SWEEP_MS)
        item = tick_item(schedule, VIRTUAL_START_MS + SWEEP_MS)
        dying = stage.new_worker(journal=Mortal(stage.store.journal, "create_run"))
        with pytest.raises(DeadError):
            await dying.handle(item, 1)
        await control(stage).pause(FUNCTION)
        await stage.new_worker().handle(item, 2)
        assert [header.status for header in await stage.headers()] == [RunStatus.QUEUED]


async def ticking(stage: Stage) -> Function:
    """Give the function a schedule of a tick a minute."""
    from dataclasses import replace

    from stepwell.wire.registration import Trigger
    from stepwell_orchestrator.model.function import App

    known = await stage.store.registry.get_function(SLUG)
    assert known is not None
    function = replace(known, triggers=(Trigger(cron="* * * * *"),))
    await stage.store.registry.put_app(App("shop", "http://app.test/api", "test:v1", "", "cron", 0), [function])
    return function


async def test_an_opening_that_comes_twice_sends_for_nobody_twice() -> None:
    """A copy of the opening finds an empty line; two at once send the same items."""
    async with a_stage("sqlite", Play(call_ms=lambda _data: 0)) as stage:
        await control(stage).pause(FUNCTION)
        await stage.send(3)
        await stage.until(10)
        await stage.stop()
        await control(stage).resume(FUNCTION)
        opening = OpenGate(halt_gate(Halted.STARTS, SLUG))
        await asyncio.gather(handle(stage, opening), handle(stage, opening))
        await stage.new_worker().handle(QueueItem("again", opening, stage.clock.now_ms()), 2)
        stage.start()
        await stage.until(20)
        assert sorted(number for number, _ in stage.begun) == [1, 2, 3]
