"""A client library repeats a call whose reply was lost: a write on a condition then meets its own effect."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from stepwell_orchestrator.aws.service import AwsError
from stepwell_orchestrator.aws.table.journal.journal import DynamoJournal
from stepwell_orchestrator.errors import ConflictError, LeaseLostError
from stepwell_orchestrator.model.decision import PutEntry
from stepwell_orchestrator.model.run import Progress, RunStatus
from stepwell_orchestrator.model.step import StepEntry, StepStatus
from stepwell_orchestrator.ports import Acquired, Busy, Claimed, NotClaimed, Over
from tests.conformance.samples import (
    NOW_MS,
    UNTIL_MS,
    a_header,
    a_result,
    absent,
    an_end,
    an_entry,
    an_event,
    create,
    create_driven,
    run_id,
)
from tests.orchestrator.aws.bed import Bed
from tests.orchestrator.aws.faults import Fault, lost_call, lost_reply, repeated

STEP = an_entry().step_id
LATER_MS = UNTIL_MS + 30_000


@pytest.fixture
def journal(bed: Bed) -> DynamoJournal:
    return bed.backend().journal


async def test_a_repeated_put_of_an_event_is_the_first(bed: Bed, journal: DynamoJournal):
    """Whoever stored an event is told so though its reply was lost, and another one is told that it is there."""
    bed.dynamodb.plan("put_item", *[as_it_is] * 2, repeated)
    assert await journal.put_event(an_event()) is True
    assert await journal.put_event(an_event()) is False
    bed.dynamodb.plan("put_item", as_it_is, repeated)
    assert await bed.backend().journal.put_event(an_event()) is False


@pytest.mark.parametrize("keys", [[], ["key"], ["key", "other"]], ids=len)
async def test_a_repeated_creation_is_the_first(bed: Bed, journal: DynamoJournal, keys: list[str]):
    """A run is created once, and its creator learns its own id, under keys or without."""
    bed.dynamodb.plan("transact_write_items" if keys else "put_item", *[as_it_is] * (not keys), repeated)
    assert await journal.create_run(a_header(), idempotency_keys=keys, expires_at_ms=UNTIL_MS) == run_id(1)
    assert await journal.get_header(run_id(1)) == a_header()


async def test_a_creation_that_the_client_gave_up_is_done_again(bed: Bed, journal: DynamoJournal):
    """A worker that comes again after a lost reply finds its own run under the keys."""
    bed.dynamodb.plan("transact_write_items", lost_reply)
    with pytest.raises(AwsError, match="ReadTimeout"):
        await journal.create_run(a_header(), idempotency_keys=["key"], expires_at_ms=UNTIL_MS)
    assert await journal.create_run(a_header(), idempotency_keys=["key"], expires_at_ms=UNTIL_MS) == run_id(1)


async def test_a_repeated_taking_of_a_free_lease_has_it(bed: Bed, journal: DynamoJournal):
    """Whoever took a free lease has it, in one term and with one wish, and it is no takeover."""
    await create(journal)
    bed.dynamodb.plan("update_item", repeated)
    taken = await journal.acquire(run_id(1), NOW_MS, UNTIL_MS)
    expected = a_header(wanted=1, term=1, started_at_ms=NOW_MS, lease_until_ms=UNTIL_MS)
    assert taken == Acquired(expected, takeover=False)
    assert await journal.get_header(run_id(1)) == expected
    assert await bed.backend().journal.acquire(run_id(1), NOW_MS, UNTIL_MS) == Busy(UNTIL_MS)


async def test_a_repeated_takeover_is_told_as_one(bed: Bed, journal: DynamoJournal):
    """Whoever took over a lease that had run out is told of the takeover though its reply was lost."""
    await create_driven(journal)
    bed.dynamodb.plan("update_item", as_it_is, repeated)
    taken = await bed.backend().journal.acquire(run_id(1), UNTIL_MS, LATER_MS)
    assert isinstance(taken, Acquired)
    assert (taken.takeover, taken.header.term) == (True, 2)


async def test_a_repeated_wish_is_at_least_one(bed: Bed, journal: DynamoJournal):
    """A wish may count twice, and is never lost."""
    await create_driven(journal)
    bed.dynamodb.plan("update_item", as_it_is, repeated)
    assert await journal.acquire(run_id(1), NOW_MS, UNTIL_MS) == Busy(UNTIL_MS)
    assert await journal.release(run_id(1), 1, 1, None) == 3


@pytest.mark.parametrize("progress", [None, Progress(discovered=1)], ids=["without progress", "with progress"])
async def test_a_repeated_release_is_one(bed: Bed, journal: DynamoJournal, progress: Progress | None):
    """Whoever released a lease is told so, and a second release is still refused."""
    await create_driven(journal)
    bed.dynamodb.plan("update_item", repeated)
    assert await journal.release(run_id(1), 1, 1, progress) is None
    header = await journal.get_header(run_id(1))
    assert header is not None
    assert (header.lease_until_ms, header.progress) == (None, progress or Progress())
    with pytest.raises(LeaseLostError):
        await journal.release(run_id(1), 1, 1, None)


async def test_a_release_that_was_seen_by_the_next_driver_is_over(bed: Bed, journal: DynamoJournal):
    """When another driver came before the repeat, the one who released learns that its term is over."""
    await create_driven(journal)

    def with_a_driver_between(do: Any, _: str) -> dict[str, Any]:
        do()
        # The next driver is another process; what it writes goes past this client's faults.
        client = bed.dynamodb.client
        client.update_item(
            TableName=bed.names.table,
            Key={"pk": {"S": f"r#{run_id(1)}"}, "sk": {"S": "h"}},
            UpdateExpression="SET k = k + :one, u = :until, w = :other",
            ExpressionAttributeValues={":one": {"N": "1"}, ":until": {"N": str(LATER_MS)}, ":other": {"B": b"other"}},
        )
        return do()

    bed.dynamodb.plan("update_item", with_a_driver_between)
    with pytest.raises(LeaseLostError, match="term 1 is over"):
        await journal.release(run_id(1), 1, 1, None)


async def test_a_repeated_renewal_holds(bed: Bed, journal: DynamoJournal):
    """Prolonging a lease or a claim twice is prolonging it."""
    await create_driven(journal)
    await journal.commit(run_id(1), [absent(an_entry())], term=None)
    await journal.claim(run_id(1), STEP, 0, now_ms=NOW_MS, until_ms=UNTIL_MS)
    bed.dynamodb.plan("update_item", repeated, repeated)
    assert await journal.renew(run_id(1), 1, LATER_MS) is True
    assert await journal.renew_claim(run_id(1), STEP, claimed_at_ms=NOW_MS, until_ms=LATER_MS) is True


async def test_a_repeated_claim_is_the_claimers(bed: Bed, journal: DynamoJournal):
    """Whoever claimed a step has it, and another worker that claims in the same millisecond has not."""
    await create(journal)
    await journal.commit(run_id(1), [absent(an_entry())], term=None)
    bed.dynamodb.plan("update_item", repeated)
    claimed = await journal.claim(run_id(1), STEP, 0, now_ms=NOW_MS, until_ms=UNTIL_MS)
    assert isinstance(claimed, Claimed)
    assert (claimed.entry.status, claimed.entry.claim_until_ms) == (StepStatus.RUNNING, UNTIL_MS)
    rival = await bed.backend().journal.claim(run_id(1), STEP, 0, now_ms=NOW_MS, until_ms=UNTIL_MS)
    assert rival == NotClaimed(claimed.entry)


@pytest.mark.parametrize("replaced", [None, an_entry(), an_entry(status=StepStatus.WAITING, attempt=1)])
async def test_a_repeated_entry_is_one(bed: Bed, journal: DynamoJournal, replaced: StepEntry | None):
    """Whoever journaled a step's result has done so, and another one's is still refused."""
    await create(journal)
    if replaced is not None:
        await journal.commit(run_id(1), [absent(replaced)], term=None)
    write = PutEntry(a_result(), replaced)
    bed.dynamodb.plan("put_item", repeated)
    await journal.commit(run_id(1), [write], term=None)
    assert await journal.get_entry(run_id(1), STEP) == a_result()
    with pytest.raises(ConflictError):
        await bed.backend().journal.commit(run_id(1), [write], term=None)


@pytest.mark.parametrize("term", [None, 1])
async def test_a_repeated_end_is_one(bed: Bed, journal: DynamoJournal, term: int | None):
    """Whoever ended a run has done so, and a second end of the same kind is still refused."""
    await create_driven(journal)
    bed.dynamodb.plan("update_item", repeated)
    await journal.commit(run_id(1), [an_end(RunStatus.FAILED)], term=term)
    with pytest.raises(ConflictError, match="has ended"):
        await bed.backend().journal.commit(run_id(1), [an_end(RunStatus.FAILED)], term=None)


async def test_an_end_is_its_writers_whatever_came_of_the_lease(bed: Bed, journal: DynamoJournal):
    """A run that was ended, released and found over between the two tries was ended by the first of them."""
    await create_driven(journal)
    other = bed.backend().journal

    async def meanwhile() -> None:
        await other.release(run_id(1), 1, 1, None)
        assert isinstance(await other.acquire(run_id(1), NOW_MS, UNTIL_MS), Over)

    bed.dynamodb.plan("update_item", twice_with(meanwhile))
    await journal.commit(run_id(1), [an_end()], term=None)


async def test_a_repeated_transaction_is_one(bed: Bed, journal: DynamoJournal):
    """A commit of several writes is known by its token."""
    await create_driven(journal)
    bed.dynamodb.plan("transact_write_items", repeated)
    await journal.commit(run_id(1), [absent(a_result("a")), absent(a_result("b")), an_end()], term=1)
    run = await journal.load(run_id(1))
    assert run is not None
    assert (run.header.status, len(run.entries)) == (RunStatus.COMPLETED, 2)


async def test_a_transaction_that_meets_itself_after_its_token_is_forgotten_is_one(bed: Bed, journal: DynamoJournal):
    """Even a service that does not remember the token leads to no conflict with oneself."""
    from tests.orchestrator.aws import strict

    def forgotten(do: Any, _: str) -> dict[str, Any]:
        do()
        strict.forget_tokens()
        return do()

    await create_driven(journal)
    bed.dynamodb.plan("transact_write_items", forgotten)
    await journal.commit(run_id(1), [absent(a_result("a")), absent(a_result("b")), an_end()], term=1)
    assert bed.dynamodb.count("transact_write_items") == 1


@pytest.mark.parametrize("fault", [lost_call, lost_reply], ids=["lost call", "lost reply"])
@pytest.mark.parametrize("operation", ["put_event", "create", "acquire", "release", "commit", "claim"])
async def test_what_the_client_gave_up_may_be_done_again(
    bed: Bed, journal: DynamoJournal, operation: str, fault: Fault
):
    """After a failed call nobody knows what was done; doing it again, as a redelivery does, leads on."""
    calls: dict[str, tuple[str, Callable[[], Awaitable[Any]], tuple[Any, Any]]] = {
        "put_event": ("put_item", lambda: journal.put_event(an_event()), (True, False)),
        "create": ("put_item", lambda: create(journal, 3), (run_id(3), run_id(3))),
        "acquire": ("update_item", lambda: kind(journal.acquire(run_id(2), NOW_MS, UNTIL_MS)), (Acquired, Busy)),
        "release": ("update_item", lambda: kind(journal.release(run_id(1), 1, 1, None)), (type(None), LeaseLostError)),
        "commit": ("put_item", lambda: kind(committed(journal)), (type(None), ConflictError)),
        "claim": ("update_item", lambda: kind(claimed(journal)), (Claimed, NotClaimed)),
    }
    method, call, (after_lost_call, after_lost_reply) = calls[operation]
    await create_driven(journal)
    await create(journal, 2)
    await journal.commit(run_id(1), [absent(an_entry())], term=None)
    skipped = operation == "put_event" and fault is lost_reply
    bed.dynamodb.plan(method, *[as_it_is] * (2 if skipped else 0), fault)
    with pytest.raises(AwsError):
        await call()
    assert await call() == (after_lost_call if fault is lost_call else after_lost_reply)


def as_it_is(do: Callable[[], dict[str, Any]], _: str) -> dict[str, Any]:
    """No fault."""
    return do()


def twice_with(meanwhile: Callable[[], Awaitable[None]]) -> Fault:
    """A call is done, something else happens, and the client library repeats the call."""

    def fault(do: Callable[[], dict[str, Any]], _: str) -> dict[str, Any]:
        do()
        # In place, nothing waits for anything: the coroutine runs through at once.
        with pytest.raises(StopIteration):
            meanwhile().__await__().__next__()
        return do()

    return fault


async def committed(journal: DynamoJournal) -> None:
    """A step's result."""
    await journal.commit(run_id(1), [absent(a_result("b"))], term=None)


async def claimed(journal: DynamoJournal) -> Any:
    """The claim of the only planned step."""
    return await journal.claim(run_id(1), STEP, 0, now_ms=NOW_MS, until_ms=UNTIL_MS)


async def kind(call: Awaitable[Any]) -> type:
    """The type of what a call answers, or of the refusal it raises."""
    try:
        return type(await call)
    except (ConflictError, LeaseLostError) as error:
        return type(error)
