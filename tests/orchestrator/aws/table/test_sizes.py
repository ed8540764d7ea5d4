"""What an item costs: a write unit for each KiB that has begun."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell.wire.encoding import encode
from stepwell.wire.opcodes import Op
from stepwell_orchestrator.aws.table.sizes import WRITE_UNIT_BYTES, item_bytes, value_bytes
from stepwell_orchestrator.model.run import Progress
from stepwell_orchestrator.model.step import Place, StepStatus
from tests.conformance.samples import NOW_MS, a_header, absent, an_end, an_entry, an_event, create_driven, run_id
from tests.orchestrator.aws.bed import Bed

# By the developer guide, "DynamoDB item sizes and formats".
VALUES: list[tuple[str, Any, int]] = [
    ("text", {"S": "order"}, 5),
    ("text beyond ASCII", {"S": "Zoë"}, 4),
    ("bytes", {"B": b"\x00" * 9}, 9),
    ("zero", {"N": "0"}, 1),
    ("one digit", {"N": "7"}, 2),
    ("two digits", {"N": "27"}, 2),
    ("three digits", {"N": "-127"}, 4),
    ("trailing zeros", {"N": "1000000"}, 2),
    ("a time", {"N": str(NOW_MS + 1)}, 8),
    ("no elements", {"L": []}, 3),
    ("elements", {"L": [{"S": "ab"}, {"N": "1"}]}, 9),
]


@pytest.mark.parametrize(("value", "size"), [row[1:] for row in VALUES], ids=[row[0] for row in VALUES])
def test_a_value_is_as_large_as_documented(value: Any, size: int):
    """The size of a value is the documented one."""
    assert value_bytes(value) == size
    assert item_bytes({"name": value}) == 4 + size


def test_only_what_the_journal_uses_has_a_size():
    """A type that the journal does not write is refused rather than guessed."""
    with pytest.raises(ValueError, match="no attributes of type SS"):
        value_bytes({"SS": ["a"]})


TITLES = (
    "Walnut desk organiser",
    "Linen notebook, A5",
    "Brass ballpoint pen",
    "Desk lamp, dimmable",
    "Letter tray",
    "Felt mat, 80 x 40",
    "Cable clips, set of six",
)


def an_order(number: int) -> dict[str, Any]:
    """A step's output as people write them."""
    lines = [
        {"sku": f"SKU-{number * 7919 + line * 104729:08d}", "title": title, "quantity": line + 1, "price_cents": 1999}
        for line, title in enumerate(TITLES)
    ]
    return {
        "order_id": f"ord_{number * 2654435761:012x}",
        "customer": {"name": "Ada Okafor", "email": "ada.okafor@example.com", "tier": "gold", "since": "2021-03-14"},
        "shipping": {"street": "12 Harbour Lane", "city": "Rotterdam", "postcode": "3011 AB", "country": "NL"},
        "lines": lines,
        "total_cents": 19990,
        "currency": "EUR",
        "status": "paid",
        "payment": {"provider": "card", "reference": f"pay_{number * 40503:010x}", "captured": True},
        "notes": "Leave with the neighbours at number 14 when nobody is at home; ring twice.",
    }


async def test_a_kilobyte_of_output_costs_one_write_unit(bed: Bed):
    """A finished step with 1 KiB of ordinary JSON is an item of at most 1 KiB, keys and all."""
    output = an_order(4711)
    assert len(encode(output)) >= 1024
    journal = bed.backend().journal
    await create_driven(journal)
    entry = an_entry(
        "charge the customer's card",
        StepStatus.COMPLETED,
        op=Op.STEP_RUN,
        started_at_ms=NOW_MS + 3,
        ended_at_ms=NOW_MS + 250,
        memo={"data": output},
        place=Place(3, 12),
        opts={"retries": 4},
        size_bytes=len(encode(output)),
    )
    bed.dynamodb.calls.clear()
    await journal.commit(run_id(1), [absent(entry)], term=1)
    ((operation, parameters),) = bed.dynamodb.calls
    assert operation == "put_item"
    assert item_bytes(parameters["Item"]) <= WRITE_UNIT_BYTES
    assert await journal.get_entry(run_id(1), entry.step_id) == entry


async def test_what_is_written_around_a_run_costs_one_write_unit_each(bed: Bed):
    """The header, through its life, its links, its event and the event's record are at most 1 KiB each."""
    journal = bed.backend().journal
    await journal.put_event(an_event(data={"order": "o" * 200}))
    await journal.create_run(a_header(), idempotency_keys=["key"], expires_at_ms=NOW_MS)
    await journal.acquire(run_id(1), NOW_MS, NOW_MS + 1)
    await journal.release(run_id(1), 1, 1, Progress(2, 10, placed={"a" * 40: Place(1, 2)}, fences={1: 2}))
    await journal.commit(run_id(1), [an_end(output={"ok": True})], term=None)
    items = bed.dynamodb.scan(TableName=bed.names.table)["Items"]
    assert len(items) == 6
    assert max(item_bytes(item) for item in items) <= WRITE_UNIT_BYTES
