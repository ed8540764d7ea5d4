"""The whole local backend: one database, and everything that lives in it."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from stepwell_orchestrator.documents import entry_document, read_entry
from stepwell_orchestrator.flow_ports import FlowPorts
from stepwell_orchestrator.local.commit import put_entry
from stepwell_orchestrator.local.database import Database, Synchronous
from stepwell_orchestrator.local.flow.batches import SqliteBatches
from stepwell_orchestrator.local.flow.debounces import SqliteDebounces
from stepwell_orchestrator.local.flow.gates import SqliteGates
from stepwell_orchestrator.local.flow.rates import SqliteRates
from stepwell_orchestrator.local.journal import SqliteJournal
from stepwell_orchestrator.local.queue import SqliteQueue
from stepwell_orchestrator.local.registry import SqliteRegistry
from stepwell_orchestrator.local.waits import SqliteWaits


@dataclass(frozen=True, slots=True)
class LocalBackend:
    """The ports of one process, on one database."""

    database: Database
    journal: SqliteJournal
    waits: SqliteWaits
    registry: SqliteRegistry
    queue: SqliteQueue
    flow: FlowPorts

    @classmethod
    def open(cls, path: Path | None, *, synchronous: Synchronous = Synchronous.NORMAL) -> Self:
        """Open, or create, the database at ``path`` (None: in memory) and recover what its last owner left leased.

        Raises StoreError as ``Database`` does.
        """
        database = Database(path, synchronous=synchronous)
        with database.exclusive() as db:
            recover(db)
        return cls(
            database,
            SqliteJournal(database),
            SqliteWaits(database),
            SqliteRegistry(database),
            SqliteQueue(database),
            FlowPorts(
                SqliteGates(database),
                SqliteRates(database),
                debounces=SqliteDebounces(database),
                batches=SqliteBatches(database),
            ),
        )

    def close(self) -> None:
        """Make what was written durable and give the file up."""
        self.database.close()


def recover(db: sqlite3.Connection) -> None:
    """Let every lease, claim and slot expire now: a single owner knows that the holders are gone.

    They expire and are not released, so that the next driver sees a takeover and the sweep finds the run.
    """
    db.execute("UPDATE runs SET lease_until_ms = 0 WHERE lease_until_ms IS NOT NULL")
    claimed = db.execute("SELECT run_id, step_id, document FROM steps WHERE claim_until_ms IS NOT NULL").fetchall()
    for run_id, step_id, document in claimed:
        entry = replace(read_entry(step_id, document), claim_until_ms=0)
        put_entry(db, run_id, entry, entry_document(entry))
    db.execute("UPDATE slots SET until_ms = 0 WHERE until_ms IS NOT NULL")
    db.execute("UPDATE queue SET leased = 0, ready_at_ms = due_at_ms WHERE leased")
