"""A run's guarded writes: that method of the Journal port on DynamoDB.

What a write costs decides how it is made:

| a commit of                    | is made by                           | on the condition of                          |
| ------------------------------ | ------------------------------------ | -------------------------------------------- |
| one entry                      | a put                                | its guard alone: to look at the run too      |
|                                |                                      | would cost four times as much                |
| progress or the end, alone     | an update of the header              | term and open run                            |
| several writes                 | a transaction                        | all of that                                  |
| more than a transaction takes  | several, the one of the header last  | in each, term and open run                   |
| new steps alone, by a driver   | a put each, at half the price        | each one's guard alone                       |

What may come between:

| what comes between                    | the table shows        | who goes on                               | test    |
| ------------------------------------- | ---------------------- | ----------------------------------------- | ------- |
| a reply is lost, and the client       | what this very writer  | the committer: what it wrote itself       | 1, 2, 3 |
| library repeats the call              | left                   | counts as done                            |         |
| another driver takes over before a    | a newer term           | that driver: nothing is stored for the    | 4       |
| long commit                           |                        | old term                                  |         |
| a guard fails after some transactions | some of the entries    | the next driver, once the lease has run   | 5       |
|                                       |                        | out: StoreError                           |         |
| some of the new steps are there       | the other new steps    | the same: it derives the commands of all  | 6       |
| already                               |                        | of them                                   |         |
| a wish comes before an end that would | the lease in the index | the committer: it ends the run and keeps  | 7       |
| free the lease                        |                        | the lease                                 |         |
| the committer dies                    | its lease              | the next driver, from what was written    | 8       |

1. ``tests/orchestrator/aws/test_lost_replies.py::test_a_repeated_entry_is_one``
2. ``tests/orchestrator/aws/test_lost_replies.py::test_a_repeated_end_is_one``
3. ``tests/orchestrator/aws/test_lost_replies.py::test_a_repeated_transaction_is_one``
4. ``tests/orchestrator/aws/test_found_by_simulation.py::test_no_part_of_a_long_commit_comes_after_its_term``
5. ``tests/orchestrator/aws/table/test_commits.py::test_a_later_part_that_is_refused_breaks_the_commit``
6. ``tests/conformance/test_commit.py::test_new_steps_of_a_driver_may_be_stored_apart``
7. ``tests/orchestrator/aws/table/test_races.py::test_a_wish_and_an_end_at_once_are_never_lost``
8. ``tests/orchestrator/aws/test_crash_everywhere.py::test_a_death_between_any_two_calls_is_survived``
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, assert_never

from stepwell_orchestrator.aws.attribute_values import Item, Value, binary, number, text
from stepwell_orchestrator.aws.gather_limited import gather_limited
from stepwell_orchestrator.aws.table import keys
from stepwell_orchestrator.aws.table.dynamo import TRANSACTION_MAX, Action, ConditionFailed, Put, Table, Update
from stepwell_orchestrator.aws.table.items import DOCUMENT, ENDER, PROGRESS, STATUS, TERM, WRITER, Items
from stepwell_orchestrator.aws.table.journal.guards import guard_of
from stepwell_orchestrator.aws.table.journal.leases import HELD, drives
from stepwell_orchestrator.aws.table.journal.writers import new_writer, wrote
from stepwell_orchestrator.aws.table.retention import Retention
from stepwell_orchestrator.aws.table.sizes import action_bytes
from stepwell_orchestrator.aws.table.table import LEASE_UNTIL, LEASED_UNDER, PK, TTL
from stepwell_orchestrator.errors import ConflictError, LeaseLostError, StoreError, entry_moved, lease_lost
from stepwell_orchestrator.fresh_ids import Entropy
from stepwell_orchestrator.model.decision import EndRun, PutEntry, PutProgress, Write

_TRANSACTION_BYTES_MAX: Final = 3_500_000
"""A transaction takes 4 MB, and the header counts whole, whatever is changed of it."""

_OPEN: Final = f"attribute_not_exists({DOCUMENT})"


@dataclass(frozen=True, slots=True)
class _GuardedWrite:
    """One action of a commit and the entry it writes. ``write`` is None when the action concerns the run."""

    action: Action
    write: PutEntry | None


class _LeaseInIndexError(ConflictError):
    """The lease cannot be freed with the end: it is in the index, so the item that it was taken on may be gone."""


@dataclass(frozen=True, slots=True)
class _Committer:
    """Who commits.

    ``term`` is that of its lease; None: it has none. ``frees`` says that the end of the run is to free that lease.
    """

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


class Commits:
    """Writing to runs, on conditions."""

    def __init__(self, table: Table, items: Items, retention: Retention, entropy: Entropy) -> None:
        self._table = table
        self._items = items
        self._retention = retention
        self._entropy = entropy

    async def commit(
        self, run_id: str, writes: Sequence[Write], *, term: int | None, wanted: int | None = None
    ) -> bool:
        """Apply all writes, or none. Returns whether the lease was freed with the run's end.

        Entries alone are stored whatever has become of the run and the term. Raises StoreError when a commit is refused
        after some of it was written.
        """
        if term is None and any(isinstance(write, PutProgress) for write in writes):
            raise ConflictError(f"run {run_id}: progress is only written by the holder of the drive lease")
        writer = new_writer(self._entropy)
        if term is not None and wanted is not None and any(isinstance(write, EndRun) for write in writes):
            try:
                await self._apply(run_id, writes, _Committer(term, frees=True), writer)
            except _LeaseInIndexError:
                pass
            else:
                return True
        await self._apply(run_id, writes, _Committer(term), writer)
        return False

    async def _apply(self, run_id: str, writes: Sequence[Write], committer: _Committer, writer: bytes) -> None:
        """Make the writes. What the same writer did before counts as done."""
        guarded = await self._guard(run_id, writes, committer, writer)
        transactions = _transactions(run_id, guarded, committer.term)
        if (
            committer.term is not None
            and len(transactions) == 1
            and all(_may_stand_alone(one.write) for one in guarded)
        ):
            await self._put_each(run_id, guarded, writer)
            return
        for position, transaction in enumerate(transactions):
            token = f"{writer.hex()}-{position}{committer.mark}"
            try:
                await self._table.transact([one.action for one in transaction], token)
            except ConditionFailed as failed:
                error = _refusal(run_id, transaction, failed, committer, writer)
                if error is None:
                    continue
                if position > 0 and not isinstance(error, _LeaseInIndexError):
                    raise StoreError(f"{error}; an earlier part of this commit was written") from error
                raise error from failed

    async def _put_each(self, run_id: str, guarded: Sequence[_GuardedWrite], writer: bytes) -> None:
        """Put entries of which none needs another.

        Raises ConflictError when all are refused. When only some are it is a StoreError: the commands that follow from
        the others are owed, and the driver that takes the run over derives them from the journal.
        """

        async def put(one: _GuardedWrite) -> str | None:
            try:
                await self._table.do(one.action)
            except ConditionFailed as failed:
                error = _refusal(run_id, [one], failed, _Committer(None), writer)
                return None if error is None else str(error)
            return None

        errors = [error for error in await gather_limited(put, guarded) if error is not None]
        if len(errors) == len(guarded):
            raise ConflictError(errors[0])
        if errors:
            raise StoreError(f"{errors[0]}; other entries of this commit were written")

    async def _guard(
        self, run_id: str, writes: Sequence[Write], committer: _Committer, writer: bytes
    ) -> list[_GuardedWrite]:
        """Make actions of the writes, that of the header last. Long documents are put into the bucket on the way."""
        entries = [write for write in writes if isinstance(write, PutEntry)]
        items = await gather_limited(lambda write: self._items.entry(run_id, write.entry, writer), entries)
        guarded = [
            _GuardedWrite(Put(item, *guard_of(write)), write) for write, item in zip(entries, items, strict=True)
        ]
        update = await self._update(run_id, writes, committer, writer)
        return guarded if update is None else [*guarded, _GuardedWrite(update, None)]

    async def _update(
        self, run_id: str, writes: Sequence[Write], committer: _Committer, writer: bytes
    ) -> Update | None:
        """Make one action of all that changes the header. Returns None when nothing does."""
        changes: list[str] = []
        values: dict[str, Value] = committer.values()
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
                        ":kept": self._retention.after_end(outcome.ended_at_ms),
                    }
                case _:
                    assert_never(write)
        if not changes:
            return None
        condition = f"{committer.condition} AND {_OPEN}"
        freed = f" REMOVE {LEASE_UNTIL}" if committer.frees else ""
        return Update(keys.header_key(run_id), f"SET {', '.join(changes)}{freed}", condition, values)


def _may_stand_alone(write: PutEntry | None) -> bool:
    """Tell whether a write makes a new entry that waits for something: the next driver finds such entries."""
    return write is not None and write.replaced is None and not write.entry.memoised


def _transactions(run_id: str, guarded: Sequence[_GuardedWrite], term: int | None) -> list[list[_GuardedWrite]]:
    """Share writes out to as few transactions as may be, in order. Each of several checks the committer's term."""
    transactions = _split(guarded, TRANSACTION_MAX)
    if len(transactions) == 1 or term is None:
        return transactions
    values = {":term": number(term)}
    check = Update(keys.header_key(run_id), f"SET {TERM} = :term", f"{HELD} AND {_OPEN}", values)
    return [
        transaction if transaction[-1].write is None else [*transaction, _GuardedWrite(check, None)]
        for transaction in _split(guarded, TRANSACTION_MAX - 1)
    ]


def _split(guarded: Sequence[_GuardedWrite], actions_max: int) -> list[list[_GuardedWrite]]:
    transactions: list[list[_GuardedWrite]] = []
    total = 0
    for one in guarded:
        size = action_bytes(one.action)
        if not transactions or len(transactions[-1]) == actions_max or total + size > _TRANSACTION_BYTES_MAX:
            transactions.append([])
            total = 0
        transactions[-1].append(one)
        total += size
    return transactions


def _refusal(
    run_id: str, guarded: Sequence[_GuardedWrite], failed: ConditionFailed, committer: _Committer, writer: bytes
) -> ConflictError | LeaseLostError | None:
    """Say why a transaction was refused. Returns None when the writer made it before, and its reply was lost."""
    found = [(guarded[position].write, old) for position, old in failed.olds.items()]
    if all(wrote(old, writer, WRITER if write else ENDER) for write, old in found):
        return None
    for write, old in found:
        if write is None:
            return _header_refusal(run_id, old, committer)
    write, _ = found[0]
    assert write is not None
    return entry_moved(run_id, write.entry.step_id, write.entry.name)


def _header_refusal(run_id: str, header: Item | None, committer: _Committer) -> ConflictError | LeaseLostError:
    if header is None:
        return ConflictError(f"run {run_id} does not exist, so nothing can be committed to it")
    if committer.term is not None and not drives(header, committer.term):
        return lease_lost(run_id, committer.term)
    if DOCUMENT in header:
        return ConflictError(f"run {run_id} has ended and accepts no write but a late entry")
    return _LeaseInIndexError(f"run {run_id}: its lease is in the index")
