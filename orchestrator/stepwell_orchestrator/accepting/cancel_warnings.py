"""Telling the author of a function that an event would cancel all its runs: rarely meant, and what a typo does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from stepwell.wire.registration import FunctionConfig, Registration

_OURS: Final = "stepwell-py"
"""What our own SDK calls itself, before its version."""


def cancel_warnings(registration: Registration) -> Iterator[tuple[str, str]]:
    """Each function that is cancelled without a condition, and what to tell of it.

    Our own SDK has its author ask for that. Of another one nobody knows whether it was meant.
    """
    if registration.sdk.partition(":")[0] == _OURS:
        return
    for config in registration.functions:
        events = ", ".join(dict.fromkeys(_unconditional(config)))
        if events:
            yield config.id, _text(events)


def _text(events: str) -> str:
    return (
        f"cancelOn {events} has no condition, so one such event cancels every run of the function; add "
        'match: "data.id" or if: "event.data.id == async.data.id", or if: "true" where all of them are meant'
    )


def _unconditional(config: FunctionConfig) -> Iterator[str]:
    for entry in config.options.get("cancel") or ():
        if not entry.get("if"):
            yield str(entry["event"])
