"""Exceptions of user code as errors on the wire: what they say, and whether another attempt makes sense."""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
import os
import traceback
from collections.abc import Iterator
from typing import Final

from stepwell import errors
from stepwell.errors import DefinitionError, MiddlewareError, NonRetriableError, RetryAfterError, StepError
from stepwell.wire.errors import ErrorBody
from stepwell.wire.reply import Failed
from stepwell.wire.times import RETRY_AFTER_MAX_MS, RETRY_AFTER_MIN_MS, retry_after_at_ms

CAUSES_MAX: Final = 5
FRAMES_MAX: Final = 30
STACK_MAX_CHARS: Final = 8_000

_PERMANENT = (NonRetriableError, StepError, DefinitionError)
_CODES: tuple[tuple[type[BaseException], str], ...] = (
    (NonRetriableError, "non_retriable_error"),
    (StepError, "step_errored"),
    (RetryAfterError, "retry_after_error"),
    (DefinitionError, "step_misused"),
)
_OTHER_CODE: Final = "unknown"
RAISED_CODES: Final = frozenset(code for _, code in _CODES) | {_OTHER_CODE}
"""The codes of what a function itself raised, as against what went wrong around it."""
_MACHINERY = tuple(
    os.path.dirname(inspect.getfile(module)) + os.sep for module in (errors, asyncio, concurrent.futures)
)


def failed_call(error: BaseException, now_ms: int, *, code: str | None = None, no_retry: bool = False) -> Failed:
    """The reply of a function that raised ``error``."""
    body = error_body(error, code=code or _code(error))
    return Failed(body, body.encode(), no_retry or is_permanent(error), retry_at_ms(error, now_ms))


def is_permanent(error: BaseException) -> bool:
    """Whether another attempt would only fail again. A group is permanent when any of its members is."""
    return any(isinstance(_origin(leaf), _PERMANENT) for leaf in _leaves(error))


def retry_at_ms(error: BaseException, now_ms: int) -> int | None:
    """When a RetryAfterError wants the next attempt, within the bounds of protocol 4.8. Returns None for others.

    An ``after`` that was made no time at all since the error was made leaves the back-off table in charge.
    """
    error = _origin(error)
    if not isinstance(error, RetryAfterError):
        return None
    try:
        at_ms = retry_after_at_ms(error.after, now_ms)
    except Exception:  # noqa: BLE001 - an attribute of a subclass is user code
        return None
    return min(max(at_ms, now_ms + RETRY_AFTER_MIN_MS), now_ms + RETRY_AFTER_MAX_MS)


def error_body(error: BaseException, *, code: str | None = None) -> ErrorBody:
    """``error`` with its class, message, the frames that are the user's, and up to five causes."""
    error = _sole_leaf(error)
    if isinstance(error, StepError):
        return ErrorBody(error.name, error.message, error.stack, code)
    cause = _cause(error)
    return ErrorBody(
        name=type(error).__name__,
        message=_message(error),
        stack=_stack(error),
        code=code,
        cause=None if cause is None else _nested(cause, CAUSES_MAX),
    )


def _nested(error: BaseException, depth: int) -> dict[str, object]:
    body: dict[str, object] = {"name": type(error).__name__, "message": _message(error), "stack": _stack(error)}
    cause = _cause(error)
    if cause is not None and depth > 1:
        body["cause"] = _nested(cause, depth - 1)
    return body


def _message(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        members = "; ".join(f"{type(leaf).__name__}: {leaf}" for leaf in _leaves(error))
        return f"{error.message}: {members}"
    return str(error)


def _stack(error: BaseException) -> str:
    """The formatted traceback without Stepwell's and asyncio's frames, its end kept when it is long."""
    trace = traceback.TracebackException.from_exception(error, limit=-FRAMES_MAX)
    own = [frame for frame in trace.stack if not frame.filename.startswith(_MACHINERY)]
    trace.stack = traceback.StackSummary.from_list(own)
    return "".join(trace.format(chain=False))[-STACK_MAX_CHARS:]


def _cause(error: BaseException) -> BaseException | None:
    if error.__cause__ is not None or error.__suppress_context__:
        return error.__cause__
    return error.__context__


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for member in error.exceptions:
            yield from _leaves(member)
    else:
        yield error


def _origin(error: BaseException) -> BaseException:
    """What a middleware raised, instead of the error that names it."""
    cause = error.__cause__
    return cause if isinstance(error, MiddlewareError) and cause is not None else error


def _sole_leaf(error: BaseException) -> BaseException:
    """What a TaskGroup wraps when only one of its tasks failed."""
    leaves = list(_leaves(error))
    return leaves[0] if len(leaves) == 1 else error


def _code(error: BaseException) -> str:
    leaves = list(_leaves(error))
    return next((code for kind, code in _CODES if any(isinstance(leaf, kind) for leaf in leaves)), _OTHER_CODE)
