"""The members of a model object that a document keeps: those that differ from their defaults."""

from __future__ import annotations

from dataclasses import MISSING, fields
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def members_of(value: DataclassInstance) -> dict[str, Any]:
    """The members that differ from their defaults."""
    members = ((name, getattr(value, name), default) for name, default in _defaults(type(value)))
    return {name: member for name, member, default in members if member != default}


@cache
def _defaults(kind: type[DataclassInstance]) -> tuple[tuple[str, Any], ...]:
    return tuple(
        (field.name, field.default if field.default_factory is MISSING else field.default_factory())
        for field in fields(kind)
    )
