"""The engine as a test holds it, and the door to the one that blocks."""

from __future__ import annotations

import datetime as dt

from stepwell_orchestrator.entry.testing.async_engine import PATIENCE_S, START, AsyncEngine
from stepwell_orchestrator.entry.testing.blocking import SyncEngine


class Engine(AsyncEngine):
    """The real engine and the real adapter in this process, in memory, on a time that only the test moves.

    Between two calls nothing happens: work is done in ``settle``, ``advance``, ``advance_to`` and ``send_one`` alone.
    ``now`` is the time it starts at. ``patience`` is how many seconds of real time one stretch of work may take. Use it
    in one thread, with ``async with`` or ``close``. Serving an app again takes its functions as they are now.
    ``faults`` is for ``crash_everywhere``.
    """

    @staticmethod
    def sync(*, now: dt.datetime = START, patience: float = PATIENCE_S) -> SyncEngine:
        """The same engine for tests that are not ``async``."""
        return SyncEngine(lambda faults: AsyncEngine(now=now, patience=patience, faults=faults))
