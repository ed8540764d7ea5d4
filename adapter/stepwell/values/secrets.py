"""Secrets in models: pydantic writes asterisks for them, which nobody can read back."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final

ADVICE: Final = (
    "keep secrets out of what is stored and look them up where they are used, or store it all the same by a "
    "serializer of the field that gives get_secret_value()"
)


def masked_path(sent: Any, stored: Any) -> str | None:
    """The path of the first secret in ``sent`` that is asterisks in ``stored``, its JSON; None when there is none."""
    if is_secret(sent):
        masked = isinstance(stored, str) and set(stored) == {"*"} and sent.get_secret_value() != stored
        return "" if masked else None
    for key, member, kept in _members(sent, stored):
        path = masked_path(member, kept)
        if path is not None:
            return joined(key, path)
    return None


def is_secret(value: Any) -> bool:
    """Whether ``value`` is one of pydantic's secrets, or made like them."""
    return not isinstance(value, type) and callable(getattr(value, "get_secret_value", None))


def joined(key: str, path: str) -> str:
    """``path``, inside of the member ``key``; a key that is an index is in brackets."""
    return f"{key}{path}" if not path or path.startswith("[") else f"{key}.{path}"


def stored_keys(model: Any) -> dict[str, str]:
    """The keys under which a model's fields are stored, by the names of the fields."""
    fields = type(model).model_fields
    return {name: field.serialization_alias or field.alias or name for name, field in fields.items()}


def _members(sent: Any, stored: Any) -> Iterator[tuple[str, Any, Any]]:
    """The members of ``sent`` that can be found again in ``stored``: their keys, and what they are in both."""
    if hasattr(type(sent), "model_fields"):
        if "root" in type(sent).model_fields and not (isinstance(stored, Mapping) and "root" in stored):
            yield from _members({"": sent.root}, {"": stored})
        else:
            keys = {keys: name for name, keys in stored_keys(sent).items()}
            yield from _found({key: getattr(sent, name, None) for key, name in keys.items()}, stored)
            yield from _found(getattr(sent, "__pydantic_extra__", None) or {}, stored)
    elif dataclasses.is_dataclass(sent):
        yield from _found({each.name: getattr(sent, each.name, None) for each in dataclasses.fields(sent)}, stored)
    elif isinstance(sent, Mapping):
        yield from _found(sent, stored)
    elif isinstance(sent, list | tuple | AbstractSet) and isinstance(stored, list):
        for index, (member, kept) in enumerate(zip(sent, stored, strict=False)):
            yield f"[{index}]", member, kept


def _found(members: Mapping[Any, Any], stored: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(stored, Mapping):
        for key, member in members.items():
            if key in stored:
                yield str(key), member, stored[key]
