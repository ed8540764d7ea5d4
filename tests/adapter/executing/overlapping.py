"""A server whose discoveries overlap: one for each finished step of a race, each called while others are under way.

It behaves as the product's own does in the captures: what a reply of several steps names is what is pending from then
on, whatever has finished meanwhile; a result that comes twice changes nothing; what is planned is queued once; and an
empty reply is followed by another discovery.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from stepwell.wire.call import CallContext, CallRequest
from stepwell.wire.encoding import canonical, decode
from stepwell.wire.memo import failure_memo, value_memo
from stepwell.wire.opcodes import Op, Opcode
from stepwell.wire.reply import Failed, Finished, Instructions, Outcome
from tests.adapter.executing.support import EVENT, RUN_ID, Fn, execute, label, runtime

ENDS = {Op.SLEEP: None, Op.INVOKE_FUNCTION: {"data": "child"}, Op.WAIT_FOR_SIGNAL: {"data": {"signal": "s", "data": 1}}}
"""What ends each wait, as its memo."""


@dataclass(frozen=True)
class Item:
    """A call to be made: of the step ``target``, or a discovery; ``cause`` is the step it follows."""

    target: str | None = None
    cause: str = ""
    attempt: int = 0


@dataclass
class OverlappingServer:
    """Drives one run. ``seed`` decides what happens next of all that may; None makes every call before any reply."""

    function: Fn
    seed: int | None = None
    context: Mapping[str, Any] = field(default_factory=dict)
    memos: dict[str, Any] = field(default_factory=dict)
    stack: list[str] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    modes: dict[str, str | None] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    outcome: Outcome | None = None
    _queue: list[Item] = field(default_factory=lambda: [Item()])
    _replies: list[tuple[Item, Outcome]] = field(default_factory=list)
    _waits: list[Opcode] = field(default_factory=list)
    _known: set[tuple[str, str]] = field(default_factory=set)
    _pending: set[str] = field(default_factory=set)
    _plan_all: bool = False

    async def run(self) -> Outcome:
        """Carry the run on until it ends. It must not stall."""
        rng = None if self.seed is None else random.Random(self.seed)
        for _ in range(500):
            if self.outcome is not None:
                return self.outcome
            sources: list[list[Any]] = [each for each in (self._queue, self._replies, self._waits) if each]
            assert sources, f"the run is never called again after {self.calls}; pending: {self._names(self._pending)}"
            source = sources[0] if rng is None else rng.choice(sources)
            await self._do(source.pop(0 if rng is None else rng.randrange(len(source))))
        raise AssertionError(f"the run does not end: {self.calls[-10:]}")

    @property
    def ended(self) -> Outcome:
        """How the run ended."""
        assert self.outcome is not None
        return self.outcome

    def _names(self, hashed: set[str]) -> list[str]:
        return sorted(self.labels[each] for each in hashed)

    async def _do(self, what: Item | tuple[Item, Outcome] | Opcode) -> None:
        match what:
            case Item():
                self._replies.append((what, await self._call(what)))
            case Opcode():
                self._save(what, ENDS[what.op])
            case (item, Instructions() as reply):
                self._apply(reply, item)
            case (item, Failed() as failed) if not failed.no_retry and item.attempt < 4:
                self._queue.append(Item(item.target, item.cause, item.attempt + 1))
            case (_, outcome):
                self.outcome = outcome

    async def _call(self, item: Item) -> Outcome:
        self.calls.append(self.labels.get(str(item.target), "discover"))
        ctx = CallContext(
            RUN_ID,
            attempt=item.attempt,
            max_attempts=5,
            stack=tuple(self.stack),
            stack_current=self.stack.index(item.cause) + 1 if item.cause in self.stack else len(self.stack),
            disable_immediate_execution=self._plan_all,
            **self.context,
        )
        request = CallRequest(EVENT, ctx, steps=decode(canonical(self.memos)))
        return await execute(self.function, request, target=item.target, runtime=runtime())

    def _apply(self, reply: Instructions, item: Item) -> None:
        self.labels |= {opcode.id: label(opcode) for opcode in reply.opcodes}
        if len(reply.opcodes) > 1:
            self._plan_all = True
            self._pending = {opcode.id for opcode in reply.opcodes}
        if not reply.opcodes:
            self._queue.append(Item(cause=item.cause))
        for opcode in reply.opcodes:
            self._take(opcode, item)

    def _take(self, opcode: Opcode, item: Item) -> None:
        match opcode.op:
            case Op.STEP_RUN:
                self._save(opcode, value_memo(opcode.data))
            case Op.STEP_FAILED:
                assert opcode.error is not None
                self._save(opcode, failure_memo(opcode.error))
            case Op.STEP_ERROR:
                self._queue.append(Item(item.target, item.cause, item.attempt + 1))
            case Op.RUN_COMPLETE:
                self.outcome = Finished(opcode.data)
            case Op.STEP_PLANNED if self._is_new("step", opcode.id):
                self._queue.append(Item(opcode.id, item.cause))
            case op if op in ENDS and self._is_new("wait", opcode.id):
                self._waits.append(opcode)
            case _:
                assert opcode.op in (Op.STEP_PLANNED, *ENDS), opcode
        self.modes.setdefault(label(opcode), opcode.parallel_mode)

    def _is_new(self, kind: str, hashed: str) -> bool:
        new = (kind, hashed) not in self._known
        self._known.add((kind, hashed))
        return new

    def _save(self, opcode: Opcode, memo: Any) -> None:
        if opcode.id in self.memos:
            return
        self.memos[opcode.id] = memo
        self.stack.append(opcode.id)
        self._pending.discard(opcode.id)
        self._plan_all = self._plan_all and bool(self._pending)
        if (opcode.parallel_mode == "race" or not self._pending) and self._is_new("discover", opcode.id):
            self._queue.append(Item(cause=opcode.id))


async def finish_overlapping(handler: Callable[[Any], Any], **options: Any) -> OverlappingServer:
    """Drive a function to its end."""
    server = OverlappingServer(Fn(handler), **options)
    await server.run()
    return server
