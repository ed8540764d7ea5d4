"""A run's guarded writes: every guard is read before the first write, so that a refused commit has written nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final, assert_never

from stepwell_orchestrator.documents import entry_document, outcome_document, progress_document, read_entry
from stepwell_orchestrator.errors import ConflictError, entry_moved, lease_lost
from stepwell_orchestrator.model.decision import EndRun, PutEntry, PutProgress, Write
from stepwell_orchestrator.model.run import RunStatus
from stepwell_orchestrator.model.step import StepEntry, StepStatus

Encoded = tuple[Write, bytes]

ENDED: Final = frozenset({RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED})


def encode_writes(writes: Sequence[Write]) -> list[Encoded]:
    """The writes with their documents. Raises EncodingError, and must therefore come before the transaction."""
    return [(write, _document(write)) for write in writes]


def commit(db: sqlite3.Connection, run_id: str, writes: Sequence[Encoded], term: int | None) -> None:
    """Check every guard, then write. Raises LeaseLostError and ConflictError with nothing written."""
    present = _check_run(db, run_id, term)
    if writes and present in ENDED:
        raise ConflictError(f"run {run_id} has ended ({present}) and accepts no write")
    for write, _ in writes:
        _check(db, run_id, write, term)
    for write, document in writes:
        match write:
            case PutEntry(entry):
                put_entry(db, run_id, entry, document)
            case PutProgress():
                db.execute("UPDATE runs SET progress = ? WHERE run_id = ?", (document, run_id))
            case EndRun(outcome):
                db.execute("UPDATE runs SET status = ? WHERE run_id = ?", (outcome.status, run_id))
                db.execute("INSERT INTO outcomes VALUES (?, ?)", (run_id, document))
            case _:
                assert_never(write)


def put_entry(db: sqlite3.Connection, run_id: str, entry: StepEntry, document: bytes) -> None:
    """Write an entry, whole."""
    claim_until_ms = entry.claim_until_ms if entry.status is StepStatus.RUNNING else None
    row = (run_id, entry.step_id, entry.memoised, claim_until_ms, document)
    db.execute("INSERT OR REPLACE INTO steps VALUES (?, ?, ?, ?, ?)", row)


def _document(write: Write) -> bytes:
    match write:
        case PutEntry(entry):
            return entry_document(entry)
        case PutProgress(progress):
            return progress_document(progress)
        case EndRun(outcome):
            return outcome_document(outcome)
        case _:
            assert_never(write)


def _check_run(db: sqlite3.Connection, run_id: str, term: int | None) -> RunStatus:
    query = "SELECT term, lease_until_ms, status FROM runs WHERE run_id = ?"
    row = db.execute(query, (run_id,)).fetchone()
    if row is None:
        raise ConflictError(f"run {run_id} does not exist, so nothing can be committed to it")
    current, lease_until_ms, status = row
    if term is not None and (term != current or lease_until_ms is None):
        raise lease_lost(run_id, term)
    return RunStatus(status)


def _check(db: sqlite3.Connection, run_id: str, write: Write, term: int | None) -> None:
    match write:
        case PutEntry(entry, replaced):
            query = "SELECT document FROM steps WHERE run_id = ? AND step_id = ?"
            row = db.execute(query, (run_id, entry.step_id)).fetchone()
            stored = None if row is None else read_entry(entry.step_id, row[0])
            if not _may_replace(stored, replaced):
                raise entry_moved(run_id, entry.step_id, entry.name)
        case PutProgress() if term is None:
            raise ConflictError(f"run {run_id}: progress is only written by the holder of the drive lease")
        case PutProgress() | EndRun():
            pass
        case _:
            assert_never(write)


def _may_replace(stored: StepEntry | None, replaced: StepEntry | None) -> bool:
    if stored is None or replaced is None:
        return stored is replaced
    return not stored.memoised and stored.version == replaced.version
