"""What a test can see: runs and events, read from the journal whenever the engine has come to rest."""

from __future__ import annotations

from collections.abc import Sequence

from stepwell.values.event import Event
from stepwell_orchestrator.entry.testing.clock import SteppedClock
from stepwell_orchestrator.entry.testing.run import Run
from stepwell_orchestrator.model.event import Event as Received
from stepwell_orchestrator.model.notice import Notice
from stepwell_orchestrator.ports import EventFilter, Journal, RunFilter

_PAGE = 1_000
_RUNS_MAX = 10_000


class Record:
    """The runs and events of one engine. Only runs that something was told of are read again."""

    def __init__(self, journal: Journal, clock: SteppedClock) -> None:
        self._journal = journal
        self._clock = clock
        self._runs: dict[str, Run] = {}
        self._stale: dict[str, None] = {}
        self._events: dict[str, Received] = {}
        self._seen_ms = 0
        self.unsettled = False

    @property
    def now_ms(self) -> int:
        """The test's time."""
        return self._clock.now_ms()

    @property
    def runs(self) -> list[Run]:
        """All runs, in the order they were created."""
        return list(self._runs.values())

    def observe(self, notice: Notice) -> None:
        """Take note of what happened to a run."""
        if notice.run_id:
            self._stale[notice.run_id] = None

    @property
    def received(self) -> list[Received]:
        """All events, in the order they were received."""
        return list(self._events.values())

    def events(self, name: str, kind: type[Event]) -> list[Event]:
        """The events of a name, in the order they were received."""
        return [kind.from_wire(event.wire()) for event in self._events.values() if event.name == name]

    async def receive(self, event_ids: Sequence[str]) -> None:
        """Take note of events as they come in: of one millisecond, the journal does not know which came first."""
        for event_id in event_ids:
            event = await self._journal.get_event(event_id)
            assert event is not None, f"event {event_id} was accepted and is not stored"
            self._events.setdefault(event_id, event)

    async def run(self, run_id: str) -> Run:
        """One run, as it is now."""
        self._stale[run_id] = None
        await self.refresh()
        return self._runs[run_id]

    async def refresh(self) -> None:
        """Read what has changed."""
        stale, self._stale = self._stale, {}
        for run_id in stale:
            run = await self._journal.load(run_id)
            if run is None:
                continue
            if run_id in self._runs:
                self._runs[run_id].update(run)
            else:
                self._runs[run_id] = Run(run, self)
        await self._read_own_events()

    async def read_again(self) -> None:
        """Read every run at the next refresh: what was to be told of them may have been lost."""
        headers = await self._journal.list_runs(RunFilter(), cursor=None, limit=_RUNS_MAX)
        self._stale |= dict.fromkeys(header.run_id for header in reversed(headers))

    async def _read_own_events(self) -> None:
        """Those the engine has sent itself since the last look; of its very millisecond, more may have come."""
        wanted = EventFilter(after_ms=self._seen_ms - 1, include_internal=True)
        found: list[Received] = []
        cursor: str | None = None
        while page := await self._journal.list_events(wanted, cursor=cursor, limit=_PAGE):
            found += page
            cursor = page[-1].internal_id
        for event in sorted(found, key=lambda event: (event.received_at_ms, event.internal_id)):
            self._events.setdefault(event.internal_id, event)
            self._seen_ms = event.received_at_ms
