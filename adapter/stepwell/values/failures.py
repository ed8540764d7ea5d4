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
from stepwell.errors import DefinitionError, MiddlewareError, NonRetriableError, StepError, text_of
from stepwell.values.retry_after import RetryAfterError
from stepwell.wire.errors import ErrorBody
from stepwell.wire.reply import Failed
from stepwell.wire.times import RETRY_AFTER_MAX_MS, RETRY_AFTER_MIN_MS, retry_after_at_ms

CAUSES_MAX: Final = 5
FRAMES_MAX: Final = 30
MEMBERS_MAX: Final = 20
"""How many errors of a group its message names."""
MESSAGE_MAX_CHARS: Final = 10_000
NAME_MAX_CHARS: Final = 200
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
    return any(_is(_origin(leaf), _PERMANENT) for leaf in _leaves(error))


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
    if _is(error, StepError):
        return _step_error_body(error, code)
    cause = _cause(error)
    return ErrorBody(
        name=_name(error),
        message=_message(error),
        stack=_stack(error),
        code=code,
        cause=None if cause is None else _nested(cause, CAUSES_MAX),
    )


def _step_error_body(error: BaseException, code: str | None) -> ErrorBody:
    """What the step said of its error; a subclass need not have kept it."""
    name, message, stack = (getattr(error, member, None) for member in ("name", "message", "stack"))
    return ErrorBody(
        name=_told(name, NAME_MAX_CHARS) if isinstance(name, str) else _name(error),
        message=_told(message, MESSAGE_MAX_CHARS) if isinstance(message, str) else _message(error),
        stack=_told(stack, STACK_MAX_CHARS) if isinstance(stack, str) else None,
        code=code,
    )


def _nested(error: BaseException, depth: int) -> dict[str, object]:
    body: dict[str, object] = {"name": _name(error), "message": _message(error), "stack": _stack(error)}
    cause = _cause(error)
    if cause is not None and depth > 1:
        body["cause"] = _nested(cause, depth - 1)
    return body


def _is(error: BaseException, kinds: type[BaseException] | tuple[type[BaseException], ...]) -> bool:
    """Whether ``error`` is of one of these kinds, whatever its ``__class__`` says."""
    return issubclass(type(error), kinds)


def _name(error: BaseException) -> str:
    """The name that its class was made with, whatever the metaclass says."""
    return _told(type.__dict__["__name__"].__get__(type(error)), NAME_MAX_CHARS)


def _message(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        leaves = list(_leaves(error))
        members = [f"{_name(leaf)}: {_told(text_of(leaf), MESSAGE_MAX_CHARS)}" for leaf in leaves[:MEMBERS_MAX]]
        if len(leaves) > MEMBERS_MAX:
            members.append(f"and {len(leaves) - MEMBERS_MAX} more")
        return _told(f"{error.message}: {'; '.join(members)}", MESSAGE_MAX_CHARS)
    return _told(text_of(error), MESSAGE_MAX_CHARS)


def _told(text: str, chars_max: int) -> str:
    """``text`` as JSON can hold it, its middle left out when it is too long."""
    if len(text) > chars_max:
        half = chars_max // 2
        text = f"{text[:half]} ... {len(text) - 2 * half} characters left out ... {text[-half:]}"
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()


def _stack(error: BaseException) -> str:
    """The formatted traceback without Stepwell's and asyncio's frames, the last of them when it is long."""
    try:
        return _formatted(error)
    except Exception:  # noqa: BLE001 - formatting asks the error for more than its text, and may recurse too deep
        return _told(f"{_name(error)}: {text_of(error)}\n", STACK_MAX_CHARS)


def _formatted(error: BaseException) -> str:
    trace = traceback.TracebackException.from_exception(error, limit=-FRAMES_MAX)
    own = [frame for frame in trace.stack if not frame.filename.startswith(_MACHINERY)]
    trace.stack = traceback.StackSummary.from_list(own)
    text = "".join(trace.format(chain=False))
    if len(text) <= STACK_MAX_CHARS:
        return _told(text, STACK_MAX_CHARS)
    frames = "".join(trace.stack.format())[-STACK_MAX_CHARS // 2 :]
    return frames + _told("".join(trace.format_exception_only()), STACK_MAX_CHARS // 2)


def _cause(error: BaseException) -> BaseException | None:
    if error.__cause__ is not None or error.__suppress_context__:
        return error.__cause__
    return error.__context__


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """The errors in a group, however deep it is, in order; any other error itself."""
    waiting = [error]
    while waiting:
        each = waiting.pop()
        if isinstance(each, BaseExceptionGroup):
            waiting.extend(reversed(each.exceptions))
        else:
            yield each


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
    return next((code for kind, code in _CODES if any(_is(leaf, kind) for leaf in leaves)), _OTHER_CODE)
