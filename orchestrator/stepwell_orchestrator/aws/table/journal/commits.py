"""A run's guarded writes: that method of the Journal port on DynamoDB.

One entry is one conditional put, whatever has become of the run: looking at the run in the same breath would cost four
times as much. What concerns the run is one conditional update of its header. Several writes are a transaction; those
that do not fit into one are several, with the header last, and each on the condition that the term is not over: a
part that was written has been so before the next driver looks for what this one may have left undone. Only new steps,
when they are all that a driver found, are put one by one: who meets some of them does what follows from all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, assert_never

from stepwell_orchestrator.aws.attribute_values import Item, Value, binary, number, text
from stepwell_orchestrator.aws.gather_limited import together
from stepwell_orchestrator.aws.table import keys
from stepwell_orchestrator.aws.table.dynamo import TRANSACTION_MAX, Action, Put, Refused, Update
from stepwell_orchestrator.aws.table.items import DOCUMENT, ENDER, MEMOISED, PROGRESS, STATUS, TERM, WRITER
from stepwell_orchestrator.aws.table.journal.journal_part import Part, wrote
from stepwell_orchestrator.aws.table.journal.leases import HELD, drives
from stepwell_orchestrator.aws.table.sizes import action_bytes
from stepwell_orchestrator.aws.table.table import LEASE_UNTIL, LEASED_UNDER, PK, TTL
from stepwell_orchestrator.errors import ConflictError, LeaseLostError, StoreError, lease_lost
from stepwell_orchestrator.model.decision import EndRun, Guard, PutEntry, PutProgress, Write

_PART_BYTES_MAX: Final = 3_500_000
"""A transaction takes 4 MB, of which the header has its part as it is, whatever is changed of it."""

_OPEN: Final = f"attribute_not_exists({DOCUMENT})"
_CONDITIONS: Final = {
    Guard.ABSENT: f"attribute_not_exists({PK})",
    Guard.NOT_MEMOISED: f"attribute_not_exists({MEMOISED})",
}


@dataclass(frozen=True, slots=True)
class _Step:
    """One action of a commit and the write it stands for (None: what concerns the run)."""

    action: Action
    write: PutEntry | None


class _EnteredError(ConflictError):
    """The lease cannot be freed with the end: it is in the index, so the item that it was taken on may be gone."""


@dataclass(frozen=True, slots=True)
class _Holder:
    """Who commits: in which term of the lease. ``frees``: the end of the run is to free it."""

    term: int | None
    frees: bool = False

    @property
    def condition(self) -> str:
        """What must hold of the header."""
        allowed = f"attribute_exists({PK})" if self.term is None else HELD
        return f"{allowed} AND attribute_not_exists({LEASED_UNDER})" if self.frees else allowed

    @property
    def mark(self) -> str:
        """Tells a transaction from the one that does not free the lease."""
        return "f" if self.frees else ""

    def values(self) -> dict[str, Value]:
        """What the condition is about."""
        return {} if self.term is None else {":term": number(self.term)}


class Commits(Part):
    """Committing."""

    async def commit(
        self, run_id: str, writes: Sequence[Write], *, term: int | None, wanted: int | None = None
    ) -> bool:
        """Apply all writes, or none; whether the lease was freed with the run's end.

        Entries alone are stored whatever has become of the run and the term. Raises StoreError when a commit is refused
        after a part of it was done.
        """
        if term is None and any(isinstance(write, PutProgress) for write in writes):
            raise ConflictError(f"run {run_id}: progress is only written by the holder of the drive lease")
        writer = self._writer()
        if term is not None and wanted is not None and any(isinstance(write, EndRun) for write in writes):
            with suppress(_EnteredError):
                await self._apply(run_id, writes, _Holder(term, frees=True), writer)
                return True
        await self._apply(run_id, writes, _Holder(term), writer)
        return False

    async def _apply(self, run_id: str, writes: Sequence[Write], holder: _Holder, writer: bytes) -> None:
        """Done again by the same writer, what was done before counts as done."""
        steps = await self._steps(run_id, writes, holder, writer)
        parts = _parts(run_id, steps, holder.term)
        if holder.term is not None and len(parts) == 1 and all(_may_stand_alone(step.write) for step in steps):
            await self._put_each(run_id, steps, writer)
            return
        for number_, part in enumerate(parts):
            try:
                await self._table.transact([step.action for step in part], f"{writer.hex()}-{number_}{holder.mark}")
            except Refused as refused:
                error = _refusal(run_id, part, refused, holder, writer)
                if error is None:
                    continue
                if number_ > 0 and not isinstance(error, _EnteredError):
                    raise StoreError(f"{error}; an earlier part of this commit was written") from error
                raise error from refused

    async def _put_each(self, run_id: str, steps: Sequence[_Step], writer: bytes) -> None:
        """Put entries of which none needs another, at half of what a transaction takes.

        Raises ConflictError when all are refused. When only some are it is a StoreError: the commands that follow from
        the others are owed, and whoever takes the run over derives them from the journal.
        """

        async def put(step: _Step) -> str | None:
            try:
                await self._table.do(step.action)
            except Refused as refused:
                error = _refusal(run_id, [step], refused, _Holder(None), writer)
                return None if error is None else str(error)
            return None

        errors = [error for error in await together(put, steps) if error is not None]
        if len(errors) == len(steps):
            raise ConflictError(errors[0])
        if errors:
            raise StoreError(f"{errors[0]}; other entries of this commit were written")

    async def _steps(self, run_id: str, writes: Sequence[Write], holder: _Holder, writer: bytes) -> list[_Step]:
        entries = [write for write in writes if isinstance(write, PutEntry)]
        items = await together(lambda write: self._items.entry(run_id, write.entry, writer), entries)
        steps = [_Step(Put(item, _CONDITIONS[write.guard]), write) for write, item in zip(entries, items, strict=True)]
        update = await self._update(run_id, writes, holder, writer)
        return steps if update is None else [*steps, _Step(update, None)]

    async def _update(self, run_id: str, writes: Sequence[Write], holder: _Holder, writer: bytes) -> Update | None:
        """The change of the header, if there is any."""
        changes: list[str] = []
        values: dict[str, Value] = holder.values()
        for write in writes:
            match write:
                case PutEntry():
                    pass
                case PutProgress(progress):
                    changes.append(f"{PROGRESS} = :progress")
                    values[":progress"] = await self._items.progress(progress)
                case EndRun(outcome):
                    values[":outcome"], payload = await self._items.outcome(run_id, outcome)
                    if payload is not None:
                        await self._table.do(payload)
                    changes.append(f"{DOCUMENT} = :outcome, {STATUS} = :status, {ENDER} = :writer, {TTL} = :kept")
                    values |= {
                        ":status": text(outcome.status),
                        ":writer": binary(writer),
                        ":kept": self._items.keeping.after_end(outcome.ended_at_ms),
                    }
                case _:
                    assert_never(write)
        if not changes:
            return None
        condition = f"{holder.condition} AND {_OPEN}"
        freed = f" REMOVE {LEASE_UNTIL}" if holder.frees else ""
        return Update(keys.header_key(run_id), f"SET {', '.join(changes)}{freed}", condition, values)


def _may_stand_alone(write: PutEntry | None) -> bool:
    """Whether a write makes a new entry that waits for something: such are found by whoever takes the run over."""
    return write is not None and write.guard is Guard.ABSENT and not write.entry.memoised


def _parts(run_id: str, steps: Sequence[_Step], term: int | None) -> list[list[_Step]]:
    """As few transactions as may be, in order; each of several checks the term of who has one."""
    parts = _split(steps, TRANSACTION_MAX)
    if len(parts) == 1 or term is None:
        return parts
    values = {":term": number(term)}
    check = _Step(Update(keys.header_key(run_id), f"SET {TERM} = :term", f"{HELD} AND {_OPEN}", values), None)
    parts = _split(steps, TRANSACTION_MAX - 1)
    return [part if part[-1].write is None else [*part, check] for part in parts]


def _split(steps: Sequence[_Step], actions_max: int) -> list[list[_Step]]:
    parts: list[list[_Step]] = []
    total = 0
    for step in steps:
        size = action_bytes(step.action)
        if not parts or len(parts[-1]) == actions_max or total + size > _PART_BYTES_MAX:
            parts.append([])
            total = 0
        parts[-1].append(step)
        total += size
    return parts


def _refusal(
    run_id: str, steps: Sequence[_Step], refused: Refused, holder: _Holder, writer: bytes
) -> ConflictError | LeaseLostError | None:
    """Why a part was refused; None when it was done before, and its reply lost."""
    found = [(steps[n].write, old) for n, old in refused.olds.items()]
    if all(wrote(old, writer, WRITER if write else ENDER) for write, old in found):
        return None
    for write, old in found:
        if write is None:
            return _header_refusal(run_id, old, holder)
    write, _ = found[0]
    assert write is not None
    entry = write.entry
    return ConflictError(f"run {run_id}, step {entry.step_id} ({entry.name}): the entry is not {write.guard.value}")


def _header_refusal(run_id: str, header: Item | None, holder: _Holder) -> ConflictError | LeaseLostError:
    if header is None:
        return ConflictError(f"run {run_id} does not exist, so nothing can be committed to it")
    if holder.term is not None and not drives(header, holder.term):
        return lease_lost(run_id, holder.term)
    if DOCUMENT in header:
        return ConflictError(f"run {run_id} has ended and accepts no write but a late entry")
    return _EnteredError(f"run {run_id}: its lease is in the index")
