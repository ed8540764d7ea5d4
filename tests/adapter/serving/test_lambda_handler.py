"""Serving an app from Lambda: every kind of event, the signature rules, the deadline, and one loop for all calls."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

import stepwell
import stepwell.aws
from stepwell.client import system
from stepwell.errors import DefinitionError, WireError
from stepwell.serving.lambda_handler import RESPONSE_BYTES_MAX, TEXT_BYTES_MAX, LambdaHandler, public_path
from stepwell.wire import headers as names
from stepwell.wire.encoding import canonical, encode
from stepwell.wire.invocation import DIRECT, PAYLOAD_BYTES_MAX
from stepwell.wire.signing import sign
from tests.adapter.serving.support import KEY, call_body
from tests.adapter.test_public import HEAVY, loaded_by

QUERY = {"fnId": "shop-greet", "stepId": "step"}
NEVER_S = 3_600
CONTEXT_MS = 60_000


@pytest.fixture
def serve() -> Iterator[Callable[..., LambdaHandler]]:
    """Makes handlers, whose loops end with the test."""
    made: list[LambdaHandler] = []

    def make(app: stepwell.App, **options: Any) -> LambdaHandler:
        made.append(stepwell.aws.handler(app, **options))
        return made[-1]

    yield make
    for handler in made:
        handler.close()
    asyncio.set_event_loop(None)


class Time:
    """The time that calls may take: it is up when a test says so, and what is left for cleaning up after that too."""

    def __init__(self) -> None:
        self.up = self._still_running()
        self.over = self._still_running()

    def begin(self) -> None:
        """Give the next call all the time in the world."""
        self.up = self._still_running()

    async def sleep_ms(self, delay_ms: int) -> None:
        await asyncio.wrap_future(self.up if delay_ms > CONTEXT_MS // 2 else self.over)

    @staticmethod
    def _still_running() -> Future[None]:
        made: Future[None] = Future()
        # Whoever stops waiting for it does not end it.
        made.set_running_or_notify_cancel()
        return made


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    """The time of the handlers that are made from now on."""
    made = Time()
    monkeypatch.setattr(system, "sleep_ms", made.sleep_ms)
    return made


def app_with(greet: Any, **options: Any) -> stepwell.App:
    """A cloud app with one function."""
    app = stepwell.App("shop", **{"dev": False, **options})
    app.function(id="greet", on="user/signup")(greet)
    return app


async def hello(ctx: stepwell.Context) -> str:
    return f"hello {ctx.event.data['id']}"


def context(ms: int = CONTEXT_MS) -> Any:
    """What Lambda hands a handler beside the event."""
    return SimpleNamespace(function_name="shop-functions", get_remaining_time_in_millis=lambda: ms)


@dataclass
class Request:
    """One request, as the events of everything that can stand before a Lambda function."""

    method: str = "POST"
    path: str = "/api/stepwell"
    query: Mapping[str, str] = ()  # type: ignore[assignment]
    headers: Mapping[str, str] = ()  # type: ignore[assignment]
    body: bytes = b""
    is_base64: bool = False

    def _carried(self) -> dict[str, Any]:
        body = base64.b64encode(self.body).decode() if self.is_base64 else self.body.decode()
        return {"headers": {"host": "x.example", **dict(self.headers)}, "body": body, "isBase64Encoded": self.is_base64}

    def function_url(self) -> dict[str, Any]:
        http = {"method": self.method, "path": self.path, "protocol": "HTTP/1.1", "sourceIp": "1.2.3.4"}
        return {
            "version": "2.0",
            "routeKey": "$default",
            "rawPath": self.path,
            "rawQueryString": "&".join(f"{key}={value}" for key, value in dict(self.query).items()),
            "requestContext": {"accountId": "anonymous", "domainName": "x.example", "http": http, "stage": "$default"},
            **self._carried(),
        }

    def direct(self) -> dict[str, Any]:
        return {**self.function_url(), **DIRECT}

    def rest_api(self) -> dict[str, Any]:
        return {
            "resource": "/{proxy+}",
            "path": self.path,
            "httpMethod": self.method,
            "queryStringParameters": dict(self.query),
            "multiValueQueryStringParameters": {key: [value] for key, value in dict(self.query).items()},
            "requestContext": {"identity": {"sourceIp": "1.2.3.4"}, "stage": "prod"},
            **self._carried(),
        }

    def http_api_v1(self) -> dict[str, Any]:
        return {**self.rest_api(), "version": "1.0"}

    def load_balancer(self) -> dict[str, Any]:
        return {
            "requestContext": {"elb": {"targetGroupArn": "arn:aws:elasticloadbalancing:..."}},
            "httpMethod": self.method,
            "path": self.path,
            "queryStringParameters": dict(self.query),
            **self._carried(),
        }


KINDS = ("function_url", "rest_api", "http_api_v1", "load_balancer", "direct")


def a_call(*, key: str | None = KEY, **how: Any) -> Request:
    """A discovery call of ``greet``, signed now with ``key``."""
    body = canonical(call_body())
    signed = {} if key is None else {names.SIGNATURE: sign(body, key, system.now_ms() // 1000)}
    return Request(query=QUERY, headers={**signed, names.SERVER_KIND: "cloud"}, body=body, **how)


def answer_of(reply: Mapping[str, Any]) -> Any:
    """The JSON an answer carries."""
    body = base64.b64decode(reply["body"]) if reply["isBase64Encoded"] else reply["body"]
    return json.loads(body)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("is_base64", [False, True])
def test_every_kind_of_event_calls_the_function(serve, kind: str, is_base64: bool):
    """A signed call runs its function, whatever stands before Lambda and however it carries the body."""
    handler = serve(app_with(hello, signing_key=KEY))
    reply = handler(getattr(a_call(is_base64=is_base64), kind)(), context())
    assert (reply["statusCode"], answer_of(reply)) == (200, "hello 7")
    assert reply["headers"][names.FRAMEWORK] == "aws-lambda"


@pytest.mark.parametrize("kind", KINDS)
def test_only_a_direct_invocation_needs_no_signature(serve, kind: str):
    """Without a signature a call is refused over HTTP, and carried out when IAM let the invocation in."""
    for app in (app_with(hello, signing_key=KEY), app_with(hello)):
        reply = serve(app)(getattr(a_call(key=None), kind)(), context())
        assert reply["statusCode"] == (200 if kind == "direct" else 401)


def test_a_request_cannot_claim_to_be_an_invocation(serve):
    """Nothing in a request's path, query, headers or body passes for the member that marks an invocation."""
    body = encode({**call_body(), **DIRECT})
    marked = Request(query={**QUERY, "stepwell": "directly"}, headers={"stepwell": "directly"}, body=body)
    assert serve(app_with(hello, signing_key=KEY))(marked.function_url(), context())["statusCode"] == 401


@pytest.mark.parametrize(
    ("event", "shown"),
    [
        ({"Records": [{"eventSource": "aws:sqs"}]}, "it has: Records"),
        ({}, "it has: nothing"),
        ([], "it has: list"),
        (None, "it has: NoneType"),
        ({"version": "0", "detail-type": "Scheduled Event", "source": "aws.events"}, "it has: version, detail-type"),
        ({"requestContext": {"connectionId": "x", "eventType": "MESSAGE"}, "body": ""}, "it has: requestContext, body"),
    ],
)
def test_what_is_no_request_is_refused_by_name(serve, event: Any, shown: str):
    """An event of another kind fails with what it looked like and where such events belong."""
    with pytest.raises(WireError, match="other event sources need a function of their own") as failure:
        serve(app_with(hello))(event, context())
    assert shown in str(failure.value)


def test_the_path_can_be_fixed(serve):
    """With a path, requests for others get a 404; without one, every path is served."""
    call = a_call(path="/elsewhere").function_url()
    assert serve(app_with(hello, signing_key=KEY), path="/api/stepwell")(call, context())["statusCode"] == 404
    assert serve(app_with(hello, signing_key=KEY))(call, context())["statusCode"] == 200


def behind(prefix: str, event: dict[str, Any], *, stripped: bool) -> dict[str, Any]:
    """The event of a caller who wrote ``prefix`` before the path; a front door may have ``stripped`` it."""
    asked = event["requestContext"]
    path = prefix + (event.get("rawPath") or event["path"])
    if "rawPath" in event:
        return {**event, "rawPath": path, "requestContext": {**asked, "http": {**asked["http"], "path": path}}}
    return {**event, "path": event["path"] if stripped else path, "requestContext": {**asked, "path": path}}


@pytest.mark.parametrize(
    ("kind", "prefix", "stripped"),
    [
        pytest.param("function_url", "", False, id="function URL, or HTTP API without a stage"),
        pytest.param("function_url", "/prod", False, id="HTTP API with a named stage"),
        pytest.param("rest_api", "/prod", True, id="REST API, its stage stripped"),
        pytest.param("rest_api", "/v1", False, id="REST API, custom domain with a base path"),
        pytest.param("load_balancer", "", False, id="load balancer"),
    ],
)
def test_a_fixed_path_is_found_behind_every_front_door(serve, kind: str, prefix: str, stripped: bool):
    """A stage or base path may stand before it, and what is registered is the URL that the caller used."""
    handler = serve(app_with(hello, signing_key=KEY), path="/api/stepwell")
    call = behind(prefix, getattr(a_call(), kind)(), stripped=stripped)
    assert handler(call, context())["statusCode"] == 200
    assert (public_path(call) or call["path"]) == f"{prefix}/api/stepwell"


def test_a_longer_word_is_no_prefix(serve):
    """Only whole segments may stand before a fixed path."""
    call = a_call(path="/my-api/stepwell").function_url()
    assert serve(app_with(hello, signing_key=KEY), path="/api/stepwell")(call, context())["statusCode"] == 404


def test_an_invocation_asks_for_the_functions(serve):
    """A direct in-band sync is answered with the app and its functions at the URL the server gave."""
    body = encode({"url": "https://shop.example/api/stepwell"})
    asked = Request("PUT", headers={names.SYNC_KIND: "in_band", names.SERVER_KIND: "cloud"}, body=body)
    reply = answer_of(serve(app_with(hello))(asked.direct(), context()))
    [function] = reply["functions"]
    assert (reply["app_id"], function["id"]) == ("shop", "shop-greet")
    assert function["steps"]["step"]["runtime"]["url"].startswith("https://shop.example/api/stepwell?fnId=shop-greet")


def test_one_loop_serves_every_invocation(serve):
    """What a function opened in one invocation, bound to the loop, is there in the next."""
    loops: list[asyncio.AbstractEventLoop] = []
    lock = asyncio.Lock()

    async def greet(ctx: stepwell.Context) -> int:
        async with lock:
            loops.append(asyncio.get_running_loop())
        return len(loops)

    handler = serve(app_with(greet))
    event = a_call(key=None).direct()
    assert answer_of(handler(event, context())) == 1
    # What user code does to the current loop between two invocations changes nothing.
    asyncio.set_event_loop(None)
    assert answer_of(handler(event, context())) == 2
    assert loops[0] is loops[1]


def test_an_async_step_that_takes_too_long_is_told_before_lambda_kills_it(serve, time: Time):
    """The call fails with step, Lambda function and timeout, is to be retried, and the step is cancelled."""
    ended: list[str] = []

    async def slow() -> None:
        time.up.set_result(None)
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cleaned up")

    async def greet(ctx: stepwell.Context) -> None:
        await ctx.step.run("charge", slow)

    reply = serve(app_with(greet))(a_call(key=None).direct(), context())
    assert (reply["statusCode"], reply["headers"][names.NO_RETRY]) == (500, "false")
    error = answer_of(reply)
    assert (error["name"], error["code"]) == ("FunctionTimeoutError", "function_timeout")
    assert error["message"] == (
        'step "charge" was still running when the 60 s that Lambda function "shop-functions" may take '
        "were nearly over; raise that timeout, or do less in one step"
    )
    assert ended == ["cleaned up"]


@pytest.mark.parametrize("where", ["a plain function", "a plain step"])
def test_a_thread_that_takes_too_long_is_left_behind(serve, time: Time, where: str):
    """A plain function or step is answered for in time although nothing can stop its thread."""
    released, left = threading.Event(), threading.Event()

    def slow() -> None:
        time.up.set_result(None)
        released.wait(NEVER_S)
        left.set()

    def plain(ctx: stepwell.SyncContext) -> None:
        slow()

    async def stepped(ctx: stepwell.Context) -> None:
        await ctx.step.run("charge", slow)

    time.over.set_result(None)
    handler = serve(app_with(plain if where == "a plain function" else stepped))
    message = answer_of(handler(a_call(key=None).direct(), context()))["message"]
    named = 'function "shop-greet", outside its steps,' if where == "a plain function" else 'step "charge"'
    assert message.startswith(f"{named} was still running")
    released.set()
    assert left.wait(NEVER_S)


def test_threads_left_behind_do_not_use_up_the_pool(serve, time: Time):
    """However many plain functions never ended, the next one finds a thread."""
    released = threading.Event()
    calls = 0

    def plain(ctx: stepwell.SyncContext) -> str:
        nonlocal calls
        calls += 1
        if calls <= 40:
            time.up.set_result(None)
            released.wait(NEVER_S)
        return "done"

    handler, event = serve(app_with(plain)), a_call(key=None).direct()
    time.over.set_result(None)
    late = []
    for _ in range(40):
        time.begin()
        late.append(handler(event, context())["statusCode"])
    time.begin()
    assert answer_of(handler(event, context())) == "done"
    released.set()
    assert late == [500] * 40


def test_a_function_that_ends_in_time_is_not_touched(serve):
    """The deadline shows in no answer that is given before it, an error of the function's own included."""

    async def greet(ctx: stepwell.Context) -> None:
        raise ValueError("boom")

    assert answer_of(serve(app_with(greet))(a_call(key=None).direct(), context()))["name"] == "ValueError"
    reply = serve(app_with(hello))(a_call(key=None).direct(), None)
    assert answer_of(reply) == "hello 7"


@pytest.mark.parametrize(
    ("size", "status"), [(TEXT_BYTES_MAX, 200), (RESPONSE_BYTES_MAX - 2, 200), (RESPONSE_BYTES_MAX - 1, 400)]
)
def test_an_answer_fits_into_a_payload(serve, size: int, status: int):
    """An answer up to the bound can be carried away, whatever it is made of; a longer one is an error for good."""

    async def greet(ctx: stepwell.Context) -> str:
        return "x" * size

    reply = serve(app_with(greet))(a_call(key=None).direct(), context())
    assert reply["statusCode"] == status
    assert len(json.dumps(reply)) <= PAYLOAD_BYTES_MAX
    answer = answer_of(reply)
    if status == 200:
        assert len(answer) == size
    else:
        assert (reply["headers"][names.NO_RETRY], answer["code"]) == ("true", "output_too_large")


def test_quotation_marks_do_not_blow_an_answer_up(serve):
    """A long answer goes as base64, so that what JSON escapes takes no more than anything else."""

    async def greet(ctx: stepwell.Context) -> str:
        return '"' * (RESPONSE_BYTES_MAX // 2 - 1)

    reply = serve(app_with(greet))(a_call(key=None).direct(), context())
    assert (reply["statusCode"], reply["isBase64Encoded"]) == (200, True)
    assert len(json.dumps(reply)) <= PAYLOAD_BYTES_MAX


def test_serving_from_lambda_is_light():
    """The module and a handler bring Mangum and none of what only other parts need."""
    code = "import stepwell, stepwell.aws\nassert 'mangum' not in __import__('sys').modules\n"
    loaded = loaded_by(code + "stepwell.aws.handler(stepwell.App('a'))")
    heavy = tuple(name for name in HEAVY if name != "mangum")
    assert not {name for name in loaded if name.startswith(heavy)}
    assert "stepwell.aws" in loaded_by("import stepwell\nstepwell.aws.handler")


def test_a_missing_mangum_is_named():
    """Without Mangum the error says which extra to install."""
    code = "import sys; sys.modules['mangum'] = None\nimport stepwell\nstepwell.aws.handler(stepwell.App('a'))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert DefinitionError.__name__ in run.stderr
    assert 'pip install "stepwell[lambda]"' in run.stderr
