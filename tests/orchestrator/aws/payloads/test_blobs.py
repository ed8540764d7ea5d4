from __future__ import annotations

import pytest

from stepwell_orchestrator.aws.payloads.blobs import INLINE_BYTES_MAX, Blobs
from stepwell_orchestrator.aws.service import AwsError
from stepwell_orchestrator.errors import StoreError
from stepwell_orchestrator.model.run import Progress
from stepwell_orchestrator.ports import EventFilter
from tests.conformance.samples import a_result, absent, an_end, an_event, create_driven, run_id
from tests.orchestrator.aws.bed import Bed
from tests.orchestrator.aws.faults import lost_call, refused
from tests.orchestrator.aws.table.test_commits import noise

LARGE = noise(200_000).encode()


@pytest.fixture
def blobs(bed: Bed) -> Blobs:
    return Blobs(bed.services().s3, bucket=bed.names.bucket)


@pytest.mark.parametrize(
    "document", [b"{}", b'{"a":1}', b"[" + b"1," * 900_000 + b"1]"], ids=["empty", "short", "long"]
)
async def test_a_document_that_is_short_or_gets_short_stays_in_the_item(bed: Bed, blobs: Blobs, document: bytes):
    """What fits comes back without the bucket, and is at most a byte longer than it was."""
    value = await blobs.pack(document)
    assert len(value["B"]) <= min(INLINE_BYTES_MAX, len(document) + 1)
    assert await blobs.unpack(value) == document
    assert bed.s3.calls == []


async def test_a_large_document_lies_in_the_bucket(bed: Bed, blobs: Blobs):
    """What does not fit is put under its hash before the item, which keeps the hash alone."""
    value = await blobs.pack(LARGE)
    assert len(value["B"]) == 33
    assert await blobs.unpack(value) == LARGE
    assert [name for name, _ in bed.s3.calls] == ["put_object", "get_object"]
    assert await blobs.pack(LARGE) == value


async def test_a_missing_object_is_named(bed: Bed, blobs: Blobs):
    """A document whose object is gone is an error that says which object of which bucket."""
    value = await blobs.pack(LARGE)
    key = bed.s3.calls[0][1]["Key"]
    bed.s3.client.client.delete_object(Bucket=bed.names.bucket, Key=key)
    with pytest.raises(StoreError, match=f"{key} is missing from bucket {bed.names.bucket}"):
        await blobs.unpack(value)


async def test_another_object_in_its_place_is_noticed(bed: Bed, blobs: Blobs):
    """An object that does not have its hash is an error, not a result."""
    value = await blobs.pack(LARGE)
    key = bed.s3.calls[0][1]["Key"]
    bed.s3.put_object(Bucket=bed.names.bucket, Key=key, Body=b"j{}")
    with pytest.raises(StoreError, match=f"{key} of bucket {bed.names.bucket} is not what"):
        await blobs.unpack(value)


async def test_a_bucket_that_cannot_be_reached_is_an_error(bed: Bed, blobs: Blobs):
    """Trouble with S3 surfaces, so that the work is delivered again; and nothing was written to the table."""
    journal = bed.backend().journal
    await create_driven(journal)
    before = await journal.load(run_id(1))
    for fault in (refused("SlowDown"), lost_call):
        bed.s3.plan("put_object", fault)
        with pytest.raises(AwsError):
            await journal.commit(run_id(1), [absent(a_result(value=LARGE.decode())), an_end()], term=1)
    assert await journal.load(run_id(1)) == before


async def test_everything_may_be_large(bed: Bed):
    """Events, results, outcomes and progress of any size come back as they were put, from loads and listings alike."""
    journal = bed.backend().journal
    text = LARGE.decode()
    event = an_event(data={"text": text})
    await journal.put_event(event)
    await create_driven(journal)
    results = [a_result(str(n), value=noise(100_000, str(n))) for n in range(12)]
    await journal.commit(run_id(1), [absent(result) for result in results], term=1)
    progress = Progress(fences={n: n * 7 for n in range(60_000)})
    assert await journal.release(run_id(1), 1, 1, progress) is None
    await journal.commit(run_id(1), [an_end(output=text)], term=None)
    run = await journal.load(run_id(1))
    assert run is not None
    assert run.events == (event,)
    assert list(run.entries.values()) == sorted(results, key=lambda result: result.step_id)
    assert run.header.progress == progress
    assert run.header.outcome == an_end(output=text).outcome
    assert await journal.events_since("order/created", 0, after=None, limit=1) == [event]
    assert await journal.list_events(EventFilter(), cursor=None, limit=1) == [event]
