"""Every error a Stepwell user may raise or catch.

Two families share one root, :class:`StepwellError`: errors a function author raises to steer retries, and errors
Stepwell raises to say what went wrong, why, and what to do about it.
"""

from __future__ import annotations

import reprlib


class StepwellError(Exception):
    """Root of everything Stepwell raises on purpose."""


class StepwellWarning(UserWarning):
    """Something works that the author probably did not mean; points at the line that is to be changed."""


class NonRetriableError(StepwellError):
    """Raise it in a step or a function to fail for good: no further attempt is made.

    Inside ``step.run`` it fails the step at once; the function sees a :class:`StepError` it may catch.
    """


class StepError(StepwellError):
    """A step failed for good; raised from the awaited step call, on the first run and on every replay alike.

    ``name``, ``message`` and ``stack`` describe the original error (``stack`` is None when it was not recorded).
    """

    def __init__(self, message: str, *, name: str = "Error", stack: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.name = name
        self.stack = stack

    def __str__(self) -> str:
        return f"{self.name}: {self.message}"


class InvokeTimeoutError(StepError):
    """``step.invoke`` waited longer than its timeout; the invoked function goes on running."""


class DefinitionError(StepwellError):
    """An app, function, trigger or option is defined wrongly. Says which function and field, why, and the fix."""


class MiddlewareError(StepwellError):
    """A hook of a middleware raised. Names both; what it raised is the ``__cause__``."""

    def __init__(self, middleware: str, hook: str, error: BaseException) -> None:
        super().__init__(f'middleware "{middleware}", {hook}: {type(error).__name__}: {text_of(error)}')


class EncodingError(StepwellError):
    """A value cannot be stored as JSON. Says where, which type, and what to return instead."""


class EventError(StepwellError):
    """An event is malformed or was refused at ingest.

    ``ids`` holds the internal ids of the events of the same call that were accepted before the refusal.
    """

    def __init__(self, message: str, *, ids: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.ids = ids


class WireError(StepwellError):
    """The other end of the wire sent something that cannot be understood. Nothing was changed by it."""


class SignatureError(WireError):
    """A signature is missing, wrong, or older than the five-minute window."""


def text_of(error: BaseException) -> str:
    """What ``error`` says, or what can be said of it when its own text cannot be had. Never raises."""
    try:
        return str.__str__(str(error))
    except BaseException as problem:  # noqa: BLE001 - it is the text of an error of user code
        return f"its text cannot be told ({type(problem).__name__}), its arguments are {reprlib.repr(error.args)}"
