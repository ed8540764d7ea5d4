"""Runs, entries and events <-> items of the table. An attribute's name is paid for with every item: one letter each."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from stepwell_orchestrator.aws.attribute_values import Item, Value, binary, integer, number, text
from stepwell_orchestrator.aws.gather_limited import gather_limited
from stepwell_orchestrator.aws.payloads.blobs import Blobs, compress, decompress
from stepwell_orchestrator.aws.table import keys
from stepwell_orchestrator.aws.table.dynamo import Put, Table
from stepwell_orchestrator.aws.table.retention import Retention
from stepwell_orchestrator.aws.table.table import (
    APP,
    CREATED,
    FUNCTION,
    LEASE_UNTIL,
    LISTED_UNDER,
    NAME,
    PK,
    SK,
    TTL,
)
from stepwell_orchestrator.documents import (
    entry_document,
    event_document,
    origin_document,
    outcome_document,
    progress_document,
    read_entries,
    read_event,
    read_origin,
    read_outcome,
    read_progress,
)
from stepwell_orchestrator.errors import StoreError
from stepwell_orchestrator.model.event import Event
from stepwell_orchestrator.model.run import Outcome, Progress, RunHeader, RunStatus
from stepwell_orchestrator.model.step import StepEntry, StepStatus

DOCUMENT: Final = "d"
"""Of a header: the outcome, absent until the run has ended."""
WRITER: Final = "w"
"""What tells a write from another's, for the one whose reply was lost and who finds an item in its way."""

EVENTS: Final = "e"
ORIGIN: Final = "o"
BEGUN: Final = "b"
WANTED: Final = "v"
TERM: Final = "k"
PROGRESS: Final = "g"
STATUS: Final = "s"
"""Of a header: how the run ended, absent until then."""
KEPT: Final = "z"
"""Of a header: until when everything of its run is kept, at least."""
ENDER: Final = "i"
"""Of a header: the writer of its outcome. ``WRITER`` is who took or released the lease last."""

TROUBLE: Final = "y"
"""Of a header: what its queue items failed by, when they did so again and again."""

MEMOISED: Final = "q"
"""Of an entry that never changes again: present."""
CLAIMABLE: Final = "i"
"""Of an entry that may be claimed, or is: its attempt."""
ATTEMPT: Final = "r"
"""Of an entry that may not be claimed and has not ended: its attempt, unless that is 0."""
CLAIMED: Final = "b"
"""Of a claimed entry: when; ``LEASE_UNTIL`` is until when."""
STARTED: Final = "h"
"""Of an entry that was claimed: when for the first time."""

_OUTCOME_INLINE_MAX: Final = 1024
_IN_PAYLOAD: Final = b"p"


@dataclass(frozen=True, slots=True)
class Items:
    """Makes items of model objects and reads them back, with what of them lies elsewhere."""

    table: Table
    blobs: Blobs
    retention: Retention

    async def event(self, event: Event, writer: bytes) -> Item:
        """An event."""
        listed_under = keys.listed_under(keys.event_kind(event.name), event.internal_id)
        return {
            **keys.event_key(event.internal_id),
            NAME: text(event.name),
            CREATED: number(event.received_at_ms),
            DOCUMENT: await self.blobs.pack(event_document(event)),
            LISTED_UNDER: text(listed_under),
            WRITER: binary(writer),
            TTL: self.retention.event(event),
        }

    async def read_event(self, item: Item) -> Event:
        """The event in an item."""
        document = await self.blobs.unpack(item[DOCUMENT])
        return read_event(keys.id_of(item[PK]["S"]), item[NAME]["S"], int(item[CREATED]["N"]), document)

    async def header(self, header: RunHeader) -> Item:
        """The header of a new run."""
        item = {
            **keys.header_key(header.run_id),
            APP: text(header.app_id),
            FUNCTION: text(header.function_id),
            NAME: text(header.event_name),
            EVENTS: {"L": [text(event_id) for event_id in header.event_ids]},
            ORIGIN: binary(compress(origin_document(header))),
            CREATED: number(header.created_at_ms),
            WANTED: number(header.wanted),
            TERM: number(header.term),
            PROGRESS: await self.progress(header.progress),
            KEPT: number(header.created_at_ms + self.retention.life_ms),
            LISTED_UNDER: text(keys.listed_under(keys.RUNS, header.run_id)),
        }
        return item if header.started_at_ms is None else item | {BEGUN: number(header.started_at_ms)}

    async def read_header(self, item: Item) -> RunHeader:
        """The header in an item, with the outcome wherever it lies."""
        run_id = keys.id_of(item[PK]["S"])
        return RunHeader(
            run_id=run_id,
            app_id=item[APP]["S"],
            function_id=item[FUNCTION]["S"],
            event_name=item[NAME]["S"],
            event_ids=tuple(value["S"] for value in item[EVENTS]["L"]),
            created_at_ms=int(item[CREATED]["N"]),
            started_at_ms=integer(item, BEGUN),
            progress=read_progress(await self.blobs.unpack(item[PROGRESS])),
            outcome=await self._read_outcome(run_id, item[DOCUMENT]) if DOCUMENT in item else None,
            wanted=int(item[WANTED]["N"]),
            term=int(item[TERM]["N"]),
            lease_until_ms=integer(item, LEASE_UNTIL),
            trouble=item[TROUBLE]["S"] if TROUBLE in item else None,
            **read_origin(decompress(item[ORIGIN]["B"])),
        )

    async def progress(self, progress: Progress) -> Value:
        """A run's progress."""
        return await self.blobs.pack(progress_document(progress))

    async def outcome(self, run_id: str, outcome: Outcome) -> tuple[Value, Put | None]:
        """How a run ended; a longer one refers to an item that has to be put first.

        The header is rewritten with every lease, and what it holds is paid for each time.
        """
        value = await self.blobs.pack(outcome_document(outcome))
        if len(value["B"]) <= _OUTCOME_INLINE_MAX:
            return value, None
        digest = hashlib.sha256(value["B"]).digest()
        item = {**keys.payload_key(run_id, digest), DOCUMENT: value, TTL: self.retention.after_end(outcome.ended_at_ms)}
        return binary(_IN_PAYLOAD + digest), Put(item)

    async def entry(self, run_id: str, entry: StepEntry, writer: bytes) -> Item:
        """A step's entry."""
        item = {
            **keys.entry_key(run_id, entry.step_id),
            DOCUMENT: await self.blobs.pack(entry_document(entry)),
            WRITER: binary(writer),
            TTL: self.retention.entry(entry),
        }
        if entry.memoised:
            item[MEMOISED] = number(1)
        if entry.claimable:
            item[CLAIMABLE] = number(entry.attempt)
        elif entry.attempt and not entry.memoised:
            item[ATTEMPT] = number(entry.attempt)
        if entry.status is StepStatus.RUNNING:
            times = ((LEASE_UNTIL, entry.claim_until_ms), (CLAIMED, entry.claimed_at_ms))
            item |= {name: number(time) for name, time in times if time is not None}
        return item

    async def read_entry(self, item: Item) -> StepEntry:
        """The entry in an item."""
        (entry,) = (await self.read_entries([item])).values()
        return entry

    async def read_entries(self, items: Sequence[Item]) -> dict[str, StepEntry]:
        """The entries in items by step id."""
        documents = await gather_limited(self.blobs.unpack, [item[DOCUMENT] for item in items])
        step_ids = [item[SK]["S"].removeprefix(keys.ENTRY_PREFIX) for item in items]
        entries = read_entries(zip(step_ids, documents, strict=True))
        return {
            step_id: _with_claim(entry, item) for (step_id, entry), item in zip(entries.items(), items, strict=True)
        }

    async def _read_outcome(self, run_id: str, value: Value) -> Outcome:
        packed = bytes(value["B"])
        if packed[:1] == _IN_PAYLOAD:
            item = await self.table.get(keys.payload_key(run_id, packed[1:]))
            if item is None:
                raise StoreError(f"run {run_id} has ended, and the item with its outcome is missing from the table")
            value = item[DOCUMENT]
        return read_outcome(await self.blobs.unpack(value))


def status_of(header: Item) -> RunStatus:
    """A run's status, without a look at its outcome."""
    if STATUS in header:
        return RunStatus(header[STATUS]["S"])
    return RunStatus.RUNNING if BEGUN in header else RunStatus.QUEUED


def _with_claim(entry: StepEntry, item: Item) -> StepEntry:
    """A claim is made beside the document, which stays as it was committed."""
    until_ms = integer(item, LEASE_UNTIL)
    if until_ms is None:
        return entry
    changes: dict[str, Any] = {
        "status": StepStatus.RUNNING,
        "claim_until_ms": until_ms,
        "claimed_at_ms": integer(item, CLAIMED),
    }
    if entry.started_at_ms is None:
        changes["started_at_ms"] = integer(item, STARTED)
    return replace(entry, **changes)
