"""Following the runs of an event on a clock that a test moves."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from stepwell_orchestrator.cli.client import Answer, EventRuns
from stepwell_orchestrator.cli.follow import POLL_FIRST_MS, POLL_MAX_MS, ROUTED_WITHIN_MS, Followed, Follower
from stepwell_orchestrator.entry.virtual_clock import VIRTUAL_START_MS, VirtualClock
from tests.orchestrator.cli.samples import EVENT_ID, OTHER_RUN_ID, RUN_ID, START_MS, run_answer, trace_row

STEPS = [trace_row("price", (0, 0, 20))]
OPEN, OVER = run_answer(), run_answer(20, output=7)
FAILED = run_answer(20, run_id=OTHER_RUN_ID, status="Failed")
RERUN = run_answer(run_id=OTHER_RUN_ID, original_run_id=RUN_ID)


class Server:
    """Says what it is told to say, one answer a look, the last one for ever; remembers when it was asked."""

    def __init__(self, clock: VirtualClock, *looks: tuple[list[dict[str, Any]], bool | None]) -> None:
        self.clock = clock
        self.looks = list(looks)
        self.asked_at_ms: list[int] = []
        self.told: list[str] = []

    async def runs_of_event(self, event_id: str) -> EventRuns:
        assert event_id == EVENT_ID
        self.asked_at_ms.append(self.clock.now_ms() - VIRTUAL_START_MS)
        runs, routed = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        return EventRuns(runs, routed, START_MS)

    async def trace(self, run_id: str) -> Answer:
        return Answer(STEPS, START_MS)

    def started(self, run: Mapping[str, Any]) -> None:
        self.told.append(f"started {run['run_id']}")

    def ended(self, run: Answer, trace: Answer) -> None:
        assert trace.data == STEPS
        self.told.append(f"ended {run.data['run_id']} {run.data['status']}")


async def follow(
    *looks: tuple[list[dict[str, Any]], bool | None], timeout_ms: int | None = None, passing_ms: int = 60_000
) -> tuple[Followed | None, Server]:
    """What a follower makes of the looks, given that much time; None when it is not done by then."""
    clock = VirtualClock()
    server = Server(clock, *looks)
    until_ms = None if timeout_ms is None else clock.now_ms() + timeout_ms
    following = asyncio.create_task(Follower(server, clock, server).follow(EVENT_ID, until_ms=until_ms))
    await clock.advance(passing_ms)
    if following.done():
        return following.result(), server
    following.cancel()
    return None, server


async def test_it_is_over_when_the_event_is_routed_and_every_run_has_ended():
    """Runs that come one after the other are each told once when they start and once when they end."""
    followed, server = await follow(
        ([], False), ([OPEN], False), ([OPEN], True), ([OPEN, FAILED], True), ([OVER, FAILED], True)
    )
    assert followed == Followed({RUN_ID: {**OVER, "steps": STEPS}, OTHER_RUN_ID: {**FAILED, "steps": STEPS}}, over=True)
    assert server.told == [
        f"started {RUN_ID}",
        f"started {OTHER_RUN_ID}",
        f"ended {OTHER_RUN_ID} Failed",
        f"ended {RUN_ID} Completed",
    ]


async def test_an_ended_run_is_not_the_end_while_more_may_come():
    """As long as the event is not routed the follower goes on looking, whatever has ended."""
    assert (await follow(([OVER], False)))[0] is None
    followed, server = await follow(([OVER], False), ([OVER], True))
    assert followed is not None
    assert followed.over
    assert server.told == [f"started {RUN_ID}", f"ended {RUN_ID} Completed"]


async def test_an_event_that_starts_nothing_is_over_once_it_is_routed():
    """There is nothing to wait for then."""
    followed, server = await follow(([], False), ([], False), ([], True))
    assert followed == Followed(over=True)
    assert len(server.asked_at_ms) == 3


async def test_a_server_that_cannot_tell_has_routed_what_started_a_run():
    """Without an answer to whether more will come, the first runs are waited for."""
    followed, _ = await follow(([], None), ([OPEN], None), ([OVER], None))
    assert followed == Followed({RUN_ID: {**OVER, "steps": STEPS}}, over=True)


async def test_a_server_that_cannot_tell_is_given_a_while():
    """An event that starts nothing is taken for routed after a while, and not before."""
    assert (await follow(([], None), passing_ms=ROUTED_WITHIN_MS - 1))[0] is None
    assert (await follow(([], None), passing_ms=ROUTED_WITHIN_MS + POLL_MAX_MS))[0] == Followed(over=True)


async def test_reruns_are_somebody_elses():
    """A run that was started again by hand is not waited for."""
    followed, server = await follow(([OVER, RERUN], True))
    assert followed is not None
    assert followed.over
    assert [*followed.runs] == [RUN_ID]
    assert server.told == [f"started {RUN_ID}", f"ended {RUN_ID} Completed"]


async def test_looks_become_rarer_up_to_a_bound():
    """The time between looks doubles until it is a second."""
    _, server = await follow(([OPEN], True), passing_ms=4_000)
    gaps = [later - earlier for earlier, later in zip(server.asked_at_ms, server.asked_at_ms[1:], strict=False)]
    assert gaps == [POLL_FIRST_MS * 2**n for n in range(5)] + [POLL_MAX_MS] * 2


@pytest.mark.parametrize("timeout_ms", [0, 1, 120, 5_000])
async def test_it_looks_once_more_when_the_time_is_up(timeout_ms: int):
    """At its time, and not later, the follower looks a last time and gives what there is, steps included."""
    followed, server = await follow(([OPEN], True), timeout_ms=timeout_ms)
    assert followed == Followed({RUN_ID: {**OPEN, "steps": STEPS}}, over=False)
    assert server.asked_at_ms[-1] == timeout_ms
    assert server.told == [f"started {RUN_ID}"]


async def test_what_ends_at_the_last_look_is_over():
    """A run that has ended by the time the time is up is in time."""
    followed, _ = await follow(([OPEN], True), ([OVER], True), timeout_ms=20)
    assert followed is not None
    assert followed.over
