"""The way from a worker to a function and back: the Invoker port, and everything that can happen on it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

from stepwell.wire import headers as names
from stepwell.wire.call import DISCOVERY_STEP_ID, CallRequest, decode_call_request
from stepwell.wire.encoding import decode
from stepwell_orchestrator.ports import CallError, HttpReply
from tests.sim.chance import OF_CALLS, Fault
from tests.sim.facts import BodyRan, CallMade
from tests.sim.node import Node
from tests.sim.scripted import Entered
from tests.sim.setting import Setting
from tests.sim.steps import Memos, Step
from tests.sim.witness import HANDLING


class Code(Protocol):
    """A function of the corpus."""

    @property
    def steps(self) -> Sequence[Step]:
        """Everything it may do."""

    @property
    def naps_ms(self) -> int:
        """The time asleep and waiting, at most."""

    @property
    def actions(self) -> int:
        """How many things may have to be tried again."""

    def expected(self, memos: Memos, max_attempts: int) -> Any:
        """What a completed run returns. Raises FailsError when it cannot complete, MissingError when not yet."""

    async def answer(self, request: CallRequest, target: str, entered: Entered) -> HttpReply:
        """The reply to a call."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One call on its way."""

    number: int
    request: CallRequest
    target: str


class Functions:
    """The process the functions live in. A call that has reached it goes on when its caller dies."""

    def __init__(self, setting: Setting, code: Mapping[str, Code]) -> None:
        self._setting = setting
        self._code = code
        self._calls = 0
        self._running: dict[asyncio.Task[HttpReply], None] = {}

    def begin(self, request: CallRequest, target: str) -> Exchange:
        """Tell of a call."""
        self._calls += 1
        handling = HANDLING.get()
        fact = CallMade(
            call=self._calls,
            run_id=request.ctx.run_id,
            target=None if target == DISCOVERY_STEP_ID else target,
            attempt=request.ctx.attempt,
            max_attempts=request.ctx.max_attempts or 1,
            term=request.ctx.generation_id,
            handling=handling.number,
            looked=handling.looked,
            since=handling.since,
            stack=request.ctx.stack,
            memos=request.steps,
        )
        self._setting.tell(fact)
        return Exchange(self._calls, request, target)

    def run(self, slug: str, exchange: Exchange, *, delay_ms: int) -> asyncio.Task[HttpReply]:
        """Have the function answer, after ``delay_ms``."""
        work = self._run(slug, exchange, delay_ms)
        task = asyncio.get_running_loop().create_task(work)
        self._running[task] = None
        task.add_done_callback(self._running.pop)
        return task

    def stop(self) -> None:
        """End every call that is still running."""
        for task in self._running:
            task.cancel()

    async def _run(self, slug: str, exchange: Exchange, delay_ms: int) -> HttpReply:
        clock, request = self._setting.clock, exchange.request
        await clock.sleep_until(clock.now_ms() + delay_ms // 2)

        def entered(step_id: str, name: str) -> None:
            ctx = request.ctx
            self._setting.trace.note("function", f"call {exchange.number} enters {name}", ctx.run_id)
            self._setting.tell(BodyRan(exchange.number, ctx.run_id, step_id, name, ctx.attempt))

        reply = await self._code[slug].answer(request, exchange.target, entered)
        await clock.sleep_until(clock.now_ms() + delay_ms - delay_ms // 2)
        return reply


class Line:
    """The Invoker of one worker."""

    def __init__(self, setting: Setting, node: Node, functions: Functions) -> None:
        self._setting = setting
        self._node = node
        self._functions = functions

    def body_bytes_max(self, _url: str) -> int | None:
        return None

    async def call(self, url: str, headers: Mapping[str, str], body: bytes) -> HttpReply:
        setting = self._setting
        slug = parse_qs(urlsplit(url).query)["fnId"][0]
        exchange = self._functions.begin(decode_call_request(decode(body)), headers[names.STEP_ID])
        run_id, attempt = exchange.request.ctx.run_id, exchange.request.ctx.attempt
        whom = "discovery" if exchange.target == DISCOVERY_STEP_ID else setting.trace.step(exchange.target)
        setting.trace.note(self._node.name, f"call {exchange.number}, {whom}, attempt {attempt}", run_id)
        fault = setting.strike(OF_CALLS, self._node.name, "function", (exchange.target,))
        if fault is not None and fault is not Fault.SLOW_FUNCTION:
            setting.trouble(fault)
        if fault is Fault.UNREACHABLE:
            raise CallError("connection refused")
        longest_ms = setting.knobs.call_timeout_ms if fault is Fault.SLOW_FUNCTION else setting.knobs.latency_ms
        function = self._functions.run(slug, exchange, delay_ms=setting.duration_ms(longest_ms, "answer"))
        if fault is Fault.CRASH_IN_CALL:
            self._node.die()
        if fault is Fault.DEAD_FUNCTION:
            await setting.clock.sleep_until(setting.clock.now_ms() + setting.knobs.call_timeout_ms)
            raise CallError("no answer in time")
        reply = await asyncio.shield(function)
        setting.trace.note("function", f"call {exchange.number} answers {reply.status} {reply.body[:160]!r}", run_id)
        return _spoilt(reply, fault)


def _spoilt(reply: HttpReply, fault: Fault | None) -> HttpReply:
    match fault:
        case Fault.REPLY_LOST:
            raise CallError("connection reset")
        case Fault.GARBAGE:
            return HttpReply(206, reply.headers, b'[{"op": "StepRun"')
        case Fault.GATEWAY_ERROR:
            return HttpReply(502, {}, b"<html>bad gateway</html>")
        case _:
            return reply
