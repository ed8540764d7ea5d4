"""Ways to break limits on purpose; ``mutations.py`` has the list of all."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell_orchestrator.controlling.lines import Lines
from stepwell_orchestrator.local.flow.gates import SqliteGates
from stepwell_orchestrator.model.rate import Rate
from stepwell_orchestrator.worker.limiting.call_slots import CallSlots
from stepwell_orchestrator.worker.limiting.gatekeeping import Gatekeeper

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


MUTATIONS = (
    give_one_more_slot,
    call_without_a_slot,
    start_without_asking,
    forget_the_throttle,
    send_for_nobody,
    leave_slots_to_ended_runs,
    join_no_line,
)
