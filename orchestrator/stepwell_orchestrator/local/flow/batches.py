"""The Batches port on SQLite: each method is one transaction."""

from __future__ import annotations

import sqlite3

from stepwell_orchestrator.local.database import Database
from stepwell_orchestrator.local.rows import Row
from stepwell_orchestrator.model.flow import BatchBounds, BatchEvent, ClosedBatch, OpenBatch


class SqliteBatches:
    """Batches in one database. The port says what each method promises."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(self, gate: str, event: BatchEvent, bounds: BatchBounds, now_ms: int) -> OpenBatch:
        """Add an event to the gate's open batch, or open one."""
        async with self._database.write() as db:
            known = _batch_of(db, gate, event.event_id)
            if known is not None:
                return _open_batch(known)
            found = db.execute(
                "SELECT * FROM sized_batches WHERE gate = ? AND closed_at_ms IS NULL", (gate,)
            ).fetchone()
            if found is not None and _is_full(found, bounds):
                _close(db, gate, found[1], now_ms)
                found = None
            batch_id = event.event_id if found is None else found[1]
            if found is None:
                db.execute("INSERT INTO batches VALUES (?, ?, ?, 0, NULL)", (gate, batch_id, now_ms))
            db.execute("INSERT INTO batched_events VALUES (?, ?, ?)", (gate, event.event_id, batch_id))
            change = "UPDATE batches SET size_bytes = size_bytes + ? WHERE gate = ? AND batch_id = ?"
            db.execute(change, (event.size_bytes, gate, batch_id))
            if _is_full(_batch(db, gate, batch_id), bounds):
                _close(db, gate, batch_id, now_ms)
            return _open_batch(_batch(db, gate, batch_id))

    async def reserve(self, key: str, event_id: str, *, now_ms: int, expires_at_ms: int) -> bool:
        """Keep an idempotency key for an event."""
        query = "SELECT run_id FROM idempotency WHERE key = ? AND expires_at_ms > ?"
        async with self._database.write() as db:
            held = db.execute(query, (key, now_ms)).fetchone()
            if held is None:
                db.execute("INSERT OR REPLACE INTO idempotency VALUES (?, ?, ?)", (key, event_id, expires_at_ms))
            return held is None or held[0] == event_id

    async def close(self, gate: str, batch_id: str, now_ms: int) -> ClosedBatch | None:
        """Close a batch, if it is open, and return it."""
        query = "SELECT event_id FROM batched_events WHERE gate = ? AND batch_id = ? ORDER BY event_id"
        async with self._database.write() as db:
            _close(db, gate, batch_id, now_ms)
            row = _batch(db, gate, batch_id)
            if row is None:
                return None
            event_ids = tuple(event_id for (event_id,) in db.execute(query, (gate, batch_id)))
            return ClosedBatch(batch_id, event_ids, row[4])

    async def forget(self, gate: str, batch_id: str) -> None:
        """Forget a closed batch."""
        async with self._database.write() as db:
            row = _batch(db, gate, batch_id)
            if row is not None and row[4] is not None:
                db.execute("DELETE FROM batches WHERE gate = ? AND batch_id = ?", (gate, batch_id))
                db.execute("DELETE FROM batched_events WHERE gate = ? AND batch_id = ?", (gate, batch_id))

    async def look(self, gate: str, event_id: str) -> OpenBatch | None:
        """The batch that an event is in."""
        async with self._database.read() as db:
            row = _batch_of(db, gate, event_id)
            return None if row is None else _open_batch(row)


def _batch(db: sqlite3.Connection, gate: str, batch_id: str) -> Row | None:
    query = "SELECT * FROM sized_batches WHERE gate = ? AND batch_id = ?"
    row: Row | None = db.execute(query, (gate, batch_id)).fetchone()
    return row


def _batch_of(db: sqlite3.Connection, gate: str, event_id: str) -> Row | None:
    query = "SELECT batch_id FROM batched_events WHERE gate = ? AND event_id = ?"
    row = db.execute(query, (gate, event_id)).fetchone()
    return None if row is None else _batch(db, gate, row[0])


def _is_full(row: Row | None, bounds: BatchBounds) -> bool:
    assert row is not None, "a batch that was just written is there"
    _, _, _, size_bytes, _, size = row
    return bool(size >= bounds.size or size_bytes >= bounds.size_bytes)


def _close(db: sqlite3.Connection, gate: str, batch_id: str, now_ms: int) -> None:
    change = "UPDATE batches SET closed_at_ms = ? WHERE gate = ? AND batch_id = ? AND closed_at_ms IS NULL"
    db.execute(change, (now_ms, gate, batch_id))


def _open_batch(row: Row | None) -> OpenBatch:
    assert row is not None, "a batch that was just written is there"
    _, batch_id, first_at_ms, _, closed_at_ms, size = row
    return OpenBatch(batch_id, size, first_at_ms, closed_at_ms is not None)
