from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator

import pytest

from stepwell.errors import StepwellError
from stepwell_orchestrator.errors import StoreError
from stepwell_orchestrator.local.database import Database


@pytest.fixture
def database() -> Iterator[Database]:
    """A database in memory with a table of numbers, and one whose constraint is checked at the commit."""
    database = Database(None)
    with database.exclusive() as db:
        db.execute("CREATE TABLE numbers (number INTEGER PRIMARY KEY)")
        db.execute("CREATE TABLE halves (number REFERENCES numbers DEFERRABLE INITIALLY DEFERRED)")
    yield database
    database.close()


async def watched(database: Database) -> list[str]:
    """The first words of the statements that SQLite executes from now on."""
    statements: list[str] = []
    async with database.read() as db:
        db.set_trace_callback(lambda text: statements.append(text.split()[0]))
    return statements


async def insert(database: Database, number: int) -> int:
    """Store a number."""
    async with database.write() as db:
        db.execute("INSERT INTO numbers VALUES (?)", (number,))
    return number


async def refuse(database: Database) -> None:
    """An operation whose guard fails."""
    async with database.write():
        raise StepwellError("no")


async def numbers(database: Database) -> list[int]:
    """The stored numbers."""
    async with database.read() as db:
        return [number for (number,) in db.execute("SELECT number FROM numbers ORDER BY number")]


async def test_operations_of_one_loop_pass_share_a_commit(database: Database):
    """Ten writes started together are one transaction, and ten that follow each other are ten."""
    statements = await watched(database)
    await asyncio.gather(*(insert(database, number) for number in range(10)))
    assert statements == ["BEGIN", *["INSERT"] * 10, "COMMIT"]
    statements.clear()
    for number in range(10, 20):
        await insert(database, number)
    assert statements == ["BEGIN", "INSERT", "COMMIT"] * 10


async def test_a_write_returns_after_its_commit(database: Database):
    """When a write returns, the transaction it was part of is no longer open."""
    await insert(database, 1)
    async with database.read() as db:
        assert db.in_transaction is False


async def test_a_read_returns_after_the_commit_of_what_it_saw(database: Database):
    """A read that finds an open transaction sees it, and returns once it is durable."""
    statements = await watched(database)
    _, seen = await asyncio.gather(insert(database, 1), numbers(database))
    assert seen == [1]
    assert statements == ["BEGIN", "INSERT", "SELECT", "COMMIT"]


async def test_a_read_alone_opens_no_transaction(database: Database):
    """A read with nothing to wait for is one statement."""
    statements = await watched(database)
    assert await numbers(database) == []
    assert statements == ["SELECT"]


async def test_a_refusal_leaves_the_others_alone(database: Database):
    """An operation that refuses before it writes does not disturb the ones it shares a transaction with."""
    answers = await asyncio.gather(insert(database, 1), refuse(database), insert(database, 2), return_exceptions=True)
    assert (answers[0], answers[2]) == (1, 2)
    assert isinstance(answers[1], StepwellError)
    assert await numbers(database) == [1, 2]


async def test_a_refusal_waits_for_what_it_was_based_on(database: Database):
    """An operation that refuses, perhaps for what another has just written, does so once that is durable."""
    statements = await watched(database)

    async def refused_after() -> list[str]:
        with pytest.raises(StepwellError, match="no"):
            await refuse(database)
        return list(statements)

    _, seen = await asyncio.gather(insert(database, 1), refused_after())
    assert seen == ["BEGIN", "INSERT", "COMMIT"]


async def test_a_failed_statement_takes_the_transaction_back(database: Database):
    """When SQLite fails in one operation, all of its transaction is undone and each of them is told."""
    await insert(database, 1)
    answers = await asyncio.gather(insert(database, 2), insert(database, 1), return_exceptions=True)
    assert [type(answer) for answer in answers] == [StoreError, StoreError]
    assert await numbers(database) == [1]


async def test_a_transaction_after_a_failed_one_is_a_new_one(database: Database):
    """Operations that come in the same loop pass after a failure are not undone with it."""
    await insert(database, 1)
    answers = await asyncio.gather(*(insert(database, number) for number in (2, 1, 3)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [StoreError, StoreError, int]
    assert await numbers(database) == [1, 3]


async def test_a_bug_in_an_operation_takes_the_transaction_back(database: Database):
    """An operation that breaks half-way leaves nothing behind and shows its own error."""

    async def break_half_way() -> None:
        async with database.write() as db:
            db.execute("INSERT INTO numbers VALUES (1)")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await break_half_way()
    assert await numbers(database) == []


async def test_a_failed_commit_is_told_to_all(database: Database):
    """When the commit itself fails, everybody who waits for it gets a one-line error, and nothing is stored."""

    async def violate() -> None:
        async with database.write() as db:
            db.execute("INSERT INTO halves VALUES (7)")

    async with database.read() as db:
        db.execute("PRAGMA foreign_keys=ON")
    answers = await asyncio.gather(insert(database, 1), violate(), numbers(database), return_exceptions=True)
    assert [type(answer) for answer in answers] == [StoreError, StoreError, StoreError]
    assert "FOREIGN KEY constraint failed; nothing was stored" in str(answers[0])
    assert "\n" not in str(answers[0])
    assert await numbers(database) == []
    assert await insert(database, 2) == 2


async def test_a_full_disk_heals(database: Database):
    """On a full disk writes fail with an error that says so, reads go on, and so do writes once there is room."""
    async with database.read() as db:
        (pages,) = db.execute("PRAGMA page_count").fetchone()
        db.execute(f"PRAGMA max_page_count={pages}")

    async def insert_many() -> None:
        async with database.write() as db:
            db.executemany("INSERT INTO numbers VALUES (?)", ((number,) for number in range(5_000)))

    with pytest.raises(StoreError, match=r"disk is full.*free space"):
        await insert_many()
    assert await numbers(database) == []
    async with database.read() as db:
        db.execute("PRAGMA max_page_count=1000000")
    await insert_many()
    assert len(await numbers(database)) == 5_000


async def test_a_cancelled_waiter_harms_nobody(database: Database):
    """Cancelling one of the operations that wait for a commit neither undoes it nor disturbs the others."""
    first, second = asyncio.create_task(insert(database, 1)), asyncio.create_task(insert(database, 2))
    asyncio.get_running_loop().call_soon(first.cancel)
    with pytest.raises(asyncio.CancelledError):
        await first
    assert await second == 2
    assert await numbers(database) == [1, 2]


async def test_a_failed_read_is_a_store_error(database: Database):
    """What SQLite cannot read is told as an error of the store, and the transaction goes on."""

    async def misread() -> None:
        async with database.read() as db:
            db.execute("SELECT * FROM nowhere")

    answers = await asyncio.gather(insert(database, 1), misread(), return_exceptions=True)
    assert answers[0] == 1
    assert isinstance(answers[1], StoreError)
    assert isinstance(answers[1].__cause__, sqlite3.Error)


async def test_closing_commits_what_is_open(tmp_path):
    """What was under way when the database is closed is in the file."""
    database = Database(tmp_path / "x.db")
    with database.exclusive() as db:
        db.execute("CREATE TABLE numbers (number INTEGER PRIMARY KEY)")
    pending = asyncio.ensure_future(insert(database, 1))
    await asyncio.wait([asyncio.ensure_future(asyncio.Event().wait()), pending], timeout=0)
    database.close()
    await pending
    again = Database(tmp_path / "x.db")
    assert await numbers(again) == [1]
    again.close()
