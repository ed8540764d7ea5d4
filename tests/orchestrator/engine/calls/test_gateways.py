"""Opcodes as requests, and replies as outcomes: the tables of protocol 4.3, 5.4, 9.4 and 9.5."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell.errors import WireError
from stepwell.wire.opcodes import Op, Opcode, decode_opcodes
from stepwell_orchestrator.engine.calls.gateways import ERROR_CHARS_MAX, answered, request_of, unanswered
from stepwell_orchestrator.engine.opcodes.gateway import gateway
from stepwell_orchestrator.model.fetch import Fetched, FetchRequest
from stepwell_orchestrator.model.step import StepStatus
from tests.orchestrator.engine.builders import NOW_MS, run, situation

KEY = "sk-secret-of-the-provider"
MEBIBYTE = 1024 * 1024


def inference(**opts: Any) -> Opcode:
    body = {"url": "https://api.test/v1", "auth_key": KEY, "format": "openai-chat", "body": {"model": "m"}, **opts}
    return Opcode(Op.AI_GATEWAY, "id", "ask", "ask", body)


def fetching(**opts: Any) -> Opcode:
    return Opcode(Op.GATEWAY, "id", "get", "get", {"url": "https://api.test/x", **opts})


def asked(opcode: Opcode) -> FetchRequest:
    return request_of(opcode, "run", 2)


@pytest.mark.parametrize(
    ("opts", "url", "headers"),
    [
        ({}, "https://api.test/v1", {"authorization": f"Bearer {KEY}"}),
        ({"format": "anthropic"}, "https://api.test/v1", {"x-api-key": KEY}),
        ({"format": "gemini"}, f"https://api.test/v1?key={KEY}", {}),
        (
            {"format": "gemini", "url": "https://api.test/v1?a=1&key=old&b="},
            f"https://api.test/v1?a=1&b=&key={KEY}",
            {},
        ),
        ({"format": "bedrock", "auth_key": "AWS4 whole"}, "https://api.test/v1", {"authorization": "AWS4 whole"}),
        ({"format": "something-new"}, "https://api.test/v1", {"authorization": f"Bearer {KEY}"}),
        ({"auth_key": ""}, "https://api.test/v1", {}),
        ({"auth_key": None}, "https://api.test/v1", {}),
        (
            {"headers": {"Anthropic-Version": "v", "X-None": None, "x-list": ["a", "b"], "x-number": 3}},
            "https://api.test/v1",
            {"authorization": f"Bearer {KEY}", "anthropic-version": "v", "x-list": "a, b", "x-number": "3"},
        ),
        ({"headers": None}, "https://api.test/v1", {"authorization": f"Bearer {KEY}"}),
    ],
)
def test_an_inference_is_a_post_with_the_key_where_its_format_has_it(
    opts: dict[str, Any], url: str, headers: dict[str, str]
) -> None:
    """The body goes out as JSON, the key by the format, the headers beside it."""
    request = asked(inference(**opts))
    assert (request.method, request.url) == ("POST", url)
    assert request.headers == {"content-type": "application/json", **headers}
    assert request.body == b'{"model":"m"}'
    assert (request.run_id, request.step_id, request.attempt) == ("run", "id", 2)


@pytest.mark.parametrize(
    ("opts", "method", "body"),
    [
        ({}, "POST", b""),
        ({"method": "get"}, "GET", b""),
        ({"method": None, "body": None, "headers": None}, "POST", b""),
        ({"method": "PATCH", "body": "téxt"}, "PATCH", "téxt".encode()),
        ({"body": {"a": 1}}, "POST", b'{"a":1}'),
    ],
)
def test_a_fetch_goes_out_as_it_is_written(opts: dict[str, Any], method: str, body: bytes) -> None:
    """The method is POST when none is named; no header is added."""
    request = asked(fetching(**opts))
    assert (request.method, request.body, request.headers) == (method, body, {})


@pytest.mark.parametrize("opcode", [fetching(url=None), fetching(url=""), fetching(method=1), inference(url=5)])
def test_an_opcode_without_a_request_is_an_error(opcode: Opcode) -> None:
    """Without a URL, or with a method that is none, there is nothing to make."""
    with pytest.raises(WireError):
        asked(opcode)


def test_a_request_shows_nothing_secret() -> None:
    """Whoever prints a request sees neither where it goes nor what it carries."""
    assert KEY not in repr(asked(inference(format="gemini")))


def reply(status: int, body: bytes, **headers: str) -> Fetched:
    lowered = {name.replace("_", "-"): value for name, value in headers.items()}
    return Fetched("https://api.test/x?a=1", status, lowered, body)


@pytest.mark.parametrize("status", [200, 204, 302, 404, 500])
def test_any_status_is_a_fetched_response(status: int) -> None:
    """A fetch succeeds with every status; what is no UTF-8 in its body is replaced."""
    (opcode,) = answered(fetching(), reply(status, b"a\xff", x_a="1"), bytes_max=MEBIBYTE, now_ms=NOW_MS).opcodes
    assert opcode.op is Op.STEP_RUN
    assert opcode.data == {
        "url": "https://api.test/x?a=1",
        "headers": {"x-a": "1"},
        "body": "a\ufffd",
        "status_code": status,
    }


@pytest.mark.parametrize(
    ("status", "body", "value"),
    [(200, b'{"a":1}', {"a": 1}), (299, b"[]", []), (200, b"no json", "no json"), (201, b"", "")],
)
def test_an_inference_gives_the_providers_json(status: int, body: bytes, value: Any) -> None:
    """Below 300 the body is the result: JSON, or the text it is."""
    (opcode,) = answered(inference(), reply(status, body), bytes_max=MEBIBYTE, now_ms=NOW_MS).opcodes
    assert (opcode.op, opcode.data) == (Op.STEP_RUN, value)


@pytest.mark.parametrize("status", [300, 400, 429, 500])
def test_an_inference_that_is_refused_is_an_error_with_the_answer(status: int) -> None:
    """From 300 on the attempt has failed, and its error keeps the provider's body, as JSON and as text."""
    outcome = answered(inference(), reply(status, b'{"why":"no"}'), bytes_max=MEBIBYTE, now_ms=NOW_MS)
    (opcode,) = outcome.opcodes
    assert opcode.op is Op.STEP_ERROR
    assert opcode.error is not None
    assert opcode.error.memo() == {
        "name": "AIGatewayError",
        "message": f"Error making AI request: https://api.test/v1 answered HTTP {status}",
        "data": {"why": "no"},
        "stack": '{"why":"no"}',
    }


def test_an_error_keeps_a_bounded_part_of_the_answer() -> None:
    """A page of megabytes is cut; nobody reads it."""
    (opcode,) = answered(inference(), reply(500, b'"' + b"x" * MEBIBYTE + b'"'), bytes_max=1, now_ms=0).opcodes
    assert opcode.error is not None
    assert (len(opcode.error.stack or ""), len(opcode.error.data)) == (ERROR_CHARS_MAX, ERROR_CHARS_MAX)


@pytest.mark.parametrize(
    ("opts", "body", "kept"),
    [
        ({}, f"bad key {KEY}", "bad key [redacted]"),
        ({"auth_key": f"Bearer {KEY}"}, f"bad key {KEY}", "bad key [redacted]"),
        ({"auth_key": "short"}, "a short text", "a short text"),
    ],
)
def test_a_key_that_comes_back_is_taken_out(opts: dict[str, Any], body: str, kept: str) -> None:
    """A provider that repeats the key, in a result or an error, does not get it into the journal."""
    for status in (200, 401):
        (opcode,) = answered(inference(**opts), reply(status, body.encode()), bytes_max=MEBIBYTE, now_ms=0).opcodes
        assert (opcode.data or (opcode.error and opcode.error.stack)) == kept
    (opcode,) = unanswered(inference(**opts), body, final=False).opcodes
    assert opcode.error is not None
    assert opcode.error.message == f"Error making AI request: {kept}"


def test_a_provider_may_say_when_to_come_back() -> None:
    """Retry-After of a refusal is when the next attempt is made; what cannot be read counts as absent."""
    busy = answered(inference(), reply(429, b"", retry_after="7"), bytes_max=MEBIBYTE, now_ms=NOW_MS)
    unclear = answered(inference(), reply(429, b"", retry_after="soon"), bytes_max=MEBIBYTE, now_ms=NOW_MS)
    assert (busy.retry_at_ms, unclear.retry_at_ms) == (NOW_MS + 7_000, None)


def test_a_result_over_the_bound_is_a_final_error() -> None:
    """What the journal cannot hold is not asked for again."""
    (opcode,) = answered(inference(), reply(200, b'"12345"'), bytes_max=6, now_ms=NOW_MS).opcodes
    assert opcode.op is Op.STEP_FAILED


def test_of_a_request_the_journal_keeps_where_it_goes_and_what_it_is() -> None:
    """The entry has kind, method, model and the bare URL, and nothing else of the options."""
    told = []
    for opcode in (
        fetching(url=f"https://user:{KEY}@api.test/x?key={KEY}#f", headers={"x": KEY}, body=KEY),
        inference(url=f"https://api.test/v1?key={KEY}", body={"model": "m", "prompt": KEY}, headers={"x": KEY}),
        inference(url="http://[", body=[], format=None),
    ):
        change = gateway(situation(run()), opcode)
        assert change.put is not None
        assert (change.put.entry.status, change.put.entry.planned) == (StepStatus.PLANNED, True)
        told.append(change.put.entry.opts)
    assert told == [
        {"type": "step.fetch", "method": "POST", "url": "https://api.test/x"},
        {"type": "step.ai.infer", "format": "openai-chat", "model": "m", "url": "https://api.test/v1"},
        {"type": "step.ai.infer", "url": "a URL that cannot be read"},
    ]


def test_the_spelling_of_the_specification_is_read_too() -> None:
    """``AiGateway`` means what ``AIGateway`` does (protocol 10)."""
    (opcode,) = decode_opcodes([{"op": "AiGateway", "id": "a", "opts": None}])
    assert opcode.op is Op.AI_GATEWAY
