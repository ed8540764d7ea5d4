"""The Waits port on SQLite."""

from __future__ import annotations

from collections.abc import Sequence

from stepwell_orchestrator.documents import pause_document
from stepwell_orchestrator.local.database import Database
from stepwell_orchestrator.local.rows import read_pause
from stepwell_orchestrator.model.pause import Pause, PauseKey
from stepwell_orchestrator.model.signal import SignalWait


class SqliteWaits:
    """Pauses and signals in one database. The port says what each method promises."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put_pause(self, pause: Pause) -> None:
        """File a pause, and its shape under its event name."""
        event_name, index, run_id, pause_id = pause.key
        row = (event_name, pause.shape, index, run_id, pause_id, pause_document(pause))
        async with self._database.write() as db:
            db.execute("INSERT OR REPLACE INTO pauses VALUES (?, ?, ?, ?, ?, ?)", row)
            db.execute("INSERT OR IGNORE INTO shapes VALUES (?, ?)", (event_name, pause.shape))

    async def drop_pauses(self, keys: Sequence[PauseKey]) -> None:
        """Take pauses out; one that is not there is ignored."""
        rows = [(key.run_id, key.pause_id) for key in keys]
        async with self._database.write() as db:
            db.executemany("DELETE FROM pauses WHERE run_id = ? AND pause_id = ?", rows)

    async def shapes(self, event_name: str) -> list[str]:
        """Every shape that pauses of an event name have, or have had."""
        query = "SELECT shape FROM shapes WHERE event_name = ? ORDER BY shape"
        async with self._database.read() as db:
            return [shape for (shape,) in db.execute(query, (event_name,))]

    async def pauses(
        self, event_name: str, shape: str, index: str, *, after: PauseKey | None, limit: int
    ) -> list[Pause]:
        """The pauses filed under one index of one shape, ordered by key."""
        query = (
            "SELECT * FROM pauses WHERE event_name = ? AND shape = ? AND filed_under = ? "
            "AND (run_id, pause_id) > (?, ?) ORDER BY run_id, pause_id LIMIT ?"
        )
        start = ("", "") if after is None else (after.run_id, after.pause_id)
        async with self._database.read() as db:
            return [read_pause(row) for row in db.execute(query, (event_name, shape, index, *start, limit))]

    async def take_signal(self, wait: SignalWait, *, replace: bool, now_ms: int) -> bool:
        """Become the waiter of a signal, unless another step is."""
        query = "SELECT run_id, step_id FROM signals WHERE name = ? AND expires_at_ms > ?"
        row = (wait.name, wait.run_id, wait.step_id, wait.expires_at_ms)
        async with self._database.write() as db:
            holder = db.execute(query, (wait.name, now_ms)).fetchone()
            if holder is not None and holder != (wait.run_id, wait.step_id) and not replace:
                return False
            db.execute("INSERT OR REPLACE INTO signals VALUES (?, ?, ?, ?)", row)
            return True

    async def get_signal(self, name: str) -> SignalWait | None:
        """Who waits for a signal."""
        async with self._database.read() as db:
            row = db.execute("SELECT * FROM signals WHERE name = ?", (name,)).fetchone()
            return None if row is None else SignalWait(*row)

    async def drop_signal(self, wait: SignalWait) -> None:
        """Stop waiting, unless another step is the waiter by now."""
        statement = "DELETE FROM signals WHERE name = ? AND run_id = ? AND step_id = ?"
        async with self._database.write() as db:
            db.execute(statement, (wait.name, wait.run_id, wait.step_id))
