"""Every backend the suites run against. A new one is a line in BACKENDS."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from stepwell_orchestrator.flow_ports import FlowPorts
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
    def flow(self) -> FlowPorts: ...


class QueueingBackend(Backend, Protocol):
    """A backend whose queue hands items out itself."""

    @property
    def queue(self) -> WorkQueue: ...


BackendT_co = TypeVar("BackendT_co", bound=Backend, covariant=True)


class OpenBackend(Protocol[BackendT_co]):
    """Opens an empty backend, which may use the given empty folder."""

    def __call__(self, folder: Path, /) -> AbstractAsyncContextManager[BackendT_co]: ...


@dataclass(frozen=True)
class Traits:
    """What the ports leave to a backend."""

    keeps_late_entries: bool = False
    """An entry alone is stored whatever has become of the run and the term."""
    puts_new_steps_apart: bool = False
    """New entries that wait for something are written one by one when a driver commits them."""
    prunes: bool = True
    """What has expired is removed when asked; otherwise by the store itself, some day."""
    examples: int = 40
    """How many sequences of operations are tried: fewer where each takes longer."""


@asynccontextmanager
async def sqlite_memory(_: Path) -> AsyncIterator[LocalBackend]:
    """SQLite without a file."""
    backend = LocalBackend.open(None)
    try:
        yield backend
    finally:
        backend.close()


@asynccontextmanager
async def sqlite_file(folder: Path) -> AsyncIterator[LocalBackend]:
    """SQLite on disk."""
    backend = LocalBackend.open(folder / "stepwell.db")
    try:
        yield backend
    finally:
        backend.close()


@asynccontextmanager
async def dynamodb(_: Path) -> AsyncIterator[Backend]:
    """DynamoDB and S3, as moto plays them."""
    from tests.orchestrator.aws.bed import a_bed  # whoever runs one suite on SQLite does not wait for boto3

    with a_bed() as bed:
        yield bed.backend()


QUEUEING_BACKENDS: dict[str, OpenBackend[QueueingBackend]] = {
    "sqlite-memory": sqlite_memory,
    "sqlite-file": sqlite_file,
}
BACKENDS: dict[str, OpenBackend[Backend]] = {**QUEUEING_BACKENDS, "dynamodb": dynamodb}
TRAITS = {"dynamodb": Traits(keeps_late_entries=True, puts_new_steps_apart=True, prunes=False, examples=8)}
"""Of the backends that differ."""
