"""An example's app on the real engine, in this process and on virtual time: sleeps and retries pass at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from stepwell import App, Event
from stepwell_orchestrator.entry.embedded import Embedded
from stepwell_orchestrator.entry.virtual_clock import VirtualClock
from stepwell_orchestrator.model.notice import Notice, NoticeKind
from stepwell_orchestrator.model.run import Run
from stepwell_orchestrator.ports import RunFilter

_ENDS = {NoticeKind.RUN_COMPLETED, NoticeKind.RUN_FAILED, NoticeKind.RUN_CANCELLED}


class ServedExample:
    """An async context manager that serves ``app`` while it is open."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._clock = VirtualClock()
        self._notices: asyncio.Queue[Notice] = asyncio.Queue()
        self._engine = Embedded(clock=self._clock, observe=self._notices.put_nowait)

    async def __aenter__(self) -> Self:
        await self._engine.__aenter__()
        await self._engine.serve(self._app)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._engine.__aexit__(kind, error, trace)

    async def send(self, events: Event | Sequence[Event], *, runs: int) -> list[Run]:
        """Send events and let time pass until that many runs have ended; all runs there are then, oldest first."""
        await self._engine.send(events)
        while runs:
            notice = await self._notices.get()
            runs -= notice.kind in _ENDS
            if notice.due_at_ms is not None:
                await self._clock.advance(max(notice.due_at_ms - self._clock.now_ms(), 0))
        headers = await self._engine.journal.list_runs(RunFilter(), cursor=None, limit=100)
        return [run for header in reversed(headers) if (run := await self._engine.journal.load(header.run_id))]
