"""Queue items as messages: what is sent, and what comes back. Pure.

A message may lie in a schedule for a year, so that this form is read by every later version.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from stepwell.errors import WireError
from stepwell.wire.encoding import decode, encode
from stepwell_orchestrator.documents import read_work, work_document
from stepwell_orchestrator.errors import StoreError
from stepwell_orchestrator.limits import MEBIBYTE
from stepwell_orchestrator.model.queue_item import (
    CancelMatching,
    CloseBatch,
    FireDebounce,
    OpenGate,
    QueueItem,
    Route,
    Tick,
    Work,
)

MESSAGE_BYTES_MAX: Final = MEBIBYTE
"""What SQS takes in one message, and in one batch."""
_NOT_IN_MESSAGES: Final = {ord(character): f"\\u{ord(character):04x}" for character in "\ufffe\uffff"}
"""JSON may spell these two, SQS refuses them; in JSON they only occur in strings, where an escape says the same."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """An item handed out for the ``deliveries``-th time, counted from 1, hand-outs of earlier messages included.

    ``redrives`` counts how often it came back from the dead letter queue.
    """

    item: QueueItem
    deliveries: int
    message_id: str
    receipt_handle: str
    redrives: int = 0


@dataclass(frozen=True, slots=True)
class Poison:
    """A message that is no queue item; ``reason`` says why. It is to fail until the queue gives it up."""

    message_id: str
    receipt_handle: str
    reason: str


def message_body(item: QueueItem, deliveries: int = 0, redrives: int = 0) -> str:
    """The message of an item with the counts of a Delivery so far. Raises StoreError if it is too long."""
    members: dict[str, Any] = {"id": item.id, "due_at_ms": item.due_at_ms, "deliveries": deliveries}
    if redrives:
        members["redrives"] = redrives
    body = encode(members | {"work": decode(work_document(item.work))}).decode().translate(_NOT_IN_MESSAGES)
    size = len(body.encode())
    if size > MESSAGE_BYTES_MAX:
        raise StoreError(
            f"queue item {item.id} has {size} bytes and cannot be sent; SQS takes {MESSAGE_BYTES_MAX}: "
            "send less data with the signal"
        )
    return body


def message_group(work: Work) -> str:
    """Whose turn a message takes: its run's, or its event's or function's as long as there is no run."""
    match work:
        case Route(event_id):
            return event_id
        case CancelMatching():
            return work.cancellation_id
        case OpenGate(gate) | FireDebounce(gate) | CloseBatch(gate):
            return gate
        case Tick():
            return hashlib.blake2b(work.function_id.encode(), digest_size=24).hexdigest()
        case _:
            return work.run_id


def receive(record: Mapping[str, Any]) -> Delivery | Poison:
    """What a record of Lambda's SQS event holds."""
    received = int(record["attributes"]["ApproximateReceiveCount"])
    return read_message(record["messageId"], record["receiptHandle"], received, record["body"])


def read_message(message_id: str, receipt_handle: str, received: int, body: str) -> Delivery | Poison:
    """What a message holds that was received so often."""
    try:
        item, before, redrives = _read(decode(body))
    except (LookupError, TypeError, ValueError, WireError) as error:
        reason = f"message {message_id} is no queue item of this version ({type(error).__name__}: {error}); "
        return Poison(message_id, receipt_handle, reason + "if another program sent it, delete it; otherwise upgrade")
    return Delivery(item, before + received, message_id, receipt_handle, redrives)


def _read(body: Any) -> tuple[QueueItem, int, int]:
    item_id, *counts = body["id"], body["due_at_ms"], body["deliveries"], body.get("redrives", 0)
    if not isinstance(item_id, str) or any(type(count) is not int for count in counts):
        raise TypeError("id must be a text, due_at_ms, deliveries and redrives must be whole numbers")
    due_at_ms, deliveries, redrives = counts
    return QueueItem(item_id, read_work(encode(body["work"])), due_at_ms), deliveries, redrives
