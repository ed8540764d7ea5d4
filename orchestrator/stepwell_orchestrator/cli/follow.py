"""Following the runs that an event starts, until the last of them has ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from stepwell.wire.times import SECOND_MS
from stepwell_orchestrator.cli.client import Answer, EventRuns
from stepwell_orchestrator.ports import Clock

POLL_FIRST_MS: Final = 50
POLL_MAX_MS: Final = 1_000
ROUTED_WITHIN_MS: Final = 15 * SECOND_MS
"""How long a server that cannot tell is given to offer an event to its functions."""


class Source(Protocol):
    """Where runs are looked up."""

    async def runs_of_event(self, event_id: str) -> EventRuns:
        """The runs an event started so far."""
        ...

    async def trace(self, run_id: str) -> Answer:
        """The steps of one."""
        ...


class Watcher(Protocol):
    """Who is told, each run once."""

    def started(self, run: Mapping[str, Any]) -> None:
        """A run was found."""
        ...

    def ended(self, run: Answer, trace: Answer) -> None:
        """It has ended; its steps are complete."""
        ...


@dataclass(slots=True)
class Followed:
    """The runs by id, each with its steps, and whether all have ended and no more will come."""

    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    over: bool = False


@dataclass(frozen=True, slots=True)
class Follower:
    """Looks again and again, less and less often."""

    source: Source
    clock: Clock
    watcher: Watcher

    async def follow(self, event_id: str, *, until_ms: int | None) -> Followed:
        """Follow until every run has ended and the event has been offered to every function, or until that time.

        Where the server cannot tell the latter, it counts as offered once it has started a run, or after a while.
        """
        followed, pause_ms, sure_ms = Followed(), POLL_FIRST_MS, self.clock.now_ms() + ROUTED_WITHIN_MS
        while True:
            await self._look(event_id, followed, sure=self.clock.now_ms() >= sure_ms)
            now_ms = self.clock.now_ms()
            if followed.over or (until_ms is not None and now_ms >= until_ms):
                return followed
            next_ms = now_ms + pause_ms
            await self.clock.sleep_until(next_ms if until_ms is None else min(next_ms, until_ms))
            pause_ms = min(2 * pause_ms, POLL_MAX_MS)

    async def _look(self, event_id: str, followed: Followed, *, sure: bool) -> None:
        found = await self.source.runs_of_event(event_id)
        own = [run for run in found.runs if run.get("original_run_id") is None]
        for run in own:
            await self._look_at(run, found.at_ms, followed)
        routed = (sure or bool(own)) if found.routed is None else found.routed
        followed.over = routed and all(run["ended_at"] for run in own)

    async def _look_at(self, run: dict[str, Any], at_ms: int, followed: Followed) -> None:
        known = followed.runs.get(run["run_id"])
        if known is None:
            self.watcher.started(run)
        elif known["ended_at"]:
            return
        trace = await self.source.trace(run["run_id"])
        followed.runs[run["run_id"]] = {**run, "steps": trace.data}
        if run["ended_at"]:
            self.watcher.ended(Answer(run, at_ms), trace)
