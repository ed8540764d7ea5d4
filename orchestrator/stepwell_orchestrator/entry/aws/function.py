"""A coroutine function as a Lambda handler."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

Serve = Callable[[Any, Any], Awaitable[Any]]
"""Takes the event and the context."""


class LambdaFunction:
    """Made at import, which must be cheap; what it serves with is made at the first invocation, and then kept.

    One event loop serves all invocations, so that connections and caches live on from one to the next.
    """

    def __init__(self, make: Callable[[], Serve]) -> None:
        self._make = make
        self._made: Serve | None = None
        self._runner = asyncio.Runner()

    def __call__(self, event: Any, context: Any) -> Any:
        """Answer one invocation."""
        return self._runner.run(self._serve(event, context))

    def close(self) -> None:
        """Close the event loop. Lambda has no use for it, but tests have."""
        self._runner.close()

    async def _serve(self, event: Any, context: Any) -> Any:
        self._made = self._made or self._make()
        return await self._made(event, context)
