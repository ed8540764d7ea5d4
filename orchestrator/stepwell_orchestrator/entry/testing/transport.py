"""Where an app that is under test sends its events and signals: into the engine it is served by."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, Final, Protocol, TypeVar

from stepwell.authoring.app import App
from stepwell.client.sender import Transport
from stepwell.errors import EventError
from stepwell.wire.checkpoint import Checkpoint
from stepwell.wire.ids import EventIdSeed

T = TypeVar("T")

_HAND_OVER_S: Final = 30


class Destination(Protocol):
    """An engine that takes events and signals in, in one thread and on one event loop."""

    thread_id: int
    loop: asyncio.AbstractEventLoop | None

    async def send(self, events: Sequence[Mapping[str, Any]], seed: EventIdSeed | None = None) -> list[str]:
        """Take events in."""
        ...

    async def send_signal(self, signal: str, data: Any) -> str | None:
        """Resume the run that waits for a signal."""
        ...

    async def checkpoint(self, checkpoint: Checkpoint) -> int:
        """Save steps of a call that goes on. Returns the HTTP status."""
        ...


CALLING: Final[ContextVar[Destination | None]] = ContextVar("stepwell_testing_engine", default=None)
"""The engine on whose behalf the current code runs: of several that serve one app, each gets what its own runs send."""


class Connection:
    """One app's transport into one engine, until it is cut; then the app sends where it did before."""

    def __init__(self, app: App, destination: Destination) -> None:
        self._app = app
        self._destination = destination
        self._before: Transport | None = app.transport
        self._cut = False
        app.transport = self

    async def send_events(self, events: Sequence[Mapping[str, Any]], seed: EventIdSeed) -> list[str]:
        """Take in what the app sends, from whatever thread. Raises EventError."""
        destination = CALLING.get() or self._destination
        return await _hand_over(destination, destination.send(events, seed))

    async def send_signal(self, signal: str, data: Any) -> str | None:
        """Take in a signal of the app's, from whatever thread."""
        destination = CALLING.get() or self._destination
        return await _hand_over(destination, destination.send_signal(signal, data))

    async def checkpoint(self, checkpoint: Checkpoint) -> int:
        """Save steps of a call that the engine made."""
        destination = CALLING.get() or self._destination
        return await _hand_over(destination, destination.checkpoint(checkpoint))

    def cut(self) -> None:
        """The engine is closed."""
        self._cut = True
        if self._app.transport is self:
            before = self._before
            while isinstance(before, Connection) and before._cut:
                before = before._before
            self._app.transport = before


async def _hand_over(destination: Destination, sending: Coroutine[Any, Any, T]) -> T:
    """Await something in the thread and on the loop of the engine."""
    if threading.get_ident() == destination.thread_id:
        return await sending
    if destination.loop is None:
        sending.close()
        raise EventError("send_sync: the engine has no event loop yet; serve the app in the async test that uses it")
    try:
        async with asyncio.timeout(_HAND_OVER_S):
            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(sending, destination.loop))
    except TimeoutError:
        fix = "in an async test use `await app.send(...)`, or `await asyncio.to_thread(...)` around what calls it"
        raise EventError(f"send_sync: the engine did not answer within {_HAND_OVER_S} s; {fix}") from None
