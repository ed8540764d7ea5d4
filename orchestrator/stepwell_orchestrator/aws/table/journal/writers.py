"""Telling a write from all others, so that its writer knows it again after its reply was lost."""

from __future__ import annotations

from typing import Final

from stepwell_orchestrator.aws.attribute_values import Item
from stepwell_orchestrator.aws.table.items import WRITER
from stepwell_orchestrator.fresh_ids import Entropy

_WRITER_BYTES: Final = 8


def new_writer(entropy: Entropy) -> bytes:
    """Name the writer of one write. No other write has that name."""
    return entropy(_WRITER_BYTES)


def wrote(item: Item | None, writer: bytes, name: str = WRITER) -> bool:
    """Tell whether an item is as that writer left it.

    A client library repeats a write whose reply was lost, and the repeat is refused because of what the write itself
    has done. ``name`` is the attribute that names the writer.
    """
    return item is not None and name in item and bytes(item[name]["B"]) == writer
