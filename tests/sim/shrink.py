"""A failing seed with less and less in its world, as long as the same promise breaks."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from tests.sim.simulate import Lived, simulate

TRIES_MAX: Final = 400
"""Worlds that are lived for one seed, at most. A seed is shrunk to the same every time, so this is no time."""

Progress = Callable[[int, int], None]
"""Called before each try with the number of tries so far and of the parts that are left."""


@dataclass(frozen=True, slots=True)
class Shrunk:
    """What is left of a failing world. It is minimal when leaving out any one part more breaks nothing."""

    whole: Lived
    least: Lived
    tries: int
    minimal: bool


def shrink(whole: Lived, *, tries_max: int = TRIES_MAX, progress: Progress = lambda _tries, _parts: None) -> Shrunk:
    """Leave out of a failing world whatever it can do without.

    Every try is a world lived in full. What a try is left with is what the next one starts from, so nothing joins in
    that the whole world had not, except that a fault may strike an earlier call of the same kind.
    """
    search = _Search(whole, tries_max, progress)
    while True:
        before = search.least
        search.thin(lambda part: not is_fault(part))
        search.thin(is_fault)
        search.pull_forward()
        if search.least is before or search.exhausted:
            return Shrunk(whole, search.least, search.tries, not search.exhausted)


def is_fault(part: str) -> bool:
    """Whether a part of a world is a fault."""
    return part.startswith("fault ")


class _Search:
    def __init__(self, whole: Lived, tries_max: int, progress: Progress) -> None:
        self.least = whole
        self.tries = 0
        self._tries_max = tries_max
        self._progress = progress

    @property
    def exhausted(self) -> bool:
        return self.tries >= self._tries_max

    def thin(self, wanted: Callable[[str], bool]) -> None:
        """Leave out parts of a kind: all, halves, quarters, ... one by one. The later ones go first: what they leave
        behind is untouched.
        """
        size = len(self._parts(wanted))
        while size and not self.exhausted:
            end = len(self._parts(wanted))
            while end > 0 and not self.exhausted:
                end = min(end, len(self._parts(wanted)))
                self._without(self._parts(wanted)[max(0, end - size) : end])
                end -= size
            size //= 2

    def pull_forward(self) -> None:
        """Leave out one fault, where others must then strike earlier: without it, nothing was tried again after it."""
        for fault in reversed(self._parts(is_fault)):
            faults = self._parts(is_fault)
            if fault in faults and not self.exhausted:
                later = faults[faults.index(fault) + 1 :]
                self._live({*self.least.parts} - {fault, *later} | {_one_earlier(other) for other in later})

    def _parts(self, wanted: Callable[[str], bool]) -> list[str]:
        return [part for part in self.least.parts if wanted(part)]

    def _without(self, parts: Collection[str]) -> None:
        self._live({*self.least.parts}.difference(parts))

    def _live(self, parts: Collection[str]) -> None:
        """Live a world of these parts, and go on from it if it breaks the same promise with less."""
        self._progress(self.tries, len(self.least.parts))
        self.tries += 1
        tried = simulate(self.least.seed, parts, backend=self.least.backend)
        if tried.report.broken == self.least.report.broken and len(tried.parts) < len(self.least.parts):
            self.least = tried


def _one_earlier(fault: str) -> str:
    occasion, _, number = fault.rpartition(" ")
    return f"{occasion} {max(1, int(number) - 1)}"
