"""Every bound of the engine, and how the bounds relate; docs/reference/limits.md shows them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from stepwell.wire.times import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS

MEBIBYTE: Final = 1024 * 1024

EVENTS_PER_REQUEST_MAX: Final = 5_000
EVENT_BYTES_MAX: Final = 3 * MEBIBYTE
EVENT_NAME_CHARS_MAX: Final = 255
JSON_DEPTH_MAX: Final = 200
INGEST_BYTES_MAX: Final = 64 * MEBIBYTE
EVENT_TS_MIN_MS: Final = 315_532_800_000
"""1980-01-01: an event time before it is a mistake (protocol 3.2)."""
EVENT_TS_MAX_MS: Final = 4_133_980_799_999
"""The end of 2100."""

REQUEST_BYTES_MAX: Final = 4 * MEBIBYTE
"""Above it a call request is sent with ``use_api`` (protocol 4.4)."""

CHECKPOINT_BYTES_MAX: Final = 40 * MEBIBYTE
"""Of the request: a run's whole state, with what goes round the values."""
CHECKPOINTED_CALLS_KEPT: Final = 1_000
"""Of how many calls a process remembers in what order they saved their steps."""

DRIVE_LEASE_MS: Final = 30 * SECOND_MS
"""How long a driver has a run to itself after it took or renewed the lease."""
CLAIM_LEASE_MS: Final = 30 * SECOND_MS
"""How long a worker has a planned step to itself after it claimed it or renewed the claim."""
DELIVERY_LEASE_MS: Final = 30 * SECOND_MS
"""How long a queue item that was handed out, or renewed, stays hidden; then it is redelivered."""
LEASE_RENEW_MS: Final = 10 * SECOND_MS
"""How often those three are renewed while the work goes on."""
THROTTLED_REDELIVERY_MS: Final = 30 * SECOND_MS
"""When an item comes again that a throttled store kept from being worked on; by then what it holds has run out."""
SPARE_ITEM_DELAY_MS: Final = 30 * SECOND_MS
"""When an item is due that is queued in case its sender dies before it has done the work itself."""
FRESH_END_MS: Final = 30 * SECOND_MS
"""How long after a run's end a copy of its driver's item may come for the first time."""
SWEEP_MS: Final = MINUTE_MS
CALL_TIMEOUT_MS: Final = 2 * HOUR_MS

TIMEOUT_MAX_MS: Final = 366 * DAY_MS
INVOKE_TIMEOUT_MS: Final = 365 * DAY_MS
SIGNAL_TIMEOUT_MS: Final = 365 * DAY_MS
CANCELLATION_TIMEOUT_MS: Final = 365 * DAY_MS
"""Defaults where a function names no timeout."""
SIGNAL_NAME_CHARS_MAX: Final = 255
SIGNAL_BYTES_MAX: Final = 256 * 1024
RERUN_ARGUMENTS_BYTES_MAX: Final = 128 * 1024
"""Of the arguments that a rerun gives its first step: they travel in a queue item."""
METADATA_BYTES_MAX: Final = 64 * 1024
"""Of one request that notes something about a run."""
METADATA_UPDATES_MAX: Final = 500
"""Of one run."""
GRAPHQL_BYTES_MAX: Final = 4 * MEBIBYTE
GRAPHQL_QUERY_CHARS_MAX: Final = 64 * 1024
PAUSE_PAGE: Final = 500
"""How many pauses, events or runs one read takes."""
IDEMPOTENCY_MS: Final = DAY_MS
BATCH_BYTES_MAX: Final = 10 * MEBIBYTE
"""A batch with so many bytes of events is closed, however few they are; the last one may make it larger."""
BATCH_TIMEOUT_MAX_MS: Final = 7 * DAY_MS
TICK_LATE_MS: Final = 5 * MINUTE_MS
"""How late a schedule's tick may come before it counts as missed."""
MISSED_TICKS_MAX: Final = 100
"""How many missed ticks of a schedule are made up for, the last ones."""
TS_TOLERANCE_MS: Final = 2 * SECOND_MS
"""An event time this far ahead still counts as now (protocol 6.1)."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds an operator may change. Bytes are of compact JSON."""

    steps_per_run: int = 1_000
    opcodes_per_reply: int = 1_000
    step_bytes: int = 4 * MEBIBYTE
    run_bytes: int = 32 * MEBIBYTE


class ChangedLimits:
    """Limits changed for single functions, as a dev server's test hooks do. They last as long as the process."""

    def __init__(self) -> None:
        self._changes: dict[str, dict[str, int]] = {}

    def change(self, function_id: str, name: str, value: int | None) -> None:
        """Set a member of a function's Limits; None takes the change back."""
        changes = self._changes.setdefault(function_id, {})
        changes.pop(name, None)
        if value is not None:
            changes[name] = value

    def of(self, function_id: str, limits: Limits) -> Limits:
        """The limits of a function, where those of all others are ``limits``."""
        changes = self._changes.get(function_id)
        return replace(limits, **changes) if changes else limits


assert min(DRIVE_LEASE_MS, CLAIM_LEASE_MS, DELIVERY_LEASE_MS) >= LEASE_RENEW_MS * 3, "two renewals may be lost"
assert DRIVE_LEASE_MS + SWEEP_MS < 2 * MINUTE_MS, "a dead driver's run resumes within two minutes (promise 5)"
assert max(DRIVE_LEASE_MS, CLAIM_LEASE_MS) <= THROTTLED_REDELIVERY_MS, "nobody holds anything for it any more"
assert DELIVERY_LEASE_MS <= FRESH_END_MS, "a copy is handed out no later than the item of a driver that died"
assert Limits().step_bytes <= Limits().run_bytes
