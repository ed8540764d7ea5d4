"""Commits by the calls they take: one put for a step, one update for what concerns the run, transactions for more."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from stepwell_orchestrator.aws.service import AwsError
from stepwell_orchestrator.aws.table.journal.journal import DynamoJournal
from stepwell_orchestrator.errors import ConflictError, LeaseLostError, StoreError
from stepwell_orchestrator.model.decision import PutProgress, Write
from stepwell_orchestrator.model.run import Progress, RunStatus
from stepwell_orchestrator.ports import Claimed
from tests.conformance.samples import (
    a_result,
    absent,
    an_end,
    an_entry,
    create_driven,
    instead_of,
    run_id,
)
from tests.orchestrator.aws.bed import Bed
from tests.orchestrator.aws.faults import conflict_in_transaction

WRITING = ("put_item", "update_item", "transact_write_items")


@pytest.fixture
async def journal(bed: Bed) -> DynamoJournal:
    """The journal with run 1 in its first term, and no calls counted so far."""
    journal = bed.backend().journal
    await create_driven(journal)
    bed.dynamodb.calls.clear()
    return journal


def written(bed: Bed) -> list[str]:
    """The calls that write, in order."""
    return [name for name, _ in bed.dynamodb.calls if name in WRITING]


def noise(size: int, seed: str = "") -> str:
    """Text that does not get shorter by compression, or not by much."""
    rounds = (hashlib.sha512(f"{seed}{n}".encode()).hexdigest() for n in range(size // 128 + 1))
    return "".join(rounds)[:size]


PROGRESS = PutProgress(Progress(discovered=1))
CALLS: list[tuple[str, list[Write], list[str]]] = [
    ("a result", [absent(a_result())], ["put_item"]),
    ("progress", [PROGRESS], ["update_item"]),
    ("the end", [an_end()], ["update_item"]),
    ("progress and the end", [PROGRESS, an_end()], ["update_item"]),
    ("two results", [absent(a_result("a")), absent(a_result("b"))], ["transact_write_items"]),
    ("all", [PROGRESS, absent(a_result("a")), an_end()], ["transact_write_items"]),
    ("a long outcome", [an_end(output=noise(5_000))], ["put_item", "update_item"]),
]


@pytest.mark.parametrize(("writes", "calls"), [row[1:] for row in CALLS], ids=[row[0] for row in CALLS])
async def test_a_commit_takes_the_cheapest_call(
    bed: Bed, journal: DynamoJournal, writes: list[Write], calls: list[str]
):
    """What one call can guard takes one call, and nothing is read."""
    await journal.commit(run_id(1), writes, term=1)
    assert written(bed) == [name for name, _ in bed.dynamodb.calls] == calls


async def test_a_hundred_writes_are_one_transaction(bed: Bed, journal: DynamoJournal):
    """As many actions as a transaction takes are written together, or not at all."""
    entries = [absent(a_result(str(n))) for n in range(99)]
    await journal.commit(run_id(1), [*entries, PROGRESS], term=1)
    assert written(bed) == ["transact_write_items"]
    with pytest.raises(ConflictError, match="the entry is not as it was found"):
        await journal.commit(run_id(1), [absent(a_result("new")), *entries[:99]], term=1)
    assert await journal.get_entry(run_id(1), a_result("new").step_id) is None


async def test_a_longer_commit_is_several_transactions_and_ends_the_run_last(bed: Bed, journal: DynamoJournal):
    """The writes go in their order, and what concerns the run goes with the last part, wherever it stood."""
    entries = [absent(a_result(str(n))) for n in range(230)]
    await journal.commit(run_id(1), [an_end(), *entries, PROGRESS], term=1)
    parts = [parameters["TransactItems"] for name, parameters in bed.dynamodb.calls if name in WRITING]
    assert [len(part) for part in parts] == [100, 100, 33]
    order = [action["Put"]["Item"]["sk"]["S"] for part in parts for action in part if "Put" in action]
    assert order == [f"s#{write.entry.step_id}" for write in entries]
    assert "Update" in parts[-1][-1]
    tokens = [parameters["ClientRequestToken"] for name, parameters in bed.dynamodb.calls if name in WRITING]
    assert len(set(tokens)) == 3
    assert all(len(token) <= 36 for token in tokens)
    run = await journal.load(run_id(1))
    assert run is not None
    assert (run.header.status, len(run.entries)) == (RunStatus.COMPLETED, 230)


async def test_no_transaction_is_larger_than_the_service_takes(bed: Bed, journal: DynamoJournal):
    """Few but large writes are several transactions too."""
    entries = [absent(a_result(str(n), value=noise(100_000, str(n)))) for n in range(90)]
    await journal.commit(run_id(1), entries, term=1)
    assert written(bed) == ["transact_write_items"] * 2
    run = await journal.load(run_id(1))
    assert run is not None
    assert run.entries[a_result("7").step_id] == a_result("7", value=noise(100_000, "7"))


async def test_the_first_part_of_a_long_commit_is_refused_as_any(bed: Bed, journal: DynamoJournal):
    """A guard that fails before anything was written is a conflict, and nothing is written after it."""
    await journal.commit(run_id(1), [absent(a_result("50"))], term=1)
    with pytest.raises(ConflictError, match=r"step \w+ \(50\)"):
        await journal.commit(run_id(1), [absent(a_result(str(n))) for n in range(150)], term=1)
    run = await journal.load(run_id(1))
    assert run is not None
    assert list(run.entries) == [a_result("50").step_id]


async def test_a_later_part_that_is_refused_breaks_the_commit(bed: Bed, journal: DynamoJournal):
    """After a part was written a refusal is no conflict any more: nobody may think that nothing was written."""
    writes: list[Write] = [*(absent(a_result(str(n))) for n in range(150)), PROGRESS]
    await journal.commit(run_id(1), [absent(a_result("120"))], term=1)
    with pytest.raises(StoreError, match="an earlier part of this commit was written"):
        await journal.commit(run_id(1), writes, term=1)
    run = await journal.load(run_id(1))
    assert run is not None
    assert len(run.entries) == 99 + 1
    assert run.header.progress == Progress()


async def test_a_lost_term_is_told_before_a_refused_entry(journal: DynamoJournal):
    """A driver that was fenced off learns that first, whatever else is wrong with its commit."""
    await journal.commit(run_id(1), [absent(a_result())], term=1)
    with pytest.raises(LeaseLostError):
        await journal.commit(run_id(1), [absent(a_result()), PROGRESS], term=2)


async def test_a_commit_that_meets_a_wish_is_made_again(bed: Bed, journal: DynamoJournal):
    """A wish at the same header in the same moment cancels a transaction, which is made again; in the end it fails."""
    writes: list[Write] = [absent(a_result("a")), PROGRESS]
    bed.dynamodb.plan("transact_write_items", conflict_in_transaction(2))
    await journal.commit(run_id(1), writes, term=1)
    bed.dynamodb.plan("transact_write_items", *[conflict_in_transaction(2)] * 5)
    with pytest.raises(AwsError, match="TransactionCanceled"):
        await journal.commit(run_id(1), [absent(a_result("b")), PROGRESS], term=1)


async def test_a_long_outcome_is_not_rewritten_with_the_lease(bed: Bed, journal: DynamoJournal):
    """The header of a run that ended with a long result stays short, and the result comes back with it everywhere."""
    output = noise(5_000)
    await journal.commit(run_id(1), [an_end(output=output)], term=None)
    header = bed.dynamodb.get_item(TableName=bed.names.table, Key={"pk": {"S": f"r#{run_id(1)}"}, "sk": {"S": "h"}})
    assert len(header["Item"]["d"]["B"]) == 33
    found: list[Any] = [await journal.get_header(run_id(1)), getattr(await journal.load(run_id(1)), "header", None)]
    assert [one.outcome.output for one in found] == [output, output]
    assert await journal.release(run_id(1), 1, 1, None) is None


async def test_a_missing_outcome_is_an_error(bed: Bed, journal: DynamoJournal):
    """A run whose outcome was removed from the table is not taken for one that goes on."""
    await journal.commit(run_id(1), [an_end(output=noise(5_000))], term=1)
    (payload,) = (parameters["Item"] for name, parameters in bed.dynamodb.calls if name == "put_item")
    bed.dynamodb.delete_item(TableName=bed.names.table, Key={name: payload[name] for name in ("pk", "sk")})
    with pytest.raises(StoreError, match="has ended, and the item with its outcome is missing"):
        await journal.get_header(run_id(1))


async def test_a_claim_is_forgotten_with_the_entry_it_was_made_on(journal: DynamoJournal):
    """A step that is planned anew has no claim of the attempt before."""
    await journal.commit(run_id(1), [absent(an_entry())], term=1)
    claimed = await journal.claim(run_id(1), an_entry().step_id, 0, now_ms=0, until_ms=10**14)
    assert isinstance(claimed, Claimed)
    await journal.commit(run_id(1), [instead_of(claimed.entry, an_entry(attempt=1))], term=1)
    assert await journal.get_entry(run_id(1), an_entry().step_id) == an_entry(attempt=1)
