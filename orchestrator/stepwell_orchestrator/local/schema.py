"""The tables, and what makes a file one of ours."""

from __future__ import annotations

import sqlite3

from stepwell_orchestrator.errors import StoreError

SCHEMA_VERSION = 3
APPLICATION_ID = 0x5374_6570
"""``Step`` in ASCII: tells our files from other programs' in the SQLite header."""

_TABLES = """
CREATE TABLE events (
    internal_id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    received_at_ms INTEGER NOT NULL,
    document BLOB NOT NULL,
    internal INTEGER NOT NULL
) WITHOUT ROWID;
CREATE VIEW plain_events AS SELECT internal_id, name, received_at_ms, document FROM events;
CREATE INDEX events_by_name ON events (name, internal_id);
CREATE INDEX events_by_name_and_receipt ON events (name, received_at_ms, internal_id);
CREATE INDEX events_by_receipt ON events (received_at_ms, internal, name, internal_id);
CREATE INDEX events_of_users ON events (internal_id) WHERE internal = 0;

CREATE TABLE runs (
    run_id TEXT PRIMARY KEY,
    app_id TEXT NOT NULL,
    function_id TEXT NOT NULL,
    event_name TEXT NOT NULL,
    event_ids BLOB NOT NULL,
    origin BLOB NOT NULL,
    created_at_ms INTEGER NOT NULL,
    started_at_ms INTEGER,
    status TEXT NOT NULL,
    wanted INTEGER NOT NULL,
    term INTEGER NOT NULL,
    lease_until_ms INTEGER,
    progress BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX runs_by_status ON runs (status, run_id);
CREATE INDEX runs_by_function ON runs (function_id, status, run_id);
CREATE INDEX runs_by_app ON runs (app_id, status, run_id);
CREATE INDEX runs_by_creation ON runs (created_at_ms, function_id, app_id, run_id);
CREATE INDEX runs_leased ON runs (lease_until_ms) WHERE lease_until_ms IS NOT NULL;

-- Apart from the run's row, which is rewritten at every lease: an output may be megabytes.
CREATE TABLE outcomes (run_id TEXT PRIMARY KEY, document BLOB NOT NULL) WITHOUT ROWID;
CREATE VIEW headers AS
    SELECT
        run_id, app_id, function_id, event_name, event_ids, created_at_ms, started_at_ms, progress, document AS outcome,
        wanted, term, lease_until_ms, origin
    FROM runs LEFT JOIN outcomes USING (run_id);

CREATE TABLE runs_of_events (
    event_id TEXT,
    run_id TEXT,
    PRIMARY KEY (event_id, run_id)
) WITHOUT ROWID;

CREATE TABLE idempotency (
    key TEXT PRIMARY KEY,
    run_id TEXT NOT NULL,
    expires_at_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX idempotency_by_expiry ON idempotency (expires_at_ms);

CREATE TABLE steps (
    run_id TEXT,
    step_id TEXT,
    memoised INTEGER NOT NULL,
    claim_until_ms INTEGER,
    document BLOB NOT NULL,
    PRIMARY KEY (run_id, step_id)
) WITHOUT ROWID;
CREATE INDEX steps_claimed ON steps (run_id, step_id) WHERE claim_until_ms IS NOT NULL;

-- One range of the key is the pauses an event can match: what waits for other values is never looked at.
CREATE TABLE pauses (
    event_name TEXT,
    shape TEXT,
    filed_under TEXT,
    run_id TEXT,
    pause_id TEXT,
    document BLOB NOT NULL,
    PRIMARY KEY (event_name, shape, filed_under, run_id, pause_id)
) WITHOUT ROWID;
CREATE INDEX pauses_by_run ON pauses (run_id, pause_id);
CREATE TABLE shapes (event_name TEXT, shape TEXT, PRIMARY KEY (event_name, shape)) WITHOUT ROWID;

CREATE TABLE signals (
    name TEXT PRIMARY KEY,
    run_id TEXT NOT NULL,
    step_id TEXT NOT NULL,
    expires_at_ms INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE apps (
    id TEXT PRIMARY KEY,
    url TEXT NOT NULL,
    checksum TEXT NOT NULL,
    document BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX apps_by_url ON apps (url);

CREATE TABLE functions (
    slug TEXT PRIMARY KEY,
    app_id TEXT NOT NULL,
    document BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX functions_by_app ON functions (app_id, slug);

CREATE TABLE triggers (
    event TEXT,
    slug TEXT,
    PRIMARY KEY (event, slug)
) WITHOUT ROWID;
CREATE INDEX triggers_by_function ON triggers (slug);

-- ready_at_ms is the due time or, while leased, the lease's end. seq is never used twice: seq and deliveries name one
-- delivery for ever.
CREATE TABLE queue (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    due_at_ms INTEGER NOT NULL,
    ready_at_ms INTEGER NOT NULL,
    leased INTEGER NOT NULL DEFAULT 0,
    deliveries INTEGER NOT NULL DEFAULT 0,
    run_id TEXT,
    work BLOB NOT NULL
);
CREATE INDEX queue_by_time ON queue (ready_at_ms);
CREATE INDEX queue_by_run ON queue (run_id) WHERE run_id IS NOT NULL;
"""

_FLOW_TABLES = """
-- until_ms is NULL for a slot that is held until it is given back.
CREATE TABLE slots (gate TEXT, holder TEXT, until_ms INTEGER, PRIMARY KEY (gate, holder)) WITHOUT ROWID;

CREATE TABLE lines (
    gate TEXT,
    order_ms INTEGER,
    waiter TEXT,
    function_id TEXT NOT NULL,
    limit_id TEXT NOT NULL,
    since_ms INTEGER NOT NULL,
    turn INTEGER NOT NULL,
    work BLOB NOT NULL,
    PRIMARY KEY (gate, order_ms, waiter)
) WITHOUT ROWID;

CREATE TABLE rates (
    gate TEXT PRIMARY KEY,
    tat_ms INTEGER NOT NULL,
    takers BLOB NOT NULL,
    timer_ms INTEGER
) WITHOUT ROWID;
CREATE INDEX rates_by_tat ON rates (tat_ms);

-- One row at most: all that stands still.
CREATE TABLE halts (document BLOB NOT NULL);
"""

_OFFER_TABLES = """
-- over_at_ms is set once the debounce is over: it is known for a while.
CREATE TABLE debounces (gate TEXT PRIMARY KEY, document BLOB NOT NULL, over_at_ms INTEGER) WITHOUT ROWID;
CREATE INDEX debounces_over ON debounces (over_at_ms) WHERE over_at_ms IS NOT NULL;

-- The open batch of a gate has no closed_at_ms.
CREATE TABLE batches (
    gate TEXT,
    batch_id TEXT,
    first_at_ms INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    closed_at_ms INTEGER,
    PRIMARY KEY (gate, batch_id)
) WITHOUT ROWID;
CREATE TABLE batched_events (
    gate TEXT,
    event_id TEXT,
    batch_id TEXT NOT NULL,
    PRIMARY KEY (gate, event_id)
) WITHOUT ROWID;
CREATE INDEX batched_events_by_batch ON batched_events (gate, batch_id);
CREATE VIEW sized_batches AS
    SELECT
        gate, batch_id, first_at_ms, size_bytes, closed_at_ms,
        (SELECT count(*) FROM batched_events AS e WHERE e.gate = b.gate AND e.batch_id = b.batch_id) AS size
    FROM batches AS b;
"""

_ADDED = ((2, _FLOW_TABLES), (3, _OFFER_TABLES))
"""What each schema after the first added to the one before."""


def prepare(connection: sqlite3.Connection, name: str) -> None:
    """Create the tables in an empty database, or bring ours up to date; ``name`` is what errors call it.

    Raises StoreError for another program's database and for a newer schema, and then has changed nothing.
    """
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (objects,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if objects == 0 and version == 0:
        _add(connection, _TABLES, version)
    elif application_id != APPLICATION_ID:
        raise StoreError(f"{name} is a database of another program, not Stepwell's; use another database file")
    elif version > SCHEMA_VERSION:
        raise StoreError(
            f"{name} was written by a newer Stepwell (schema {version}, this one knows {SCHEMA_VERSION}); "
            "upgrade stepwell, or use another database file"
        )
    elif version < SCHEMA_VERSION:
        _add(connection, "", version)


def _add(connection: sqlite3.Connection, tables: str, version: int) -> None:
    """Add the tables, and what schemas after ``version`` have, all or nothing."""
    added = "".join(more for since, more in _ADDED if since > version)
    marks = f"PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version={SCHEMA_VERSION};"
    connection.executescript(f"BEGIN IMMEDIATE; {tables} {added} {marks} COMMIT")
