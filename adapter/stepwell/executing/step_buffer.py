"""The steps that one call has executed and the server does not know of yet, and how long the call goes on."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from types import TracebackType
from typing import Final, Self

from stepwell.authoring.checkpointing import Pace
from stepwell.executing.runtime import Runtime
from stepwell.executing.saving import Save, Saved, Saver
from stepwell.wire.call import CallRequest
from stepwell.wire.checkpoint import Checkpoint
from stepwell.wire.encoding import encode
from stepwell.wire.opcodes import Opcode
from stepwell.wire.reply import Instructions
from stepwell.wire.times import SECOND_MS

BUFFERED_BYTES_MAX: Final = 1024 * 1024
"""What steps may come to together, so that a reply with all of them is no longer than the longest of one step."""

_TICK_NS: Final = 1_000


class NotSavedError(Exception):
    """Steps could not be saved: they are to be reported in the reply, at once."""


class SupersededError(Exception):
    """The server has no use for this call any more."""


class Unsaved:
    """What one call has executed; used as a context, and never for two calls.

    Without a ``pace``, or where the call request does not allow it, it saves nothing and holds nothing: each step ends
    its call. So does the first success of a call that is itself a repetition (protocol 9.1).
    """

    def __init__(self, call: CallRequest, target: str | None, pace: Pace | None, runtime: Runtime) -> None:
        ctx = call.ctx
        allowed = target is None and ctx.fn_id and ctx.qi_id and not ctx.disable_immediate_execution
        self._ctx = ctx
        self._runtime = runtime
        self._pace = pace
        self._saver: Saver | None = runtime.saver if allowed and ctx.attempt == 0 and pace is not None else None
        self._opcodes: list[Opcode] = []
        self._sizes: list[int] = []
        self._started_ms = 0 if self._saver is None else runtime.now_ms()
        self._began_ms: int | None = None
        self._longest_ms = 0
        self._place_ns = 0
        self._oldest_ms = 0
        self._timer: asyncio.Task[None] | None = None
        self._saving = asyncio.Lock()
        self._problem: Exception | None = None
        self._connection = AsyncExitStack()
        self._save: Save | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop_timer()
        await self._connection.aclose()

    @property
    def goes_on(self) -> bool:
        """Whether the call goes on after a step that succeeds now."""
        return self._saver is not None and self._saver.available and self._in_time()

    @property
    def begins(self) -> bool:
        """Whether another step may begin: the first always, a later one when it can be expected to end in time."""
        return self._began_ms is None or self._in_time()

    def note_begin(self) -> None:
        """A step begins."""
        if self._saver is None:
            return
        self._longest_ms = self._longest_turn_ms()
        self._began_ms = self._runtime.now_ms()

    async def add(self, opcode: Opcode, size: int) -> None:
        """Hold a step that succeeded, its result ``size`` bytes long."""
        if sum(self._sizes) + size > BUFFERED_BYTES_MAX:
            await self.save()
        if not self._opcodes:
            self._oldest_ms = self._runtime.now_ms()
        self._opcodes.append(self._placed(opcode))
        self._sizes.append(size)
        self._start_timer()

    async def save_due(self) -> bool:
        """Save what the pace does not let wait any longer; whether that was anything. Raises as ``save`` does."""
        pace = self._pace
        if pace is None or not self._opcodes:
            return False
        interval_ms = pace.max_interval_ms
        waited_ms = self._runtime.now_ms() - self._oldest_ms
        if len(self._opcodes) < pace.buffered_steps and (interval_ms is None or waited_ms < interval_ms):
            return False
        await self.save()
        return True

    async def save(self) -> None:
        """Save everything. Raises NotSavedError or SupersededError; what is unsaved then stays so."""
        async with self._saving:
            if self._problem is not None:
                raise self._problem
            if self._opcodes:
                await self._save_all()

    async def reply(self, *opcodes: Opcode) -> Instructions:
        """A reply with what is unsaved and then ``opcodes``, as far as they fit. Raises as ``save`` does."""
        if isinstance(self._problem, SupersededError):
            raise self._problem
        if self._opcodes and self._problem is None:
            size = len(encode([opcode.encode() for opcode in opcodes]))
            if sum(self._sizes) + size > BUFFERED_BYTES_MAX:
                await self.save()
        self._stop_timer()
        return Instructions((*self._opcodes, *opcodes))

    def remainder(self) -> Instructions:
        """A reply with what could not be saved."""
        return Instructions(tuple(self._opcodes))

    @property
    def empty(self) -> bool:
        """Whether everything that was executed is saved."""
        return not self._opcodes

    def _in_time(self) -> bool:
        """Whether a step as long as the longest so far, with what it takes to save it, would end in time."""
        now_ms, ends_at_ms = self._runtime.now_ms(), self._runtime.ends_at_ms
        if self._pace is not None and now_ms - self._started_ms >= self._pace.max_runtime_ms:
            return False
        return ends_at_ms is None or now_ms + self._longest_turn_ms() < ends_at_ms

    def _longest_turn_ms(self) -> int:
        """The longest time from the beginning of a step to that of the next, or until now."""
        turn_ms = 0 if self._began_ms is None else self._runtime.now_ms() - self._began_ms
        return max(self._longest_ms, turn_ms)

    def _placed(self, opcode: Opcode) -> Opcode:
        """The opcode, begun after those before it also where the clock has not moved: servers may sort by it."""
        started_ns = max(opcode.started_ns or 0, self._place_ns + _TICK_NS)
        self._place_ns = started_ns
        return replace(opcode, started_ns=started_ns)

    async def _save_all(self) -> None:
        batch = tuple(self._opcodes)
        match await self._saved(batch):
            case Saved.YES:
                del self._opcodes[: len(batch)], self._sizes[: len(batch)]
                self._oldest_ms = self._runtime.now_ms()
            case Saved.NO:
                self._problem = NotSavedError()
                raise self._problem
            case Saved.SUPERSEDED:
                self._problem = SupersededError()
                raise self._problem

    async def _saved(self, batch: tuple[Opcode, ...]) -> Saved:
        if self._saver is None:
            return Saved.NO
        if self._save is None:
            self._save = await self._connection.enter_async_context(self._saver.connect())
        sending = self._saver.save(self._save, self._checkpoint(batch))
        ends_at_ms = self._runtime.ends_at_ms
        if ends_at_ms is None:
            return await sending
        try:
            async with self._runtime.timeout(max(ends_at_ms - self._runtime.now_ms(), 0) / SECOND_MS):
                return await sending
        except TimeoutError:
            return Saved.NO

    def _checkpoint(self, batch: tuple[Opcode, ...]) -> Checkpoint:
        ctx = self._ctx
        return Checkpoint(
            run_id=ctx.run_id,
            fn_id=ctx.fn_id,
            qi_id=ctx.qi_id,
            request_id=ctx.request_id,
            generation_id=ctx.generation_id,
            request_started_at_ms=self._started_ms,
            ts_ms=self._runtime.now_ms(),
            steps=batch,
        )

    def _start_timer(self) -> None:
        interval_ms = None if self._pace is None else self._pace.max_interval_ms
        if self._saver is not None and interval_ms is not None and (self._timer is None or self._timer.done()):
            self._timer = asyncio.ensure_future(self._save_every(interval_ms, self._saver))

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    async def _save_every(self, interval_ms: int, saver: Saver) -> None:
        """Save while a step or the function itself goes on; what went wrong is raised when it is looked at next."""
        while self._opcodes:
            remaining_ms = self._oldest_ms + interval_ms - self._runtime.now_ms()
            if remaining_ms > 0:
                await saver.sleep_ms(remaining_ms)
                continue
            try:
                await self.save()
            except (NotSavedError, SupersededError):
                return
