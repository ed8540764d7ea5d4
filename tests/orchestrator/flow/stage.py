"""A stage for flow control: workers, a queue and a store on a clock that is moved, and calls that take their time.

What is seen is when each call began and ended. A function is called once for each of its steps: ``steps`` says how many
steps it has, ``parallel`` how many are planned at once before them, and ``naps_ms`` how long it sleeps after each.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

from stepwell.wire import headers as names
from stepwell.wire.call import DISCOVERY_STEP_ID, CallRequest, decode_call_request
from stepwell.wire.encoding import decode, encode
from stepwell.wire.ids import hash_step_id, ulid_from
from stepwell.wire.registration import Trigger
from stepwell_orchestrator.engine.waits import items
from stepwell_orchestrator.entry.virtual_clock import VIRTUAL_START_MS, VirtualClock
from stepwell_orchestrator.flow_ports import FlowPorts
from stepwell_orchestrator.local.backend import LocalBackend
from stepwell_orchestrator.model.event import Event
from stepwell_orchestrator.model.function import App, Function
from stepwell_orchestrator.model.notice import Observe, unobserved
from stepwell_orchestrator.model.queue_item import QueueItem
from stepwell_orchestrator.model.run import RunHeader
from stepwell_orchestrator.ports import HttpReply, Journal, Ports, Registry, RunFilter, Waits
from stepwell_orchestrator.worker import Worker
from stepwell_orchestrator.worker.pump import Pump

SLUG = "shop-fulfil"
EVENT = "order/created"


class Store(Protocol):
    """What is exchanged between one stage and another."""

    @property
    def journal(self) -> Any: ...

    @property
    def waits(self) -> Waits: ...

    @property
    def registry(self) -> Registry: ...

    @property
    def flow(self) -> FlowPorts: ...


@dataclass(frozen=True)
class Called:
    """One call, in milliseconds since the stage was set."""

    run_id: str
    event: int
    began_ms: int
    ended_ms: int
    slug: str = SLUG
    events: tuple[int, ...] = ()


@dataclass
class Play:
    """What functions do. ``call_ms`` gives how long the call for an event takes, by the event's data."""

    call_ms: Callable[[Mapping[str, Any]], int] = lambda _data: 1_000
    steps: int = 0
    parallel: int = 0
    nap_ms: int = 0
    fails: int = 0
    """How many attempts of an event whose data says so fail."""

    def answer(self, request: CallRequest, target: str) -> tuple[int, Any]:
        """The reply to a call."""
        if request.ctx.attempt < self.fails and request.events[0]["data"].get("fails"):
            return 500, {"name": "Error", "message": "not yet"}
        planned = [f"p{number}" for number in range(self.parallel)]
        if target != DISCOVERY_STEP_ID:
            (name,) = (name for name in planned if hash_step_id(name) == target)
            return 206, [{"op": "StepRun", "id": target, "name": name, "data": 1}]
        open_steps = [name for name in planned if hash_step_id(name) not in request.steps]
        if open_steps:
            return 206, [{"op": "StepPlanned", "id": hash_step_id(name), "name": name} for name in open_steps]
        for number in range(self.steps):
            for name, op in ((f"s{number}", "StepRun"), (f"z{number}", "Sleep")):
                opts = {"duration": f"{self.nap_ms}ms"} if op == "Sleep" else {}
                if hash_step_id(name) not in request.steps and (op == "StepRun" or self.nap_ms):
                    return 206, [{"op": op, "id": hash_step_id(name), "name": name, "opts": opts, "data": 1}]
        return 200, "done"


@dataclass
class Stage:
    """Functions, and what became of their events."""

    store: Store
    local: LocalBackend
    clock: VirtualClock
    play: Play
    options: Mapping[str, Mapping[str, Any]]
    workers: int = 1
    calls: list[Called] = field(default_factory=list)
    handled: int = 0
    under_way: int = 0
    most_at_once: int = 0
    begun: list[tuple[int, int]] = field(default_factory=list)
    """The event of each call and when it began, in the order in which they began."""

    def __post_init__(self) -> None:
        self._sent = 0
        self._running: list[asyncio.Task[None]] = []

    @property
    def now_ms(self) -> int:
        """The time since the stage was set."""
        return self.clock.now_ms() - VIRTUAL_START_MS

    async def register(self, options: Mapping[str, Mapping[str, Any]]) -> None:
        """Deploy the functions with those options."""
        functions = [
            Function(slug, "shop", slug, "http://app.test/api", (Trigger(EVENT),), 2, dict(changed))
            for slug, changed in options.items()
        ]
        checksum = sha256(encode(dict(options))).hexdigest()
        await self.store.registry.put_app(
            App("shop", "http://app.test/api", "test:v1", "", checksum, self.clock.now_ms()), functions
        )

    def new_worker(self, *, observe: Observe = unobserved, **ports: Any) -> Worker:
        """A worker on the stage, with other ports where they are given."""
        store = self.store
        found = {"journal": store.journal, "waits": store.waits, "registry": store.registry, "queue": self.local.queue}
        found |= {"invoker": self, "clock": self.clock, "flow": store.flow}
        return Worker(Ports(**found | ports), retry_delay_ms=1_000, observe=observe)

    def start(self) -> None:
        """Let the workers work."""
        for _ in range(self.workers):
            self.begin_with(self.new_worker())

    def begin_with(self, worker: Worker) -> None:
        """Let one worker work."""
        queue, journal = self.local.queue, self.store.journal
        pump = Pump(queue, self._counted(worker), self.clock, journal=journal, lines=worker.lines)
        self._running.append(asyncio.create_task(pump.run()))

    def _counted(self, worker: Worker) -> Callable[[QueueItem, int], Awaitable[int | None]]:
        async def handle(item: QueueItem, deliveries: int) -> int | None:
            self.handled += 1
            return await worker.handle(item, deliveries)

        return handle

    async def stop(self) -> None:
        """Let nobody work any more."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        self._running.clear()

    async def send(self, count: int = 1, **data: Any) -> list[Event]:
        """Send events, numbered through from 1; ``data`` is in each."""
        return [await self._send(data) for _ in range(count)]

    async def send_as(self, own_id: str) -> Event:
        """Send an event with an id of the sender's own, a millisecond from now."""
        await self.clock.advance(1)
        return await self._send({}, own_id)

    async def _send(self, data: Mapping[str, Any], own_id: str | None = None) -> Event:
        self._sent += 1
        now_ms = self.clock.now_ms()
        internal_id = ulid_from(now_ms, sha256(str(self._sent).encode()).digest()[:2] + self._sent.to_bytes(8))
        event = Event(internal_id, EVENT, own_id or internal_id, now_ms, now_ms, data={**data, "n": self._sent})
        await self.store.journal.put_event(event)
        await self.local.queue.send([items.route(internal_id, now_ms).item])
        return event

    async def send_at(self, *times_ms: int, **data: Any) -> list[Event]:
        """Send an event at each of those times since the stage was set."""
        sent = []
        for at_ms in times_ms:
            await self.until(at_ms)
            sent.append(await self._send(data))
        return sent

    def runs(self) -> list[tuple[int, tuple[int, ...]]]:
        """When each call began, and with which events."""
        return [(call.began_ms, call.events) for call in self.calls]

    async def until(self, at_ms: int) -> None:
        """Let time pass up to ``at_ms`` since the stage was set."""
        await self.clock.advance(at_ms - self.now_ms)

    def starts(self, slug: str = SLUG) -> list[int]:
        """When the first call of each run began, in order."""
        first: dict[str, int] = {}
        for call in sorted(self.calls, key=lambda call: call.began_ms):
            if call.slug == slug:
                first.setdefault(call.run_id, call.began_ms)
        return list(first.values())

    async def headers(self) -> list[RunHeader]:
        """All runs, oldest first."""
        journal: Journal = self.store.journal
        return list(reversed(await journal.list_runs(RunFilter(), cursor=None, limit=10_000)))

    def body_bytes_max(self, _url: str) -> int | None:
        """No call is too large."""
        return None

    async def call(self, url: str, headers: Mapping[str, str], body: bytes) -> HttpReply:
        """Take the time that the call takes."""
        request = decode_call_request(decode(body))
        (slug,) = parse_qs(urlsplit(url).query)["fnId"]
        data = request.events[0]["data"]
        events = tuple(event["data"]["n"] for event in request.events)
        began_ms = self.now_ms
        self.under_way += 1
        self.most_at_once = max(self.most_at_once, self.under_way)
        self.begun.append((data["n"], began_ms))
        try:
            await self.clock.sleep_until(self.clock.now_ms() + self.play.call_ms(data))
        finally:
            self.under_way -= 1
        self.calls.append(Called(request.ctx.run_id, data["n"], began_ms, self.now_ms, slug, events))
        status, answer = self.play.answer(request, headers[names.STEP_ID])
        return HttpReply(status, {names.SDK: "test:v1", names.REQUEST_VERSION: "2"}, encode(answer))


def at_once(calls: list[Called]) -> int:
    """How many of the calls were under way at one moment, at most."""
    changes = sorted([(call.ended_ms, -1) for call in calls] + [(call.began_ms, 1) for call in calls])
    most = under_way = 0
    for _, change in changes:
        under_way += change
        most = max(most, under_way)
    return most


@asynccontextmanager
async def a_stage(
    store: str, play: Play | None = None, *, workers: int = 1, others: Mapping[str, Any] | None = None, **options: Any
) -> AsyncIterator[Stage]:
    """A stage with one function of those options, on ``store``: sqlite or dynamodb."""
    local = LocalBackend.open(None)
    try:
        async with _opened(store, local) as opened:
            stage = Stage(opened, local, VirtualClock(), play or Play(), {SLUG: options, **(others or {})}, workers)
            await stage.register(stage.options)
            stage.start()
            try:
                yield stage
            finally:
                await stage.stop()
    finally:
        local.close()


@asynccontextmanager
async def _opened(store: str, local: LocalBackend) -> AsyncIterator[Store]:
    if store == "sqlite":
        yield local
        return
    from tests.orchestrator.aws.bed import a_bed  # whoever runs on SQLite does not wait for boto3

    with a_bed() as bed:
        yield bed.backend()
