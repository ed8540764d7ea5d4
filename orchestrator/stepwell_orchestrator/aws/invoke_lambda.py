"""Carrying call requests to Lambda functions by invoking them directly: an HTTP request as an event, and back.

Such a function is called at ``lambda://<name or ARN, percent-encoded>/<path>``. The event has the shape that function
URLs and HTTP APIs give their functions, so one handler serves all of them; its member ``stepwell`` says that it came
by an invocation, which IAM has allowed, and which nobody can put into a request over HTTP.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

from stepwell.errors import WireError
from stepwell.wire.encoding import decode, encode
from stepwell.wire.invocation import DIRECT, PAYLOAD_BYTES_MAX
from stepwell.wire.times import SECOND_MS
from stepwell_orchestrator.aws.service import AwsError, Service
from stepwell_orchestrator.limits import REQUEST_BYTES_MAX
from stepwell_orchestrator.ports import CallError, Clock, HttpReply

SCHEME: Final = "lambda"
THROTTLED_AGAIN_MS: Final = (SECOND_MS, 2 * SECOND_MS, 4 * SECOND_MS)
"""How long a throttled call waits before each further try."""

_TEXT_MAX: Final = 2_000
_HOST: Final = "stepwell.invalid"
"""Frameworks want a host. Nothing is ever looked up under this one."""

_REASONS: Final[Mapping[str, str]] = {
    "ResourceNotFoundException": "does not exist; deploy it and sync the app, or cancel the run",
    "AccessDeniedException": "may not be invoked by this server; allow the OrchestratorRole lambda:InvokeFunction",
    "RequestTooLargeException": "got more than Lambda takes in one call, 6 MB; keep less in the run's state",
    "ReadTimeoutError": "did not answer within the time this server waits, which is longer than any function may run",
    "ResourceNotReadyException": "is not ready to be invoked; its deployment may still be under way",
    "ResourceConflictException": "is being updated; its deployment may still be under way",
}
"""What went wrong, by the code of the refusal."""

_ENDINGS: Final[Mapping[str, str]] = {
    "Task timed out": "raise its timeout, or do less in one step",
    "signal: killed": "it probably ran out of memory; raise its memory size",
    "OutOfMemory": "raise its memory size",
    "ResponseSizeTooLarge": "its answer is over Lambda's 6 MB; return less, or store it elsewhere",
    "ImportModuleError": "its code cannot be imported; check the handler setting and what was deployed",
    "HandlerNotFound": "its handler setting names nothing in its code",
}
"""What to do about a function that did not come to an answer, by a word of what Lambda says."""


class WholeReplies:
    """A boto3 Lambda client that reads the payload where it makes the call, which is never on the event loop."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def invoke(self, **parameters: Any) -> dict[str, Any]:
        """As the client's; ``Payload`` is bytes."""
        response = self._client.invoke(**parameters)
        return {**response, "Payload": response["Payload"].read()}


class LambdaInvoker:
    """An Invoker of Lambda functions. ``lambda_`` answers ``invoke`` with the whole payload, and never repeats it.

    A throttled call is made again a few times. After that the AwsError is raised: the function never saw the call, so
    it is no failed attempt, and whoever asked for it is handed its queue item again.
    """

    def __init__(self, lambda_: Service, clock: Clock) -> None:
        self._lambda = lambda_
        self._clock = clock

    def body_bytes_max(self, url: str) -> int | None:
        """The same as over HTTP: with everything around it, it fits into a payload."""
        return REQUEST_BYTES_MAX

    async def call(self, url: str, headers: Mapping[str, str], body: bytes) -> HttpReply:
        """POST the body."""
        return await self.request("POST", url, headers, body)

    async def request(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> HttpReply:
        """Like ``call``, with any method. Raises CallError; AwsError when throttled for too long."""
        function, event = _event(method, url, headers, body)
        payload = encode(event)
        if len(payload) > PAYLOAD_BYTES_MAX:
            raise CallError(f"{function} cannot be sent {len(payload)} bytes: Lambda takes {PAYLOAD_BYTES_MAX}")
        response = await self._invoke(function, payload)
        if response.get("FunctionError"):
            raise CallError(f"{function} {_ending(response['Payload'])}")
        return _reply(function, response["Payload"])

    async def _invoke(self, function: str, payload: bytes) -> dict[str, Any]:
        for wait_ms in (*THROTTLED_AGAIN_MS, None):
            try:
                return await self._lambda.call(
                    "invoke", FunctionName=function, InvocationType="RequestResponse", Payload=payload
                )
            except AwsError as error:
                if not error.throttled:
                    raise CallError(f"{function} {_REASONS.get(error.code, f'gave no answer: {error}')}") from error
                if wait_ms is None:
                    raise
            await self._clock.sleep_until(self._clock.now_ms() + wait_ms)
        raise AssertionError("the last try returns or raises")


def lambda_url(function: str, path: str) -> str:
    """The URL at which a Lambda function, by name or ARN, is called."""
    return f"{SCHEME}://{quote(function, safe='')}{path}"


def is_lambda_url(url: str) -> bool:
    """Whether a URL names a Lambda function."""
    return url.startswith(f"{SCHEME}://")


def _event(method: str, url: str, headers: Mapping[str, str], body: bytes) -> tuple[str, dict[str, Any]]:
    """The function's name and the event for it. Raises CallError for a URL that names no function."""
    parts = urlsplit(url)
    function, path = unquote(parts.netloc), parts.path or "/"
    if not function:
        raise CallError(f"{url[:200]} names no Lambda function; sync the app again")
    text, is_base64 = _carried(body)
    return function, {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": parts.query,
        "headers": {"host": _HOST, **{name.lower(): value for name, value in headers.items()}},
        "requestContext": {
            "stage": "$default",
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "", "userAgent": "stepwell"},
        },
        "body": text,
        "isBase64Encoded": is_base64,
        **DIRECT,
    }


def _carried(body: bytes) -> tuple[str, bool]:
    """The body as text, or in base64 where escaping it would take more."""
    escapes = body.count(b'"') + body.count(b"\\")
    try:
        text = body.decode()
    except UnicodeDecodeError:
        escapes = len(body)
    if 3 * escapes >= len(body) > 0:
        return base64.b64encode(body).decode(), True
    return text, False


def _ending(payload: bytes) -> str:
    """What became of a function that did not come to an answer, and what to do about it."""
    try:
        told = decode(payload, repair=True)
    except WireError:
        told = None
    told = told if isinstance(told, Mapping) else {}
    kind, message = str(told.get("errorType") or ""), str(told.get("errorMessage") or "")
    what = ": ".join(filter(None, (kind, message[:_TEXT_MAX]))) or payload[:_TEXT_MAX].decode(errors="replace")
    fix = next((fix for word, fix in _ENDINGS.items() if word in what), "its log has the details")
    return f"failed: {what}; {fix}"


def _reply(function: str, payload: bytes) -> HttpReply:
    """The HTTP reply that a payload is. Raises CallError when it is none."""
    try:
        reply = decode(payload, repair=True)
        status, body = reply["statusCode"], reply.get("body") or ""
        raw = base64.b64decode(body, validate=True) if reply.get("isBase64Encoded") else body.encode()
        headers = {str(name).lower(): str(value) for name, value in (reply.get("headers") or {}).items()}
    except (WireError, TypeError, KeyError, AttributeError, ValueError, binascii.Error):
        status = None
    if type(status) is not int:
        shown = payload[:200].decode(errors="replace")
        raise CallError(
            f"{function} answered, but not as an HTTP endpoint; is it stepwell.aws.handler(app)? It said: {shown}"
        )
    return HttpReply(status, headers, raw)
