"""Commands carried out. Each may be repeated, and any may be lost to a crash: a commit lets it be derived again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from stepwell_orchestrator.engine import items
from stepwell_orchestrator.model.decision import Command, Emit, Send
from stepwell_orchestrator.model.queue_item import QueueItem
from stepwell_orchestrator.ports import Journal, Queue


async def dispatch(commands: Sequence[Command], journal: Journal, queue: Queue) -> None:
    """Carry out commands: events are stored first, then every queue item is sent in one call."""
    sends: list[QueueItem] = []
    for command in commands:
        match command:
            case Send(item):
                sends.append(item)
            case Emit(event):
                await journal.put_event(event)
                sends.append(items.route(event.internal_id, event.received_at_ms).item)
            case _:
                assert_never(command)
    if sends:
        await queue.send(sends)
