"""What the parts of the journal have in common."""

from __future__ import annotations

from typing import Final

from stepwell_orchestrator.aws.attribute_values import Item
from stepwell_orchestrator.aws.table.items import WRITER, Items
from stepwell_orchestrator.fresh_ids import Entropy

_WRITER_BYTES: Final = 8


class Part:
    """Some of the journal's methods, on one table."""

    def __init__(self, items: Items, entropy: Entropy) -> None:
        self._items = items
        self._table = items.table
        self._entropy = entropy

    def _writer(self) -> bytes:
        """A name for one write, which no other write has."""
        return self._entropy(_WRITER_BYTES)


def wrote(item: Item | None, writer: bytes, name: str = WRITER) -> bool:
    """Whether an item is as that writer left it.

    A client library repeats a write whose reply was lost, and is refused because of what the write itself has done.
    """
    return item is not None and name in item and bytes(item[name]["B"]) == writer
