"""The Gates port on SQLite: each method is one transaction."""

from __future__ import annotations

import sqlite3

from stepwell.wire.encoding import decode
from stepwell_orchestrator.documents import read_work, work_document
from stepwell_orchestrator.local.database import Database
from stepwell_orchestrator.local.rows import Row
from stepwell_orchestrator.model.flow import GateState, Holder, Place, Waiter
from stepwell_orchestrator.model.queue_item import Execute, Start


class SqliteGates:
    """Slots and lines in one database. The port says what each method promises."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take_slot(self, gate: str, most: int, holder: str, *, now_ms: int, until_ms: int | None) -> bool:
        """Hold one of ``most`` slots, unless others hold them all. What has expired makes way."""
        query = "SELECT holder FROM slots WHERE gate = ? AND (until_ms IS NULL OR until_ms > ?)"
        async with self._database.write() as db:
            live = {name for (name,) in db.execute(query, (gate, now_ms))}
            if holder not in live and len(live) >= most:
                return False
            db.execute("DELETE FROM slots WHERE gate = ? AND until_ms <= ?", (gate, now_ms))
            db.execute("INSERT OR REPLACE INTO slots VALUES (?, ?, ?)", (gate, holder, until_ms))
            return True

    async def renew_slot(self, gate: str, holder: str, until_ms: int) -> bool:
        """Prolong a slot. Returns False when it is not the holder's any more."""
        statement = "UPDATE slots SET until_ms = ? WHERE gate = ? AND holder = ?"
        async with self._database.write() as db:
            return db.execute(statement, (until_ms, gate, holder)).rowcount == 1

    async def give_slot(self, gate: str, holder: str) -> None:
        """Give a slot back."""
        async with self._database.write() as db:
            db.execute("DELETE FROM slots WHERE gate = ? AND holder = ?", (gate, holder))

    async def join_line(self, gate: str, waiter: Waiter) -> None:
        """Stand in line; who stands there already keeps the time since when."""
        statement = (
            "INSERT INTO lines VALUES (?, ?, ?, ?, ?, ?, 1, ?) "
            "ON CONFLICT DO UPDATE SET function_id = excluded.function_id, limit_id = excluded.limit_id, "
            "work = excluded.work, turn = lines.turn + 1"
        )
        place, work = waiter.place, work_document(waiter.work)
        row = (gate, place.order_ms, place.waiter, waiter.function_id, waiter.limit_id, waiter.since_ms, work)
        async with self._database.write() as db:
            db.execute(statement, row)

    async def leave_line(self, gate: str, place: Place, limit_id: str | None = None) -> None:
        """Leave the line."""
        statement = (
            "DELETE FROM lines WHERE gate = ? AND order_ms = ? AND waiter = ? AND limit_id = ifnull(?, limit_id)"
        )
        async with self._database.write() as db:
            db.execute(statement, (gate, place.order_ms, place.waiter, limit_id))

    async def look(self, gate: str, now_ms: int, *, waiters: int) -> GateState:
        """The gate as it is."""
        holders = (
            "SELECT holder, until_ms FROM slots WHERE gate = ? AND (until_ms IS NULL OR until_ms > ?) ORDER BY holder"
        )
        rate = "SELECT tat_ms, takers FROM rates WHERE gate = ?"
        async with self._database.read() as db:
            held = tuple(Holder(*row) for row in db.execute(holders, (gate, now_ms)))
            tat_ms, takers = db.execute(rate, (gate,)).fetchone() or (None, b"[]")
            return GateState(held, _line(db, gate, waiters), tat_ms, tuple(decode(takers)))

    async def count_ahead(self, gate: str, place: Place, most: int) -> int:
        """How many stand before a place."""
        query = (
            "SELECT count(*) FROM "
            "(SELECT 1 FROM lines WHERE gate = ? AND (order_ms, waiter) < (?, ?) ORDER BY order_ms, waiter LIMIT ?)"
        )
        row = (gate, place.order_ms, place.waiter, most)
        async with self._database.read() as db:
            count: int = db.execute(query, row).fetchone()[0]
            return count

    async def gates_waited_at(self, *, cursor: str | None, limit: int) -> tuple[list[str], str | None]:
        """Gates with a line, by their ids."""
        query = "SELECT DISTINCT gate FROM lines WHERE gate > ? ORDER BY gate LIMIT ?"
        async with self._database.read() as db:
            gates = [gate for (gate,) in db.execute(query, (cursor or "", limit))]
        return gates, gates[-1] if len(gates) == limit else None

    async def forget_line(self, gate: str) -> None:
        """Do nothing: a line of nobody is no row."""


def _line(db: sqlite3.Connection, gate: str, limit: int) -> tuple[Waiter, ...]:
    query = (
        "SELECT order_ms, waiter, function_id, limit_id, work, since_ms, turn FROM lines WHERE gate = ? "
        "ORDER BY order_ms, waiter LIMIT ?"
    )
    return tuple(_waiter(row) for row in db.execute(query, (gate, limit)))


def _waiter(row: Row) -> Waiter:
    order_ms, waiter, function_id, limit_id, document, since_ms, turn = row
    work = read_work(document)
    assert isinstance(work, Start | Execute), f"{waiter} waits to do {work}"
    return Waiter(Place(order_ms, waiter), function_id, limit_id, work, since_ms, turn)
