"""A gateway step's opcode as an HTTP request, and the reply to it as the step's outcome (protocol 4.3, 9.4, 9.5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from stepwell.errors import WireError
from stepwell.wire import headers as names
from stepwell.wire.encoding import decode, encode
from stepwell.wire.errors import ErrorBody
from stepwell.wire.opcodes import Op, Opcode
from stepwell.wire.reply import Instructions
from stepwell.wire.times import parse_retry_after_ms
from stepwell_orchestrator.engine.opcodes.gateway import METHOD_DEFAULT
from stepwell_orchestrator.model.fetch import Fetched, FetchRequest
from stepwell_orchestrator.urls import shown_url

ERROR_CHARS_MAX: Final = 16_384
"""How much of a provider's answer an error keeps."""

_REDACTED: Final = "[redacted]"
_KEY_CHARS_MIN: Final = 8
"""A shorter key protects nothing, and taking it out of a text would spoil the text."""


def request_of(opcode: Opcode, run_id: str, attempt: int) -> FetchRequest:
    """The request an opcode asks for. Raises WireError naming what is wrong with the opcode."""
    opts = opcode.opts
    url = opts.get("url")
    if not isinstance(url, str) or not url:
        raise WireError("it names no URL")
    headers = _headers(opts.get("headers"))
    if opcode.op is Op.GATEWAY:
        method, body = opts.get("method") or METHOD_DEFAULT, _text(opts.get("body"))
    else:
        method, body = "POST", encode(opts.get("body"))
        url, headers = _authorised(opts, url, {"content-type": "application/json", **headers})
    if not isinstance(method, str):
        raise WireError("its method is no text")
    return FetchRequest(run_id, opcode.id, attempt, method.upper(), url, headers, body)


def answered(opcode: Opcode, fetched: Fetched, *, bytes_max: int, now_ms: int) -> Instructions:
    """The step's outcome after a complete reply. An inference needs a status below 300, a fetch takes any."""
    if opcode.op is Op.GATEWAY:
        return _done(opcode, _response(fetched), bytes_max)
    text = _redacted(_decoded(fetched), opcode)
    value = _json(text)
    if fetched.status < 300:
        return _done(opcode, value, bytes_max)
    kept = value if len(text) <= ERROR_CHARS_MAX else text[:ERROR_CHARS_MAX]
    message = f"{shown_url(opcode.opts.get('url'))} answered HTTP {fetched.status}"
    asked = fetched.headers.get(names.RETRY_AFTER)
    retry_at_ms = None if asked is None else parse_retry_after_ms(asked, now_ms)
    error = _error(opcode, message, data=kept, stack=text[:ERROR_CHARS_MAX])
    return _failed(opcode, error, final=False, retry_at_ms=retry_at_ms)


def unanswered(opcode: Opcode, why: str, *, final: bool) -> Instructions:
    """The step's outcome when no reply came, or none will."""
    return _failed(opcode, _error(opcode, _redacted(why, opcode)), final=final)


def _done(opcode: Opcode, value: Any, bytes_max: int) -> Instructions:
    size = len(encode(value))
    if size > bytes_max:
        return unanswered(opcode, f"the reply is {size} bytes as JSON; the limit is {bytes_max}", final=True)
    done = Opcode(Op.STEP_RUN, opcode.id, opcode.name, opcode.display_name, _opts(opcode), value)
    return Instructions((done,))


def _failed(opcode: Opcode, error: ErrorBody, *, final: bool, retry_at_ms: int | None = None) -> Instructions:
    op = Op.STEP_FAILED if final else Op.STEP_ERROR
    failed = Opcode(op, opcode.id, opcode.name, opcode.display_name, _opts(opcode), error=error)
    return Instructions((failed,), retry_at_ms=retry_at_ms)


def _opts(opcode: Opcode) -> Mapping[str, Any]:
    """Of an opcode's options, what its outcome still tells: how the function waits for it."""
    mode = opcode.parallel_mode
    return {} if mode is None else {"parallelMode": mode}


def _error(opcode: Opcode, why: str, *, data: Any = None, stack: str | None = None) -> ErrorBody:
    if opcode.op is Op.GATEWAY:
        return ErrorBody("GatewayError", f"Error making gateway request: {why}")
    return ErrorBody("AIGatewayError", f"Error making AI request: {why}", stack, data=data)


def _authorised(opts: Mapping[str, Any], url: str, headers: dict[str, str]) -> tuple[str, dict[str, str]]:
    """URL and headers with the key, the way the provider wants it; without a key they are as they were."""
    key = opts.get("auth_key")
    if not isinstance(key, str) or not key:
        return url, headers
    match opts.get("format"):
        case "anthropic":
            return url, headers | {"x-api-key": key}
        case "gemini":
            return _with_key(url, key), headers
        case "bedrock":
            return url, headers | {"authorization": key}
        case _:
            return url, headers | {"authorization": f"Bearer {key}"}


def _with_key(url: str, key: str) -> str:
    """The URL with ``key`` in its query; the official SDKs have put it there already."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise WireError("its URL cannot be read") from error
    query = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0] != "key"]
    return urlunsplit(parts._replace(query=urlencode([*query, ("key", key)])))


def _headers(raw: Any) -> dict[str, str]:
    """The headers an opcode names, in lower case; a list of values is joined.

    They are looked up and compared here; they go out in title case, where they are sent.
    """
    pairs = raw.items() if isinstance(raw, Mapping) else ()
    return {str(name).lower(): _value(value) for name, value in pairs if value is not None}


def _value(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _text(body: Any) -> bytes:
    if body is None:
        return b""
    return body.encode(errors="replace") if isinstance(body, str) else encode(body)


def _response(fetched: Fetched) -> dict[str, Any]:
    return {
        "url": fetched.url,
        "headers": dict(fetched.headers),
        "body": _decoded(fetched),
        "status_code": fetched.status,
    }


def _decoded(fetched: Fetched) -> str:
    """The body as UTF-8 text, as ``fetch`` has it in a browser; what is none is replaced."""
    return fetched.body.decode(errors="replace")


def _json(text: str) -> Any:
    try:
        return decode(text, repair=True)
    except WireError:
        return text


def _redacted(text: str, opcode: Opcode) -> str:
    """The text without the key: providers repeat what they refuse."""
    key = opcode.opts.get("auth_key")
    bare = key.removeprefix("Bearer ") if isinstance(key, str) else ""
    return text.replace(bare, _REDACTED) if len(bare) >= _KEY_CHARS_MIN else text
