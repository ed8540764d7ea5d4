"""New identifiers: ULIDs that only ever grow within one process."""

from __future__ import annotations

from collections.abc import Callable

from stepwell.wire.ids import ulid_from
from stepwell_orchestrator.ports import Clock

Entropy = Callable[[int], bytes]
"""Gives that many random bytes; passed in, so that a simulation can repeat itself."""

_RANDOM_BYTES = 10


class FreshIds:
    """Draws ULIDs. Two drawn in one millisecond, or while the clock stands back, still sort in drawing order."""

    def __init__(self, clock: Clock, entropy: Entropy) -> None:
        self._clock = clock
        self._entropy = entropy
        self._last_ms = -1
        self._tail = 0

    def draw(self) -> str:
        """The next id."""
        now_ms = self._clock.now_ms()
        if now_ms > self._last_ms:
            self._last_ms = now_ms
            # The top bit stays clear, so that counting up within a millisecond cannot overflow.
            self._tail = int.from_bytes(self._entropy(_RANDOM_BYTES)) >> 1
        else:
            self._tail += 1
        return ulid_from(self._last_ms, self._tail.to_bytes(_RANDOM_BYTES))
