"""The Journal port on SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import replace

from stepwell.wire.encoding import encode
from stepwell_orchestrator.documents import (
    entry_document,
    event_document,
    origin_document,
    progress_document,
    read_entries,
    read_entry,
)
from stepwell_orchestrator.errors import lease_lost
from stepwell_orchestrator.local import listing
from stepwell_orchestrator.local.commit import commit, encode_writes, put_entry
from stepwell_orchestrator.local.database import Database
from stepwell_orchestrator.local.rows import Row, read_event, read_header
from stepwell_orchestrator.model.decision import EndRun, Write
from stepwell_orchestrator.model.event import Event, is_internal
from stepwell_orchestrator.model.run import Progress, Run, RunHeader
from stepwell_orchestrator.model.step import StepEntry, StepStatus
from stepwell_orchestrator.ports import (
    Acquired,
    Acquisition,
    Busy,
    Claim,
    Claimed,
    EventFilter,
    NotClaimed,
    Over,
    RunFilter,
    Unknown,
)


class SqliteJournal:
    """Events, runs and their entries in one database. The port says what each method promises."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put_event(self, event: Event) -> bool:
        """Store an event. Returns False when its internal id exists already."""
        internal = is_internal(event.name)
        row = (event.internal_id, event.name, event.received_at_ms, event_document(event), internal)
        async with self._database.write() as db:
            return db.execute("INSERT OR IGNORE INTO events VALUES (?, ?, ?, ?, ?)", row).rowcount == 1

    async def get_event(self, internal_id: str) -> Event | None:
        """One event."""
        async with self._database.read() as db:
            return _event(db, internal_id)

    async def events_since(self, name: str, since_ms: int, *, after: Event | None, limit: int) -> list[Event]:
        """Events of one name received at or after ``since_ms``, oldest first."""
        query = (
            "SELECT internal_id, name, received_at_ms, document FROM events WHERE name = ? "
            "AND (received_at_ms, internal_id) > (?, ?) ORDER BY received_at_ms, internal_id LIMIT ?"
        )
        start = (since_ms, "") if after is None else (after.received_at_ms, after.internal_id)
        async with self._database.read() as db:
            return [read_event(row) for row in db.execute(query, (name, *start, limit))]

    async def create_run(self, header: RunHeader, *, idempotency_keys: Sequence[str], expires_at_ms: int) -> str:
        """Create a run, unless one of its keys or its id is taken; the id of the run that holds them."""
        assert header.outcome is None, f"run {header.run_id} cannot be created ended"
        row = _header_row(header)
        async with self._database.write() as db:
            holder = _holder(db, idempotency_keys, header.created_at_ms)
            if holder is not None:
                return holder
            if _header(db, header.run_id) is None:
                _insert_run(db, header, row)
                held = [(key, header.run_id, expires_at_ms) for key in idempotency_keys]
                db.executemany("INSERT OR REPLACE INTO idempotency VALUES (?, ?, ?)", held)
            return header.run_id

    async def acquire(self, run_id: str, now_ms: int, until_ms: int) -> Acquisition:
        """Bump ``wanted``, and take the drive lease if it is free or has expired."""
        async with self._database.write() as db:
            header = _header(db, run_id)
            if header is None:
                return Unknown()
            lease_until_ms = header.lease_until_ms
            if lease_until_ms is None and header.outcome is not None:
                return Over(header)
            if lease_until_ms is not None and lease_until_ms > now_ms:
                db.execute("UPDATE runs SET wanted = wanted + 1 WHERE run_id = ?", (run_id,))
                return Busy(lease_until_ms)
            taken = replace(
                header,
                wanted=header.wanted + 1,
                term=header.term + 1,
                lease_until_ms=until_ms,
                started_at_ms=now_ms if header.started_at_ms is None else header.started_at_ms,
            )
            db.execute(
                "UPDATE runs SET wanted = ?, term = ?, lease_until_ms = ?, started_at_ms = ?, status = ? "
                "WHERE run_id = ?",
                (taken.wanted, taken.term, until_ms, taken.started_at_ms, taken.status, run_id),
            )
            return Acquired(taken, takeover=lease_until_ms is not None)

    async def renew(self, run_id: str, term: int, until_ms: int) -> bool:
        """Prolong the drive lease. Returns False when that term is over."""
        statement = "UPDATE runs SET lease_until_ms = ? WHERE run_id = ? AND term = ? AND lease_until_ms IS NOT NULL"
        async with self._database.write() as db:
            return db.execute(statement, (until_ms, run_id, term)).rowcount == 1

    async def release(self, run_id: str, term: int, wanted: int, progress: Progress | None) -> int | None:
        """Free the lease. Returns None, or the new value of ``wanted`` when it has moved and nothing has changed."""
        document = None if progress is None else progress_document(progress)
        query = "SELECT wanted FROM runs WHERE run_id = ? AND term = ? AND lease_until_ms IS NOT NULL"
        async with self._database.write() as db:
            row = db.execute(query, (run_id, term)).fetchone()
            if row is None:
                raise lease_lost(run_id, term)
            current: int = row[0]
            if current != wanted:
                return current
            statement = "UPDATE runs SET lease_until_ms = NULL, progress = coalesce(?, progress) WHERE run_id = ?"
            db.execute(statement, (document, run_id))
            return None

    async def wake(self, run_id: str, term: int) -> bool:
        """Bump ``wanted`` for the driver of that term. Returns False when it drives no more."""
        statement = (
            "UPDATE runs SET wanted = wanted + 1 WHERE run_id = ? AND term = ? AND lease_until_ms IS NOT NULL "
            "AND NOT EXISTS (SELECT 1 FROM outcomes WHERE outcomes.run_id = runs.run_id)"
        )
        async with self._database.write() as db:
            return db.execute(statement, (run_id, term)).rowcount == 1

    async def commit(
        self, run_id: str, writes: Sequence[Write], *, term: int | None, wanted: int | None = None
    ) -> bool:
        """Apply all writes, or none. Returns whether the lease was freed with the run's end."""
        encoded = encode_writes(writes)
        ends = term is not None and any(isinstance(write, EndRun) for write in writes)
        async with self._database.write() as db:
            commit(db, run_id, encoded, term)
            return ends and _free(db, run_id, wanted)

    async def load(self, run_id: str) -> Run | None:
        """A run with its events and all its entries."""
        async with self._database.read() as db:
            header = _header(db, run_id)
            return None if header is None else _run(db, header)

    async def run_of(self, header: RunHeader) -> Run:
        """The run of a header that was just read."""
        async with self._database.read() as db:
            return _run(db, header)

    async def get_header(self, run_id: str) -> RunHeader | None:
        """A run's header."""
        async with self._database.read() as db:
            return _header(db, run_id)

    async def get_entry(self, run_id: str, step_id: str) -> StepEntry | None:
        """One entry."""
        async with self._database.read() as db:
            return _entry(db, run_id, step_id)

    async def claim(self, run_id: str, step_id: str, attempt: int, *, now_ms: int, until_ms: int) -> Claim:
        """Claim a planned step for execution until ``until_ms``."""
        async with self._database.write() as db:
            entry = None if _has_ended(db, run_id) else _entry(db, run_id, step_id)
            if entry is None:
                return Unknown()
            if entry.attempt != attempt or not _claimable(entry, now_ms):
                return NotClaimed(entry)
            claimed = replace(
                entry,
                status=StepStatus.RUNNING,
                claim_until_ms=until_ms,
                claimed_at_ms=now_ms,
                started_at_ms=now_ms if entry.started_at_ms is None else entry.started_at_ms,
            )
            put_entry(db, run_id, claimed, entry_document(claimed))
            return Claimed(claimed)

    async def renew_claim(self, run_id: str, step_id: str, *, claimed_at_ms: int, until_ms: int) -> bool:
        """Prolong a claim. Returns False when it is over or another one took its place."""
        async with self._database.write() as db:
            entry = _entry(db, run_id, step_id)
            if entry is None or entry.status is not StepStatus.RUNNING or entry.claimed_at_ms != claimed_at_ms:
                return False
            prolonged = replace(entry, claim_until_ms=until_ms)
            put_entry(db, run_id, prolonged, entry_document(prolonged))
            return True

    async def expired_leases(self, now_ms: int, limit: int) -> list[str]:
        """Runs whose drive lease has expired without a release, oldest first."""
        query = "SELECT run_id FROM runs WHERE lease_until_ms <= ? ORDER BY lease_until_ms, run_id LIMIT ?"
        async with self._database.read() as db:
            return [run_id for (run_id,) in db.execute(query, (now_ms, limit))]

    async def runs_of_event(self, internal_id: str) -> list[RunHeader]:
        """The runs an event started, oldest first."""
        query = (
            "SELECT headers.* FROM runs_of_events JOIN headers USING (run_id) "
            "WHERE event_id = ? ORDER BY created_at_ms, run_id"
        )
        async with self._database.read() as db:
            return [read_header(row) for row in db.execute(query, (internal_id,))]

    async def list_runs(self, wanted: RunFilter, *, cursor: str | None, limit: int) -> list[RunHeader]:
        """Runs newest first by run id."""
        statement, parameters = listing.runs(wanted, cursor, limit)
        async with self._database.read() as db:
            return [read_header(row) for row in db.execute(statement, parameters)]

    async def list_events(self, wanted: EventFilter, *, cursor: str | None, limit: int) -> list[Event]:
        """Events newest first by internal id."""
        statement, parameters = listing.events(wanted, cursor, limit)
        async with self._database.read() as db:
            return [read_event(row) for row in db.execute(statement, parameters)]

    async def prune(self, now_ms: int, limit: int) -> int:
        """Forget up to ``limit`` idempotency keys that have expired. Returns how many."""
        statement = (
            "DELETE FROM idempotency WHERE key IN "
            "(SELECT key FROM idempotency WHERE expires_at_ms <= ? ORDER BY expires_at_ms LIMIT ?)"
        )
        async with self._database.write() as db:
            return db.execute(statement, (now_ms, limit)).rowcount


def _event(db: sqlite3.Connection, internal_id: str) -> Event | None:
    row = db.execute("SELECT * FROM plain_events WHERE internal_id = ?", (internal_id,)).fetchone()
    return None if row is None else read_event(row)


def _header(db: sqlite3.Connection, run_id: str) -> RunHeader | None:
    row = db.execute("SELECT * FROM headers WHERE run_id = ?", (run_id,)).fetchone()
    return None if row is None else read_header(row)


def _free(db: sqlite3.Connection, run_id: str, wanted: int | None) -> bool:
    """Free the lease if ``wanted`` has not moved. Returns whether it was freed."""
    statement = "UPDATE runs SET lease_until_ms = NULL WHERE run_id = ? AND wanted = ?"
    return db.execute(statement, (run_id, wanted)).rowcount == 1


def _run(db: sqlite3.Connection, header: RunHeader) -> Run:
    events = (_event(db, event_id) for event_id in header.event_ids)
    rows = db.execute("SELECT step_id, document FROM steps WHERE run_id = ?", (header.run_id,))
    return Run(header, tuple(event for event in events if event is not None), read_entries(rows))


def _entry(db: sqlite3.Connection, run_id: str, step_id: str) -> StepEntry | None:
    query = "SELECT document FROM steps WHERE run_id = ? AND step_id = ?"
    row = db.execute(query, (run_id, step_id)).fetchone()
    return None if row is None else read_entry(step_id, row[0])


def _has_ended(db: sqlite3.Connection, run_id: str) -> bool:
    return db.execute("SELECT 1 FROM outcomes WHERE run_id = ?", (run_id,)).fetchone() is not None


def _claimable(entry: StepEntry, now_ms: int) -> bool:
    if entry.status is StepStatus.RUNNING:
        return entry.claim_until_ms is None or entry.claim_until_ms <= now_ms
    return entry.status in (StepStatus.PLANNED, StepStatus.ERRORED)


def _holder(db: sqlite3.Connection, keys: Sequence[str], now_ms: int) -> str | None:
    query = "SELECT run_id FROM idempotency WHERE key = ? AND expires_at_ms > ?"
    rows = (db.execute(query, (key, now_ms)).fetchone() for key in keys)
    return next((row[0] for row in rows if row is not None), None)


def _insert_run(db: sqlite3.Connection, header: RunHeader, row: Row) -> None:
    db.execute("INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
    links = [(event_id, header.run_id) for event_id in header.event_ids]
    db.executemany("INSERT OR IGNORE INTO runs_of_events VALUES (?, ?)", links)


def _header_row(header: RunHeader) -> Row:
    return (
        header.run_id,
        header.app_id,
        header.function_id,
        header.event_name,
        encode(header.event_ids),
        origin_document(header),
        header.created_at_ms,
        header.started_at_ms,
        header.status,
        header.wanted,
        header.term,
        header.lease_until_ms,
        progress_document(header.progress),
    )
