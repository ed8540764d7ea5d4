"""Patience that is out when a test says so, in the place of ``asyncio.timeout``, which goes by real time."""

from __future__ import annotations

import asyncio


class Patience:
    """Makes scopes that end when ``end`` is called, however long that takes."""

    def __init__(self) -> None:
        self._scope: asyncio.Timeout | None = None

    def __call__(self, _delay_s: float) -> asyncio.Timeout:
        self._scope = asyncio.timeout(None)
        return self._scope

    def end(self) -> None:
        """The time of the last scope is up."""
        assert self._scope is not None, "nobody is waiting"
        self._scope.reschedule(asyncio.get_running_loop().time())
