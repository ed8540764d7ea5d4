"""How large DynamoDB reckons an item to be: a write unit is paid for each KiB of it that has begun."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, assert_never

from stepwell_orchestrator.aws.attribute_values import Value
from stepwell_orchestrator.aws.table.dynamo import Action, Delete, Put, Update

WRITE_UNIT_BYTES: Final = 1024
_CONTAINER_BYTES: Final = 3
_ELEMENT_BYTES: Final = 1


def item_bytes(item: Mapping[str, Value]) -> int:
    """The bytes of an item: of its attributes' names, in UTF-8, and of their values."""
    return sum(len(name.encode()) + value_bytes(value) for name, value in item.items())


def value_bytes(value: Value) -> int:
    """The bytes of one attribute's value."""
    ((kind, held),) = value.items()
    match kind:
        case "S":
            return len(held.encode())
        case "B":
            return len(held)
        case "N":
            return _number_bytes(held)
        case "L":
            return _CONTAINER_BYTES + sum(_ELEMENT_BYTES + value_bytes(element) for element in held)
        case _:
            raise ValueError(f"the journal has no attributes of type {kind}")


def action_bytes(action: Action) -> int:
    """What an action counts for in a transaction: its item, or its values and its key."""
    match action:
        case Put(item):
            return item_bytes(item)
        case Update(key) | Delete(key):
            return item_bytes(key) + item_bytes(action.values)
        case _:
            assert_never(action)


def _number_bytes(text: str) -> int:
    """A byte for every two significant digits, and one; one more below zero."""
    digits = text.lstrip("-").strip("0")
    return (len(digits) + 1) // 2 + 1 + text.startswith("-")
