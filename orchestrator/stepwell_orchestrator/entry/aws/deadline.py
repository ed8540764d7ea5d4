"""The time an invocation has: begin nothing more in time, and give up waiting in time to keep what is known."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

from stepwell.wire.times import SECOND_MS
from stepwell_orchestrator.model.fetch import Fetched, FetchRequest
from stepwell_orchestrator.ports import CallError, Clock, Fetcher, FetchError, HttpReply, Invoker
from stepwell_orchestrator.urls import shown_url

BEGIN_SHARE: Final = 3
"""Calls are begun in the first third of an invocation, so that each has twice as long to come back."""
END_SHARE: Final = 30
END_MAX_MS: Final = 20 * SECOND_MS
"""A call that is not back a thirtieth of the time before the end has failed: that much is left to write it down."""
LAST_SHARE: Final = 5
"""The last fifth of that is kept for the answer itself."""


@asynccontextmanager
async def until(clock: Clock, at_ms: int | None) -> AsyncGenerator[asyncio.Timeout]:
    """A scope that raises TimeoutError when ``clock`` has come to ``at_ms``; None: never.

    ``asyncio.timeout`` goes by the time of the event loop, which need not be that of the clock.
    """
    async with asyncio.timeout(None) as scope:
        if at_ms is None:
            yield scope
            return
        alarm = asyncio.create_task(_expire(scope, clock, at_ms))
        try:
            yield scope
        finally:
            alarm.cancel()


async def _expire(scope: asyncio.Timeout, clock: Clock, at_ms: int) -> None:
    await clock.sleep_until(at_ms)
    scope.reschedule(asyncio.get_running_loop().time())


class Deadline:
    """The time of the invocation at hand; there is none before the first ``begin``."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._stops_at_ms: int | None = None
        self._ends_at_ms: int | None = None
        self._killed_at_ms: int | None = None

    def begin(self, remaining_ms: int) -> None:
        """An invocation has begun that is killed after that long."""
        now_ms = self._clock.now_ms()
        self._stops_at_ms = now_ms + remaining_ms // BEGIN_SHARE
        margin_ms = min(remaining_ms // END_SHARE, END_MAX_MS)
        self._ends_at_ms = now_ms + remaining_ms - margin_ms
        self._killed_at_ms = now_ms + remaining_ms - margin_ms // LAST_SHARE

    def stops_at_ms(self) -> int | None:
        """From when on no more calls are begun."""
        return self._stops_at_ms

    def bound(self) -> AbstractAsyncContextManager[asyncio.Timeout]:
        """A scope that raises TimeoutError when there is no more time to wait for an answer."""
        return until(self._clock, self._ends_at_ms)

    def alive(self) -> AbstractAsyncContextManager[asyncio.Timeout]:
        """A scope that raises TimeoutError when the invocation must be answered, whatever is still under way."""
        return until(self._clock, self._killed_at_ms)


class BoundedInvoker:
    """An Invoker that gives up when there is no more time to wait.

    A call that is given up has failed: it counts as an attempt, so that a function that always takes longer than its
    caller may live is not called for ever.
    """

    def __init__(self, inner: Invoker, deadline: Deadline) -> None:
        self._inner = inner
        self._deadline = deadline

    def body_bytes_max(self, url: str) -> int | None:
        """As within."""
        return self._inner.body_bytes_max(url)

    async def call(self, url: str, headers: Mapping[str, str], body: bytes) -> HttpReply:
        """As within. Raises CallError when the time is up."""
        try:
            async with self._deadline.bound() as scope:
                return await self._inner.call(url, headers, body)
        except TimeoutError as error:
            if not scope.expired():
                raise
            raise CallError(
                "the function did not answer while this server could wait for it; "
                "give it a timeout below 10 minutes, or do less in one step"
            ) from error


class BoundedFetcher:
    """A Fetcher that gives up when there is no more time to wait; that counts as an attempt of the step."""

    def __init__(self, inner: Fetcher, deadline: Deadline) -> None:
        self._inner = inner
        self._deadline = deadline

    async def fetch(self, request: FetchRequest) -> Fetched:
        """As within. Raises FetchError when the time is up."""
        try:
            async with self._deadline.bound() as scope:
                return await self._inner.fetch(request)
        except TimeoutError as error:
            if not scope.expired():
                raise
            where = shown_url(request.url)
            raise FetchError(f"{where} did not reply while this server could wait for it") from error
