"""One worker process: the real Worker, Ingest, Control and sweep, on ports that fail and a clock that is off."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from stepwell.errors import StepwellError
from stepwell_orchestrator.accepting.checkpointing import Checkpointer
from stepwell_orchestrator.accepting.ingest import Ingest
from stepwell_orchestrator.controlling.control import Control
from stepwell_orchestrator.entry.virtual_clock import VirtualClock
from stepwell_orchestrator.flow_ports import FlowPorts
from stepwell_orchestrator.fresh_ids import FreshIds
from stepwell_orchestrator.limits import DRIVE_LEASE_MS, Limits
from stepwell_orchestrator.local.queue import Delivery, SqliteQueue
from stepwell_orchestrator.model.notice import Notice
from stepwell_orchestrator.model.queue_item import Deadline, QueueItem, TimerDue
from stepwell_orchestrator.ports import Ports
from stepwell_orchestrator.worker import Worker
from stepwell_orchestrator.worker.pump import Pump
from tests.sim.chance import AFTER_PORT, BEFORE_PORT, OF_TIMERS, Fault
from tests.sim.setting import Setting
from tests.sim.witness import HANDLING, NOBODY

SLOW_MAX_MS = DRIVE_LEASE_MS // 6
"""Port calls that take no longer than this cost nobody a lease: between two renewals there are two of them at most."""

T = TypeVar("T")


class InjectedError(StepwellError):
    """A port failed because the simulator made it."""


class SkewedClock:
    """The worker's own clock: ``skew_ms`` ahead of the true time."""

    def __init__(self, clock: VirtualClock, skew_ms: int) -> None:
        self._clock = clock
        self._skew_ms = skew_ms

    def now_ms(self) -> int:
        return self._clock.now_ms() + self._skew_ms

    async def sleep_until(self, at_ms: int) -> None:
        await self._clock.sleep_until(at_ms - self._skew_ms)


class OwnTimeQueue:
    """The queue as a worker with its own clock uses it: it asks for a delay, so the skew cancels out.

    What fires a timer later may fire it early.
    """

    def __init__(self, setting: Setting, name: str, skew_ms: int) -> None:
        self._setting = setting
        self._queue: SqliteQueue = setting.backend.queue
        self._name = name
        self._skew_ms = skew_ms

    def __getattr__(self, name: str) -> Any:
        return getattr(self._queue, name)

    async def send(self, items: Sequence[QueueItem]) -> None:
        sent = [replace(item, due_at_ms=item.due_at_ms - self._skew_ms) for item in items]
        await self._queue.send(sent)
        for item in sent:
            if isinstance(item.work, TimerDue | Deadline):
                await self._maybe_hasten(item)

    async def _maybe_hasten(self, item: QueueItem) -> None:
        now_ms = self._setting.clock.now_ms()
        ahead_ms = item.due_at_ms - now_ms
        if ahead_ms > 0 and self._setting.strike(OF_TIMERS, self._name, "queue.send", (item,)) is not None:
            early_ms = self._setting.lots.up_to(ahead_ms, f"{HANDLING.get(NOBODY).whom} early")
            await self._setting.backend.hasten(item, now_ms + early_ms)

    async def postpone(self, delivery: Delivery, due_at_ms: int) -> bool:
        """The item keeps the time it was given, as a message does: else each clock that is behind would move it on."""
        postponed = await self._queue.postpone(delivery, due_at_ms)
        if postponed:
            await self._setting.backend.hasten(delivery.item, due_at_ms - self._skew_ms)
        return postponed


class FaultyPort:
    """A port as one worker reaches it."""

    def __init__(self, node: Node, name: str, port: Any) -> None:
        self._node = node
        self._name = name
        self._port = port

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self._port, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            if name == "send" and len(args[0]) > 1:
                await self._node.maybe_send_in_part(method, *args)
            return await self._node.through(f"{self._name}.{name}", lambda: method(*args, **kwargs), args)

        return call


class Node:
    """A worker that lives until it dies. What it does is done in asyncio tasks of its own, which die with it."""

    def __init__(self, setting: Setting, name: str, skew_ms: int) -> None:
        self.name = name
        self.dead = False
        self._setting = setting
        self._tasks: dict[asyncio.Task[Any], None] = {}
        clock = SkewedClock(setting.clock, skew_ms)
        process = setting.backend.process(self)
        self._journal: Any = FaultyPort(self, "journal", process.journal)
        self._registry: Any = FaultyPort(self, "registry", process.registry)
        self.queue: Any = FaultyPort(self, "queue", OwnTimeQueue(setting, name, skew_ms))
        self._waits: Any = FaultyPort(self, "waits", process.waits)
        names = ("gates", "rates", "debounces", "batches")
        flow: Any = FlowPorts(*(FaultyPort(self, name, getattr(process.flow, name)) for name in names))
        line = setting.line_of(self)
        ports = Ports(self._journal, self._waits, self._registry, self.queue, line, clock, flow=flow)
        self.worker = Worker(ports)
        ids = FreshIds(clock, setting.entropy)
        self.ingest = Ingest(self._journal, self.queue, clock, ids, _unobserved)
        self.control = Control(
            self._journal,
            self._waits,
            self._registry,
            self.queue,
            clock,
            ids=ids,
            handle=self.worker.handle,
            observe=_unobserved,
        )
        self.checkpointer = Checkpointer(self._journal, clock, Limits(), _unobserved)
        self.sweep = Pump(self.queue, self.worker.handle, clock, journal=self._journal, lines=self.worker.lines).sweep

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Do something for as long as the worker lives."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks[task] = None
        task.add_done_callback(self._tasks.pop)
        return task

    def die(self) -> None:
        """Everything this worker is doing stops where it is; its ports never answer again."""
        if self.dead:
            return
        self.dead = True
        self._setting.worker_died(self)
        for task in self._tasks:
            task.cancel()

    async def through(self, label: str, act: Callable[[], Awaitable[T]], args: Sequence[Any]) -> T:
        """One port call with whatever goes wrong with it. ``args`` only tell people what it was about."""
        await self._disturb(BEFORE_PORT, label, args)
        try:
            # What has reached a port is done there, even when the worker dies meanwhile.
            done = asyncio.get_running_loop().create_task(_done(act))
            self._setting.in_ports[done] = None
            done.add_done_callback(self._setting.left_port)
            result = await asyncio.shield(done)
        except StepwellError:
            await self._disturb(AFTER_PORT, label, args)
            raise
        await self._disturb(AFTER_PORT, label, args)
        return result

    async def maybe_send_in_part(self, send: Callable[..., Awaitable[None]], items: Any) -> None:
        """A send of several items may do some of them and report failure."""
        if self._setting.strike((Fault.PARTIAL_SEND,), self.name, "queue.send", (items,)) is not None:
            await send(items[: len(items) // 2])
            self._setting.trouble(Fault.PARTIAL_SEND)
            raise InjectedError("the queue took some of the items")

    def strike(self, kinds: Sequence[Fault], where: str, args: Sequence[Any]) -> Fault | None:
        """What goes wrong now with something that this worker does, if anything."""
        return self._setting.strike(kinds, self.name, where, args)

    def trouble(self, what: str) -> None:
        """A fault struck what this worker does."""
        self._setting.trouble(what)

    async def wait_long(self, why: str) -> None:
        """Be slow enough to lose a lease."""
        self.trouble(why)
        await self._setting.wait_up_to(self._setting.knobs.slow_ms, why)

    async def _disturb(self, kinds: tuple[Fault, ...], label: str, args: Sequence[Any]) -> None:
        await self.latency()
        fault = self.strike(kinds, label, args)
        if fault is None:
            return
        match fault:
            case Fault.SLOW_REQUEST | Fault.SLOW_REPLY:
                if self._setting.knobs.slow_ms > SLOW_MAX_MS:
                    self._setting.trouble(fault)
                await self._setting.wait_up_to(self._setting.knobs.slow_ms, f"{label} {fault.name}")
            case Fault.THROTTLED | Fault.LOST_REPLY:
                self._setting.trouble(fault)
                raise InjectedError(f"{label}: {fault}")
            case _:
                self.die()
        await self.hang_if_dead()

    async def latency(self) -> None:
        """The way to a port, or back, takes its time; a dead worker never arrives."""
        await self.hang_if_dead()
        if self._setting.knobs.latency_ms:
            await self._setting.wait_up_to(self._setting.knobs.latency_ms, "latency")
            await self.hang_if_dead()

    async def hang_if_dead(self) -> None:
        """Go on unless this worker has died."""
        if self.dead:
            await asyncio.get_running_loop().create_future()


async def _done(act: Callable[[], Awaitable[T]]) -> T:
    return await act()


def _unobserved(_notice: Notice) -> None:
    """Nobody watches."""
