"""Feeds a worker from a queue that leases: the one loop of a process, at rest while nothing is due."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Generic, Protocol, TypeVar

from stepwell.errors import StepwellError
from stepwell.wire.times import SECOND_MS
from stepwell_orchestrator.controlling.lines import Lines
from stepwell_orchestrator.controlling.sweep import Sweep, SweptJournal
from stepwell_orchestrator.limits import DELIVERY_LEASE_MS, LEASE_RENEW_MS, SWEEP_MS
from stepwell_orchestrator.model.queue_item import QueueItem
from stepwell_orchestrator.ports import Clock, Queue

CONCURRENCY_DEFAULT: Final = 200
STOP_GRACE_MS: Final = 10 * SECOND_MS
_FAILURE_PAUSE_MS: Final = SECOND_MS

Handle = Callable[[QueueItem, int], Awaitable[int | None]]
"""Works on an item at its n-th delivery. Returns None when it is done, else when it is to be handed out again."""

logger = logging.getLogger("stepwell.pump")


class Delivered(Protocol):
    """An item handed out under a lease, for the n-th time, counted from 1."""

    @property
    def item(self) -> QueueItem:
        """The item."""
        ...

    @property
    def deliveries(self) -> int:
        """How often it has been handed out, this time included."""
        ...


DeliveryT = TypeVar("DeliveryT", bound=Delivered)


class LeasingQueue(Queue, Protocol[DeliveryT]):
    """A queue that a pump can take items from. Leases end at a time; only a current delivery counts."""

    changed: asyncio.Event
    """Set when an item may be due earlier than known."""

    async def receive(self, limit: int, now_ms: int, until_ms: int) -> list[DeliveryT]:
        """Lease due items until ``until_ms``."""
        ...

    async def ack(self, delivery: DeliveryT) -> bool:
        """The item is done."""
        ...

    async def postpone(self, delivery: DeliveryT, due_at_ms: int) -> bool:
        """Hand the item out again at that time."""
        ...

    async def renew(self, deliveries: Sequence[DeliveryT], until_ms: int) -> None:
        """Prolong leases."""
        ...

    async def next_at_ms(self) -> int | None:
        """When the next item becomes due or the next lease expires."""
        ...


class Pump(Generic[DeliveryT]):
    """Hands due items to ``handle``, each in an asyncio task of its own.

    What ``handle`` returns says whether an item is done or comes again.

    An item whose handling raises is logged and left leased: it comes again when the lease expires. Leases of items in
    flight are renewed. At the start and then every SWEEP_MS, runs whose driver died are queued again.
    """

    def __init__(
        self,
        queue: LeasingQueue[DeliveryT],
        handle: Handle,
        clock: Clock,
        *,
        journal: SweptJournal,
        lines: Lines,
        concurrency: int = CONCURRENCY_DEFAULT,
    ) -> None:
        self._queue = queue
        self._handle = handle
        self._clock = clock
        self._sweep = Sweep(journal, queue, clock, lines)
        self._concurrency = concurrency
        self._in_flight: dict[asyncio.Task[None], DeliveryT] = {}
        self._sweep_at_ms = 0
        self._renew_at_ms = 0
        self._stopping = False
        self._at_rest = asyncio.Event()
        self._at_rest.set()

    async def run(self, *, grace_ms: int = STOP_GRACE_MS) -> None:
        """Work until ``stop`` is called, and then until the items in flight are done, at most ``grace_ms`` longer.

        What is not done by then, or when this call is cancelled, is cancelled and comes again when its lease expires.
        """
        self._at_rest.clear()
        try:
            while not self._stopping:
                await self._turn(self._work)
            deadline_ms = self._clock.now_ms() + grace_ms
            while self._in_flight and self._clock.now_ms() < deadline_ms:
                await self._turn(self._renew, deadline_ms)
        finally:
            await _cancel(self._in_flight)
            self._at_rest.set()

    async def stop(self) -> None:
        """Take no more items, and return when ``run`` has ended. A stopped pump stays stopped."""
        self._stopping = True
        self._queue.changed.set()
        await self._at_rest.wait()

    async def drain(self) -> int:
        """Instead of ``run``: handle what is due now, and what comes of it. Returns how many, once nothing is due."""
        count = 0
        while True:
            count += await self._receive()
            if not self._in_flight:
                return count
            await asyncio.wait(self._in_flight, return_when=asyncio.FIRST_COMPLETED)

    async def sweep(self) -> int:
        """Sweep now. Returns how many runs were queued again."""
        return await self._sweep.run()

    async def _turn(self, act: Callable[[], Awaitable[int]], until_ms: int | None = None) -> None:
        """Act, then wait for a change or the time that ``act`` named."""
        self._queue.changed.clear()
        try:
            wake_at_ms = await act()
        except StepwellError:
            wake_at_ms = self._clock.now_ms() + _FAILURE_PAUSE_MS
            logger.exception("the queue cannot be read or written; trying again in %d ms", _FAILURE_PAUSE_MS)
        await self._wait(wake_at_ms if until_ms is None else min(wake_at_ms, until_ms))

    async def _work(self) -> int:
        if self._clock.now_ms() >= self._sweep_at_ms:
            await self.sweep()
            self._sweep_at_ms = self._clock.now_ms() + SWEEP_MS
        await self._receive()
        wake_at_ms = min(self._sweep_at_ms, await self._renew()) if self._in_flight else self._sweep_at_ms
        if len(self._in_flight) >= self._concurrency:
            return wake_at_ms
        next_at_ms = await self._queue.next_at_ms()
        return wake_at_ms if next_at_ms is None else min(wake_at_ms, next_at_ms)

    async def _renew(self) -> int:
        """Renew what is in flight if it is time. Returns when the next time is."""
        now_ms = self._clock.now_ms()
        if now_ms >= self._renew_at_ms:
            await self._queue.renew(tuple(self._in_flight.values()), now_ms + DELIVERY_LEASE_MS)
            self._renew_at_ms = now_ms + LEASE_RENEW_MS
        return self._renew_at_ms

    async def _receive(self) -> int:
        free = self._concurrency - len(self._in_flight)
        if free <= 0:
            return 0
        now_ms = self._clock.now_ms()
        deliveries = await self._queue.receive(free, now_ms, now_ms + DELIVERY_LEASE_MS)
        for delivery in deliveries:
            task = asyncio.create_task(self._work_on(delivery))
            self._in_flight[task] = delivery
            task.add_done_callback(self._landed)
        return len(deliveries)

    async def _work_on(self, delivery: DeliveryT) -> None:
        try:
            again_at_ms = await self._handle(delivery.item, delivery.deliveries)
            if again_at_ms is None:
                await self._queue.ack(delivery)
            else:
                await self._queue.postpone(delivery, again_at_ms)
        except Exception:
            logger.exception(
                "queue item %s failed at delivery %d; it comes again when its lease expires",
                delivery.item.id,
                delivery.deliveries,
            )

    def _landed(self, task: asyncio.Task[None]) -> None:
        if self._stopping or len(self._in_flight) >= self._concurrency:
            self._queue.changed.set()
        del self._in_flight[task]

    async def _wait(self, at_ms: int) -> None:
        alarm = asyncio.create_task(self._ring(at_ms))
        try:
            await self._queue.changed.wait()
        finally:
            alarm.cancel()

    async def _ring(self, at_ms: int) -> None:
        await self._clock.sleep_until(at_ms)
        self._queue.changed.set()


async def _cancel(tasks: dict[asyncio.Task[Any], Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
