"""One call of a user function: the run as a signed request, the answer as a reply."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from stepwell.errors import EncodingError
from stepwell.wire import headers as names
from stepwell.wire.call import DISCOVERY_STEP_ID, CallRequest
from stepwell.wire.encoding import canonical, canonical_in_doubles, encode
from stepwell.wire.reply import Reply, decode_reply, failure
from stepwell.wire.signing import sign
from stepwell_orchestrator.engine.calls.request import call_request
from stepwell_orchestrator.model.function import Function
from stepwell_orchestrator.model.notice import Notice, NoticeKind
from stepwell_orchestrator.model.run import Run
from stepwell_orchestrator.ports import CallError, Invoker
from stepwell_orchestrator.worker.tools import Tools


@dataclass(frozen=True, slots=True)
class Caller:
    """Makes call requests. ``signing_keys`` is empty on a keyless server; otherwise the first one signs."""

    tools: Tools
    invoker: Invoker
    server_kind: str
    signing_keys: Sequence[str] = ()

    async def discover(self, run: Run, function: Function | None, call: int) -> Reply:
        """Call a run's function for a discovery, the ``call``-th of its term. Every trouble is a failed reply."""
        return await self._call(run, function, None, None, call)

    async def call(self, run: Run, function: Function | None, step_id: str) -> Reply:
        """Call it for one planned step."""
        return await self._call(run, function, step_id, step_id)

    async def ask(self, run: Run, function: Function | None, step_id: str) -> Reply:
        """Call it to hear the opcode of a planned step again. Nothing is executed by that, and other steps come along.

        Not every SDK reports such a step when it is the target, so the function is asked for all it wants (4.10).
        """
        return await self._call(run, function, step_id, None)

    async def _call(
        self, run: Run, function: Function | None, step_id: str | None, target: str | None, call: int = 0
    ) -> Reply:
        """Call on behalf of a planned step, or of the run; ``target`` is what the function is told to execute."""
        if function is None:
            slug = run.header.function_id
            return Reply(failure("function_not_found", f"no app has a function {slug} any more; deploy it, or cancel"))
        now_ms = self.tools.clock.now_ms()
        request = call_request(run, function, target=step_id, now_ms=now_ms, call=call)
        self.tools.observe(_call_notice(run, request, now_ms))
        url = call_url(function.url, function.slug, target)
        try:
            body = self._body(request, function, self.invoker.body_bytes_max(url))
            answer = await self.invoker.call(url, self._headers(request, body, target, now_ms), body)
        except CallError as error:
            return Reply(failure("call_failed", str(error)))
        except EncodingError as error:
            return Reply(failure("request_unserializable", f"the run's state cannot be sent: {error}", no_retry=True))
        return decode_reply(answer.status, answer.headers, answer.body, self.tools.clock.now_ms())

    def _body(self, request: CallRequest, function: Function, limit_bytes: int | None) -> bytes:
        """The request's bytes; above the endpoint's limit the function fetches events and state itself (4.4)."""
        body = self._encode(request, function)
        if limit_bytes is None or len(body) <= limit_bytes:
            return body
        slim = replace(request, events=(), steps={}, ctx=replace(request.ctx, use_api=True))
        return self._encode(slim, function)

    def _encode(self, request: CallRequest, function: Function) -> bytes:
        """What is signed is spelled as the function's SDK will spell it when it checks the signature."""
        value = request.encode()
        if not self.signing_keys:
            return encode(value)
        return canonical(value) if function.reads_large_integers else canonical_in_doubles(value)

    def _headers(self, request: CallRequest, body: bytes, target: str | None, now_ms: int) -> dict[str, str]:
        ctx = request.ctx
        headers = {
            "content-type": "application/json",
            names.SERVER_KIND: self.server_kind,
            names.REQUEST_VERSION: str(request.version),
            names.RUN_ID: ctx.run_id,
            names.STEP_ID: target or DISCOVERY_STEP_ID,
            names.REQUEST_ID: ctx.request_id,
            names.GENERATION_ID: str(ctx.generation_id),
            names.JOB_ID: ctx.job_id,
        }
        if self.signing_keys:
            headers[names.SIGNATURE] = sign(body, self.signing_keys[0], now_ms // 1000)
        return headers


def call_url(url: str, slug: str, target: str | None) -> str:
    """A function's url with the query that says which function and step is called (protocol 4.1)."""
    parts = urlsplit(url)
    kept = [(key, value) for key, value in parse_qsl(parts.query) if key not in ("fnId", "stepId")]
    query = urlencode([*kept, ("fnId", slug), ("stepId", target or DISCOVERY_STEP_ID)])
    return urlunsplit(parts._replace(query=query))


def _call_notice(run: Run, request: CallRequest, now_ms: int) -> Notice:
    return Notice(
        at_ms=now_ms,
        kind=NoticeKind.CALLED,
        run_id=run.header.run_id,
        function_id=run.header.function_id,
        attempt=request.ctx.attempt,
    )
