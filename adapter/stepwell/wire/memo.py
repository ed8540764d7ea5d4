"""Memos: the stored result of a finished step as a call request carries it (protocol 4.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from stepwell.wire.errors import ErrorBody, decode_error

INVOKE_TIMEOUT: Final = "InngestInvokeTimeoutError"
"""The name of the error of an invocation that took too long."""


@dataclass(frozen=True, slots=True)
class Value:
    """The step finished with this JSON value."""

    value: Any


@dataclass(frozen=True, slots=True)
class Failure:
    """The step failed for good."""

    error: ErrorBody


@dataclass(frozen=True, slots=True)
class Input:
    """The step has not finished; it must run with these arguments instead of its own."""

    args: tuple[Any, ...]


Memo = Value | Failure | Input


def value_memo(value: Any) -> dict[str, Any]:
    """The stored form of a successful step run or invoke."""
    return {"data": value}


def failure_memo(error: ErrorBody) -> dict[str, Any]:
    """The stored form of a step that failed for good."""
    return {"error": error.memo()}


def input_memo(args: Sequence[Any]) -> dict[str, Any]:
    """What stands for a step that must run with these arguments instead of its own."""
    return {"input": list(args)}


def decode_memo(raw: Any) -> Memo:
    """The memo in a stored value: a one-member wrapper (a ``type`` member is tolerated), else the bare value itself."""
    if not isinstance(raw, Mapping):
        return Value(raw)
    keys = set(raw) - {"type"}
    if keys == {"data"}:
        return Value(raw["data"])
    if keys == {"error"} and isinstance(raw["error"], Mapping):
        return Failure(decode_error(raw["error"]))
    if keys == {"input"} and isinstance(raw["input"], list):
        return Input(tuple(raw["input"]))
    return Value(dict(raw))
