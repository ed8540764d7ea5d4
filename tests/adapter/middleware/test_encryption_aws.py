from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

from stepwell.middleware.envelopes import MARK
from tests.adapter.middleware.vault import SECRET, Card, CardData, Paid, vault
from tests.orchestrator.aws.account import Account, an_account


def unpacked(binary: bytes) -> bytes:
    """A document as it was before it was compressed."""
    try:
        return zlib.decompress(binary[1:])
    except zlib.error:
        return binary


def texts(value: Any) -> Iterator[bytes]:
    """Every text and every binary value of a table's items."""
    match value:
        case bytes():
            yield unpacked(value)
        case dict():
            for member in value.values():
                yield from texts(member)
        case list():
            for member in value:
                yield from texts(member)
        case _:
            yield str(value).encode()


def stored(account: Account) -> bytes:
    """Everything in the table and in the bucket."""
    s3, bucket = account.bed.clients["s3"].client, account.bed.names.bucket
    keys = [item["Key"] for item in s3.client.list_objects_v2(Bucket=bucket).get("Contents", ())]
    objects = [s3.client.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys]
    return b"\n".join([*texts(account.bed.items()), *map(unpacked, objects)])


def test_nothing_secret_is_in_the_table() -> None:
    """A run that takes a secret through event, steps, invocation, wait and result leaves none of it in AWS."""
    app = vault(dev=False)
    with an_account() as account:
        account.register("vault-functions", app)
        app.send_sync(Paid(data=CardData(order="o1", card=Card(number=SECRET))))
        seen = stored(account)
        account.work()
        seen += stored(account)
        account.advance(60_000)
        seen += stored(account)
        assert [run["status"] for run in account.runs()] == ["Completed", "Completed"]
    assert MARK.encode() in seen
    assert b"card/told" in seen
    assert SECRET.encode() not in seen
