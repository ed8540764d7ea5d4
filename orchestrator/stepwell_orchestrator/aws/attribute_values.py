"""An item's attributes as DynamoDB spells them: each value beside a letter for its type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Value = Mapping[str, Any]
"""An attribute's value: ``{"S": "x"}``."""
Item = Mapping[str, Value]
"""An item's attributes by name."""
Key = Mapping[str, Value]
"""The attributes by which an item is found."""


def text(value: str) -> Value:
    """A string."""
    return {"S": value}


def number(value: int) -> Value:
    """An integer."""
    return {"N": str(value)}


def binary(value: bytes) -> Value:
    """Bytes."""
    return {"B": value}


def integer(item: Item, name: str) -> int | None:
    """Read an attribute's integer. Returns None when the item has no such attribute."""
    return int(item[name]["N"]) if name in item else None
