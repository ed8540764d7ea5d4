"""Plausible events, runs and steps. Ids are ULIDs in the order of their numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from stepwell.wire.ids import derived_ulid, hash_step_id
from stepwell.wire.opcodes import Op
from stepwell_orchestrator.model.decision import EndRun, PutEntry
from stepwell_orchestrator.model.event import Event
from stepwell_orchestrator.model.pause import Pause, PauseKey, PauseKind
from stepwell_orchestrator.model.run import Outcome, RunHeader, RunStatus
from stepwell_orchestrator.model.signal import SignalWait
from stepwell_orchestrator.model.step import StepEntry, StepStatus
from stepwell_orchestrator.ports import Acquired, Journal

NOW_MS = 1_767_225_600_000
UNTIL_MS = NOW_MS + 30_000


def event_id(number: int) -> str:
    """The internal id of event ``number``."""
    return derived_ulid(NOW_MS + number, "event")


def run_id(number: int) -> str:
    """The id of run ``number``."""
    return derived_ulid(NOW_MS + number, "run")


def an_event(number: int = 1, name: str = "order/created", **changes: Any) -> Event:
    """Event ``number``, received that many milliseconds after NOW_MS."""
    internal_id = event_id(number)
    at_ms = NOW_MS + number
    return replace(Event(internal_id, name, internal_id, at_ms, at_ms, {"number": number}), **changes)


def a_header(number: int = 1, **changes: Any) -> RunHeader:
    """The header of run ``number``, started by the event of that number."""
    header = RunHeader(run_id(number), "shop", "shop-fulfil", "order/created", (event_id(number),), NOW_MS + number)
    return replace(header, **changes)


def an_entry(name: str = "fetch", status: StepStatus = StepStatus.PLANNED, **changes: Any) -> StepEntry:
    """A step's entry, planned unless told otherwise."""
    return replace(StepEntry(hash_step_id(name), name, Op.STEP_PLANNED, status, NOW_MS), **changes)


def a_result(name: str = "fetch", value: Any = 1) -> StepEntry:
    """A completed step's entry."""
    return an_entry(name, StepStatus.COMPLETED, op=Op.STEP_RUN, ended_at_ms=NOW_MS, memo={"data": value})


def a_pause(
    number: int = 1, name: str = "order/paid", index: str = "i", pause_id: str = "step", **changes: Any
) -> Pause:
    """The pause of run ``number``, filed under ``index`` of a shape that has one path."""
    pause = Pause(
        key=PauseKey(name, index, run_id(number), pause_id),
        kind=PauseKind.RESUME,
        shape='[["data","id"]]',
        expression="event.data.id == async.data.id",
        trigger_event_id=event_id(number),
        since_ms=NOW_MS,
        expires_at_ms=UNTIL_MS,
    )
    return replace(pause, **changes)


def a_signal_wait(number: int = 1, name: str = "approve", **changes: Any) -> SignalWait:
    """The wait of run ``number`` for a signal."""
    return replace(SignalWait(name, run_id(number), "step", UNTIL_MS), **changes)


def absent(entry: StepEntry) -> PutEntry:
    """Write an entry that must not exist."""
    return PutEntry(entry)


def instead_of(replaced: StepEntry, entry: StepEntry) -> PutEntry:
    """Write an entry in place of one that was read."""
    return PutEntry(entry, replaced)


def an_end(status: RunStatus = RunStatus.COMPLETED, output: Any = None) -> EndRun:
    """The end of a run."""
    return EndRun(Outcome(status, NOW_MS, output))


async def create(journal: Journal, number: int = 1, **changes: Any) -> str:
    """Create run ``number`` under its id alone."""
    header = a_header(number, **changes)
    return await journal.create_run(header, idempotency_keys=(), expires_at_ms=UNTIL_MS)


async def drive(journal: Journal, number: int = 1, *, now_ms: int = NOW_MS, until_ms: int = UNTIL_MS) -> Acquired:
    """Take the drive lease of run ``number``."""
    acquired = await journal.acquire(run_id(number), now_ms, until_ms)
    assert isinstance(acquired, Acquired)
    return acquired


async def create_driven(journal: Journal, number: int = 1) -> str:
    """Create run ``number`` and take its drive lease: term 1, wanted 1."""
    created = await create(journal, number)
    await drive(journal, number)
    return created
