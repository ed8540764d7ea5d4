"""How far a long simulation has come: one line that changes where somebody watches, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Final

_PLAIN_EVERY: Final = 200


class Progress:
    """Tells of seeds and of tries on stderr. What is printed goes to stdout, so that a file of it has no progress."""

    def __init__(self, seeds: int) -> None:
        self._seeds = seeds
        self._begun_at = time.monotonic()
        self._watched = sys.stderr.isatty()
        self._told = 0

    def seeds(self, done: int, violations: int) -> None:
        """So many seeds are done."""
        if self._watched or done - self._told >= _PLAIN_EVERY or done == self._seeds:
            self._told = done
            rate = done / max(0.001, time.monotonic() - self._begun_at)
            self._say(f"{done} of {self._seeds} seeds, {violations} violations, {rate:.1f} seeds/s")

    def tries(self, tries: int, parts: int) -> None:
        """The world of a failing seed has so many parts left."""
        if self._watched:
            self._say(f"shrinking: {parts} parts left after {tries} tries")

    def print(self, text: str) -> None:
        """Print something in place of the line."""
        if self._watched:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
        print(text, flush=True)

    def _say(self, text: str) -> None:
        print(f"\r\x1b[K{text}" if self._watched else f"{text}\n", end="", file=sys.stderr, flush=True)
