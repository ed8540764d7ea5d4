"""Sits between the faults and the real stores, and tells the checkers what the stores did, in the order they did it.

SQLite's operations are serial, and those of one loop pass return in the order in which they were done: what is told
right after one returns is therefore told in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from stepwell_orchestrator.flow_ports import Batches, Debounces, Gates, Rates
from stepwell_orchestrator.local.journal import SqliteJournal
from stepwell_orchestrator.local.registry import SqliteRegistry
from stepwell_orchestrator.local.waits import SqliteWaits
from stepwell_orchestrator.model.decision import EndRun, PutEntry, Write
from stepwell_orchestrator.model.event import Event
from stepwell_orchestrator.model.flow import BatchBounds, BatchEvent, Debounced, Halts, Offer, OpenBatch
from stepwell_orchestrator.model.pause import Pause
from stepwell_orchestrator.model.rate import Rate
from stepwell_orchestrator.model.run import Run, RunHeader
from stepwell_orchestrator.model.signal import SignalWait
from stepwell_orchestrator.model.step import StepEntry
from stepwell_orchestrator.ports import Acquired, Acquisition, Claim, Claimed
from tests.sim.facts import (
    EntryWritten,
    EventBatched,
    EventDebounced,
    EventStored,
    Fact,
    HaltsLooked,
    PauseFiled,
    RunCreated,
    RunEnded,
    RunStarted,
    SignalDropped,
    SignalTaken,
    SlotGiven,
    SlotRenewed,
    SlotTaken,
    TokenTaken,
)


@dataclass(slots=True)
class Handling:
    """One worker at one queue item, or at one request of a client. Facts are numbered; ``since`` and ``looked`` say at
    which number it began, and at which it last read a run. ``whom`` names the item or the request; it is the same in a
    world with less in it.
    """

    number: int
    run_id: str
    since: int
    looked: int
    whom: str = ""


HANDLING: ContextVar[Handling] = ContextVar("handling")
NOBODY = Handling(0, "", 0, 0)
"""Stands for the world itself, which works for nobody in particular."""


class Witness:
    """The journal, watched. ``tell`` takes a fact and gives its number; the numbers only grow."""

    def __init__(self, journal: SqliteJournal, tell: Callable[[Fact], int], count: Callable[[], int]) -> None:
        self._journal = journal
        self._tell = tell
        self._count = count

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)

    async def put_event(self, event: Event) -> bool:
        new = await self._journal.put_event(event)
        self._tell(EventStored(event, new))
        return new

    async def create_run(self, header: RunHeader, *, idempotency_keys: Sequence[str], expires_at_ms: int) -> str:
        holder = await self._journal.create_run(header, idempotency_keys=idempotency_keys, expires_at_ms=expires_at_ms)
        if holder == header.run_id:
            self._tell(RunCreated(header))
        return holder

    async def acquire(self, run_id: str, now_ms: int, until_ms: int) -> Acquisition:
        acquisition = await self._journal.acquire(run_id, now_ms, until_ms)
        if isinstance(acquisition, Acquired) and acquisition.header.term == 1:
            self._tell(RunStarted(run_id, now_ms, HANDLING.get(NOBODY).number))
        self._look()
        return acquisition

    async def commit(
        self, run_id: str, writes: Sequence[Write], *, term: int | None, wanted: int | None = None
    ) -> bool:
        freed = await self._journal.commit(run_id, writes, term=term, wanted=wanted)
        for write in writes:
            if isinstance(write, PutEntry):
                self._wrote(run_id, write.entry)
            if isinstance(write, EndRun):
                self._tell(RunEnded(run_id, write.outcome))
        return freed

    async def load(self, run_id: str) -> Run | None:
        run = await self._journal.load(run_id)
        self._look()
        return run

    async def get_header(self, run_id: str) -> RunHeader | None:
        header = await self._journal.get_header(run_id)
        self._look()
        return header

    async def claim(self, run_id: str, step_id: str, attempt: int, *, now_ms: int, until_ms: int) -> Claim:
        claim = await self._journal.claim(run_id, step_id, attempt, now_ms=now_ms, until_ms=until_ms)
        if isinstance(claim, Claimed):
            self._wrote(run_id, claim.entry)
        self._look()
        return claim

    def _wrote(self, run_id: str, entry: StepEntry) -> None:
        self._tell(EntryWritten(run_id, entry, HANDLING.get(NOBODY).number))

    def _look(self) -> None:
        handling = HANDLING.get(None)
        if handling is not None:
            handling.looked = self._count()


class WaitsWitness:
    """The waits, watched: who waits for a signal, and who filed which pause."""

    def __init__(self, waits: SqliteWaits, tell: Callable[[Fact], int]) -> None:
        self._waits = waits
        self._tell = tell

    def __getattr__(self, name: str) -> Any:
        return getattr(self._waits, name)

    async def put_pause(self, pause: Pause) -> None:
        await self._waits.put_pause(pause)
        self._tell(PauseFiled(pause.key.run_id, pause.key.pause_id, HANDLING.get(NOBODY).number))

    async def take_signal(self, wait: SignalWait, *, replace: bool, now_ms: int) -> bool:
        taken = await self._waits.take_signal(wait, replace=replace, now_ms=now_ms)
        self._tell(SignalTaken(wait, taken))
        return taken

    async def drop_signal(self, wait: SignalWait) -> None:
        await self._waits.drop_signal(wait)
        self._tell(SignalDropped(wait))


class GatesWitness:
    """The gates, watched: who holds a slot."""

    def __init__(self, gates: Gates, tell: Callable[[Fact], int]) -> None:
        self._gates = gates
        self._tell = tell

    def __getattr__(self, name: str) -> Any:
        return getattr(self._gates, name)

    async def take_slot(self, gate: str, most: int, holder: str, *, now_ms: int, until_ms: int | None) -> bool:
        taken = await self._gates.take_slot(gate, most, holder, now_ms=now_ms, until_ms=until_ms)
        if taken:
            self._tell(SlotTaken(gate, most, holder, now_ms, until_ms))
        return taken

    async def renew_slot(self, gate: str, holder: str, until_ms: int) -> bool:
        renewed = await self._gates.renew_slot(gate, holder, until_ms)
        if renewed:
            self._tell(SlotRenewed(gate, holder, until_ms))
        return renewed

    async def give_slot(self, gate: str, holder: str) -> None:
        await self._gates.give_slot(gate, holder)
        self._tell(SlotGiven(gate, holder))


class RatesWitness:
    """The rates, watched: who was let through."""

    def __init__(self, rates: Rates, tell: Callable[[Fact], int]) -> None:
        self._rates = rates
        self._tell = tell

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rates, name)

    async def take_token(self, gate: str, rate: Rate, taker: str, now_ms: int) -> bool:
        taken = await self._rates.take_token(gate, rate, taker, now_ms)
        if taken:
            self._tell(TokenTaken(gate, rate, taker, now_ms))
        return taken


class RegistryWitness:
    """The registry, watched: who looked at what stands still."""

    def __init__(self, registry: SqliteRegistry, tell: Callable[[Fact], int]) -> None:
        self._registry = registry
        self._tell = tell

    def __getattr__(self, name: str) -> Any:
        return getattr(self._registry, name)

    async def halts(self) -> Halts:
        return self._looked(await self._registry.halts())

    async def halts_now(self) -> Halts:
        return self._looked(await self._registry.halts_now())

    def _looked(self, halts: Halts) -> Halts:
        self._tell(HaltsLooked(HANDLING.get(NOBODY).number, halts))
        return halts


class DebouncesWitness:
    """The debounces, watched: what was offered, and what was made of it."""

    def __init__(self, debounces: Debounces, tell: Callable[[Fact], int]) -> None:
        self._debounces = debounces
        self._tell = tell

    def __getattr__(self, name: str) -> Any:
        return getattr(self._debounces, name)

    async def offer(self, gate: str, offer: Offer) -> Debounced:
        kept = await self._debounces.offer(gate, offer)
        self._tell(EventDebounced(gate, offer, kept))
        return kept


class BatchesWitness:
    """The batches, watched: what was added to which."""

    def __init__(self, batches: Batches, tell: Callable[[Fact], int]) -> None:
        self._batches = batches
        self._tell = tell

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batches, name)

    async def append(self, gate: str, event: BatchEvent, bounds: BatchBounds, now_ms: int) -> OpenBatch:
        batch = await self._batches.append(gate, event, bounds, now_ms)
        self._tell(EventBatched(gate, event, bounds, batch))
        return batch
