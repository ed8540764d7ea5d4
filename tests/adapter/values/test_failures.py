"""Errors that cannot be told are errors of the user's all the same."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stepwell.errors import NonRetriableError, StepError, text_of
from stepwell.values.failures import (
    CAUSES_MAX,
    MESSAGE_MAX_CHARS,
    NAME_MAX_CHARS,
    STACK_MAX_CHARS,
    error_body,
    failed_call,
    is_permanent,
    retry_at_ms,
)
from stepwell.values.retry_after import RetryAfterError
from stepwell.wire.encoding import encode
from tests.adapter.executing.support import call, only


class _FewArgsError(Exception):
    def __str__(self) -> str:
        return f"{self.args[0]} ({self.args[1]})"


class _NoTextError(Exception):
    def __str__(self) -> Any:
        text: Any = None
        return text


class _ExitsError(Exception):
    def __str__(self) -> str:
        raise SystemExit(1)


class _BadArgsError(Exception):
    def __str__(self) -> str:
        raise KeyError("text")


class _NoRepr:
    def __repr__(self) -> str:
        raise ValueError("no repr")


class _Renamed(type):
    @property
    def __name__(cls) -> str:  # type: ignore[override]
        raise RuntimeError("nameless")


class _LyingError(Exception, metaclass=_Renamed):
    pass


class _PretendingError(Exception):
    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return NonRetriableError


class _Text(str):
    __slots__ = ()

    def __str__(self) -> str:
        raise ValueError("a text that does not want to be one")


class _OddTextError(Exception):
    def __str__(self) -> str:
        return _Text("odd")


def _circular() -> Exception:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    return first


def _deep_causes() -> Exception:
    error = ValueError("last")
    for number in range(1_000):
        outer = ValueError(str(number))
        outer.__cause__, error = error, outer
    return error


def _deep_group() -> Exception:
    error: Exception = ValueError("inside")
    for _ in range(3_000):
        error = ExceptionGroup("outside", [error])
    return error


UNTOLD: list[tuple[Exception, str, str]] = [
    (_FewArgsError("lost"), "_FewArgsError", "its text cannot be told (IndexError), its arguments are ('lost',)"),
    (_NoTextError("x"), "_NoTextError", "its text cannot be told (TypeError), its arguments are ('x',)"),
    (_ExitsError(), "_ExitsError", "its text cannot be told (SystemExit), its arguments are ()"),
    (
        _BadArgsError(_NoRepr()),
        "_BadArgsError",
        "its text cannot be told (KeyError), its arguments are (<_NoRepr instance at",
    ),
    (_OddTextError(), "_OddTextError", "odd"),
    (_LyingError("so"), "_LyingError", "so"),
    (_PretendingError("so"), "_PretendingError", "so"),
    (ValueError("m" * 5_000_000), "ValueError", "m" * 5_000),
    (ValueError("half a pair: \ud83d"), "ValueError", "half a pair: \\ud83d"),
    (type("N" * 10_000, (Exception,), {})("long"), "N" * 100, "long"),
    (_circular(), "ValueError", "first"),
    (_deep_causes(), "ValueError", "999"),
    (_deep_group(), "ValueError", "inside"),
    (ExceptionGroup("many", [ValueError(str(n)) for n in range(1_000)]), "ExceptionGroup", "many: ValueError: 0; "),
    (
        ExceptionGroup("two", [_NoTextError(), _FewArgsError()]),
        "ExceptionGroup",
        "two: _NoTextError: its text cannot be told",
    ),
]


@pytest.mark.parametrize(("error", "name", "message"), UNTOLD)
def test_what_can_be_said_of_an_error_is_said(error: Exception, name: str, message: str) -> None:
    """Its class and message, in JSON, and of bounded length."""
    body = error_body(error)

    assert body.name.startswith(name)
    assert body.message.startswith(message)
    assert len(body.message) < MESSAGE_MAX_CHARS + 100
    assert len(body.name) < NAME_MAX_CHARS + 100
    assert body.stack is not None
    assert len(body.stack) < STACK_MAX_CHARS + 100
    assert len(encode(body.encode())) < (CAUSES_MAX + 1) * (MESSAGE_MAX_CHARS + STACK_MAX_CHARS + 500)


@pytest.mark.parametrize(("error", "name", "message"), UNTOLD)
async def test_an_error_that_cannot_be_told_is_a_failed_attempt(error: Exception, name: str, message: str) -> None:
    """A step that raises it is retried as configured, and fails for good with its last attempt."""

    async def body() -> None:
        raise error

    async def handler(ctx: Any) -> None:
        await ctx.step.run("a", body)

    first, last = only(await call(handler)), only(await call(handler, attempt=4))

    assert (first.op, last.op) == ("StepError", "StepFailed")
    assert last.error is not None
    assert last.error.name.startswith(name)


@pytest.mark.parametrize(("error", "name", "message"), UNTOLD)
def test_a_function_that_raises_it_is_tried_again(error: Exception, name: str, message: str) -> None:
    """Nothing about it is permanent, and the answer can be written."""
    failed = failed_call(error, 0)

    assert (failed.no_retry, failed.retry_at_ms) == (False, None)
    json.dumps(failed.output)


class _FinalError(NonRetriableError):
    def __str__(self) -> str:
        raise IndexError("no text")


class _LaterError(RetryAfterError):
    def __str__(self) -> str:
        raise IndexError("no text")


def test_what_such_an_error_asks_for_is_respected() -> None:
    """A NonRetriableError stays permanent, and a RetryAfterError has its time, also deep in groups."""
    assert is_permanent(_FinalError("x"))
    assert is_permanent(ExceptionGroup("all", [ValueError(), ExceptionGroup("in", [_FinalError("x")])]))
    assert retry_at_ms(_LaterError("x", 5), 1_000) == 6_000
    assert not is_permanent(_deep_group())


class _ForgetfulError(StepError):
    def __init__(self) -> None:
        Exception.__init__(self, "forgot")


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (StepError("m", name="E", stack="s"), ("E", "m", "s")),
        (
            _ForgetfulError(),
            ("_ForgetfulError", "its text cannot be told (AttributeError), its arguments are ('forgot',)", None),
        ),
        (StepError(5, name=None), ("StepError", "None: 5", None)),  # type: ignore[arg-type]
    ],
)
def test_a_step_error_of_any_making_can_be_told(error: StepError, shown: tuple[str, str, str | None]) -> None:
    """A StepError shows the original, or itself when it does not know that."""
    body = error_body(error)

    assert (body.name, body.message, body.stack) == shown


def test_a_text_is_never_a_reason_to_fail() -> None:
    """Whatever an error does when asked for its text, there is one."""
    assert text_of(_NoTextError("x")).startswith("its text cannot be told")
    assert text_of(ValueError("plain")) == "plain"
