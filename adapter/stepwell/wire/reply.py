"""The reply to a call request, read from status, headers and body (protocol 4.5 - 4.9)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, assert_never

from stepwell.errors import EncodingError, WireError
from stepwell.wire import headers as names
from stepwell.wire.encoding import decode, encode
from stepwell.wire.errors import ErrorBody, decode_error
from stepwell.wire.opcodes import Op, Opcode, decode_opcodes
from stepwell.wire.times import RETRY_AFTER_MAX_MS, RETRY_AFTER_MIN_MS, SECOND_MS, parse_retry_after_ms

MAX_REPLY_BYTES: Final = 8 * 1024 * 1024
WARNINGS_MAX: Final = 5
WARNING_CHARS_MAX: Final = 500

_VERSION = re.compile(r"-?[0-9]{1,9}")
_POSITION = re.compile(r"([0-9]{1,9}):([0-9]{1,9})")
_STREAMING = 201
_OPCODES = 206


@dataclass(frozen=True, slots=True)
class Finished:
    """The function returned ``result``. ``warnings`` is what its author ought to hear."""

    result: Any
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Instructions:
    """The function reported opcodes. ``no_retry`` and ``retry_at_ms`` apply to the StepError among them.

    ``given_up`` are the hashed ids of unfinished steps that it cancelled: nobody waits for them any more. ``said`` is
    how far the lines that it logs have come, as in a call's context.
    """

    opcodes: tuple[Opcode, ...]
    no_retry: bool = False
    retry_at_ms: int | None = None
    given_up: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    said: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The call failed. ``output`` is what a failed run keeps: the SDK's error body verbatim, or a synthesised one.

    ``said`` as in Instructions.
    """

    error: ErrorBody
    output: Any
    no_retry: bool = False
    retry_at_ms: int | None = None
    warnings: tuple[str, ...] = ()
    said: tuple[int, int] | None = None


Outcome = Finished | Instructions | Failed


@dataclass(frozen=True, slots=True)
class Reply:
    """An outcome and the request version the SDK announced (None when no SDK answered)."""

    outcome: Outcome
    request_version: int | None = None


def decode_reply(status: int, headers: Mapping[str, str], body: bytes, now_ms: int) -> Reply:
    """Read a reply; ``headers`` has lower-case names. Never raises: what cannot be understood is a Failed outcome."""
    from_sdk = names.SDK in headers
    version = _version(headers)
    if len(body) > MAX_REPLY_BYTES:
        message = f"the reply is {len(body)} bytes; the limit is {MAX_REPLY_BYTES}: return less, or store it elsewhere"
        return Reply(failure("output_too_large", message, no_retry=True), version)
    if not from_sdk:
        return Reply(_not_sdk(status, body))
    try:
        if status == _STREAMING:
            status, headers, body = _streamed(headers, body)
            version = version if _version(headers) is None else _version(headers)
        return Reply(_outcome(status, headers, body, now_ms), version)
    except (WireError, EncodingError) as error:
        return Reply(failure("invalid_reply", f"the reply could not be read: {error}"), version)


def encode_reply(outcome: Outcome, now_ms: int) -> tuple[int, dict[str, str], bytes]:
    """The status, headers and body that say ``outcome`` (protocol 4.5 - 4.8). Raises EncodingError."""
    headers = _warnings(outcome.warnings)
    match outcome:
        case Finished():
            return 200, headers, encode(outcome.result)
        case Instructions():
            headers |= _no_retry(outcome)
            headers |= {names.GIVEN_UP: ",".join(outcome.given_up)} if outcome.given_up else {}
            headers |= _said(outcome.said)
            body = encode([opcode.encode() for opcode in outcome.opcodes])
            return _OPCODES, headers | _retry_after(outcome.retry_at_ms, now_ms), body
        case Failed():
            headers |= {names.NO_RETRY: "true" if outcome.no_retry else "false"}
            headers |= _retry_after(outcome.retry_at_ms, now_ms) | _said(outcome.said)
            return 400 if outcome.no_retry else 500, headers, encode(outcome.output)
        case _:
            assert_never(outcome)


def encode_streamed(status: int, headers: Mapping[str, str], body: bytes) -> bytes:
    """The object that ends a 201 stream, standing for a whole reply (protocol 4.9)."""
    return encode({"status": status, "headers": dict(headers), "body": body.decode()})


def failure(name: str, message: str, *, stack: str | None = None, no_retry: bool = False) -> Failed:
    """A failure synthesised on the orchestrator's side."""
    error = ErrorBody(name, message, stack)
    return Failed(error, error.encode(), no_retry=no_retry)


def _outcome(status: int, headers: Mapping[str, str], body: bytes, now_ms: int) -> Outcome:
    no_retry = headers.get(names.NO_RETRY, "").lower() == "true"
    retry_after = headers.get(names.RETRY_AFTER)
    retry_at_ms = None if retry_after is None else parse_retry_after_ms(retry_after, now_ms)
    warnings = _read_warnings(headers.get(names.WARNINGS))
    said = _read_said(headers.get(names.SAID, ""))
    if status == _OPCODES:
        if not body:
            raise WireError("a 206 reply has no body")
        given_up = tuple(filter(None, headers.get(names.GIVEN_UP, "").split(",")))
        return Instructions(decode_opcodes(decode(body, repair=True)), no_retry, retry_at_ms, given_up, warnings, said)
    if 200 <= status < 300:
        return Finished(_lenient(body) if body else None, warnings)
    output = _lenient(body)
    return Failed(decode_error(output), output, no_retry, retry_at_ms, warnings, said)


def _warnings(warnings: tuple[str, ...]) -> dict[str, str]:
    """Headers are ASCII and bounded: the first few warnings, each of a length that a person reads."""
    if not warnings:
        return {}
    shown = [warning[:WARNING_CHARS_MAX] for warning in warnings[:WARNINGS_MAX]]
    return {names.WARNINGS: json.dumps(shown)}


def _read_warnings(header: str | None) -> tuple[str, ...]:
    """Whatever is no array of texts says nothing: a warning is never a reason to refuse a reply."""
    try:
        found = decode(header.encode()) if header else []
    except (WireError, UnicodeError):
        return ()
    texts = found if isinstance(found, list) else []
    return tuple(text[:WARNING_CHARS_MAX] for text in texts[:WARNINGS_MAX] if isinstance(text, str))


def _no_retry(reply: Instructions) -> dict[str, str]:
    """A step error says whether it is worth another attempt, always."""
    says = reply.no_retry or any(opcode.op is Op.STEP_ERROR for opcode in reply.opcodes)
    return {names.NO_RETRY: "true" if reply.no_retry else "false"} if says else {}


def _said(said: tuple[int, int] | None) -> dict[str, str]:
    return {} if said is None else {names.SAID: f"{said[0]}:{said[1]}"}


def _read_said(header: str) -> tuple[int, int] | None:
    """Whatever is no such position says nothing."""
    found = _POSITION.fullmatch(header)
    return None if found is None else (int(found[1]), int(found[2]))


def _retry_after(retry_at_ms: int | None, now_ms: int) -> dict[str, str]:
    """Whole seconds, rounded up so that no retry comes early."""
    if retry_at_ms is None:
        return {}
    delay_ms = min(max(retry_at_ms - now_ms, RETRY_AFTER_MIN_MS), RETRY_AFTER_MAX_MS)
    return {names.RETRY_AFTER: str(-(-delay_ms // SECOND_MS))}


def _streamed(headers: Mapping[str, str], body: bytes) -> tuple[int, Mapping[str, str], bytes]:
    """The reply inside a 201 stream: keep-alive spaces, then one object."""
    inner = decode(body.strip(), repair=True)
    if not isinstance(inner, Mapping) or type(inner.get("status")) is not int:
        raise WireError("a streamed reply must be an object with a status")
    if isinstance(inner.get("error"), str) and inner["error"]:
        raise WireError(f"the stream failed: {inner['error']}")
    own = inner.get("headers")
    lowered = {str(key).lower(): str(value) for key, value in own.items()} if isinstance(own, Mapping) else {}
    return inner["status"], {names.SDK: headers[names.SDK], **lowered}, _streamed_body(inner.get("body"))


def _streamed_body(body: Any) -> bytes:
    return body.encode() if isinstance(body, str) else encode(body)


def _not_sdk(status: int, body: bytes) -> Failed:
    text = body[:2000].decode(errors="replace") or None
    if 200 <= status < 300:
        return failure("not_sdk", f"HTTP {status} came from something that is not an SDK; check the URL", stack=text)
    message = f"Your server returned HTTP {status} before the SDK responded."
    error = ErrorBody("Server returned a fatal error", message, text)
    return Failed(error, {"error": f"invalid status code: {status}", **error.encode()})


def _lenient(body: bytes) -> Any:
    """The JSON value of a body, or its text when it is not JSON."""
    try:
        return decode(body, repair=True)
    except WireError:
        return body.decode(errors="replace")


def _version(headers: Mapping[str, str]) -> int | None:
    text = headers.get(names.REQUEST_VERSION, "")
    return int(text) if _VERSION.fullmatch(text) else None
