"""Whether a value that was read back in its type is the value that was stored.

It need not be of the same class: without an annotation, and where one says Any, what comes back is JSON. But nothing of
it may be lost or be another value.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping
from typing import Any, Final

from stepwell.errors import EncodingError
from stepwell.values.secrets import joined
from stepwell.values.serializer import to_json

_MISSING: Final = object()


def check_round_trip(sent: Any, back: Any, owner: str) -> None:
    """Compare ``back`` with ``sent``. Raises EncodingError, starting with ``owner``, that names a difference."""
    found = _difference(sent, back)
    if found is not None:
        where = f"{found.path} " if found.path else "it "
        raise EncodingError(f"{owner} would not come back as it went out: {where}{found.problem}; {found.advice}")


@dataclasses.dataclass(frozen=True, slots=True)
class _Difference:
    """What is different, where, and what to do about it."""

    path: str
    problem: str
    advice: str


def _difference(sent: Any, back: Any) -> _Difference | None:
    if _equal(sent, back):
        return None
    members, kept = _members(sent), _members(back)
    if members is not None and kept is not None:
        # From an object to a mapping or back its class or an annotation has said what to make of it.
        alike = isinstance(sent, Mapping) == isinstance(back, Mapping)
        return _among_members(type(back).__qualname__, members, kept) if alike else None
    if isinstance(sent, list | tuple) and isinstance(back, list | tuple):
        return _among_items(sent, back)
    if _same_json(sent, back):
        return None
    what = f"went out as {type(sent).__qualname__} and comes back as another {type(back).__qualname__}"
    return _Difference("", what, "let its serializer write what its validator reads")


def _among_members(kind: str, sent: Mapping[Any, Any], back: Mapping[Any, Any]) -> _Difference | None:
    texts = {str(key): value for key, value in back.items()}
    for key, value in sent.items():
        kept = back.get(key, texts.get(str(key), _MISSING))
        if kept is not _MISSING:
            found = _difference(value, kept)
        elif len(sent) > len(back):
            problem = f"would be lost, {kind}, which it is read back as, has no such member"
            found = _Difference("", problem, "annotate it with the type that is returned, or return what it has")
        else:  # its key is of another type there
            found = None
        if found is not None:
            return dataclasses.replace(found, path=joined(str(key), found.path))
    return None


def _among_items(sent: list[Any] | tuple[Any, ...], back: list[Any] | tuple[Any, ...]) -> _Difference | None:
    if len(sent) != len(back):
        problem = f"has {len(sent)} items and comes back with {len(back)}"
        return _Difference("", problem, "let its serializer write what its validator reads")
    for index, pair in enumerate(zip(sent, back, strict=True)):
        found = _difference(*pair)
        if found is not None:
            return dataclasses.replace(found, path=joined(f"[{index}]", found.path))
    return None


def _equal(sent: Any, back: Any) -> bool:
    """Whether the two are equal, as far as they can tell."""
    if isinstance(sent, dt.datetime) and isinstance(back, dt.datetime) and sent.tzinfo and back.tzinfo:
        # Python calls times of two zones unequal where one of them is set back.
        return sent.astimezone(dt.UTC) == back.astimezone(dt.UTC)
    try:
        return bool(sent == back) or bool(sent != sent and back != back)  # NaN
    except Exception:  # noqa: BLE001 - comparisons are user code
        return False


def _members(value: Any) -> Mapping[Any, Any] | None:
    """The members that are part of a value: not what is private or computed; None for what has none."""
    if isinstance(value, Mapping):
        return value
    if hasattr(type(value), "model_fields"):
        fields = {name: getattr(value, name, _MISSING) for name in type(value).model_fields}
        return fields | (getattr(value, "__pydantic_extra__", None) or {})
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: getattr(value, each.name, _MISSING) for each in dataclasses.fields(value) if each.init}
    return None


def _same_json(sent: Any, back: Any) -> bool:
    """Whether both are stored in the same way: then JSON is what was asked for, or neither can be compared."""
    try:
        stored = to_json(sent, "it")
        return bool(stored == back or stored == to_json(back, "it"))
    except EncodingError:
        return True
