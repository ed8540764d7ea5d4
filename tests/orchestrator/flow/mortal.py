"""Workers that die at a port, and items that are handled by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from stepwell_orchestrator.model.event import Event
from stepwell_orchestrator.model.queue_item import CloseBatch, FireDebounce, QueueItem, Route
from stepwell_orchestrator.model.run import RunHeader
from tests.orchestrator.flow.stage import Stage


class DeadError(Exception):
    """The worker is dead."""


class Mortal:
    """A port at whose nth call of a method the worker dies: before it, or ``after`` it has taken effect."""

    def __init__(self, port: Any, method: str, nth: int = 1, *, after: bool = False) -> None:
        self.port, self.method, self.left, self.after = port, method, nth, after

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.port, name)
        if name != self.method:
            return method

        async def call(*args: Any, **kwargs: Any) -> Any:
            self.left -= 1
            if self.left == 0 and not self.after:
                raise DeadError
            result = await method(*args, **kwargs)
            if self.left == 0:
                raise DeadError
            return result

        return call


async def handle(stage: Stage, item: QueueItem, **ports: Any) -> int | None:
    """Handle an item as the queue would hand it out."""
    return await stage.new_worker(**ports).handle(item, 1)


async def route(stage: Stage, event: Event, **ports: Any) -> None:
    """Route an event, or do it again."""
    await handle(stage, QueueItem("route", Route(event.internal_id), stage.clock.now_ms()), **ports)


async def die(stage: Stage, item: QueueItem, port: str, method: str, *, after: bool = False) -> None:
    """Handle an item with a worker that dies at the first call of a method of that port."""
    ports: dict[str, Any]
    if hasattr(stage.store.flow, port):
        mortal: Any = Mortal(getattr(stage.store.flow, port), method, after=after)
        ports = {"flow": replace(stage.store.flow, **{port: mortal})}
    else:
        found = stage.local.queue if port == "queue" else getattr(stage.store, port)
        ports = {port: Mortal(found, method, after=after)}
    with pytest.raises(DeadError):
        await handle(stage, item, **ports)


async def timers(stage: Stage) -> list[QueueItem]:
    """The timers of debounces and batches that are queued, the earliest first."""
    own = []
    for delivery in await stage.local.queue.receive(1_000, 2**52, 2**52):
        if isinstance(delivery.item.work, FireDebounce | CloseBatch):
            own.append(delivery.item)
        await stage.local.queue.postpone(delivery, delivery.item.due_at_ms)
    return sorted(own, key=lambda item: item.due_at_ms)


async def runs(stage: Stage) -> list[tuple[int, ...]]:
    """The numbers of the events of each run there is."""
    return [await _numbers(stage, header) for header in await stage.headers()]


async def _numbers(stage: Stage, header: RunHeader) -> tuple[int, ...]:
    events = [await stage.store.journal.get_event(event_id) for event_id in header.event_ids]
    return tuple(event.data["n"] for event in events)
