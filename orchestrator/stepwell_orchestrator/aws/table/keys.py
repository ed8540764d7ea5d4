"""Where the journal's items are: the keys of decision 10."""

from __future__ import annotations

import hashlib
from typing import Final

from stepwell.wire.times import HOUR_MS
from stepwell_orchestrator.aws.attribute_values import Key
from stepwell_orchestrator.aws.table.dynamo import key_of
from stepwell_orchestrator.aws.table.names import in_key
from stepwell_orchestrator.aws.table.table import CREATED
from stepwell_orchestrator.model.event import is_internal

LISTING_SHARDS: Final = 8
LEASE_SHARDS: Final = 16
RECORD_SHARDS: Final = 2
"""Each shard takes a thousand writes a second. Every wait reads all the shards of records, so there are few."""

RUNS: Final = "r"
EVENTS: Final = "e"
INTERNAL_EVENTS: Final = "i"
"""What is listed apart."""

HEADER_SK: Final = "h"
EVENT_SK: Final = "e"
ENTRY_PREFIX: Final = "s#"
PAYLOAD_PREFIX: Final = "p#"
LINK_PREFIX: Final = "r#"
KEY_HOLDER: Final = "r"
"""Of an idempotency key: the run that has it, or the event that waits in a batch."""
KEY_EXPIRES: Final = CREATED
GATE_SHARDS: Final = 16
LINE_SHARDS: Final = 4
"""A busy gate's line takes two writes for each who waits: four shards are 2,000 who come and go a second."""

MARK_SK: Final = "w"
RATE_SK: Final = "t"
PARTS_SK: Final = "n"
SLOT_PREFIX: Final = "s#"
DEBOUNCE_SK: Final = "d"
BATCH_SK: Final = "b"
"""The open batch of a gate."""
CLOSED_BATCH_PREFIX: Final = "b#"
_RUN: Final = "r#"
_EVENT: Final = "e#"
_MS_DIGITS: Final = 15
_HOUR_DIGITS: Final = 9
_SLOT_DIGITS: Final = 6


def run_pk(run_id: str) -> str:
    """The partition of a run's items."""
    return f"{_RUN}{run_id}"


def header_key(run_id: str) -> Key:
    """A run's header."""
    return key_of(run_pk(run_id), HEADER_SK)


def entry_key(run_id: str, step_id: str) -> Key:
    """A step's entry."""
    return key_of(run_pk(run_id), f"{ENTRY_PREFIX}{step_id}")


def payload_key(run_id: str, digest: bytes) -> Key:
    """An outcome that is too long for the header."""
    return key_of(run_pk(run_id), f"{PAYLOAD_PREFIX}{digest.hex()}")


def event_pk(internal_id: str) -> str:
    """The partition of an event and of the links to its runs."""
    return f"{_EVENT}{internal_id}"


def event_key(internal_id: str) -> Key:
    """An event."""
    return key_of(event_pk(internal_id), EVENT_SK)


def link_key(internal_id: str, run_id: str) -> Key:
    """The link from an event to a run that it started."""
    return key_of(event_pk(internal_id), f"{LINK_PREFIX}{run_id}")


def idempotency_key(key: str) -> Key:
    """The holder of an idempotency key, which may be of any length."""
    return key_of(f"k#{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()}", "k")


def gate_pk(gate: str, part: int = 0) -> str:
    """The partition of a gate's slots; the first one has all else of the gate but its line."""
    return f"l#{gate}#{part}" if part else f"l#{gate}"


def slot_sk(number: int) -> str:
    """A slot of a gate."""
    return f"{SLOT_PREFIX}{number:0{_SLOT_DIGITS}}"


def slot_number(sk: str) -> int:
    """The number of a slot."""
    return int(sk.removeprefix(SLOT_PREFIX))


def line_pk(gate: str, shard: int) -> str:
    """A partition of those who wait at a gate."""
    return f"m#{shard}#{gate}"


def line_shard(waiter: str) -> int:
    """The shard in which a waiter stands."""
    return _shard(waiter, LINE_SHARDS)


def place_sk(order_ms: int, waiter: str = "") -> str:
    """A place in a line; without a waiter the place before all of that time."""
    return f"{order_ms:0{_MS_DIGITS}}#{waiter}"


def read_place_sk(sk: str) -> tuple[int, str]:
    """The order and the waiter of a place."""
    order_ms, _, waiter = sk.partition("#")
    return int(order_ms), waiter


def waited_under(gate: str) -> str:
    """The shard of the index of leases in which the mark of a gate is while somebody waits there."""
    return f"w{_shard(gate, GATE_SHARDS)}"


def gate_shards() -> list[str]:
    """Every shard of those marks."""
    return [f"w{shard}" for shard in range(GATE_SHARDS)]


def gate_of(pk: str) -> str:
    """The gate of its first partition."""
    return pk[2:]


def hour_of(received_at_ms: int) -> int:
    """The hour of the epoch in which an event was received."""
    return received_at_ms // HOUR_MS


def hours_pk(name: str) -> str:
    """The partition of the hours in which events of a name were received."""
    return f"h#{in_key(name)}"


def hour_sk(hour: int) -> str:
    """An hour, sorted by time."""
    return f"{hour:0{_HOUR_DIGITS}}"


def records_pk(name: str, hour: int, shard: int) -> str:
    """The partition of the records of one name, hour and shard."""
    return f"n#{shard}#{hour_sk(hour)}#{in_key(name)}"


def record_sk(received_at_ms: int, internal_id: str = "") -> str:
    """A record's place, by receipt time and then internal id; without an id the place before all of that time."""
    return f"{received_at_ms:0{_MS_DIGITS}}#{internal_id}"


def read_record_sk(sk: str) -> tuple[int, str]:
    """The receipt time and internal id of a record."""
    received_at_ms, _, internal_id = sk.partition("#")
    return int(received_at_ms), internal_id


def id_of(pk: str) -> str:
    """The run's or event's id in a partition key."""
    return pk[2:]


def listed_under(kind: str, identifier: str) -> str:
    """The shard of the listing in which a run or event is."""
    return f"{kind}{_shard(identifier, LISTING_SHARDS)}"


def leased_under(run_id: str) -> str:
    """The shard of the leases in which a run is while it is driven."""
    return f"x{_shard(run_id, LEASE_SHARDS)}"


def lease_shards() -> list[str]:
    """Every shard of the leases."""
    return [f"x{shard}" for shard in range(LEASE_SHARDS)]


def listing_shards(kind: str) -> list[str]:
    """Every shard of the listing of a kind."""
    return [f"{kind}{shard}" for shard in range(LISTING_SHARDS)]


def record_shard(internal_id: str) -> int:
    """The shard of an event's record."""
    return _shard(internal_id, RECORD_SHARDS)


def event_kind(name: str) -> str:
    """Where events of a name are listed."""
    return INTERNAL_EVENTS if is_internal(name) else EVENTS


def _shard(identifier: str, shards: int) -> int:
    return hashlib.sha256(identifier.encode()).digest()[0] % shards
