"""One SQLite connection, used from the event loop's thread alone, with a commit per loop pass instead of per operation.

A WAL commit costs about as much as a thread switch, so there are no threads, and what one seed does it does again.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Generator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from enum import StrEnum
from pathlib import Path

from stepwell.errors import StepwellError
from stepwell_orchestrator.errors import StoreError
from stepwell_orchestrator.local.file_lock import FileLock
from stepwell_orchestrator.local.schema import prepare

_BUSY_TIMEOUT_MS = 5_000
_CACHE_KIBIBYTES = 64 * 1024


class Synchronous(StrEnum):
    """What a commit survives, at about 0.05 and 0.2 ms on a laptop's disk."""

    NORMAL = "NORMAL"
    """Any crash of the process; a power cut may take the last moments, never the consistency."""
    FULL = "FULL"
    """A power cut as well."""


class Database:
    """The connection and its open transaction, which the operations of one loop pass share.

    An operation is the body of ``async with database.write()`` or ``read()``. It must not await, so operations are
    serial; leaving the block waits until everything the body wrote or saw is durable. A body refuses by raising a
    StepwellError before its first write: the transaction goes on without it. Any other failure takes the whole
    transaction back: each operation in it gets a StoreError, and the next one starts afresh.
    """

    def __init__(self, path: Path | None, *, synchronous: Synchronous = Synchronous.NORMAL) -> None:
        """Open, or create, the file at ``path`` as its only user; None is a new database in memory.

        Raises StoreError when it is in use, not a database, another program's, or of a newer schema.
        """
        self._name = "the database in memory" if path is None else str(path)
        self._waiters: list[asyncio.Future[None]] = []
        self._lock = None if path is None else _own(path)
        try:
            self._connection = self._connect(path, synchronous)
        except BaseException:
            self._unlock()
            raise

    def _connect(self, path: Path | None, synchronous: Synchronous) -> sqlite3.Connection:
        try:
            with ExitStack() as undo:
                connection = sqlite3.connect(path or ":memory:", isolation_level=None)
                undo.callback(connection.close)
                connection.execute(f"PRAGMA busy_timeout={_BUSY_TIMEOUT_MS}")
                prepare(connection, self._name)
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute(f"PRAGMA synchronous={synchronous}")
                connection.execute(f"PRAGMA cache_size=-{_CACHE_KIBIBYTES}")
                undo.pop_all()
                return connection
        except sqlite3.Error as error:
            raise StoreError(
                f"cannot open {self._name} ({error}); check the path and its permissions, or use another file"
            ) from error

    def close(self) -> None:
        """Commit what is open and give the file up. The database cannot be used afterwards."""
        self._commit()
        self._connection.close()
        self._unlock()

    @contextmanager
    def exclusive(self) -> Generator[sqlite3.Connection]:
        """A transaction of its own, before the event loop runs. Raises StoreError with nothing stored."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            yield self._connection
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back(error)
            raise self._failure(error) from error

    @asynccontextmanager
    async def write(self) -> AsyncGenerator[sqlite3.Connection]:
        """An operation that changes something."""
        try:
            self._begin()
            yield self._connection
        except StepwellError:
            await self._wait_for_commit()
            raise
        except sqlite3.Error as error:
            self._roll_back(error)
            raise self._failure(error) from error
        except Exception as error:
            self._roll_back(error)
            raise
        await self._wait_for_commit()

    @asynccontextmanager
    async def read(self) -> AsyncGenerator[sqlite3.Connection]:
        """An operation that changes nothing. It sees the open transaction, and waits for what it saw."""
        try:
            yield self._connection
        except sqlite3.Error as error:
            raise self._failure(error) from error
        await self._wait_for_commit()

    def _begin(self) -> None:
        if not self._connection.in_transaction:
            self._connection.execute("BEGIN IMMEDIATE")
            asyncio.get_running_loop().call_soon(self._commit)

    async def _wait_for_commit(self) -> None:
        if self._connection.in_transaction:
            # A future each: one waiter's cancellation must not reach the others.
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter

    def _commit(self) -> None:
        if not self._connection.in_transaction:
            return
        try:
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back(error)
            return
        for waiter in self._take_waiters():
            waiter.set_result(None)

    def _roll_back(self, error: Exception) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
        for waiter in self._take_waiters():
            waiter.set_exception(self._failure(error))

    def _take_waiters(self) -> list[asyncio.Future[None]]:
        waiters, self._waiters = self._waiters, []
        return [waiter for waiter in waiters if not waiter.done()]

    def _failure(self, error: Exception) -> StoreError:
        return StoreError(
            f"{self._name}: {error!s}; nothing was stored, check the disk's free space and the file, then try again"
        )

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.release()


def _own(path: Path) -> FileLock:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(path.resolve())
    except OSError as error:
        raise StoreError(f"cannot open {path} ({error.strerror}); choose a path in a writable folder") from error
