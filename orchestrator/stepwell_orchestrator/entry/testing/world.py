"""The whole engine in memory, where nothing moves unless it is told to."""

from __future__ import annotations

import asyncio
import itertools
import threading
import warnings
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

from stepwell.authoring.app import App
from stepwell.authoring.function import Function
from stepwell.errors import StepwellWarning
from stepwell.executing.execution import Runtime, execute
from stepwell.executing.loop.waiting import running_loop
from stepwell.executing.saving import Saver
from stepwell.wire.call import CallRequest
from stepwell.wire.checkpoint import Checkpoint
from stepwell.wire.ids import EventIdSeed
from stepwell.wire.registration import Registration
from stepwell.wire.reply import Outcome
from stepwell_orchestrator.accepting.checkpointing import Checkpointer
from stepwell_orchestrator.accepting.ingest import Ingest
from stepwell_orchestrator.accepting.option_rules import not_applied
from stepwell_orchestrator.accepting.register import Register
from stepwell_orchestrator.accepting.timetable import Timetable
from stepwell_orchestrator.controlling.control import Control
from stepwell_orchestrator.entry.in_process import in_process_app, in_process_url
from stepwell_orchestrator.entry.testing.clock import SteppedClock
from stepwell_orchestrator.entry.testing.crashes.faults import Faults
from stepwell_orchestrator.entry.testing.expectation import ExpectationError
from stepwell_orchestrator.entry.testing.record import Record
from stepwell_orchestrator.entry.testing.requests import Requests
from stepwell_orchestrator.entry.testing.stubs import Stubs
from stepwell_orchestrator.entry.testing.transport import CALLING, Connection
from stepwell_orchestrator.fresh_ids import FreshIds
from stepwell_orchestrator.limits import Limits
from stepwell_orchestrator.local.backend import LocalBackend, recover
from stepwell_orchestrator.model.queue_item import QueueItem
from stepwell_orchestrator.ports import Ports
from stepwell_orchestrator.transports.invoke_asgi import InProcessInvoker
from stepwell_orchestrator.worker import Worker
from stepwell_orchestrator.worker.pump import Pump


class World:
    """The engine's parts on a database in memory, and the apps it calls.

    Work is done in ``settle`` and ``move_to`` alone, one at a time, each of which ends when everything that they set
    going has ended, I/O and threads too. They wait ``patience_s`` of real time for it at most. When ``faults`` let the
    worker die meanwhile, another one takes over at once.
    """

    def __init__(self, now_ms: int, patience_s: float, faults: Faults | None = None) -> None:
        self.clock = SteppedClock(now_ms)
        self.stubs = Stubs()
        self._backend = LocalBackend.open(None)
        self.journal = self._backend.journal
        self.registry = self._backend.registry
        self.queue = self._backend.queue
        self.record = Record(self.journal, self.clock)
        self._invoker = InProcessInvoker()
        self._faults = faults
        self._requests = Requests(self.stubs, self._step_begins)
        ports = Ports(
            self.journal,
            self._backend.waits,
            self.registry,
            self.queue,
            self._invoker,
            self.clock,
            self._requests,
            flow=self._backend.flow,
        )
        self._ports = ports if faults is None else faults.on(ports, self.record)
        ids = FreshIds(self.clock, _counting_entropy())
        self._hire()
        self._ingest = Ingest(self._ports.journal, self._ports.queue, self.clock, ids, self.record.observe)
        timetable = Timetable(self._ports.schedules, self.registry, self._ports.queue, self.clock)
        self._register = Register(self.registry, timetable, self.clock, self.record.observe)
        self._control = Control(
            self._ports.journal,
            self._ports.waits,
            self.registry,
            self._ports.queue,
            self.clock,
            ids=ids,
            handle=self._handle,
            observe=self.record.observe,
        )
        self._checkpointer = Checkpointer(self._ports.journal, self.clock, Limits(), self.record.observe)
        self._patience_s = patience_s
        self.timeout: Callable[[float], asyncio.Timeout] = asyncio.timeout
        self._busy: dict[asyncio.Task[Any], QueueItem] = {}
        self._begun: dict[str, str] = {}
        self._served: dict[str, App] = {}
        self._connections: list[Connection] = []
        self._unregistered: list[App] = []
        self._turn = asyncio.Lock()
        self.thread_id = threading.get_ident()
        self.loop: asyncio.AbstractEventLoop | None = None

    @property
    def apps(self) -> list[App]:
        """The apps served."""
        return list(self._served.values())

    def serve(self, app: App) -> None:
        """Call the app's functions from now on, and take in what it sends."""
        self.loop = running_loop()
        self._served[app.id] = app
        self._unregistered.append(app)
        self._connections.append(Connection(app, self))

    async def send(self, events: Sequence[Mapping[str, Any]], seed: EventIdSeed | None = None) -> list[str]:
        """Take events in. Returns their ids. What they start goes on when the world settles. Raises EventError."""
        await self._enter()
        self.record.unsettled = True
        event_ids = await self._ingest.accept_events(events, seed)
        await self.record.receive(event_ids)
        return event_ids

    async def send_signal(self, signal: str, data: Any) -> str | None:
        """Resume the run that waits for a signal, when the world settles. Returns its id, or None when none waits."""
        await self._enter()
        self.record.unsettled = True
        return await self._control.signal(signal, data)

    async def checkpoint(self, checkpoint: Checkpoint) -> int:
        """Save steps of a call that goes on. Returns the HTTP status."""
        await self._enter()
        return await self._checkpointer.answer(checkpoint)

    async def send_from_outside(self, event: Mapping[str, Any]) -> str:
        """Take in one event, a millisecond after anything that came before. Returns its internal id."""
        await self._enter()
        self.clock.move_to(self.clock.now_ms() + 1)
        [event_id] = await self.send([event])
        return event_id

    async def settle(self) -> None:
        """Do everything that can be done without time passing."""
        await self._enter()
        async with self._turn:
            await self._drain()

    async def move_to(self, at_ms: int) -> None:
        """Let time pass up to ``at_ms``; whatever falls due on the way is done at its own time, in order."""
        await self._enter()
        async with self._turn:
            await self._drain()
            while (due_at_ms := await self.queue.next_at_ms()) is not None and due_at_ms <= at_ms:
                self.clock.move_to(due_at_ms)
                await self._drain()
            self.clock.move_to(at_ms)

    async def cancel(self, run_id: str) -> None:
        """Cancel a run."""
        await self._enter()
        self.record.unsettled = True
        await self._control.cancel(run_id)
        await self.record.refresh()

    def close(self) -> None:
        """Give back what the apps were served with. Runs and events can still be looked at."""
        for connection in self._connections:
            connection.cut()
        self._backend.close()

    async def _enter(self) -> None:
        """Be in the event loop that does the work, with every app registered."""
        self.loop = running_loop()
        if self.loop is None:
            fix = 'let its anyio_backend be "asyncio"'
            raise ExpectationError(f"the engine runs on asyncio, and this test does not: {fix}")
        while self._unregistered:
            app = self._unregistered.pop(0)
            registration, endpoint = in_process_app(app, self.journal, self.clock, execute=self._executor(app))
            self._invoker.mount(in_process_url(app.id), endpoint)
            await self._register.accept(registration.encode())
            _tell_what_does_nothing(registration)

    def _hire(self) -> None:
        """Put a worker to work, in the place of the one before."""
        self._worker = Worker(self._ports, observe=self.record.observe)
        self._pump = Pump(self.queue, self._busy_with, self.clock, journal=self.journal, lines=self._worker.lines)

    def _executor(self, app: App) -> Callable[[Function[Any], CallRequest, str | None], Awaitable[Outcome]]:
        saver = Saver(lambda: nullcontext(self.checkpoint), self.clock.now_ms, _at_once, jitter_ms=int)
        runtime = Runtime(send=self.send, send_signal=self.send_signal, now_ms=self.clock.now_ms, saver=saver)

        async def run(function: Function[Any], call: CallRequest, target: str | None) -> Outcome:
            def body_of(step: Any, body: Any) -> Any:
                run_id, attempt = call.ctx.run_id, call.ctx.attempt
                self._step_begins(run_id, step.hashed, step.label, attempt)
                return self.stubs.body_of(function, step, body, (run_id, step.hashed, attempt))

            CALLING.set(self)
            outcome = await execute(function, call, target=target, runtime=replace(runtime, body_of=body_of))
            self._requests.note(function, call.ctx.run_id, outcome)
            return outcome

        return run

    def _step_begins(self, run_id: str, step_id: str, label: str, attempt: int) -> None:
        self._begun[run_id] = label
        if self._faults is not None:
            self._faults.begins(run_id, step_id, label, attempt)

    async def _drain(self) -> None:
        """Do all work there is. Raises ExpectationError when that takes longer than the test's patience."""
        try:
            async with self.timeout(self._patience_s) as patience:
                await self._work()
            self.record.unsettled = False
        except TimeoutError:
            if patience.expired():
                raise ExpectationError(self._impatience()) from None
            raise
        finally:
            await self._abandon()
            await self.record.refresh()

    async def _work(self) -> None:
        """Drain the queue, with as many workers as it takes."""
        if self._faults is None:
            await self._pump.drain()
            return
        while not await self._faults.survives(self._pump.drain()):
            await self._abandon()
            async with self._backend.database.write() as db:
                recover(db)
            self._hire()
            await self._pump.sweep()
            await self.record.read_again()

    async def _handle(self, item: QueueItem, deliveries: int) -> int | None:
        return await self._worker.handle(item, deliveries)

    async def _busy_with(self, item: QueueItem, deliveries: int) -> int | None:
        """Handle an item, noting that it is being handled."""
        task = asyncio.current_task()
        assert task is not None, "a coroutine runs in a task"
        self._busy[task] = item
        try:
            if self._faults is None:
                return await self._handle(item, deliveries)
            return await self._faults.deliver(self._handle, item, deliveries)
        finally:
            del self._busy[task]

    async def _abandon(self) -> None:
        """Stop what was not waited for, so that nothing happens behind the test's back."""
        busy = list(self._busy)
        for task in busy:
            task.cancel()
        await asyncio.gather(*busy, return_exceptions=True)

    def _impatience(self) -> str:
        run_ids = {getattr(item.work, "run_id", "") for item in self._busy.values()}
        steps = sorted({self._begun[run_id] for run_id in run_ids & self._begun.keys()})
        last = f"; the last steps begun: {', '.join(steps)}" if steps else ""
        return (
            f"the engine did not come to rest within {self._patience_s:g} s of real time{last}. Something waits for "
            "the outside world, or never ends: stub it, or give Engine(patience=...) more seconds"
        )


async def _at_once(_delay_ms: int) -> None:
    """What is waited for between two attempts: the time is the test's."""


def _counting_entropy() -> Callable[[int], bytes]:
    """Entropy that counts: the same test has the same ids, and so the same back-off, every time."""
    counter = itertools.count(1)
    return lambda length: next(counter).to_bytes(length)


def _tell_what_does_nothing(registration: Registration) -> None:
    """A test must not pass because of an option that no engine applies yet, nor fail and not say why."""
    for config in registration.functions:
        for name in not_applied(config.options):
            told = f"{config.id}: {name} is checked and stored, and not applied yet: every event starts a run"
            warnings.warn(told, StepwellWarning, stacklevel=2)
