"""Event names that are known: those of Event classes and of triggers, and the engine's own."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from stepwell.values.event import RESERVED_PREFIX, Event

_ENGINE_NAMES: Final = frozenset(
    f"{RESERVED_PREFIX}{name}"
    for name in ("function.finished", "function.failed", "function.cancelled", "function.invoked", "scheduled.timer")
)
_NEAR: Final = 0.85
"""``order/payed`` is as near as this to ``order/paid``, and ``order/updated`` is not to ``order/created``."""
_VERY_NEAR: Final = 0.93
"""``order/placed`` is not as near as this to ``order/packed``, and ``order/creatd`` is to ``order/created``."""
_triggers: Final[set[str]] = set()


def trigger_meant(name: str) -> str | None:
    """The known name that a trigger's is very nearly, or None. A trigger is told less, for it declares its name."""
    meant = _meant(name, _VERY_NEAR)
    _triggers.add(name)
    return meant


def meant_instead(name: str) -> str | None:
    """The known name that ``name`` is nearly, or None when it is one itself, a trigger's, or like none.

    Names that differ in a number, or that one of them has and the other has not, are different: ``order/paid.v2``.
    """
    return None if name in _triggers else _meant(name, _NEAR)


def _meant(name: str, cutoff: float) -> str | None:
    known = _ENGINE_NAMES if name.startswith(RESERVED_PREFIX) else frozenset(_typed_names(Event))
    return None if name in known else _nearest(name, known, cutoff)


@lru_cache(maxsize=256)
def _nearest(name: str, known: frozenset[str], cutoff: float) -> str | None:
    numbers = re.findall(r"\d+", name)
    by_lower_case = {other.lower(): other for other in sorted(known) if re.findall(r"\d+", other) == numbers}
    near = difflib.get_close_matches(name.lower(), by_lower_case, n=1, cutoff=cutoff)
    return by_lower_case[near[0]] if near else None


def _typed_names(event_class: type[Event]) -> Iterator[str]:
    for each in event_class.__subclasses__():
        if each.event_name is not None:
            yield each.event_name
        yield from _typed_names(each)
