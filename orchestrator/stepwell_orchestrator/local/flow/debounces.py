"""The Debounces port on SQLite: each method is one transaction, and forgets a few debounces that are long over."""

from __future__ import annotations

import sqlite3
from typing import Final

from stepwell.wire.times import DAY_MS
from stepwell_orchestrator.documents import debounced_document, read_debounced
from stepwell_orchestrator.local.database import Database
from stepwell_orchestrator.model.flow import Debounced, DebounceStage, Offer

_KEPT_MS: Final = DAY_MS
_FORGOTTEN_AT_ONCE: Final = 4


class SqliteDebounces:
    """Debounces in one database. The port says what each method promises."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def offer(self, gate: str, offer: Offer) -> Debounced:
        """Offer an event to the gate's debounce, or begin one."""
        async with self._database.write() as db:
            kept = _read(db, gate)
            changed = Debounced.begun(offer) if kept is None else kept.after(offer)
            if changed is not kept:
                db.execute("INSERT OR REPLACE INTO debounces VALUES (?, ?, NULL)", (gate, debounced_document(changed)))
                _prune(db, offer.offered_at_ms)
            return changed

    async def fire(self, gate: str, first_event_id: str, now_ms: int) -> Debounced | None:
        """Take the event of that debounce, if it is due."""
        async with self._database.write() as db:
            kept = _read(db, gate)
            if kept is None or kept.first_event_id != first_event_id or kept.stage is DebounceStage.OVER:
                return None
            fired = kept.fired(now_ms)
            if fired is not kept:
                _put(db, gate, fired)
            return fired

    async def forget(self, gate: str, first_event_id: str) -> None:
        """End a debounce whose event is taken."""
        async with self._database.write() as db:
            kept = _read(db, gate)
            if kept is not None and kept.first_event_id == first_event_id and kept.stage is DebounceStage.TAKEN:
                _put(db, gate, kept.ended(), kept.due_at_ms)

    async def look(self, gate: str) -> Debounced | None:
        """The gate's debounce."""
        async with self._database.read() as db:
            return _read(db, gate)


def _read(db: sqlite3.Connection, gate: str) -> Debounced | None:
    row = db.execute("SELECT document FROM debounces WHERE gate = ?", (gate,)).fetchone()
    return None if row is None else read_debounced(row[0])


def _put(db: sqlite3.Connection, gate: str, debounced: Debounced, over_at_ms: int | None = None) -> None:
    row = (debounced_document(debounced), over_at_ms, gate)
    db.execute("UPDATE debounces SET document = ?, over_at_ms = ? WHERE gate = ?", row)


def _prune(db: sqlite3.Connection, now_ms: int) -> None:
    statement = (
        "DELETE FROM debounces WHERE gate IN "
        "(SELECT gate FROM debounces WHERE over_at_ms <= ? ORDER BY over_at_ms LIMIT ?)"
    )
    db.execute(statement, (now_ms - _KEPT_MS, _FORGOTTEN_AT_ONCE))
