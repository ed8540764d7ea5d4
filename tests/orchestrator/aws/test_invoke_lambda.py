"""Carrying calls by invoking Lambda functions: what the function gets, and what becomes of every kind of answer."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError

import stepwell
import stepwell.aws
from stepwell.wire import headers as names
from stepwell.wire.call import CallContext, CallRequest
from stepwell.wire.encoding import encode
from stepwell_orchestrator.accepting.register import normal_url
from stepwell_orchestrator.aws.invoke_lambda import (
    THROTTLED_AGAIN_MS,
    LambdaInvoker,
    WholeReplies,
    is_lambda_url,
    lambda_url,
)
from stepwell_orchestrator.aws.service import AwsError, Service, in_threads, inline
from stepwell_orchestrator.limits import REQUEST_BYTES_MAX
from stepwell_orchestrator.ports import CallError

ARN = "arn:aws:lambda:eu-west-1:123456789012:function:Shop"
URL = lambda_url(ARN, "/api/stepwell?fnId=shop-greet&stepId=step")

Invoke = Callable[[dict[str, Any]], Any]


@dataclass
class FakeLambda:
    """A boto3 client: answers each invocation with ``answer``'s payload, or raises what that raises."""

    answer: Invoke
    function_error: str | None = None
    calls: list[dict[str, Any]] = field(default_factory=list)

    def invoke(self, **parameters: Any) -> dict[str, Any]:
        self.calls.append(parameters)
        payload = self.answer(json.loads(parameters["Payload"]))
        raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        error = {"FunctionError": self.function_error} if self.function_error else {}
        return {"StatusCode": 200, "Payload": io.BytesIO(raw), **error}


@dataclass
class SteppedClock:
    """A clock that is moved by those who sleep."""

    at_ms: int = 0

    def now_ms(self) -> int:
        return self.at_ms

    async def sleep_until(self, at_ms: int) -> None:
        self.at_ms = at_ms


def raising(error: Exception, *, times: int = 1_000) -> Invoke:
    """An answer that raises the first times, and then is a 204."""
    left = [error] * times

    def answer(event: dict[str, Any]) -> Any:
        if left:
            raise left.pop()
        return {"statusCode": 204}

    return answer


def refused(code: str) -> ClientError:
    """A service's refusal."""
    return ClientError({"Error": {"Code": code, "Message": "because"}}, "Invoke")


def invoker_of(client: FakeLambda, clock: SteppedClock | None = None) -> LambdaInvoker:
    """An invoker over a fake client."""
    return LambdaInvoker(Service("lambda", WholeReplies(client), inline), clock or SteppedClock())


async def told(client: FakeLambda) -> str:
    """The CallError of a call."""
    with pytest.raises(CallError) as failure:
        await invoker_of(client).call(URL, {}, b"{}")
    return str(failure.value)


async def test_the_event_is_that_of_an_http_api():
    """Function, method, path, query, headers and body arrive in an HTTP API's event, and the reply comes back whole."""
    seen: list[dict[str, Any]] = []

    def answer(event: dict[str, Any]) -> Any:
        seen.append(event)
        return {"statusCode": 206, "headers": {"X-Inngest-SDK": "py:v1"}, "body": '["ü"]', "isBase64Encoded": False}

    client = FakeLambda(answer)
    reply = await invoker_of(client).call(URL, {"X-Mine": "7"}, b"plain text")
    assert (reply.status, reply.headers, reply.body) == (206, {"x-inngest-sdk": "py:v1"}, '["ü"]'.encode())
    assert (client.calls[0]["FunctionName"], client.calls[0]["InvocationType"]) == (ARN, "RequestResponse")
    [event] = seen
    assert (event["version"], event["rawPath"], event["rawQueryString"]) == (
        "2.0",
        "/api/stepwell",
        "fnId=shop-greet&stepId=step",
    )
    assert (event["requestContext"]["http"]["method"], event["headers"]["x-mine"]) == ("POST", "7")
    assert (event["body"], event["isBase64Encoded"]) == ("plain text", False)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'"' * REQUEST_BYTES_MAX, id="nothing but quotation marks"),
        pytest.param(b"\xff\xfe" * (REQUEST_BYTES_MAX // 2), id="bytes that are no text"),
        pytest.param("ü".encode() * (REQUEST_BYTES_MAX // 2), id="letters of two bytes"),
        pytest.param(b'{"a":"b\\n"}', id="a small object"),
        pytest.param(b"", id="nothing"),
    ],
)
async def test_every_body_up_to_the_bound_fits(body: bytes):
    """The longest body an endpoint is sent fits into a payload, whatever its bytes are, and arrives as it was."""
    seen: list[bytes] = []

    def answer(event: dict[str, Any]) -> Any:
        raw = event["body"].encode()
        seen.append(base64.b64decode(raw) if event["isBase64Encoded"] else raw)
        return {"statusCode": 200, "body": base64.b64encode(b"\xff").decode(), "isBase64Encoded": True}

    client = FakeLambda(answer)
    assert invoker_of(client).body_bytes_max(URL) == REQUEST_BYTES_MAX
    reply = await invoker_of(client).call(URL, {}, body)
    assert (seen, reply.body) == ([body], b"\xff")
    assert len(client.calls[0]["Payload"]) <= 6 * 1024 * 1024


async def test_a_payload_over_lambdas_bound_is_not_sent():
    """More than Lambda takes is an error before it is sent."""
    client = FakeLambda(lambda event: {"statusCode": 200})
    with pytest.raises(CallError, match="cannot be sent 8388"):
        await invoker_of(client).call(URL, {}, b"x" * 8 * 1024 * 1024)
    assert client.calls == []


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        pytest.param(
            {"errorType": "ValueError", "errorMessage": "boom", "stackTrace": ["..."]},
            f"{ARN} failed: ValueError: boom; its log has the details",
            id="an exception",
        ),
        pytest.param(
            {"errorMessage": "2027-01-01T00:00:00Z 42 Task timed out after 3.00 seconds"},
            f"{ARN} failed: 2027-01-01T00:00:00Z 42 Task timed out after 3.00 seconds; "
            "raise its timeout, or do less in one step",
            id="a timeout",
        ),
        pytest.param(
            {"errorType": "Runtime.ExitError", "errorMessage": "Runtime exited with error: signal: killed"},
            f"{ARN} failed: Runtime.ExitError: Runtime exited with error: signal: killed; "
            "it probably ran out of memory; raise its memory size",
            id="killed",
        ),
        pytest.param(
            {"errorType": "Function.ResponseSizeTooLarge", "errorMessage": "Response payload size exceeded"},
            f"{ARN} failed: Function.ResponseSizeTooLarge: Response payload size exceeded; "
            "its answer is over Lambda's 6 MB; return less, or store it elsewhere",
            id="too long an answer",
        ),
        pytest.param(
            {"errorType": "Runtime.ImportModuleError", "errorMessage": "No module named 'shop'"},
            f"{ARN} failed: Runtime.ImportModuleError: No module named 'shop'; "
            "its code cannot be imported; check the handler setting and what was deployed",
            id="no code",
        ),
        pytest.param(b"<oops>", f"{ARN} failed: <oops>; its log has the details", id="not even JSON"),
        pytest.param([], f"{ARN} failed: []; its log has the details", id="no object"),
    ],
)
async def test_a_function_that_failed_is_told_by_what_ended_it(payload: Any, message: str):
    """What a function ended with is told with its type, its message and what to do about it."""
    assert await told(FakeLambda(lambda event: payload, function_error="Unhandled")) == message


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (refused("ResourceNotFoundException"), "does not exist; deploy it and sync the app, or cancel the run"),
        (refused("AccessDeniedException"), "allow the OrchestratorRole lambda:InvokeFunction"),
        (refused("RequestTooLargeException"), "got more than Lambda takes in one call"),
        (refused("ResourceConflictException"), "its deployment may still be under way"),
        (refused("ServiceException"), "gave no answer: lambda invoke: ServiceException: because"),
        (
            EndpointConnectionError(endpoint_url="https://lambda"),
            "gave no answer: lambda invoke: EndpointConnectionErr",
        ),
        (ReadTimeoutError(endpoint_url="https://lambda"), "did not answer within the time this server waits"),
    ],
)
async def test_a_refused_call_is_told_by_its_reason(error: Exception, message: str):
    """What Lambda refuses, or does not answer, names the function and the reason, and is not tried again here."""
    client = FakeLambda(raising(error))
    line = await told(client)
    assert line.startswith(f"{ARN} ")
    assert message in line
    assert len(client.calls) == 1


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b"[]",
        b'"hello"',
        {"ok": True},
        {"statusCode": "200"},
        {"statusCode": 200, "body": {"a": 1}},
        {"statusCode": 200, "body": "%", "isBase64Encoded": True},
        {"statusCode": 200, "headers": ["a"]},
    ],
)
async def test_an_answer_that_is_no_http_reply_is_told_with_the_likely_cause(payload: Any):
    """What does not look like an HTTP reply asks whether the function is served by the adapter at all."""
    assert "is it stepwell.aws.handler(app)?" in await told(FakeLambda(lambda event: payload))


async def test_a_throttled_call_is_made_again_after_a_while():
    """Throttles are waited out in growing pauses, and the call then succeeds."""
    clock = SteppedClock()
    client = FakeLambda(raising(refused("TooManyRequestsException"), times=2))
    assert (await invoker_of(client, clock).call(URL, {}, b"{}")).status == 204
    assert (len(client.calls), clock.at_ms) == (3, sum(THROTTLED_AGAIN_MS[:2]))


async def test_a_call_throttled_for_long_is_no_failed_attempt():
    """A function that is throttled throughout is left to the redelivery of the queue item, not told as a failure."""
    client = FakeLambda(raising(refused("TooManyRequestsException")))
    with pytest.raises(AwsError) as failure:
        await invoker_of(client).call(URL, {}, b"{}")
    assert failure.value.throttled
    assert len(client.calls) == len(THROTTLED_AGAIN_MS) + 1


async def test_a_url_without_a_function_is_refused():
    """A URL that names no function is told as that."""
    with pytest.raises(CallError, match="names no Lambda function"):
        await invoker_of(FakeLambda(lambda event: {})).call("lambda:///api", {}, b"")


def test_the_url_of_a_function_keeps_its_name():
    """A name or an ARN survives the URL, the registry's one spelling of it, and looking like a host with a port."""
    url = lambda_url(f"{ARN}:live", "/api/Stepwell/?deployId=1&x=1")
    assert is_lambda_url(url)
    assert not is_lambda_url("https://lambda.example")
    assert normal_url(url) == lambda_url(f"{ARN}:live", "/api/Stepwell?x=1")


async def test_a_real_handler_answers_an_invocation():
    """A function served by the adapter runs by a direct invocation, without any key, and its result comes back."""
    app = stepwell.App("shop", dev=False)

    @app.function(on="user/signup")
    async def greet(ctx: stepwell.Context) -> str:
        return f"hello {ctx.event.data['id']}"

    handler = stepwell.aws.handler(app)
    context = SimpleNamespace(function_name="Shop", get_remaining_time_in_millis=lambda: 60_000)
    client = FakeLambda(lambda event: handler(event, context))
    event = {"id": "e1", "name": "user/signup", "data": {"id": 7}, "ts": 1, "user": {}}
    body = encode(CallRequest(event=event, ctx=CallContext(run_id="r"), events=(event,)).encode())
    with ThreadPoolExecutor(1) as lambda_thread:
        service = Service("lambda", WholeReplies(client), in_threads(lambda_thread))
        reply = await LambdaInvoker(service, SteppedClock()).call(URL, {names.SERVER_KIND: "cloud"}, body)
        lambda_thread.submit(handler.close).result()
    assert (reply.status, json.loads(reply.body)) == (200, "hello 7")
    assert reply.headers[names.FRAMEWORK] == "aws-lambda"
