"""What goes wrong in an engine of ``crash_everywhere``: its worker dies at one place, or every delivery comes twice.

A thin layer between the worker and its ports, and nothing of the worker's own. A worker that has died reaches no port
any more. What it held is let go at once, as when ``stepwell dev`` starts again on its file, so that no time passes.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, Final

from stepwell_orchestrator.entry.testing.crashes.boundaries import Words
from stepwell_orchestrator.entry.testing.crashes.witness import Witness
from stepwell_orchestrator.entry.testing.record import Record
from stepwell_orchestrator.flow_ports import FlowPorts
from stepwell_orchestrator.model.queue_item import QueueItem
from stepwell_orchestrator.ports import Ports

TWICE_AT_ONCE: Final = "with every delivery twice at once"
TWICE_IN_TURN: Final = "with every delivery once more when it was done"

Handle = Callable[[QueueItem, int], Awaitable[int | None]]


@dataclass(slots=True, eq=False)
class Life:
    """One worker, until it dies; ``work`` is all it does."""

    work: asyncio.Future[Any]
    over: bool = False


_LIFE: Final[ContextVar[Life | None]] = ContextVar("stepwell_testing_life", default=None)
"""The worker on whose behalf the current code runs; None in the test itself, whose calls never fail."""


class Faults:
    """At most one fault. ``fault`` is the boundary where the worker dies, or one of the constants above; None: none.

    A boundary is a place right before or after a port call that has an effect, or a call of a function. Two that
    nothing lies between are one: it has the name of the first.
    """

    def __init__(self, fault: str | None = None) -> None:
        self.fault = fault
        self.boundaries: list[str] = []
        self.struck = fault in (TWICE_AT_ONCE, TWICE_IN_TURN)
        self.raised: list[Exception] = []
        self.witness = Witness()
        self.record: Record
        self._words = Words()
        self._times: Counter[str] = Counter()
        self._moved = True
        self._life: Life | None = None

    def on(self, ports: Ports, record: Record) -> Ports:
        """The ports as the worker reaches them; ``record`` is what is seen of its engine."""
        self.record = record
        return replace(
            ports,
            journal=self._between(ports.journal),
            waits=self._between(ports.waits),
            queue=self._between(ports.queue),
            flow=FlowPorts(
                self._between(ports.flow.gates),
                self._between(ports.flow.rates),
                debounces=self._between(ports.flow.debounces),
                batches=self._between(ports.flow.batches),
            ),
            invoker=self._between(ports.invoker),
            fetcher=self._between(ports.fetcher),
        )

    async def survives(self, work: Coroutine[Any, Any, Any]) -> bool:
        """Let a worker do its work. Returns False when it died, and then some of its tasks may go on."""
        life = self._life = Life(asyncio.ensure_future(work))
        try:
            await asyncio.wait([life.work])
        finally:
            life.work.cancel()
        if not life.over:
            life.work.result()
        return not life.over

    async def deliver(self, handle: Handle, item: QueueItem, deliveries: int) -> int | None:
        """Let the worker handle an item, as often as it comes. Returns when it is to be handed out again, if ever."""
        _LIFE.set(self._life)
        self._moved = True
        try:
            due = await self._handle(handle, item, deliveries)
        except Exception as error:
            self.raised.append(error)
            raise
        return min((at_ms for at_ms in due if at_ms is not None), default=None)

    def begins(self, run_id: str, step_id: str, label: str, attempt: int) -> None:
        """A step's body is about to be executed."""
        self._moved = True
        self._words.name_step(step_id, label)
        self.witness.began(run_id, step_id, label, attempt)

    async def through(self, method: Callable[..., Awaitable[Any]], name: str, args: Any, kwargs: Any) -> Any:
        """One call of a port's method."""
        life = _LIFE.get()
        what = self._words.of(name, args)
        self._pass(life, "before", what if self._moved else "")
        result = await method(*args, **kwargs)
        self.witness.saw(name, args)
        self._pass(life, "after", what)
        return result

    async def _handle(self, handle: Handle, item: QueueItem, deliveries: int) -> Sequence[int | None]:
        if self.fault == TWICE_AT_ONCE:
            return await asyncio.gather(handle(item, deliveries), handle(item, deliveries))
        if self.fault == TWICE_IN_TURN:
            return [await handle(item, deliveries), await handle(item, deliveries + 1)]
        return [await handle(item, deliveries)]

    def _between(self, port: Any) -> Any:
        return _MortalPort(port, self)

    def _pass(self, life: Life | None, side: str, what: str) -> None:
        """Go past a boundary, unless the worker is dead, or dies here."""
        if life is None:
            return
        if what and not life.over:
            self._moved = False
            point = f"{side} {what}"
            self._times[point] += 1
            boundary = point if self._times[point] == 1 else f"{point} #{self._times[point]}"
            self.boundaries.append(boundary)
            if boundary == self.fault:
                self.struck = life.over = True
                life.work.cancel()
        if life.over:
            raise asyncio.CancelledError("the worker died here")


class _MortalPort:
    """A port whose every call goes through the faults."""

    def __init__(self, port: Any, faults: Faults) -> None:
        self._port = port
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)
        if not inspect.iscoroutinefunction(method):
            return method

        async def call(*args: Any, **kwargs: Any) -> Any:
            return await self._faults.through(method, name, args, kwargs)

        return call
