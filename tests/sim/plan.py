"""Which parts of a seed's world are lived: all of them, or, when a failing world is shrunk, only some."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from tests.sim.chance import Knobs


class Plan:
    """Asked before anything joins in that a world can do without: a worker, a function, an event, a fault.

    A part is named by its kind, then by what tells it from others of its kind. A part keeps its name when others are
    left out. ``only`` names those that join in; None lets everything.
    """

    def __init__(self, only: Collection[str] | None = None) -> None:
        self.taken: dict[str, None] = {}
        """The parts that joined in, in the order in which they were asked for."""
        self._only = None if only is None else frozenset(only)

    def has(self, part: str) -> bool:
        """Whether a part that the seed drew joins in."""
        return self.joins(part, True)

    def joins(self, part: str, drawn: bool) -> bool:
        """Whether a part joins in: as the seed drew it, or as the plan names it."""
        if drawn if self._only is None else part in self._only:
            self.taken[part] = None
            return True
        return False


def lived(knobs: Knobs, plan: Plan) -> Knobs:
    """The knobs without the workers, the skews and the latency that the plan leaves out."""
    workers = [(number, skew) for number, skew in enumerate(knobs.skews_ms, 1) if plan.has(f"worker {number}")]
    skews_ms = tuple(skew_ms if plan.has(f"skew {number}") else 0 for number, skew_ms in workers)
    slow = knobs.latency_ms > 0 and plan.has("latency")
    return replace(knobs, workers=len(workers), skews_ms=skews_ms, latency_ms=knobs.latency_ms if slow else 0)
