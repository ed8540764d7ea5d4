"""Functions that save their steps while they are being called, for worker tests.

A program is what runs in the app at a call: it executes steps, saves them when it likes, and answers. It goes on when
the worker that called it dies, as a process elsewhere does. Gates stop it, and others, where a test wants.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from stepwell.wire.call import CallRequest
from stepwell.wire.checkpoint import Checkpoint
from stepwell.wire.ids import hash_step_id
from stepwell.wire.opcodes import Op, Opcode
from stepwell_orchestrator.accepting.checkpointing import Checkpointer
from stepwell_orchestrator.limits import DELIVERY_LEASE_MS, Limits
from stepwell_orchestrator.model.queue_item import Drive, QueueItem
from tests.orchestrator.worker.harness import Script, World, complete

SUPERSEDED = (400, {"name": "SupersededError", "message": "the call goes on elsewhere"})

Answer = tuple[int, Any]


@dataclass
class Gates:
    """Places where code waits until a test opens them."""

    reached: defaultdict[str, asyncio.Event] = field(default_factory=lambda: defaultdict(asyncio.Event))
    opened: defaultdict[str, asyncio.Event] = field(default_factory=lambda: defaultdict(asyncio.Event))

    async def stop_at(self, name: str) -> None:
        """Say that it was reached, and wait."""
        self.reached[name].set()
        await self.opened[name].wait()


@dataclass
class Call:
    """One call in the app."""

    number: int
    request: CallRequest
    saver: Saver
    bodies: Callable[[str], None]
    elapsed_ms: int = 0

    def has(self, name: str) -> bool:
        """Whether the call request has the step's memo."""
        return hash_step_id(name) in self.request.steps

    def run(self, name: str, value: Any = None) -> Opcode:
        """Execute a step's body; a millisecond later each."""
        self.bodies(name)
        self.elapsed_ms += 1
        started_ns = (self.saver.world.clock.now_ms() + self.elapsed_ms) * 1_000_000
        data = name.upper() if value is None else value
        return Opcode(Op.STEP_RUN, hash_step_id(name), name, name, data=data, started_ns=started_ns, duration_ns=0)

    async def save(self, *opcodes: Opcode) -> int:
        """Save steps; the status."""
        return await self.saver.save(self.request, *opcodes)


Program = Callable[[Call], Awaitable[Answer]]


@dataclass
class Saver:
    """The app's way to the checkpoint endpoint, which ``refuse`` may close."""

    world: World
    limits: Limits = field(default_factory=Limits)
    refuse: Callable[[int], int | None] = lambda _: None
    attempts: int = 0
    statuses: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        world = self.world
        self.checkpointer = Checkpointer(world.backend.journal, world.clock, self.limits, world.notices.append)

    async def save(self, request: CallRequest, *opcodes: Opcode) -> int:
        """Save steps of a call; the status."""
        self.attempts += 1
        refused = self.refuse(self.attempts)
        status = refused or await self.checkpointer.answer(self.checkpoint(request, *opcodes))
        self.statuses.append(status)
        return status

    def checkpoint(self, request: CallRequest, *opcodes: Opcode) -> Checkpoint:
        """What an SDK sends."""
        ctx, now_ms = request.ctx, self.world.clock.now_ms()
        return Checkpoint(
            ctx.run_id, ctx.fn_id, ctx.qi_id, ctx.request_id, ctx.generation_id, now_ms, now_ms, tuple(opcodes)
        )


class Programmed(Script):
    """A function that runs a program."""

    def __init__(self, program: Program) -> None:
        super().__init__([])
        self.program = program
        self.gates = Gates()
        self.requests: list[CallRequest] = []
        self.saver: Saver | None = None

    async def answer(self, request: CallRequest, target: str) -> Answer:
        """Run the program; it goes on when the caller does not."""
        assert self.saver is not None
        self.requests.append(request)
        self.calls.append((target, request.ctx.attempt))
        call = Call(len(self.requests), request, self.saver, self._count)
        return await asyncio.shield(asyncio.create_task(self._run(call)))

    async def _run(self, call: Call) -> Answer:
        return await self.program(call)

    def _count(self, name: str) -> None:
        self.bodies[name] += 1


def sequence(names: Sequence[str], *, before: Callable[[Call, str], Awaitable[None]] | None = None) -> Program:
    """Execute steps one by one, each saved before the next begins, then return; as SDKs do when saving fails."""

    async def program(call: Call) -> Answer:
        for name in names:
            if call.has(name):
                continue
            if before is not None:
                await before(call, name)
            opcode = call.run(name)
            status = await call.save(opcode)
            if status == 409:
                return SUPERSEDED
            if status != 200:
                return 206, [opcode.encode()]
        return 206, [complete({"done": len(names)})]

    return program


async def world_of(program: Program, **options: Any) -> tuple[World, Programmed]:
    """A world whose function runs a program, with an event sent."""
    script = Programmed(program)
    world = World(script, **options)
    script.saver = Saver(world)
    await world.register()
    await world.send()
    return world, script


async def drive_item(world: World) -> QueueItem:
    """The item that drives the only run; the event is routed first."""
    now_ms = world.clock.now_ms()
    (delivery,) = await world.backend.queue.receive(10, now_ms, now_ms + DELIVERY_LEASE_MS)
    await world.worker.handle(delivery.item, 1)
    await world.backend.queue.ack(delivery)
    (header,) = await world.headers()
    return QueueItem("driven", Drive(header.run_id, "test"), now_ms)


async def begin(world: World, script: Programmed, gate: str) -> asyncio.Task[int | None]:
    """Let a worker drive the run until its function stands at a gate."""
    driving = asyncio.create_task(world.worker.handle(await drive_item(world), 1))
    await asyncio.wait(
        [driving, asyncio.create_task(script.gates.reached[gate].wait())], return_when=asyncio.FIRST_COMPLETED
    )
    return driving


async def take_over(world: World, dead: asyncio.Task[int | None]) -> None:
    """Let the driver die, its lease run out, and another worker drive the run as far as it gets."""
    dead.cancel()
    await asyncio.gather(dead, return_exceptions=True)
    await world.clock.advance(DELIVERY_LEASE_MS + 1)
    run = await world.run()
    await world.worker.handle(QueueItem("again", Drive(run.header.run_id, "test"), world.clock.now_ms()), 1)
