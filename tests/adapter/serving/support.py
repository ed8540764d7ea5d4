from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import stepwell
from stepwell.authoring.function import Function
from stepwell.client.http import HttpRequest, HttpResponse
from stepwell.client.outbound import OutboundRequest
from stepwell.serving.handler import Handler
from stepwell.wire import headers as names
from stepwell.wire.call import CallContext, CallRequest
from stepwell.wire.encoding import canonical, encode
from stepwell.wire.reply import Finished, Outcome
from stepwell.wire.signing import sign

NOW_MS = 1_700_000_000_000
KEY = "signkey-test-12345678"
FALLBACK = "signkey-test-87654321"
URL = "https://app.example/api/inngest"
SERVER = "https://server.example"
RUN_ID = "01HF7YAT00000G40R40M30E20A"


def cloud_app(**options: Any) -> stepwell.App:
    """An app in cloud mode with every key, and one function ``greet``."""
    keys = {"base_url": SERVER, "event_key": "events", "signing_key": KEY, "signing_key_fallback": FALLBACK}
    return with_greeting(stepwell.App("shop", dev=False, **{**keys, **options}))


def dev_app() -> stepwell.App:
    """An app in dev mode with no key and one function ``greet``."""
    return with_greeting(stepwell.App("shop", dev=True))


def with_greeting(app: stepwell.App) -> stepwell.App:
    """``app`` with one function ``greet``."""

    @app.function(on="user/signup", retries=1)
    def greet(ctx: Any) -> str:
        return "hello"

    return app


@dataclass
class FakeServer:
    """The network: answers each request with ``answer`` and keeps it."""

    answer: Callable[[OutboundRequest], HttpResponse] = lambda request: HttpResponse(200, {}, b'{"ok":true}')
    requests: list[OutboundRequest] = field(default_factory=list)

    async def __call__(self, request: OutboundRequest) -> HttpResponse:
        self.requests.append(request)
        return self.answer(request)


@dataclass
class FakeExecution:
    """Stands for the execution of functions: keeps its calls and answers with ``outcome``."""

    outcome: Outcome = field(default_factory=lambda: Finished("done"))
    calls: list[tuple[str, CallRequest, str | None]] = field(default_factory=list)

    async def __call__(self, function: Function, call: CallRequest, target: str | None) -> Outcome:
        self.calls.append((function.id, call, target))
        return self.outcome


def handler_of(
    app: stepwell.App, *, server: FakeServer | None = None, execution: FakeExecution | None = None, **options: Any
) -> Handler:
    """A handler of ``app`` with the clock at NOW_MS, and everything around it replaced."""
    return Handler(
        app,
        now_ms=lambda: NOW_MS,
        fetch=server or FakeServer(),
        execute=execution or FakeExecution(),
        **options,
    )


def call_body(**ctx: Any) -> dict[str, Any]:
    """The body of a discovery call."""
    event = {"id": "e1", "name": "user/signup", "data": {"id": 7}, "ts": NOW_MS, "user": {}}
    return CallRequest(event=event, ctx=CallContext(run_id=RUN_ID, **ctx), events=(event,)).encode()


def request_of(
    method: str,
    *,
    query: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    key: str | None = None,
    age_s: int = 0,
) -> HttpRequest:
    """A request to the serve endpoint, signed with ``key`` if there is one, ``age_s`` seconds ago."""
    signed = {} if key is None else {names.SIGNATURE: sign(body, key, NOW_MS // 1000 - age_s)}
    return HttpRequest(method, URL, query or {}, {**signed, **(headers or {})}, body)


def call_request(
    slug: str = "shop-greet", *, step: str = "step", key: str | None = KEY, age_s: int = 0, **ctx: Any
) -> HttpRequest:
    """A call request as a server sends it."""
    query = {"fnId": slug, "stepId": step}
    return request_of("POST", query=query, body=canonical(call_body(**ctx)), key=key, age_s=age_s)


def json_answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> HttpResponse:
    """A JSON response of the server."""
    return HttpResponse(status, headers or {}, encode(value))
