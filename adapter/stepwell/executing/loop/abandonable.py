"""A coroutine that can be left where it stands."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from types import TracebackType
from typing import Any


class Abandonable(Coroutine[Any, Any, Any]):
    """``inner``, until it is abandoned: from then on it is never resumed, and its task ends as cancelled.

    A task cannot end a coroutine that swallows every cancellation. Left alone, it would hold up the end of its loop.
    """

    def __init__(self, inner: Coroutine[Any, Any, Any]) -> None:
        self.inner = inner
        self.abandoned = False

    def __await__(self) -> Generator[Any, Any, Any]:
        return self.inner.__await__()

    def send(self, value: Any, /) -> Any:
        """Resume it."""
        if self.abandoned:
            raise asyncio.CancelledError
        return self.inner.send(value)

    def throw(self, kind: Any, value: Any = None, traceback: TracebackType | None = None, /) -> Any:
        """Resume it with an exception."""
        error = kind if isinstance(kind, BaseException) else kind() if value is None else value
        if self.abandoned:
            raise error
        return self.inner.throw(error)

    def close(self) -> None:
        """End it, unless it was left."""
        if not self.abandoned:
            self.inner.close()
