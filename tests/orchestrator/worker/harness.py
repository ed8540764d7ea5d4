"""A world for worker tests: the real worker and engine, SQLite in memory, a clock that stands still, and a tiny SDK.

The SDK runs a script: a list of stages, each a list of step names. A stage with one step runs it in place; a stage
with several plans them. ``sleep:<duration>`` names sleep, and names among ``ops`` report that opcode with those
options. Bodies are counted, and may be told to fail first. What it defers comes with the first reply that has opcodes.
"""

from __future__ import annotations

import asyncio
import weakref
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, urlsplit

from stepwell.wire import headers as names
from stepwell.wire.call import DISCOVERY_STEP_ID, CallRequest, decode_call_request
from stepwell.wire.encoding import decode, encode
from stepwell.wire.ids import hash_step_id, ulid_from
from stepwell.wire.registration import Trigger
from stepwell_orchestrator.engine.waits import items
from stepwell_orchestrator.entry.virtual_clock import VirtualClock
from stepwell_orchestrator.limits import DELIVERY_LEASE_MS
from stepwell_orchestrator.local.backend import LocalBackend
from stepwell_orchestrator.model.event import Event
from stepwell_orchestrator.model.function import App, Function
from stepwell_orchestrator.model.notice import Notice
from stepwell_orchestrator.model.run import Run, RunHeader
from stepwell_orchestrator.model.step import StepEntry
from stepwell_orchestrator.ports import EventFilter, HttpReply, Ports, RunFilter
from stepwell_orchestrator.worker import Worker

SLUG = "shop-fulfil"
LATER = "shop-later"
DEFERRED = Trigger("inngest/deferred.schedule", f"event.data._inngest.fn_slug == '{LATER}'")


@dataclass
class Script:
    """A scripted function. ``fails`` says how many attempts of a step fail; ``race`` marks parallel steps as racing.

    Any of it may be changed while a run is under way, as new code would. ``given_up`` are steps that it waits for no
    longer.
    """

    stages: Sequence[Sequence[str]]
    fails: Mapping[str, int] = field(default_factory=dict)
    ops: Mapping[str, tuple[str, Mapping[str, Any]]] = field(default_factory=dict)
    race: bool = False
    function_fails: int = 0
    given_up: Sequence[str] = ()
    result: Any = field(default_factory=lambda: {"done": True})
    triggers: tuple[Trigger, ...] = ()
    defers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    bodies: Counter[str] = field(default_factory=Counter)
    calls: list[tuple[str, int]] = field(default_factory=list)
    before_reply: Callable[[str], Awaitable[None]] | None = None

    def headers(self, request: CallRequest, target: str) -> dict[str, str]:
        """Headers of a reply beyond those of every SDK."""
        return {names.GIVEN_UP: ",".join(map(hash_step_id, self.given_up))}

    async def answer(self, request: CallRequest, target: str) -> tuple[int, Any]:
        """The status and JSON body of a reply."""
        self.calls.append((target, request.ctx.attempt))
        if self.before_reply is not None:
            await self.before_reply(target)
        if target == DISCOVERY_STEP_ID and request.ctx.attempt < self.function_fails:
            return 500, {"name": "RuntimeError", "message": "not yet"}
        for stage in self.stages:
            open_steps = [name for name in stage if hash_step_id(name) not in request.steps]
            if open_steps:
                return 206, [*self._report(stage, open_steps, request, target), *self._defer(request)]
        deferred = self._defer(request)
        return (206, [*deferred, complete(self.result)]) if deferred else (200, self.result)

    def _defer(self, request: CallRequest) -> list[dict[str, Any]]:
        open_names = [name for name in self.defers if hash_step_id(name) not in request.defers]
        return [defer_add(name, self.defers[name]) for name in open_names]

    def _report(self, stage: Sequence[str], open_steps: list[str], request: CallRequest, target: str) -> list[Any]:
        if target != DISCOVERY_STEP_ID:
            wanted = [name for name in open_steps if hash_step_id(name) == target]
            return [self._plan(name) if self._is_planned(name) else self._run(name, request) for name in wanted]
        (first, *_) = stage
        in_place = len(stage) == 1 and not request.ctx.disable_immediate_execution
        if in_place and not self._is_planned(first):
            return [self._run(first, request)]
        return [self._plan(name) for name in open_steps]

    def _is_planned(self, name: str) -> bool:
        return name.startswith("sleep:") or name in self.ops

    def _plan(self, name: str) -> dict[str, Any]:
        opts: dict[str, Any] = {"parallelMode": "race"} if self.race else {}
        op = "StepPlanned"
        if name.startswith("sleep:"):
            op, opts = "Sleep", {**opts, "duration": name.removeprefix("sleep:")}
        elif name in self.ops:
            op, opts = self.ops[name][0], {**opts, **self.ops[name][1]}
        return {"op": op, "id": hash_step_id(name), "name": name, "opts": opts}

    def _run(self, name: str, request: CallRequest) -> dict[str, Any]:
        self.bodies[name] += 1
        opts = {"parallelMode": "race"} if self.race else {}
        common = {"id": hash_step_id(name), "name": name, "opts": opts}
        if request.ctx.attempt < self.fails.get(name, 0):
            last = request.ctx.attempt + 1 >= (request.ctx.max_attempts or 1)
            error = {"name": "ValueError", "message": f"{name} failed"}
            return {"op": "StepFailed" if last else "StepError", "error": error, **common}
        return {"op": "StepRun", "data": name.upper(), **common}


def complete(result: Any) -> dict[str, Any]:
    """The opcode that says that the function returned."""
    return {"op": "RunComplete", "id": hash_step_id("complete"), "data": result}


def defer_add(name: str, data: Any, **opts: Any) -> dict[str, Any]:
    """The opcode that defers the function ``LATER``."""
    opts = {"fn_slug": LATER, "input": data, **opts}
    return {"op": "DeferAdd", "id": hash_step_id(name), "name": name, "opts": opts}


class ScriptInvoker:
    """Carries calls to the script of the function that is called."""

    def __init__(self, scripts: Mapping[str, Script]) -> None:
        self._scripts = scripts

    def body_bytes_max(self, url: str) -> int | None:
        return None

    async def call(self, url: str, headers: Mapping[str, str], body: bytes) -> HttpReply:
        request = decode_call_request(decode(body))
        (slug,) = parse_qs(urlsplit(url).query)["fnId"]
        script, target = self._scripts[slug], headers[names.STEP_ID]
        status, answer = await script.answer(request, target)
        sent = {names.SDK: "test:v1", names.REQUEST_VERSION: "2", **script.headers(request, target)}
        return HttpReply(status, sent, encode(answer))


class World:
    """One function on ``order/created``, others that are only invoked, one backend, as many workers as a test wants."""

    def __init__(
        self,
        script: Script,
        *,
        retries: int = 4,
        options: Mapping[str, Any] | None = None,
        others: Mapping[str, Script] | None = None,
    ) -> None:
        self.script = script
        self.scripts = {SLUG: script, **(others or {})}
        self.clock = VirtualClock()
        self.backend = LocalBackend.open(None)
        weakref.finalize(self.backend.journal, self.backend.database.close)
        self.notices: list[Notice] = []
        self.handled: list[str] = []
        self.function = Function(
            SLUG, "shop", "Fulfil", "http://app.test/api", (Trigger("order/created"),), retries, options or {}
        )
        self.worker = self.new_worker(self.backend.journal, self.backend.queue)

    def new_worker(self, journal: Any, queue: Any, waits: Any = None) -> Worker:
        """A worker on the given ports."""
        invoker = ScriptInvoker(self.scripts)
        return Worker(
            Ports(
                journal,
                waits or self.backend.waits,
                self.backend.registry,
                queue,
                invoker,
                self.clock,
                flow=self.backend.flow,
            ),
            retry_delay_ms=1_000,
            observe=self.notices.append,
        )

    async def register(self) -> None:
        """Make the function known."""
        app = App("shop", "http://app.test/api", "test:v1", "", "sum", self.clock.now_ms())
        others = [
            replace(self.function, slug=slug, triggers=script.triggers)
            for slug, script in self.scripts.items()
            if slug != SLUG
        ]
        await self.backend.registry.put_app(app, [self.function, *others])

    async def send(self, name: str = "order/created", *, number: int = 1, **changes: Any) -> Event:
        """Store an event and queue it, as ingest does. ``number`` tells apart events of one name."""
        internal_id = ulid_from(self.clock.now_ms(), sha256(f"{name}{number}".encode()).digest()[:10])
        now_ms = self.clock.now_ms()
        fields = {"id": internal_id, "ts_ms": now_ms, "received_at_ms": now_ms, **changes}
        event = Event(internal_id=internal_id, name=name, **fields)
        await self.backend.journal.put_event(event)
        await self.backend.queue.send([items.route(internal_id, now_ms).item])
        return event

    async def settle(self, *, copies: int = 1, worker: Worker | None = None) -> None:
        """Handle everything that is due, all of it at once, ``copies`` times each, until nothing is."""
        while True:
            now_ms = self.clock.now_ms()
            deliveries = await self.backend.queue.receive(1_000, now_ms, now_ms + DELIVERY_LEASE_MS)
            if not deliveries:
                return
            await asyncio.gather(*(self._deliver(delivery, copies, worker or self.worker) for delivery in deliveries))

    async def _deliver(self, delivery: Any, copies: int, worker: Worker) -> None:
        self.handled.append(delivery.item.id)
        handled = await asyncio.gather(*(worker.handle(delivery.item, delivery.deliveries) for _ in range(copies)))
        due = [at_ms for at_ms in handled if at_ms is not None]
        if due:
            await self.backend.queue.postpone(delivery, min(due))
        else:
            await self.backend.queue.ack(delivery)

    async def run_to_end(self, *, copies: int = 1) -> None:
        """Settle, jump to the next due time, and so on until the queue is empty."""
        while True:
            await self.settle(copies=copies)
            next_ms = await self.backend.queue.next_at_ms()
            if next_ms is None:
                return
            await self.clock.advance(max(0, next_ms - self.clock.now_ms()))

    async def headers(self, slug: str = SLUG) -> list[RunHeader]:
        """The runs of a function, oldest first."""
        found = await self.backend.journal.list_runs(RunFilter(function_id=slug), cursor=None, limit=100)
        return list(reversed(found))

    async def run(self, slug: str = SLUG) -> Run:
        """The only run of a function."""
        (header,) = await self.headers(slug)
        run = await self.backend.journal.load(header.run_id)
        assert run is not None
        return run

    async def entry(self, name: str) -> StepEntry:
        """A step of the only run."""
        return (await self.run()).entries[hash_step_id(name)]

    async def pass_time(self, duration_ms: int) -> None:
        """Settle, let time pass, settle."""
        await self.settle()
        await self.clock.advance(duration_ms)
        await self.settle()

    async def events_named(self, name: str) -> list[Event]:
        """The stored events of one name."""
        wanted = EventFilter(name=name, include_internal=True)
        return await self.backend.journal.list_events(wanted, cursor=None, limit=100)
