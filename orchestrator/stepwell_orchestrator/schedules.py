"""The port of what sends the ticks of schedules from outside, where there is such a thing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from stepwell_orchestrator.model.schedule import Schedule


class Schedules(Protocol):
    """Sends the ticks of schedules into the queue, as ``recurring`` ones, for as long as it keeps them.

    A tick may come more than once, and late; one that could not be sent for a day may be lost.
    """

    def recurs(self, schedule: Schedule) -> bool:
        """Whether it can keep such a schedule. The ticks of any other lead from one to the next."""
        ...

    async def keep(self, schedules: Sequence[Schedule]) -> None:
        """Send their ticks from now on. One that it keeps already it keeps as it is now."""
        ...

    async def drop(self, schedules: Sequence[Schedule]) -> None:
        """Send no more ticks of these functions' crons. One that it does not keep is no error."""
        ...


class NoSchedules:
    """The Schedules where nothing but the queue knows the time."""

    def recurs(self, _schedule: Schedule) -> bool:
        """None does."""
        return False

    async def keep(self, schedules: Sequence[Schedule]) -> None:
        """There are none."""

    async def drop(self, schedules: Sequence[Schedule]) -> None:
        """There are none."""
