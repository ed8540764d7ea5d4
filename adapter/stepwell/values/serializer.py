"""User values as JSON: what a step or function may return, checked so that nothing is lost without a word."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import inspect
import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from decimal import Decimal
from pathlib import PurePath
from typing import Any, Final
from uuid import UUID

from stepwell.errors import EncodingError, text_of
from stepwell.values import secrets
from stepwell.values.secrets import is_secret, masked_path
from stepwell.wire.encoding import encode

_ADVICE: Final = "return JSON values, a dataclass or a pydantic model"


def to_json(value: Any, owner: str) -> Any:
    """``value`` as plain JSON: None, bool, int, finite float, str, list, dict with text keys; always a fresh copy.

    Pydantic models, dataclasses, enums, dates, times, timedeltas, UUIDs, decimals and paths become the JSON that
    pydantic reads back into them; tuples and sets become lists. Raises EncodingError that starts with ``owner`` and
    names the path and the type.
    """
    try:
        return _json(value, _Path(owner))
    except RecursionError:
        raise EncodingError(f"{owner} contains itself or is nested too deeply: return a flat copy") from None


@dataclasses.dataclass(frozen=True, slots=True)
class _Path:
    """Where in the value we are, for the message."""

    owner: str
    text: str = ""

    def member(self, key: str) -> _Path:
        return _Path(self.owner, f"{self.text}.{key}" if self.text else key)

    def item(self, index: int) -> _Path:
        return _Path(self.owner, f"{self.text}[{index}]")

    def error(self, problem: str, advice: str) -> EncodingError:
        where = f"{self.text} " if self.text else "it "
        return EncodingError(f"{self.owner} cannot be stored as JSON: {where}{problem}; {advice}")


def _json(value: Any, path: _Path) -> Any:
    if value is None or value is True or value is False:
        return value
    if isinstance(value, enum.Enum):
        return _json(value.value, path)
    if isinstance(value, str):
        return _text(value, path)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return _number(value, path)
    if isinstance(value, Mapping):
        return {_key(key, path): _json(item, path.member(str(key))) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json(item, path.item(index)) for index, item in enumerate(value)]
    if isinstance(value, AbstractSet):
        return sorted((_json(item, path.item(index)) for index, item in enumerate(value)), key=encode)
    return _object(value, path)


def _text(value: str, path: _Path) -> str:
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise path.error("is text with half a surrogate pair", "clean the text first") from None
    return str(value)


def _number(value: float, path: _Path) -> float:
    if not math.isfinite(value):
        raise path.error(f"is {value}, which JSON has no number for", "return None or a text instead")
    return float(value)


def _key(key: Any, path: _Path) -> str:
    if isinstance(key, enum.Enum):
        key = key.value
    if not isinstance(key, str):
        raise path.error(f"has the key {key!r} of type {type(key).__name__}", "make the keys text, e.g. str(key)")
    return _text(key, path)


def _object(value: Any, path: _Path) -> Any:
    """Values of other types than JSON has."""
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, dt.date | dt.time | dt.timedelta | UUID | Decimal):
        from pydantic_core import to_jsonable_python

        return to_jsonable_python(value)
    if _is_model(value):
        return _json(_model_members(value, path), path)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        members = {field.name: getattr(value, field.name) for field in dataclasses.fields(value) if field.init}
        return _json(members, path)
    raise path.error(f"is of type {type(value).__qualname__}", _advice(value))


def _is_model(value: Any) -> bool:
    return hasattr(type(value), "__pydantic_validator__") and hasattr(value, "model_dump")


def _model_members(model: Any, path: _Path) -> Any:
    try:
        members = model.model_dump(mode="json", by_alias=True, round_trip=True)
    except Exception as error:  # serializers are user code and may raise anything
        problem = f"is a {type(model).__qualname__} that pydantic cannot serialise ({text_of(error)})"
        raise path.error(problem, "give the field a type or a serializer that JSON can hold") from error
    secret = masked_path(model, members)
    if secret is not None:
        raise path.member(secret).error("is a secret, of which asterisks would be stored", secrets.ADVICE)
    return members


def _advice(value: Any) -> str:
    if isinstance(value, bytes | bytearray | memoryview):
        return "return text, e.g. base64.b64encode(data).decode()"
    if is_secret(value):
        return secrets.ADVICE
    if inspect.isawaitable(value):
        return "await it first"
    if inspect.isgenerator(value) or hasattr(value, "__next__"):
        return "return list(...) of it"
    return _ADVICE
