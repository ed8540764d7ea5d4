"""What happened in a world, in order: one line each, readable, and the same for the same seed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from stepwell_orchestrator.local.virtual_clock import VIRTUAL_START_MS


class Trace:
    """The lines of one world. Runs are called ``run 1``, ``run 2``, ... in the order in which they were first seen."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._lines: list[tuple[str, str]] = []
        self._aliases: dict[str, str] = {}

    def note(self, actor: str, text: str, run_id: str = "") -> None:
        """Add a line. ``run_id`` files it under a run."""
        elapsed_ms = self._now_ms() - VIRTUAL_START_MS
        whom = f" {self.alias(run_id)}" if run_id else ""
        self._lines.append((run_id, f"{elapsed_ms / 1_000:>12.3f}s  {actor:<9}{whom}: {text}"))

    def alias(self, run_id: str) -> str:
        """The short name of a run."""
        return self._aliases.setdefault(run_id, f"run {len(self._aliases) + 1}")

    def lines(self, run_id: str = "") -> list[str]:
        """All lines, or those of one run and of no run in particular that concern every worker."""
        return [line for filed, line in self._lines if run_id in ("", filed)]

    def digest(self) -> str:
        """A hash of every line: two runs of one seed have the same."""
        return hashlib.sha256("\n".join(line for _, line in self._lines).encode()).hexdigest()
