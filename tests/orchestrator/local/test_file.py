from __future__ import annotations

import re
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from stepwell_orchestrator.errors import StoreError
from stepwell_orchestrator.local.backend import LocalBackend
from stepwell_orchestrator.local.database import Database, Synchronous
from stepwell_orchestrator.local.schema import SCHEMA_VERSION
from stepwell_orchestrator.model.queue_item import Drive, QueueItem
from stepwell_orchestrator.model.step import StepStatus
from stepwell_orchestrator.ports import Claimed
from tests.conformance.samples import (
    NOW_MS,
    UNTIL_MS,
    a_result,
    absent,
    an_entry,
    an_event,
    create_driven,
    drive,
    event_id,
    run_id,
)

WRITER = """
import asyncio, os, pathlib, signal, sys
from stepwell_orchestrator.local.backend import LocalBackend
from tests.conformance.samples import an_event

async def write(path):
    backend = LocalBackend.open(pathlib.Path(path))
    for number in range(1_000_000):
        await backend.journal.put_event(an_event(number))
        print(number, flush=True)
        if sys.argv[2] == "exit" and number == 20:
            os._exit(9)

asyncio.run(write(sys.argv[1]))
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a database may be, in a folder that does not exist yet."""
    return tmp_path / "deep" / "stepwell.db"


def answered_before_death(path: Path, death: str) -> int:
    """The last write that a process answered before it died."""
    arguments = [sys.executable, "-c", WRITER, str(path), death]
    environment = {"PYTHONPATH": ":".join(sys.path)}
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=environment) as writer:
        assert writer.stdout is not None
        answers = [int(writer.stdout.readline()) for _ in range(20)]
        if death == "kill":
            writer.send_signal(signal.SIGKILL)
        return max(answers + [int(line) for line in writer.stdout])


@pytest.mark.parametrize("death", ["exit", "kill"])
async def test_what_was_answered_survives_the_death_of_the_process(path: Path, death: str):
    """Whatever a process had returned when it exited or was killed is there, and at most one unanswered write more."""
    answered = answered_before_death(path, death)
    backend = LocalBackend.open(path)
    for number in range(answered + 1):
        assert await backend.journal.get_event(event_id(number)) == an_event(number)
    assert await backend.journal.get_event(event_id(answered + 2)) is None
    backend.close()


async def test_everything_is_there_after_reopening(path: Path):
    """A closed database opened again holds what was written, and its folder was created with it."""
    backend = LocalBackend.open(path)
    await backend.journal.put_event(an_event())
    backend.close()
    backend = LocalBackend.open(path)
    assert await backend.journal.get_event(event_id(1)) == an_event()
    backend.close()


@pytest.mark.parametrize(("synchronous", "level"), [(Synchronous.NORMAL, 1), (Synchronous.FULL, 2)])
async def test_a_file_has_a_write_ahead_log_of_the_wanted_strength(path: Path, synchronous: Synchronous, level: int):
    """The journal mode is WAL, and what a commit survives is as asked for."""
    database = Database(path, synchronous=synchronous)
    async with database.read() as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert db.execute("PRAGMA synchronous").fetchone() == (level,)
    database.close()


def test_a_database_has_one_owner(path: Path):
    """Opening a database that is in use names the file, the owner and the way out, and the owner goes on."""
    owner = Database(path)
    with pytest.raises(
        StoreError, match=rf"{re.escape(str(path.resolve()))} is in use .* \(pid \d+\); stop that one, or"
    ):
        Database(path)
    owner.close()
    Database(path).close()


def test_a_link_does_not_get_around_the_owner(path: Path):
    """A database in use cannot be opened through another name either."""
    owner = Database(path)
    link = path.parent / "link.db"
    link.symlink_to(path)
    with pytest.raises(StoreError, match="in use"):
        Database(link)
    owner.close()


def test_a_failed_opening_leaves_no_lock(path: Path):
    """After an opening that failed the file can be opened once it is mended."""
    path.parent.mkdir()
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(StoreError):
        Database(path)
    path.unlink()
    Database(path).close()


def test_a_file_that_is_no_database_is_refused(path: Path):
    """A file of something else gets a one-line error that names it, and stays as it is."""
    path.parent.mkdir()
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(StoreError, match=rf"cannot open {re.escape(str(path))} \(file is not a database\)") as caught:
        Database(path)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == b"not a database" * 100


def test_a_folder_is_refused(tmp_path: Path):
    """A folder in the place of the file gets an error that names it."""
    with pytest.raises(StoreError, match=rf"cannot open {re.escape(str(tmp_path))} "):
        Database(tmp_path)


def test_a_path_below_a_file_is_refused(tmp_path: Path):
    """A path that cannot exist gets an error that names it and what to do."""
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"cannot open .*file/x\.db .*choose a path in a writable folder"):
        Database(tmp_path / "file" / "x.db")


def test_a_newer_schema_is_refused(path: Path):
    """A database of a later version gets an error that says to upgrade, and its file stays as it is."""
    Database(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match=rf"schema {SCHEMA_VERSION + 1}, this one knows {SCHEMA_VERSION}\); upgrade"):
        Database(path)
    assert path.read_bytes() == before


def test_a_database_of_another_program_is_refused(path: Path):
    """Somebody else's SQLite file gets an error that says so, and stays as it is."""
    path.parent.mkdir()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="another program"):
        Database(path)
    assert path.read_bytes() == before


async def reopened_in_flight(path: Path) -> LocalBackend:
    """A backend whose last owner died while it drove run 1, executed a step of it and held a queue item."""
    backend = LocalBackend.open(path)
    await create_driven(backend.journal)
    await backend.journal.commit(run_id(1), [absent(an_entry()), absent(a_result("done"))], term=1)
    await backend.journal.claim(run_id(1), an_entry().step_id, 0, now_ms=NOW_MS, until_ms=UNTIL_MS)
    await create_driven(backend.journal, 2)
    await backend.journal.release(run_id(2), 1, 1, None)
    await backend.queue.send([QueueItem("held", Drive(run_id(1), "test"), NOW_MS)])
    await backend.queue.send([QueueItem("later", Drive(run_id(2), "test"), UNTIL_MS)])
    await backend.queue.receive(10, NOW_MS, UNTIL_MS)
    backend.close()
    return LocalBackend.open(path)


async def test_leases_of_the_last_owner_have_expired(path: Path):
    """A run that was being driven is found by the sweep at once, and its next driver is told of the takeover."""
    backend = await reopened_in_flight(path)
    assert await backend.journal.expired_leases(NOW_MS, 10) == [run_id(1)]
    assert (await drive(backend.journal, 1)).takeover is True
    assert (await drive(backend.journal, 2)).takeover is False
    backend.close()


async def test_claims_of_the_last_owner_have_expired(path: Path):
    """A step that was being executed can be claimed at once, at the same attempt."""
    backend = await reopened_in_flight(path)
    entry = await backend.journal.get_entry(run_id(1), an_entry().step_id)
    assert entry is not None
    assert (entry.status, entry.claim_until_ms, entry.started_at_ms) == (StepStatus.RUNNING, 0, NOW_MS)
    claim = await backend.journal.claim(run_id(1), an_entry().step_id, 0, now_ms=NOW_MS, until_ms=UNTIL_MS)
    assert isinstance(claim, Claimed)
    assert await backend.journal.get_entry(run_id(1), a_result("done").step_id) == a_result("done")
    backend.close()


async def test_queue_leases_of_the_last_owner_have_expired(path: Path):
    """An item that was being worked on comes again at once and is counted, and one that is not due does not."""
    backend = await reopened_in_flight(path)
    (delivery,) = await backend.queue.receive(10, NOW_MS, UNTIL_MS)
    assert (delivery.item.id, delivery.deliveries) == ("held", 2)
    backend.close()
