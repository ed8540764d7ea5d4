"""What the journal, the waits and the registry of a world are kept in. The queue is the simulator's own, on SQLite."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

from stepwell_orchestrator.documents import read_work
from stepwell_orchestrator.flow_ports import FlowPorts
from stepwell_orchestrator.local.backend import LocalBackend
from stepwell_orchestrator.local.queue import SqliteQueue
from stepwell_orchestrator.model.queue_item import QueueItem, Work
from tests.sim.facts import Fact
from tests.sim.witness import (
    BatchesWitness,
    DebouncesWitness,
    GatesWitness,
    RatesWitness,
    RegistryWitness,
    WaitsWitness,
    Witness,
)

if TYPE_CHECKING:
    from tests.sim.node import Node

BackendName = Literal["sqlite", "dynamodb"]
BACKENDS: tuple[BackendName, ...] = get_args(BackendName)


@dataclass(frozen=True, slots=True)
class Process:
    """The backend as one worker reaches it. What its journal takes in is told to the checkers."""

    journal: Any
    waits: Any
    registry: Any
    flow: FlowPorts


class Backend(Protocol):
    """Where a world is kept.

    ``journal``, ``waits`` and ``registry`` are the world's own way to it, on which nothing goes wrong.
    """

    journal: Any
    waits: Any
    registry: Any
    queue: SqliteQueue
    late_entries: bool
    """Whether an entry that comes after its run's end may be kept, where nobody looks at it (decision 10)."""
    watches_gates: bool
    """Whether it tells of slots and rates, and of looks at what stands still."""

    def process(self, node: Node) -> Process:
        """A worker's way to it."""

    async def queued(self) -> list[Work]:
        """What the queue's items ask for."""

    async def hasten(self, item: QueueItem, ready_at_ms: int) -> None:
        """Hand an item out at that time, unless somebody has it."""

    async def leased(self) -> set[str]:
        """The runs that the sweep finds once their drive lease has run out."""

    async def in_line(self) -> set[str]:
        """The runs that stand in line at a gate, or whose steps do."""

    async def filed(self) -> list[tuple[str, str, str]]:
        """Every pause: its run, its id and the name of its event."""

    async def signals(self) -> list[tuple[str, str]]:
        """Every signal that has a waiter: the waiter's run and the signal's name."""

    def close(self) -> None:
        """Forget everything."""


class Queued:
    """The queue of a world."""

    def __init__(self) -> None:
        self.local = LocalBackend.open(None)
        self.queue = self.local.queue

    async def queued(self) -> list[Work]:
        """What the queue's items ask for."""
        async with self.local.database.read() as db:
            return [read_work(work) for (work,) in db.execute("SELECT work FROM queue")]

    async def hasten(self, item: QueueItem, ready_at_ms: int) -> None:
        """Hand an item out at that time, unless somebody has it."""
        async with self.local.database.write() as db:
            db.execute("UPDATE queue SET ready_at_ms = ? WHERE id = ? AND NOT leased", (ready_at_ms, item.id))
            self.queue.changed.set()

    def close(self) -> None:
        """Forget everything."""
        self.local.close()


class SqliteBackend(Queued):
    """Everything in one database. Its operations are whole by themselves, so what they do is told as they return."""

    late_entries = False
    watches_gates = True

    def __init__(self, tell: Callable[[Fact], int], count: Callable[[], int]) -> None:
        super().__init__()
        self.journal, self.waits, self.registry = self.local.journal, self.local.waits, self.local.registry
        self._witness = Witness(self.journal, tell, count)
        self._waits = WaitsWitness(self.waits, tell)
        self._registry = RegistryWitness(self.registry, tell)
        gates: Any = GatesWitness(self.local.flow.gates, tell)
        rates: Any = RatesWitness(self.local.flow.rates, tell)
        debounces: Any = DebouncesWitness(self.local.flow.debounces, tell)
        batches: Any = BatchesWitness(self.local.flow.batches, tell)
        self._flow = FlowPorts(gates, rates, debounces, batches)

    def process(self, node: Node) -> Process:
        """All workers have one way to it."""
        return Process(self._witness, self._waits, self._registry, self._flow)

    async def leased(self) -> set[str]:
        """The runs whose drive lease is held."""
        async with self.local.database.read() as db:
            return {run_id for (run_id,) in db.execute("SELECT run_id FROM runs WHERE lease_until_ms IS NOT NULL")}

    async def in_line(self) -> set[str]:
        """The runs that stand in line."""
        async with self.local.database.read() as db:
            return {waiter.partition(":")[0] for (waiter,) in db.execute("SELECT waiter FROM lines")}

    async def filed(self) -> list[tuple[str, str, str]]:
        """Every pause: its run, its id and the name of its event."""
        async with self.local.database.read() as db:
            return db.execute("SELECT run_id, pause_id, event_name FROM pauses").fetchall()

    async def signals(self) -> list[tuple[str, str]]:
        """Every signal that has a waiter: the waiter's run and the signal's name."""
        async with self.local.database.read() as db:
            return db.execute("SELECT run_id, name FROM signals").fetchall()


def odds(name: BackendName, seed: int) -> Mapping[Any, float]:
    """How likely the faults are that only this backend has."""
    if name == "sqlite":
        return {}
    from tests.sim.aws_faults import aws_odds

    return aws_odds(seed)


def costs(name: BackendName, seed: int) -> float:
    """How likely these faults cost a worker its item at a port call.

    About one call of AWS comes to each: calls of the queue make none, others up to three (counted, 1.0 in 100 worlds).
    A sweep makes seventeen more, and gets through less often; one in a few is enough.
    """
    if name == "sqlite":
        return 0.0
    from tests.sim.aws_faults import COSTLY

    return sum(odds(name, seed)[fault] for fault in COSTLY)


def open_backend(name: BackendName, seed: int, tell: Callable[[Fact], int], count: Callable[[], int]) -> Backend:
    """An empty backend."""
    if name == "sqlite":
        return SqliteBackend(tell, count)
    # Moto and botocore take long to import, and are not for everybody.
    from tests.sim.dynamo import DynamoBackend

    return DynamoBackend(seed, tell, count)
