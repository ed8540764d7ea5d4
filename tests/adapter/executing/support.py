"""Functions, calls and a small server to run them with, as far as the adapter can see one."""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stepwell.authoring.checkpointing import Pace
from stepwell.executing.execution import Runtime, execute
from stepwell.middleware.hooks import Chain
from stepwell.values.event import Event
from stepwell.wire.call import CallContext, CallRequest
from stepwell.wire.encoding import canonical, decode
from stepwell.wire.ids import EventIdSeed, hash_step_id
from stepwell.wire.memo import failure_memo, value_memo
from stepwell.wire.opcodes import Op, Opcode
from stepwell.wire.reply import Failed, Finished, Instructions, Outcome

_ONE_THREAD = concurrent.futures.ThreadPoolExecutor(1)
NOW_MS = 1_700_000_000_000
RUN_ID = "01HF7YAT00000G40R40M30E20A"
EVENT = {"name": "test/started", "data": {"n": 1}, "id": "e-1", "ts": NOW_MS, "user": {}}


@dataclass(frozen=True)
class Fn:
    """What ``execute`` needs to know of a function."""

    handler: Callable[[Any], Any]
    retries: int = 4
    event_types: Mapping[str, type[Event]] = field(default_factory=dict)
    id: str = "fn"
    slug: str = "app-fn"
    pace: Pace | None = None
    middleware: Chain = field(default_factory=lambda: Chain(None, ()))

    @property
    def is_async(self) -> bool:
        return inspect.iscoroutinefunction(self.handler)


async def seeded_ids(events: Sequence[Mapping[str, Any]], seed: EventIdSeed | None) -> list[str]:
    assert seed is not None
    return [seed.event_id(number) for number in range(1, len(events) + 1)]


async def nobody_waits(signal: str, data: Any) -> str | None:
    return None


def runtime(**changes: Any) -> Runtime:
    outside = {"send": seeded_ids, "send_signal": nobody_waits, "now_ms": lambda: NOW_MS, "grace_s": 60}
    return Runtime(**{**outside, **changes})


def request(
    memos: Mapping[str, Any] | None = None,
    *,
    event: Mapping[str, Any] = EVENT,
    stack: Sequence[str] | None = None,
    **ctx: Any,
) -> CallRequest:
    """A call whose ``memos``, raw by user id, finished in the order they are written in, or in that of ``stack``."""
    steps = {hash_step_id(name): memo for name, memo in (memos or {}).items()}
    order = steps if stack is None else [hash_step_id(name) for name in stack]
    return CallRequest(
        event, CallContext(**{"run_id": RUN_ID, "max_attempts": 5, "stack": tuple(order), **ctx}), steps=steps
    )


async def call(
    handler: Callable[[Any], Any] | Fn,
    memos: Mapping[str, Any] | None = None,
    *,
    target: str | None = None,
    **options: Any,
) -> Outcome:
    """One call: the function with these memos; ``target`` is a user id."""
    function = handler if isinstance(handler, Fn) else Fn(handler)
    used = options.pop("runtime", runtime())
    hashed = None if target is None else hash_step_id(target)
    return await execute(function, request(memos, **options), target=hashed, runtime=used)


def data(value: Any) -> dict[str, Any]:
    """The memo of a step that gave ``value``."""
    return value_memo(value)


def error(message: str, name: str = "ValueError") -> dict[str, Any]:
    """The memo of a step that failed for good."""
    return {"error": {"name": name, "message": message}}


def ops(outcome: Outcome) -> list[tuple[str, str]]:
    """What was reported: (opcode, user id) in order."""
    assert isinstance(outcome, Instructions), outcome
    return [(opcode.op.value, label(opcode)) for opcode in outcome.opcodes]


def only(outcome: Outcome) -> Opcode:
    """The one opcode that was reported."""
    assert isinstance(outcome, Instructions), outcome
    (opcode,) = outcome.opcodes
    return opcode


def result(outcome: Outcome) -> Any:
    """What the function returned."""
    assert isinstance(outcome, Finished), outcome
    return outcome.result


def failure(outcome: Outcome) -> Failed:
    """The failure of the call."""
    assert isinstance(outcome, Failed), outcome
    return outcome


def label(opcode: Opcode) -> str:
    return f"{opcode.user_id}:{opcode.user_index}" if opcode.user_index else str(opcode.user_id)


def modes(outcome: Outcome) -> set[str | None]:
    assert isinstance(outcome, Instructions), outcome
    return {opcode.parallel_mode for opcode in outcome.opcodes}


@dataclass(frozen=True)
class Item:
    """One thing to do: call for discovery, call for a step, or end a sleep."""

    kind: str
    hashed: str | None = None
    attempt: int = 0


@dataclass
class Server:
    """Drives one run to its end as protocol 5.5, 5.6 and 6.2 say; ``seed`` shuffles what happens next."""

    function: Fn
    seed: int | None = None
    max_attempts: int = 5
    context: Mapping[str, Any] = field(default_factory=dict)
    runtime: Runtime = field(default_factory=lambda: runtime())
    memos: dict[str, Any] = field(default_factory=dict)
    stack: list[str] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    replies: list[Outcome] = field(default_factory=list)
    outcome: Outcome | None = None
    _queue: list[Item] = field(default_factory=lambda: [Item("discover")])
    _started: set[str] = field(default_factory=set)
    _pending: set[str] = field(default_factory=set)
    _force_plan: bool = False

    async def run(self) -> Outcome:
        rng = None if self.seed is None else random.Random(self.seed)
        for _ in range(500):
            if self.outcome is not None:
                return self.outcome
            assert self._queue, f"the run stalled after {self.calls}"
            item = self._queue.pop(0 if rng is None else rng.randrange(len(self._queue)))
            await self._do(item)
        raise AssertionError(f"the run does not end: {self.calls[-10:]}")

    @property
    def history(self) -> list[str]:
        """The user ids of the finished steps, in order."""
        return [self.labels[hashed] for hashed in self.stack]

    async def call(self, item: Item, finished: int | None = None) -> Outcome:
        """One call with the first ``finished`` steps of the journal."""
        stack = self.stack[:finished]
        ctx = CallContext(
            RUN_ID,
            attempt=item.attempt,
            max_attempts=self.max_attempts,
            stack=tuple(stack),
            disable_immediate_execution=self._force_plan,
            **self.context,
        )
        steps = decode(canonical({hashed: self.memos[hashed] for hashed in stack}))
        request = CallRequest(EVENT, ctx, steps=steps)
        return await execute(self.function, request, target=item.hashed, runtime=self.runtime)

    async def _do(self, item: Item) -> None:
        if item.kind == "wake":
            self._save(str(item.hashed), None, race=False)
            return
        if item.hashed in self.memos:
            return
        self.calls.append(self.labels.get(str(item.hashed), "discover"))
        outcome = await self.call(item)
        self.replies.append(outcome)
        if isinstance(outcome, Instructions):
            self._apply(outcome, item)
        elif isinstance(outcome, Failed) and not outcome.no_retry and item.attempt + 1 < self.max_attempts:
            self._queue.append(Item(item.kind, item.hashed, item.attempt + 1))
        else:
            self.outcome = outcome

    def _apply(self, reply: Instructions, item: Item) -> None:
        self.labels |= {opcode.id: label(opcode) for opcode in reply.opcodes}
        if len(reply.opcodes) > 1:
            self._force_plan = True
            self._pending |= {opcode.id for opcode in reply.opcodes} - set(self.memos)
        for opcode in reply.opcodes:
            match opcode.op:
                case Op.STEP_PLANNED:
                    self._start(Item("step", opcode.id))
                case Op.SLEEP:
                    self._start(Item("wake", opcode.id))
                case Op.STEP_RUN:
                    self._save(opcode.id, value_memo(opcode.data), race=opcode.parallel_mode == "race")
                case Op.STEP_FAILED:
                    assert opcode.error is not None
                    self._save(opcode.id, failure_memo(opcode.error), race=opcode.parallel_mode == "race")
                case Op.RUN_COMPLETE:
                    self.outcome = Finished(opcode.data)
                case Op.STEP_ERROR:
                    self._queue.append(Item(item.kind, item.hashed, item.attempt + 1))
                case _:
                    raise AssertionError(f"unexpected {opcode}")

    def _start(self, item: Item) -> None:
        if item.hashed not in self._started:
            self._started.add(str(item.hashed))
            self._queue.append(item)

    def _save(self, hashed: str, memo: Any, *, race: bool) -> None:
        if hashed not in self.memos:
            self.memos[hashed] = memo
            self.stack.append(hashed)
        self._pending.discard(hashed)
        if not self._pending:
            self._force_plan = False
        if (race or not self._pending) and Item("discover") not in self._queue:
            self._queue.append(Item("discover"))


async def finish(handler: Callable[[Any], Any] | Fn, **options: Any) -> Server:
    """Drive a function to its end."""
    server = Server(handler if isinstance(handler, Fn) else Fn(handler), **options)
    await server.run()
    return server


async def io(delay_s: float = 0.001) -> None:
    """Something a function waits for that is no step: work in a thread. What is begun first ends first."""
    await asyncio.get_running_loop().run_in_executor(_ONE_THREAD, time.sleep, delay_s)


async def never() -> None:
    """The same without an end, unless it is cancelled."""
    await asyncio.wrap_future(concurrent.futures.Future[None]())


async def give(value: Any) -> Any:
    """A step body."""
    return value


async def fail(message: str = "no") -> None:
    """A step body that raises."""
    raise ValueError(message)
