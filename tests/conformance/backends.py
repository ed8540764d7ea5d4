"""Every backend the suites run against. A new one is a line in BACKENDS."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

from stepwell_orchestrator.local.backend import LocalBackend
from stepwell_orchestrator.model.queue_item import QueueItem
from stepwell_orchestrator.ports import Journal, Registry, Waits


class WorkQueue(Protocol):
    """The queue from both sides."""

    async def send(self, items: Sequence[QueueItem]) -> None: ...

    async def receive(self, limit: int, now_ms: int, until_ms: int) -> list[Any]: ...

    async def ack(self, delivery: Any) -> bool: ...

    async def postpone(self, delivery: Any, due_at_ms: int) -> bool: ...

    async def renew(self, deliveries: Sequence[Any], until_ms: int) -> None: ...

    async def next_at_ms(self) -> int | None: ...

    async def holds(self, item_id: str) -> bool: ...

    async def items_of_run(self, run_id: str) -> list[QueueItem]: ...


class PrunedJournal(Journal, Protocol):
    """A journal that forgets what has expired."""

    async def prune(self, now_ms: int, limit: int) -> int: ...


class Backend(Protocol):
    """The stores of one deployment, empty at first."""

    @property
    def journal(self) -> PrunedJournal: ...

    @property
    def waits(self) -> Waits: ...

    @property
    def registry(self) -> Registry: ...

    @property
    def queue(self) -> WorkQueue: ...


OpenBackend = Callable[[Path], AbstractAsyncContextManager[Backend]]
"""Opens an empty backend, which may use the given empty folder."""


@asynccontextmanager
async def sqlite_memory(_: Path) -> AsyncIterator[Backend]:
    """SQLite without a file."""
    backend = LocalBackend.open(None)
    try:
        yield backend
    finally:
        backend.close()


@asynccontextmanager
async def sqlite_file(folder: Path) -> AsyncIterator[Backend]:
    """SQLite on disk."""
    backend = LocalBackend.open(folder / "stepwell.db")
    try:
        yield backend
    finally:
        backend.close()


BACKENDS: dict[str, OpenBackend] = {"sqlite-memory": sqlite_memory, "sqlite-file": sqlite_file}
