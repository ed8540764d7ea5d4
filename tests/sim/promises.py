"""All checkers of a world."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.sim.cancellation_checker import CancelledForAReason
from tests.sim.checkers import (
    AgainOnlyWithReason,
    AttemptsBounded,
    Bounds,
    Checker,
    JournaledOnce,
    LooksFirst,
    NotAgainOnceJournaled,
    NothingAfterCancel,
    OneEnd,
    OneRun,
    SleepsHold,
    StackGrows,
)
from tests.sim.corpus import Member
from tests.sim.gate_checker import LimitsHold
from tests.sim.halt_checker import HaltsHold
from tests.sim.invocation_checker import InvokedOnce
from tests.sim.offer_checker import BatchesHoldEachOnce, DebouncesFireOnce
from tests.sim.signal_checker import OneWaiter
from tests.sim.wait_checker import WaitsResolve


def all_checkers(
    bounds: Bounds, members: Mapping[str, Member], *, late_entries: bool = False, watches_gates: bool = True
) -> Sequence[Checker]:
    """One of each, fresh.

    ``late_entries``: an entry may be kept that comes after its run's end. ``watches_gates``: flow control is told of.
    """
    return (
        *((LimitsHold(bounds, members), HaltsHold()) if watches_gates else ()),
        *((DebouncesFireOnce(members), BatchesHoldEachOnce(members)) if watches_gates else ()),
        WaitsResolve(bounds, members),
        OneWaiter(bounds, members),
        InvokedOnce(bounds, members),
        JournaledOnce(),
        NotAgainOnceJournaled(),
        AgainOnlyWithReason(),
        AttemptsBounded(),
        StackGrows(),
        OneRun(members),
        OneEnd(late_entries),
        NothingAfterCancel(),
        LooksFirst(),
        SleepsHold(bounds, members),
        CancelledForAReason(bounds, members),
    )
