"""What DynamoDB charges for a request, in units: its documented rules, on items. Pure.

What it says of a table in on-demand mode: a write unit is paid for each KiB that has begun of the item before or after,
whichever is larger; in a transaction twice. An index is written when an item's entry in it changes, and twice when its
key does. A read unit is paid for each 4 KiB that have begun of an item, or of all that a query read; half of one when
the read need not be consistent. What does not exist is charged like the smallest item.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from stepwell_orchestrator.aws.attribute_values import Item
from stepwell_orchestrator.aws.table.sizes import WRITE_UNIT_BYTES, item_bytes

READ_UNIT_BYTES: Final = 4 * 1024
STORED_ITEM_BYTES: Final = 100
"""What DynamoDB adds to each item, and to each entry of an index, when it reckons what is stored."""


@dataclass(frozen=True, slots=True)
class Index:
    """A secondary index: the attributes of its key, and all that an entry holds."""

    name: str
    key: frozenset[str]
    held: frozenset[str]

    def entry(self, item: Item | None) -> Item | None:
        """Project the item into the index. Returns None when it lacks the key, and so has no entry."""
        if item is None or not self.key <= item.keys():
            return None
        return {name: value for name, value in item.items() if name in self.held}


def indexes_of(schema: Mapping[str, Any]) -> tuple[Index, ...]:
    """The indexes of a table's description. Raises ValueError for one that holds whole items."""
    own = {part["AttributeName"] for part in schema["KeySchema"]}
    indexes = []
    for described in schema.get("GlobalSecondaryIndexes", ()):
        projection = described["Projection"]
        if projection["ProjectionType"] == "ALL":
            raise ValueError(f"index {described['IndexName']} holds whole items, which is not reckoned with")
        key = frozenset(part["AttributeName"] for part in described["KeySchema"])
        held = own | key | set(projection.get("NonKeyAttributes", ()))
        indexes.append(Index(described["IndexName"], key, frozenset(held)))
    return tuple(indexes)


def write_units(before: Item | None, after: Item | None) -> int:
    """What the table charges for a write that leaves ``after`` in the place of ``before`` (None: no item).

    A write that is refused is charged as well: then ``after`` is what would have been written, as far as it is known.
    """
    return _units(max(_bytes(before), _bytes(after)), WRITE_UNIT_BYTES)


def index_write_units(index: Index, before: Item | None, after: Item | None) -> int:
    """What an index charges for the same write."""
    old, new = index.entry(before), index.entry(after)
    if old == new:
        return 0
    if old is None or new is None or all(old[name] == new[name] for name in index.key):
        return write_units(old, new)
    return write_units(old, None) + write_units(None, new)


def read_units(items: Iterable[Item], *, consistent: bool) -> float:
    """What a query, or a look at one item, charges for the items that it read."""
    whole = _units(sum(map(item_bytes, items)), READ_UNIT_BYTES)
    return whole if consistent else whole / 2


def stored_bytes(item: Item, indexes: Iterable[Index]) -> int:
    """What an item takes of the storage that is paid for, its entries in indexes included."""
    entries = (index.entry(item) for index in indexes)
    return sum(item_bytes(one) + STORED_ITEM_BYTES for one in (item, *entries) if one is not None)


def _bytes(item: Item | None) -> int:
    return 0 if item is None else item_bytes(item)


def _units(size: int, unit_bytes: int) -> int:
    return max(1, -(-size // unit_bytes))
