"""Ways to break limits on purpose; ``mutations.py`` has the list of all."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell_orchestrator.controlling import lines
from stepwell_orchestrator.controlling.halting import HaltControl
from stepwell_orchestrator.controlling.lines import Lines
from stepwell_orchestrator.local.flow.gates import SqliteGates
from stepwell_orchestrator.model.flow import Counted, Limit
from stepwell_orchestrator.model.queue_item import OpenGate, QueueItem
from stepwell_orchestrator.model.rate import Rate
from stepwell_orchestrator.worker.limiting.call_slots import CallSlots
from stepwell_orchestrator.worker.limiting.gatekeeping import Gatekeeper
from stepwell_orchestrator.worker.limiting.halting import Halting

Patch = pytest.MonkeyPatch


async def _nothing(*_: object, **__: object) -> int:
    return 0


async def _yes(*_: object, **__: object) -> bool:
    return True


def give_one_more_slot(patch: Patch) -> None:
    """Give one slot more than there are."""
    take = SqliteGates.take_slot

    async def generous(self: SqliteGates, gate: str, most: int, holder: str, **times: Any) -> bool:
        return await take(self, gate, most + 1, holder, **times)

    patch.setattr(SqliteGates, "take_slot", generous)


def call_without_a_slot(patch: Patch) -> None:
    """Call for a run that goes on without asking whether it may."""
    patch.setattr(CallSlots, "enter", _yes)


def start_without_asking(patch: Patch) -> None:
    """Start runs whatever their limits say."""
    patch.setattr(Gatekeeper, "enter", _yes)


def forget_the_throttle(patch: Patch) -> None:
    """Let everybody through whatever the rate says."""
    patch.setattr(Rate, "allowed", lambda *_: 1)


def send_for_nobody(patch: Patch) -> None:
    """Make room without looking at the line, and sweep without it."""
    patch.setattr(Lines, "send_for_next", _nothing)
    patch.setattr(Lines, "sweep", _nothing)


def leave_slots_to_ended_runs(patch: Patch) -> None:
    """End runs without giving back what they held, and sweep without it."""
    patch.setattr(Gatekeeper, "leave_as_ended", _nothing)
    patch.setattr(Lines, "_free_slots_of_ended_runs", _nothing)


def join_no_line(patch: Patch) -> None:
    """Refuse without filing who asked."""
    patch.setattr(SqliteGates, "join_line", _nothing)


def call_what_is_paused(patch: Patch) -> None:
    """Start and call whatever stands still."""
    patch.setattr(Halting, "lets", _yes)


def ask_once_a_drive(patch: Patch) -> None:
    """Look at what stands still before the first call of a drive alone."""
    enter = CallSlots.enter

    async def once(self: CallSlots) -> bool:
        if id(self) in asked:
            return True
        asked[id(self)] = self
        return await enter(self)

    asked: dict[int, CallSlots] = {}
    patch.setattr(CallSlots, "enter", once)


def open_no_line_of_a_halt(patch: Patch) -> None:
    """Resume without sending for those who wait, and sweep without them."""
    patch.setattr(HaltControl, "_open", _nothing)
    patch.setattr(lines, "halt_limit", lambda limit_id, _halts: Limit(limit_id, Counted.CALLS))


def take_out_and_send_for_nobody(patch: Patch) -> None:
    """Take those out of a line whose halt is over, without queueing their work."""
    patch.setattr(lines, "_item", lambda gate, _waiter, now_ms: QueueItem(f"{gate}:nobody", OpenGate(gate), now_ms))


MUTATIONS = (
    call_what_is_paused,
    ask_once_a_drive,
    open_no_line_of_a_halt,
    take_out_and_send_for_nobody,
    give_one_more_slot,
    call_without_a_slot,
    start_without_asking,
    forget_the_throttle,
    send_for_nobody,
    leave_slots_to_ended_runs,
    join_no_line,
)
