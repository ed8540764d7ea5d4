from __future__ import annotations

from typing import Any

import pytest

from stepwell_orchestrator.aws.table.table import SCHEMA
from stepwell_orchestrator.costing.capacity import (
    Index,
    index_write_units,
    indexes_of,
    read_units,
    stored_bytes,
    write_units,
)

LEASES = Index("leases", frozenset("xu"), frozenset({"pk", "sk", "x", "u"}))


def an_item(size: int, **more: Any) -> dict[str, Any]:
    """An item of so many bytes, attributes of its own left out: 2 + 1 of ``pk``, 2 + 1 of ``sk`` and 1 + n of ``d``."""
    return {"pk": {"S": "p"}, "sk": {"S": "s"}, "d": {"B": b"x" * (size - 7)}, **more}


@pytest.mark.parametrize(
    ("before", "after", "units"),
    [
        (None, 10, 1),
        (None, 1024, 1),
        (None, 1025, 2),
        (1025, 10, 2),
        (10, 3000, 3),
        (3000, None, 3),
        (None, None, 1),
        (None, 400 * 1024, 400),
    ],
)
def test_a_write_is_charged_by_the_larger_item(before: int | None, after: int | None, units: int):
    """The table charges each KiB that has begun of the item before or after, and one when there is none."""
    assert write_units(before and an_item(before), after and an_item(after)) == units


def leased(at: str | None, size: int = 10) -> dict[str, Any]:
    """An item with an entry in the index, or without one."""
    return an_item(size, **({} if at is None else {"x": {"S": "x1"}, "u": {"N": at}}))


@pytest.mark.parametrize(
    ("before", "after", "units"),
    [
        (None, None, 0),
        (None, leased(None), 0),
        (None, leased("5"), 1),
        (leased("5"), leased("5", 5000), 0),
        (leased("5"), leased("6"), 2),
        (leased("5"), leased(None), 1),
        (leased("5"), None, 1),
    ],
)
def test_an_index_is_charged_when_its_entry_changes(before: Any, after: Any, units: int):
    """An entry that comes or goes is one write, another key two, and what the index does not hold none."""
    assert index_write_units(LEASES, before, after) == units


def test_an_entry_that_keeps_its_key_is_written_once():
    """A change of what an index holds beside its key is one write of the entry."""
    listing = Index("listing", frozenset({"l", "pk"}), frozenset({"l", "pk", "sk", "c"}))
    before, after = (an_item(10, l={"S": "r1"}, c={"N": at}) for at in "12")
    assert index_write_units(listing, before, after) == 1


def test_the_indexes_are_those_of_the_table():
    """What the ledger charges are the indexes that the table is made with, each with what it holds."""
    indexes = {index.name: index for index in indexes_of(SCHEMA)}
    assert indexes["leases"] == LEASES
    assert indexes["listing"].held == {"pk", "sk", "l", "a", "f", "n", "c"}


def test_an_index_of_whole_items_is_refused():
    """An index whose entries grow with the item is not reckoned with, and says so."""
    described = {"IndexName": "all", "KeySchema": [], "Projection": {"ProjectionType": "ALL"}}
    with pytest.raises(ValueError, match="index all holds whole items"):
        indexes_of({**SCHEMA, "GlobalSecondaryIndexes": [described]})


@pytest.mark.parametrize(
    ("sizes", "units"), [([], 1), ([10], 1), ([4096], 1), ([4097], 2), ([1000] * 4, 1), ([1000] * 5, 2)]
)
def test_a_read_is_charged_by_all_it_read(sizes: list[int], units: int):
    """Four KiB are a unit, rounded up once for all items, at least one; half when it need not be consistent."""
    items = [an_item(size) for size in sizes]
    assert read_units(items, consistent=True) == units
    assert read_units(items, consistent=False) == units / 2


def test_storage_counts_entries_and_overheads():
    """An item is stored with 100 bytes more, and so is each of its entries."""
    item = leased("5", 500)
    # 500 and 1 + 2 of x, 1 + 2 of u; the entry has 6 of its keys and the same 6.
    assert stored_bytes(item, [LEASES]) == 506 + 100 + 12 + 100
