"""The Queue port on SQLite, with the side a worker takes items from: leases, like a message queue's visibility."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from stepwell_orchestrator.documents import read_work, work_document
from stepwell_orchestrator.local.database import Database
from stepwell_orchestrator.model.queue_item import QueueItem, Work, WorkOfNoRun


@dataclass(frozen=True, slots=True)
class Delivery:
    """An item handed out under a lease. ``token`` and ``deliveries`` name this one hand-out; the first counts 1."""

    item: QueueItem
    token: int
    deliveries: int


class SqliteQueue:
    """Work in one database.

    A delivery is current until its item is handed out again, postponed or done; an expired lease alone does not end it.
    """

    changed: asyncio.Event
    """Set whenever an item may have become due earlier than known; whoever waits for it clears it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.changed = asyncio.Event()

    async def send(self, items: Sequence[QueueItem]) -> None:
        """Queue items. An id that is queued and not yet done is left as it is."""
        if not items:
            return
        rows = [
            (item.id, item.due_at_ms, item.due_at_ms, _run_id(item.work), work_document(item.work)) for item in items
        ]
        statement = "INSERT OR IGNORE INTO queue (id, due_at_ms, ready_at_ms, run_id, work) VALUES (?, ?, ?, ?, ?)"
        async with self._database.write() as db:
            db.executemany(statement, rows)
            # Before the commit, so that a sender cancelled while it waits has told as well.
            self.changed.set()

    async def receive(self, limit: int, now_ms: int, until_ms: int) -> list[Delivery]:
        """Lease up to ``limit`` due items until ``until_ms``, those ready longest first.

        Due are items whose time has come and which are not leased, or whose lease has expired.
        """
        query = (
            "SELECT seq, id, due_at_ms, deliveries + 1, work FROM queue WHERE ready_at_ms <= ? "
            "ORDER BY ready_at_ms, seq LIMIT ?"
        )
        statement = "UPDATE queue SET leased = 1, ready_at_ms = ?, deliveries = ? WHERE seq = ?"
        async with self._database.write() as db:
            rows = db.execute(query, (now_ms, limit)).fetchall()
            db.executemany(statement, [(until_ms, deliveries, seq) for seq, _, _, deliveries, _ in rows])
        return [
            Delivery(QueueItem(item_id, read_work(work), due_at_ms), seq, deliveries)
            for seq, item_id, due_at_ms, deliveries, work in rows
        ]

    async def ack(self, delivery: Delivery) -> bool:
        """Take a done item out of the queue. Returns False, and changes nothing, for a delivery that is over."""
        statement = "DELETE FROM queue WHERE seq = ? AND deliveries = ? AND leased"
        async with self._database.write() as db:
            return db.execute(statement, (delivery.token, delivery.deliveries)).rowcount == 1

    async def postpone(self, delivery: Delivery, due_at_ms: int) -> bool:
        """Hand an item out again at that time. Returns False, and changes nothing, when the delivery is over."""
        statement = (
            "UPDATE queue SET leased = 0, due_at_ms = ?, ready_at_ms = ? WHERE seq = ? AND deliveries = ? AND leased"
        )
        async with self._database.write() as db:
            self.changed.set()
            row = (due_at_ms, due_at_ms, delivery.token, delivery.deliveries)
            return db.execute(statement, row).rowcount == 1

    async def renew(self, deliveries: Sequence[Delivery], until_ms: int) -> None:
        """Prolong the leases of the deliveries that are still current."""
        statement = "UPDATE queue SET ready_at_ms = ? WHERE seq = ? AND deliveries = ? AND leased"
        async with self._database.write() as db:
            db.executemany(statement, [(until_ms, delivery.token, delivery.deliveries) for delivery in deliveries])

    async def next_at_ms(self) -> int | None:
        """Returns when the next item becomes due or the next lease expires, or None when the queue is empty."""
        async with self._database.read() as db:
            next_at_ms: int | None = db.execute("SELECT min(ready_at_ms) FROM queue").fetchone()[0]
            return next_at_ms

    async def holds(self, item_id: str) -> bool:
        """Whether an item of that id is queued and not yet done."""
        async with self._database.read() as db:
            return db.execute("SELECT 1 FROM queue WHERE id = ?", (item_id,)).fetchone() is not None

    async def items_of_run(self, run_id: str) -> list[QueueItem]:
        """The items about a run, leased ones too, earliest due time first."""
        query = "SELECT id, work, due_at_ms FROM queue WHERE run_id = ? ORDER BY due_at_ms, seq"
        async with self._database.read() as db:
            rows = db.execute(query, (run_id,))
            return [QueueItem(item_id, read_work(work), due_at_ms) for item_id, work, due_at_ms in rows]


def _run_id(work: Work) -> str | None:
    return None if isinstance(work, WorkOfNoRun) else work.run_id
