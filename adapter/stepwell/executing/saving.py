"""Saving steps while their call goes on: a few attempts, and none for a while where saving does not work."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from stepwell.errors import StepwellError
from stepwell.wire.checkpoint import Checkpoint

Save = Callable[[Checkpoint], Awaitable[int]]
"""Sends a checkpoint; gives the HTTP status. Raises ConnectionError when there was no answer."""

ATTEMPTS: Final = 4
FIRST_DELAY_MS: Final = 100
PAUSE_MS: Final = 60_000
"""For how long calls save nothing after a save that failed for good."""

_SUPERSEDED: Final = 409
_TOO_LARGE: Final = 413
_WORTH_REPEATING: Final = (408, 425, 429)

_LOGGER = logging.getLogger("stepwell")


class Saved(Enum):
    """What came of a checkpoint."""

    YES = auto()
    NO = auto()
    SUPERSEDED = auto()
    """The server has given the run to a later call, or has ended it: this call is of no use any more."""


@dataclass(slots=True)
class Saver:
    """Saves the steps of all calls of one app. ``connect`` gives a call its way to the server, one connection each.

    ``jitter_ms`` gives a random number below its argument.
    """

    connect: Callable[[], AbstractAsyncContextManager[Save]]
    now_ms: Callable[[], int]
    sleep_ms: Callable[[int], Awaitable[None]]
    jitter_ms: Callable[[int], int]
    _resumes_at_ms: int = 0
    _complained: bool = field(default=False)

    @property
    def available(self) -> bool:
        """Whether saving is worth a try: not shortly after it failed for good, be there no such endpoint or no server.

        Its steps are then reported in the replies, one call each.
        """
        return self.now_ms() >= self._resumes_at_ms

    async def save(self, send: Save, checkpoint: Checkpoint) -> Saved:
        """Send a checkpoint, four times at most. A repeat after a lost answer changes nothing: the server knows it."""
        for attempt in range(ATTEMPTS):
            if attempt:
                await self.sleep_ms(FIRST_DELAY_MS * 2 ** (attempt - 1) + self.jitter_ms(FIRST_DELAY_MS))
            status, reason, may_pass = await _answer(send, checkpoint)
            if 200 <= status < 300:
                self._complained = False
                return Saved.YES
            if status == _SUPERSEDED:
                return Saved.SUPERSEDED
            if status == _TOO_LARGE:
                return Saved.NO
            if not may_pass:
                break
        self._pause(reason)
        return Saved.NO

    def _pause(self, reason: str) -> None:
        self._resumes_at_ms = self.now_ms() + PAUSE_MS
        if not self._complained:
            self._complained = True
            _LOGGER.warning(
                "steps cannot be saved while their call goes on (%s); they are reported one a call instead, and saving "
                "is tried again once a minute. Check that the app reaches its server, with the right base URL and "
                "signing key, or switch checkpoints off where the server has none: App(..., checkpoint=False) or "
                "STEPWELL_CHECKPOINT=0",
                reason,
            )


async def _answer(send: Save, checkpoint: Checkpoint) -> tuple[int, str, bool]:
    """The status, 0 when there was none, what to call it, and whether it may be another one the next time."""
    try:
        status = await send(checkpoint)
    except Exception as error:  # noqa: BLE001 - whatever stands in the way, the step has been executed and must be kept
        return 0, f"{type(error).__name__}: {error}", not isinstance(error, StepwellError)
    return status, f"HTTP {status}", not 400 <= status < 500 or status in _WORTH_REPEATING
