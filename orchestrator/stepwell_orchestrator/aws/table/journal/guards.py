"""On what condition an entry may be written: the stored one must still be the one that it replaces.

An item shows what tells the versions of an entry apart: its attempt, whether it may be claimed, and its claim. Where
``CLAIMABLE`` does not show the attempt, an attribute of its own does, unless it is 0: most entries pay for none.
"""

from __future__ import annotations

from collections.abc import Mapping

from stepwell_orchestrator.aws.attribute_values import Value, number
from stepwell_orchestrator.aws.table.items import ATTEMPT, CLAIMABLE, CLAIMED, MEMOISED
from stepwell_orchestrator.aws.table.table import PK
from stepwell_orchestrator.model.decision import PutEntry
from stepwell_orchestrator.model.step import StepEntry


def guard_of(write: PutEntry) -> tuple[str, Mapping[str, Value]]:
    """The condition of a write, and the values that it names."""
    replaced = write.replaced
    if replaced is None:
        return f"attribute_not_exists({PK})", {}
    return _still_claimable(replaced) if replaced.claimable else _still_waiting(replaced)


def _still_claimable(entry: StepEntry) -> tuple[str, Mapping[str, Value]]:
    attempt = {":attempt": number(entry.attempt)}
    if entry.claimed_at_ms is None:
        return f"{CLAIMABLE} = :attempt AND attribute_not_exists({CLAIMED})", attempt
    return f"{CLAIMABLE} = :attempt AND {CLAIMED} = :claimed", attempt | {":claimed": number(entry.claimed_at_ms)}


def _still_waiting(entry: StepEntry) -> tuple[str, Mapping[str, Value]]:
    condition = f"attribute_exists({PK}) AND attribute_not_exists({MEMOISED}) AND attribute_not_exists({CLAIMABLE})"
    if entry.attempt == 0:
        return f"{condition} AND attribute_not_exists({ATTEMPT})", {}
    return f"{condition} AND {ATTEMPT} = :attempt", {":attempt": number(entry.attempt)}
