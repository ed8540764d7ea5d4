"""The HTTP requests of steps under test: they get what a stub gives, and nothing goes out."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from stepwell.authoring.function import Function
from stepwell.errors import NonRetriableError
from stepwell.steps.fetch import Response
from stepwell.values.serializer import to_json
from stepwell.wire.encoding import encode
from stepwell.wire.opcodes import Op, Opcode
from stepwell.wire.reply import Instructions, Outcome
from stepwell_orchestrator.entry.testing.stubs import Call, Stubs
from stepwell_orchestrator.model.fetch import Fetched, FetchRequest
from stepwell_orchestrator.ports import FetchError
from stepwell_orchestrator.urls import shown_url

StepBegins = Callable[[str, str, str, int], None]
"""Takes run id, step id, the step's label and the attempt."""


class Requests:
    """A Fetcher that knows which step of which function asks, because it sees what functions report."""

    def __init__(self, stubs: Stubs, begins: StepBegins) -> None:
        self._stubs = stubs
        self._begins = begins
        self._reported: dict[tuple[str, str], tuple[Function[Any], Opcode]] = {}

    def note(self, function: Function[Any], run_id: str, outcome: Outcome) -> None:
        """Take note of the requests that a call of a function asks for."""
        if isinstance(outcome, Instructions):
            for opcode in outcome.opcodes:
                if opcode.op in (Op.GATEWAY, Op.AI_GATEWAY):
                    self._reported[run_id, opcode.id] = (function, opcode)

    async def fetch(self, request: FetchRequest) -> Fetched:
        """What the step's stub gives, as a response. Raises FetchError."""
        function, opcode = self._reported[request.run_id, request.step_id]
        step_id, index = opcode.user_id or opcode.title, opcode.user_index
        self._begins(request.run_id, request.step_id, f"{step_id}:{index}" if index else step_id, request.attempt)
        call = Call((request if opcode.op is Op.GATEWAY else opcode.opts.get("body"),), {})
        execution = (request.run_id, request.step_id, request.attempt)
        stand_in = self._stubs.stand_in(function, step_id, call, execution)
        if stand_in is None:
            where = shown_url(request.url)
            fix = f'give it a response: engine.stub("{step_id}", ...)'
            raise FetchError(f'a test makes no requests, and step "{step_id}" asks {where}; {fix}', final=True)
        return await _call_stub(stand_in, call, request, step_id)


async def _call_stub(stand_in: Callable[..., Any], call: Call, request: FetchRequest, step_id: str) -> Fetched:
    try:
        value = stand_in(*call.args)
        value = await value if inspect.isawaitable(value) else value
    except Exception as error:
        final = isinstance(error, NonRetriableError)
        raise FetchError(f"{type(error).__name__}: {error}", final=final) from error
    return _as_reply(value, request.url, f'the stub of step "{step_id}"')


def _as_reply(value: Any, url: str, owner: str) -> Fetched:
    """A Response as it is, a text as a text, any other value as JSON."""
    if isinstance(value, Response):
        return Fetched(value.url or url, value.status_code, dict(value.headers), value.text.encode())
    if isinstance(value, str):
        return Fetched(url, 200, {"content-type": "text/plain"}, value.encode())
    return Fetched(url, 200, {"content-type": "application/json"}, encode(to_json(value, owner)))
