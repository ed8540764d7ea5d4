"""One world from one seed: workers, functions, clients and faults on a virtual clock, first in trouble, then healed."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from stepwell.wire.times import DAY_MS, SECOND_MS
from stepwell_orchestrator.entry.virtual_clock import VirtualClock
from stepwell_orchestrator.limits import DELIVERY_LEASE_MS, SWEEP_MS
from stepwell_orchestrator.local.queue import Delivery
from stepwell_orchestrator.model.function import App
from tests.sim.backends import BackendName, costs, odds, open_backend
from tests.sim.chance import OF_DELIVERIES, Fault, Faults, Knobs, Lots, stream
from tests.sim.checkers import Bounds, Moment, ViolationError
from tests.sim.corpus import APP, URL, draw_corpus
from tests.sim.coverage import Coverage
from tests.sim.deferral_checker import Deferrals
from tests.sim.facts import Fact, Trouble, WorkLost
from tests.sim.final import Ledger, check_at_rest, check_end
from tests.sim.front import Front
from tests.sim.line import Functions, Line
from tests.sim.names import Names, run_id_of
from tests.sim.node import InjectedError, Node
from tests.sim.plan import Plan, lived
from tests.sim.promises import all_checkers
from tests.sim.setting import Setting
from tests.sim.ticks import Ticks
from tests.sim.trace import Trace
from tests.sim.witness import HANDLING, Handling
from tests.sim.workload import HALTED_MAX_MS, Workload

T = TypeVar("T")

TURNS_MAX: Final = 100_000
"""Far more than any world needs: a world that takes more is going round in circles."""

_REPLACED_WITHIN_MS: Final = 20 * SECOND_MS
_STALE_AFTER_MS: Final = 5 * 60 * SECOND_MS
_BATCH: Final = 50


@dataclass(slots=True)
class Work:
    """A handling and the worker that does it."""

    node: Node
    handling: Handling


class World:
    """Everything of one seed that the plan lets in.

    ``live`` runs it to its end and raises ViolationError when a promise is broken.
    """

    def __init__(self, seed: int, plan: Plan, backend_name: BackendName = "sqlite", *, schedules: bool = False) -> None:
        self.seed = seed
        self.plan = plan
        self.drawn = Knobs.draw(seed)
        self.knobs = lived(self.drawn, plan)
        self.lots = Lots(seed)
        self.clock = VirtualClock()
        self.trace = Trace(self.clock.now_ms)
        self.coverage = Coverage()
        self.ledger = Ledger()
        self.names = Names()
        self.faults = Faults(self.lots, self.knobs.odds | odds(backend_name, seed), plan.joins)
        self.front = Front(self)
        corpus = draw_corpus(seed, self.drawn, self.clock.now_ms, self.front)
        self.members = {slug: member for slug, member in corpus.items() if plan.has(f"function {slug}")}
        self.ticks = Ticks() if schedules else None
        if self.ticks is not None:
            self.members[self.ticks.member.function.slug] = self.ticks.member
        self.violation: ViolationError | None = None
        self._facts = 0
        bounds = Bounds(self.knobs.skew_max_ms, self.knobs.prompt_ms(costs(backend_name, seed)))
        self.workload = Workload(self, seed)
        backend = open_backend(backend_name, seed, self.tell, self._count)
        checkers = all_checkers(
            bounds, self.members, late_entries=backend.late_entries, watches_gates=backend.watches_gates
        )
        self._deferrals = Deferrals(self.members)
        self._checkers = (
            self.ledger,
            self.coverage,
            self.names,
            self._deferrals,
            *checkers,
            self.workload.aims,
            *([self.ticks] if self.ticks else []),
        )
        self.setting = Setting(
            knobs=self.knobs,
            clock=self.clock,
            backend=backend,
            lots=self.lots,
            faults=self.faults,
            trace=self.trace,
            tell=self.tell,
            count=self._count,
            entropy=stream(seed, "ids").randbytes,
            line_of=self._line,
            worker_died=self._died,
        )
        self._functions = Functions(self.setting, {slug: member.code for slug, member in self.members.items()})
        self._work: dict[asyncio.Task[Any], Work] = {}
        self._others: dict[asyncio.Task[Any], None] = {}
        self._born = 0
        self.nodes: list[Node] = []
        self._handlings = 0
        self._next_ms: int | None = None

    def _count(self) -> int:
        return self._facts

    def tell(self, fact: Fact) -> int:
        """Show a fact to every checker; its number."""
        self._facts += 1
        self.trace.fact(fact)
        for checker in self._checkers:
            try:
                checker.see(fact, Moment(self._facts, self.clock.now_ms()))
            except ViolationError as violation:
                self.break_promise(violation)
        return self._facts

    def break_promise(self, violation: ViolationError) -> None:
        """Keep the first violation; the world stops at its next turn."""
        if self.violation is None:
            self.violation = violation
            self.trace.note("checker", str(violation), violation.run_id)

    async def live(self) -> None:
        """Trouble, healing, rest. Where nobody works, nothing is promised."""
        try:
            if not self.knobs.workers:
                return
            app = App(APP, URL, "sim:v1", "", "sum", self.clock.now_ms())
            functions = [member.function for member in self.members.values()]
            await self.setting.backend.registry.put_app(app, functions)
            for skew_ms in self.knobs.skews_ms:
                self.nodes.append(self._node(skew_ms))
            if self.ticks is not None:
                await self.ticks.begin(self.setting)
                self.spawn(self.ticks.stop(self.setting, app, functions))
            self.spawn(self.workload.run())
            self.spawn(self._sweep())
            start_ms = self.clock.now_ms()
            await self._turn_until(start_ms + self.knobs.faulty_ms)
            self.faults.healed = True
            self.trace.note("world", "heals")
            # A run may start another one, and a client that lies in wait for its expiry one more.
            longest_ms = (1 + self.knobs.aims) * sum(member.longest_ms for member in self.members.values())
            longest_ms += 2 * HALTED_MAX_MS
            # Runs that wait for each other's slots may all do so one after the other.
            if any(member.options.limits.any for member in self.members.values()):
                longest_ms *= 1 + len(self.ledger.runs)
            await self._turn_until(self.clock.now_ms() + longest_ms + DAY_MS // 12)
            await check_end(self.setting, self.ledger, self.members)
            self._deferrals.check_end(self.ledger.completed)
            if self.ticks is not None:
                self.ticks.check_end()
        except ViolationError as violation:
            self.break_promise(violation)
        finally:
            await self._close()
        if self.violation is not None:
            raise self.violation

    def alive(self, whom: str) -> Node | None:
        """One of the workers that live, to do something for ``whom``."""
        return self.lots.pick(self.nodes, f"{whom} worker") if self.nodes else None

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        """Something that goes on beside the workers."""
        task = asyncio.get_running_loop().create_task(work)
        self._others[task] = None
        task.add_done_callback(self._others.pop)

    async def on(self, node: Node, run_id: str, whom: str, work: Coroutine[Any, Any, T]) -> T:
        """Do something on a worker, for ``whom``; InjectedError when it failed or died."""
        self._handlings += 1
        handling = Handling(self._handlings, run_id, self._facts, self._facts, whom)
        token = HANDLING.set(handling)
        task = node.start(work)
        HANDLING.reset(token)
        self._work[task] = Work(node, handling)
        await asyncio.wait([task])
        del self._work[task]
        if task.cancelled() or task.exception() is not None:
            self.tell(WorkLost(handling.number))
        if task.cancelled():
            raise InjectedError("the worker died")
        error = task.exception()
        if error is None:
            return task.result()
        if not isinstance(error, InjectedError):
            self.break_promise(ViolationError(5, f"a worker raised {type(error).__name__}: {error}", run_id))
        raise InjectedError("the work failed") from error

    async def _turn_until(self, end_ms: int) -> None:
        """Deliver what is due, let time pass to the next thing that happens, and so on."""
        rested_at_ms = 0
        for _ in range(TURNS_MAX):
            await self.clock.advance(0)
            delivered = await self._deliver()
            await self.clock.advance(0)
            if self.violation is not None or self.clock.now_ms() >= end_ms:
                return
            if not self._work and not delivered and self.clock.now_ms() >= rested_at_ms + SWEEP_MS:
                rested_at_ms = self.clock.now_ms()
                await check_at_rest(self.setting, self.ledger)
            if self.faults.healed and await self._is_over():
                return
            times = (self.clock.next_at_ms(), await self._next_delivery_ms(), end_ms)
            next_ms = min(time for time in times if time is not None)
            await self.clock.advance(max(0, next_ms - self.clock.now_ms()))
        raise ViolationError(5, "the world does not come to rest")

    async def _next_delivery_ms(self) -> int | None:
        """When something is due next, or may be; None while nobody could take it."""
        queue = self.setting.backend.queue
        if queue.changed.is_set():
            queue.changed.clear()
            self._next_ms = await queue.next_at_ms()
        return self._next_ms if self.nodes else None

    async def _is_over(self) -> bool:
        busy = self._work or self.ledger.open_runs() or len(self._others) > 1
        return not busy and await self.setting.backend.queue.next_at_ms() is None

    async def _deliver(self) -> bool:
        queue, now_ms, next_ms = self.setting.backend.queue, self.clock.now_ms(), await self._next_delivery_ms()
        if next_ms is None or next_ms > now_ms:
            return False
        deliveries = await queue.receive(_BATCH, now_ms, now_ms + DELIVERY_LEASE_MS)
        queue.changed.set()
        deliveries.sort(key=lambda delivery: self.lots.draw(f"{self.names.whom(delivery.item)} order"))
        for delivery in deliveries:
            outside = HANDLING.set(Handling(0, run_id_of(delivery.item), 0, 0, self.names.whom(delivery.item)))
            fault = self.setting.strike(OF_DELIVERIES, "queue", type(delivery.item.work).__name__)
            self.spawn(self._handle(delivery, late=fault is Fault.LATE))
            if fault in (Fault.TWICE, Fault.AGAIN):
                self.spawn(self._handle_copy(delivery, stale=fault is Fault.AGAIN))
            HANDLING.reset(outside)
        return bool(deliveries)

    async def _handle(self, delivery: Delivery, *, late: bool) -> None:
        if late:
            await self.setting.wait_up_to(2 * DELIVERY_LEASE_MS, "late")
        node = self.alive(self.names.whom(delivery.item))
        if node is not None:
            await self._attempt(node, delivery, self._settle(node, delivery))

    async def _handle_copy(self, delivery: Delivery, *, stale: bool) -> None:
        """A copy that comes when its original was long done is handed out until somebody has dealt with it."""
        if stale:
            await self.setting.wait_up_to(_STALE_AFTER_MS, "again")
        while True:
            node = self.alive(f"copy of {self.names.whom(delivery.item)}")
            if node is not None and await self._attempt(
                node, delivery, node.worker.handle(delivery.item, delivery.deliveries)
            ):
                return
            if not stale:
                return
            await self.clock.sleep_until(self.clock.now_ms() + DELIVERY_LEASE_MS)
            delivery = replace(delivery, deliveries=delivery.deliveries + 1)

    async def _attempt(self, node: Node, delivery: Delivery, work: Coroutine[Any, Any, Any]) -> bool:
        """Whether a worker got to the end of its work at a delivery."""
        what, run_id = self.trace.item(delivery.item), run_id_of(delivery.item)
        self.trace.note(node.name, f"gets {what} ({delivery.deliveries})", run_id)
        try:
            await self.on(node, run_id, self.names.whom(delivery.item), work)
        except InjectedError:
            self.trace.note(node.name, f"lost {what}", run_id)
            return False
        return True

    async def _settle(self, node: Node, delivery: Delivery) -> None:
        """What a pump does with a delivery."""
        renewing = asyncio.get_running_loop().create_task(self._renew(delivery))
        try:
            again_at_ms = await node.worker.handle(delivery.item, delivery.deliveries)
        finally:
            renewing.cancel()
        if again_at_ms is None:
            await node.queue.ack(delivery)
        else:
            await node.queue.postpone(delivery, again_at_ms)

    async def _renew(self, delivery: Delivery) -> None:
        while self.knobs.renews_deliveries:
            await self.clock.sleep_until(self.clock.now_ms() + DELIVERY_LEASE_MS // 3)
            await self.setting.backend.queue.renew([delivery], self.clock.now_ms() + DELIVERY_LEASE_MS)

    async def _sweep(self) -> None:
        while True:
            await self.clock.sleep_until(self.clock.now_ms() + SWEEP_MS)
            node = self.alive("sweep")
            if node is not None:
                try:
                    await self.on(node, "", "sweep", node.sweep())
                except InjectedError:
                    continue

    def _line(self, node: Node) -> Line:
        return Line(self.setting, node, self._functions)

    def _node(self, skew_ms: int) -> Node:
        self._born += 1
        return Node(self.setting, f"worker {self._born}", skew_ms)

    def _died(self, node: Node) -> None:
        """Whatever a dead worker had in hand may have to be done again; another worker takes its place."""
        self.nodes.remove(node)
        for work in self._work.values():
            if work.node is node and work.handling.run_id:
                self.tell(Trouble(work.handling.run_id, "its worker died"))
        self.spawn(self._replace())

    async def _replace(self) -> None:
        await self.setting.wait_up_to(_REPLACED_WITHIN_MS, "replacement")
        self.nodes.append(self._node(self.lots.pick(self.knobs.skews_ms, "replacement's skew")))

    async def _close(self) -> None:
        self._functions.stop()
        tasks = [*self._work, *self._others, *self.setting.in_ports]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.setting.backend.close()
