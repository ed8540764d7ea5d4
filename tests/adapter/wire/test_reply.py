"""Replies to call requests (protocol 4.5 - 4.9)."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell.wire.encoding import encode
from stepwell.wire.errors import ErrorBody
from stepwell.wire.opcodes import Op, Opcode
from stepwell.wire.reply import (
    MAX_REPLY_BYTES,
    Failed,
    Finished,
    Instructions,
    Reply,
    decode_reply,
    encode_reply,
    encode_streamed,
)
from tests.adapter.wire.values import json_values

NOW_MS = 1_700_000_000_000
SDK = {"x-inngest-sdk": "py:v0.5.18", "x-inngest-req-version": "2"}
OPCODE = {"op": "StepRun", "id": "abc", "data": 1}
STEP_RUN = Opcode(Op.STEP_RUN, "abc", data=1)
ERROR = {"name": "E", "message": "boom", "stack": "s", "code": "unknown"}
ERROR_BODY = ErrorBody("E", "boom", stack="s", code="unknown")


def read(status, body, **headers):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return decode_reply(status, SDK | {key.replace("_", "-"): value for key, value in headers.items()}, raw, NOW_MS)


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (200, b"null", Finished(None)),
        (200, b"", Finished(None)),
        (204, b"", Finished(None)),
        (202, b'"x"', Finished("x")),
        (200, b'{"data": 1}', Finished({"data": 1})),
        (200, b'{"error": {"name": "E"}}', Finished({"error": {"name": "E"}})),
        (200, b'"{\\"a\\": 1}"', Finished('{"a": 1}')),
        (200, b"{not json", Finished("{not json")),
        (200, b'"cut \\ud83d"', Finished("cut \ufffd")),
        (206, [OPCODE], Instructions((STEP_RUN,))),
        (206, OPCODE, Instructions((STEP_RUN,))),
        (206, [], Instructions(())),
        (500, ERROR, Failed(ERROR_BODY, ERROR)),
        (400, ERROR, Failed(ERROR_BODY, ERROR)),
        (410, {"error": "gone"}, Failed(ErrorBody("Error", "gone"), {"error": "gone"})),
        (500, json.dumps(ERROR), Failed(ERROR_BODY, json.dumps(ERROR))),
        (500, b"oops", Failed(ErrorBody("Error", "oops"), "oops")),
        (500, b"\xff", Failed(ErrorBody("Error", "\ufffd"), "\ufffd")),
        (301, b"", Failed(ErrorBody("Error", "no message"), "")),
    ],
)
def test_outcomes(status, body, outcome):
    """Status and body give the outcome, and the SDK's request version is kept."""
    assert read(status, body) == Reply(outcome, 2)


@pytest.mark.parametrize(
    ("header", "no_retry"), [("true", True), ("True", True), ("false", False), ("", False), ("1", False)]
)
@pytest.mark.parametrize(("status", "body"), [(500, ERROR), (400, ERROR), (206, [OPCODE])])
def test_no_retry(status, body, header, no_retry):
    """Only the header decides whether to retry, whatever the status."""
    assert read(status, body, x_inngest_no_retry=header).outcome.no_retry is no_retry


@pytest.mark.parametrize(("status", "body"), [(500, ERROR), (206, [OPCODE])])
@pytest.mark.parametrize(("text", "delay_ms"), [("3", 3_000), ("2023-11-14T22:14:20Z", 60_000), ("0", 1_000)])
def test_retry_after(status, body, text, delay_ms):
    """Retry-After gives the time of the next attempt, on errors and on opcodes."""
    assert read(status, body, retry_after=text).outcome.retry_at_ms == NOW_MS + delay_ms
    assert read(status, body, retry_after="garbage").outcome.retry_at_ms is None
    assert read(status, body).outcome.retry_at_ms is None


@pytest.mark.parametrize(
    ("text", "version"),
    [("2", 2), ("1", 1), ("-1", -1), ("0", 0), ("", None), ("x", None), ("--5", None), ("²", None), ("9" * 5000, None)],
)
def test_request_version(text, version):
    """The request version is a whole number, and anything else counts as not announced."""
    assert read(200, b"1", x_inngest_req_version=text) == Reply(Finished(1), version)
    assert decode_reply(200, {"x-inngest-sdk": "weird"}, b"1", NOW_MS) == Reply(Finished(1), None)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "a 206 reply has no body"),
        (b"[{", "malformed JSON"),
        (b"null", "must be a list of opcodes"),
        (b"[null]", "an opcode must be an object"),
        (b'[{"op": "Bogus", "id": "a"}]', "unknown opcode 'Bogus'"),
        (b'[{"op": "StepRun"}]', "opcode StepRun has no id"),
        (b'[{"op": "StepError", "id": "a"}]', "has no error"),
    ],
)
def test_unreadable_opcodes(body, said):
    """Opcodes that cannot be read are a failure that may be retried."""
    reply = read(206, body)
    assert isinstance(reply.outcome, Failed)
    assert reply.outcome.error.name == "invalid_reply"
    assert said in reply.outcome.error.message
    assert reply.outcome.no_retry is False
    assert reply.request_version == 2


@pytest.mark.parametrize(
    ("status", "name"),
    [
        (200, "not_sdk"),
        (201, "not_sdk"),
        (206, "not_sdk"),
        (404, "Server returned a fatal error"),
        (502, "Server returned a fatal error"),
    ],
)
def test_not_an_sdk(status, name):
    """A reply without the SDK header is a failure that may be retried, and keeps the text as its stack."""
    reply = decode_reply(status, {"x-inngest-no-retry": "true", "x-inngest-req-version": "2"}, b"<html>", NOW_MS)
    assert isinstance(reply.outcome, Failed)
    assert (reply.outcome.error.name, reply.outcome.error.stack) == (name, "<html>")
    assert str(status) in reply.outcome.error.message
    assert reply.outcome.no_retry is False
    assert reply.request_version is None


def test_server_error_output():
    """What a failed run keeps of a server's own error is the official server's shape."""
    assert decode_reply(502, {}, b"", NOW_MS).outcome.output == {
        "error": "invalid status code: 502",
        "name": "Server returned a fatal error",
        "message": "Your server returned HTTP 502 before the SDK responded.",
    }


def test_too_large():
    """A reply of the limit is read, and one byte more is a failure for good."""
    largest = b'"' + b"a" * (MAX_REPLY_BYTES - 2) + b'"'
    assert isinstance(read(200, largest).outcome, Finished)
    outcome = read(200, largest + b" ").outcome
    assert isinstance(outcome, Failed)
    assert outcome.error.name == "output_too_large"
    assert outcome.no_retry is True


@pytest.mark.parametrize(
    ("inner", "reply"),
    [
        ({"status": 206, "headers": {}, "body": json.dumps([OPCODE])}, Reply(Instructions((STEP_RUN,)), 2)),
        ({"status": 206, "headers": {}, "body": [OPCODE]}, Reply(Instructions((STEP_RUN,)), 2)),
        ({"status": 206, "body": OPCODE}, Reply(Instructions((STEP_RUN,)), 2)),
        ({"status": 200, "headers": None, "body": "null"}, Reply(Finished(None), 2)),
        ({"status": 200, "body": None}, Reply(Finished(None), 2)),
        ({"status": 200}, Reply(Finished(None), 2)),
        ({"status": 200, "body": ""}, Reply(Finished(None), 2)),
        ({"status": 200, "body": '"text"', "error": ""}, Reply(Finished("text"), 2)),
        ({"status": 200, "body": {"a": 1}, "version": 1}, Reply(Finished({"a": 1}), 2)),
        ({"status": 200, "body": "1", "headers": {"X-Inngest-Req-Version": "1"}}, Reply(Finished(1), 1)),
        (
            {"status": 500, "headers": {"X-Inngest-No-Retry": "true", "Retry-After": 3}, "body": json.dumps(ERROR)},
            Reply(Failed(ERROR_BODY, ERROR, no_retry=True, retry_at_ms=NOW_MS + 3_000), 2),
        ),
    ],
)
def test_stream(inner, reply):
    """A stream's last object stands for the reply, its body once or twice encoded, after any keep-alive spaces."""
    assert read(201, b"   \n  " + json.dumps(inner).encode() + b"\n") == reply


def test_stream_headers_replace():
    """The headers inside a stream replace those outside."""
    body = json.dumps({"status": 500, "headers": {}, "body": json.dumps(ERROR)}).encode()
    outcome = read(201, body, x_inngest_no_retry="true", retry_after="3").outcome
    assert outcome == Failed(ERROR_BODY, ERROR)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "malformed JSON"),
        (b"    ", "malformed JSON"),
        (b"nope", "malformed JSON"),
        (b"[]", "must be an object with a status"),
        (b'{"body": 1}', "must be an object with a status"),
        (b'{"status": true, "body": 1}', "must be an object with a status"),
        (b'{"status": "200"}', "must be an object with a status"),
        (b'{"status": 200, "error": "broken pipe"}', "the stream failed: broken pipe"),
        (b'{"status": 206, "body": ""}', "a 206 reply has no body"),
    ],
)
def test_broken_stream(body, said):
    """A stream that ends without a readable reply is a failure that may be retried."""
    outcome = read(201, body).outcome
    assert isinstance(outcome, Failed)
    assert outcome.error.name == "invalid_reply"
    assert said in outcome.error.message
    assert outcome.no_retry is False


@pytest.mark.parametrize(
    ("outcome", "status", "headers", "body"),
    [
        (Finished({"a": None}), 200, {}, b'{"a":null}'),
        (Instructions((STEP_RUN,)), 206, {}, encode([STEP_RUN.encode()])),
        (
            Instructions((STEP_RUN,), no_retry=True, retry_at_ms=NOW_MS + 1_001),
            206,
            {"x-inngest-no-retry": "true", "retry-after": "2"},
            encode([STEP_RUN.encode()]),
        ),
        (Failed(ERROR_BODY, ERROR), 500, {"x-inngest-no-retry": "false"}, encode(ERROR)),
        (
            Failed(ERROR_BODY, ERROR, no_retry=True, retry_at_ms=NOW_MS),
            400,
            {"x-inngest-no-retry": "true", "retry-after": "1"},
            encode(ERROR),
        ),
        (
            Failed(ERROR_BODY, ERROR, retry_at_ms=NOW_MS + 10**12),
            500,
            {"x-inngest-no-retry": "false", "retry-after": "86400"},
            encode(ERROR),
        ),
    ],
)
def test_encode(outcome, status, headers, body):
    """An outcome is written as status, headers and body, a delay in whole seconds rounded up."""
    assert encode_reply(outcome, NOW_MS) == (status, headers, body)


@pytest.mark.parametrize("outcome", [Instructions((STEP_RUN,), said=(3, 1)), Failed(ERROR_BODY, ERROR, said=(0, 12))])
def test_how_far_the_lines_have_come_is_a_header(outcome):
    """A reply tells how far its function's lines in the log have come, and is read back so."""
    status, headers, body = encode_reply(outcome, NOW_MS)
    assert headers["x-stepwell-said"] == f"{outcome.said[0]}:{outcome.said[1]}"
    assert decode_reply(status, SDK | headers, body, NOW_MS).outcome == outcome


@pytest.mark.parametrize("header", ["", "3", "3:", "-1:0", "a:b", "1:2:3", "٣:٣", "1234567890:0"])
def test_a_header_that_is_no_position_says_nothing(header):
    """What cannot be understood there is never a reason to refuse a reply."""
    _, headers, body = encode_reply(Instructions((STEP_RUN,)), NOW_MS)
    outcome = decode_reply(206, SDK | headers | {"x-stepwell-said": header}, body, NOW_MS).outcome
    assert isinstance(outcome, Instructions)
    assert outcome.said is None


delays = st.none() | st.integers(1, 86_400).map(lambda seconds: NOW_MS + seconds * 1_000)
outcomes = st.one_of(
    st.builds(Finished, json_values()),
    st.builds(Instructions, st.just((Opcode(Op.STEP_RUN, "a", "n", "n"),)), st.booleans(), delays),
    st.builds(lambda no_retry, at_ms: Failed(ERROR_BODY, ERROR_BODY.encode(), no_retry, at_ms), st.booleans(), delays),
)


@given(outcomes)
def test_round_trip(outcome):
    """A reply is read back as it was written, alone and inside a stream."""
    status, headers, body = encode_reply(outcome, NOW_MS)
    assert decode_reply(status, SDK | headers, body, NOW_MS) == Reply(outcome, 2)
    assert decode_reply(201, SDK, b"  " + encode_streamed(status, headers, body), NOW_MS) == Reply(outcome, 2)


bodies = st.one_of(st.binary(max_size=40), json_values("status", "headers", "body", "error", "op", "id").map(encode))
header_names = st.sampled_from(["x-inngest-sdk", "x-inngest-req-version", "x-inngest-no-retry", "retry-after"])


@given(
    st.sampled_from([200, 201, 204, 206, 301, 400, 500]), st.dictionaries(header_names, st.text(max_size=12)), bodies
)
def test_any_reply(status, headers, body):
    """Any status, headers and bytes are some outcome, and never an error."""
    assert isinstance(decode_reply(status, headers, body, NOW_MS).outcome, Finished | Instructions | Failed)


@pytest.mark.parametrize(
    "outcome",
    [
        Finished(1, warnings=("one", "zwei \u2013 \U0001f600")),
        Instructions((STEP_RUN,), given_up=("abc", "def"), warnings=("one",)),
        Failed(ERROR_BODY, ERROR, warnings=("one",)),
    ],
)
def test_what_was_given_up_and_warned_of_travels_in_headers(outcome):
    """Our own headers carry it in ASCII, and a server that does not know them sees an ordinary reply."""
    status, headers, body = encode_reply(outcome, NOW_MS)

    assert decode_reply(status, SDK | headers, body, NOW_MS).outcome == outcome
    assert all(value.isascii() for value in headers.values())


@pytest.mark.parametrize("header", ["", "{}", "nonsense", "[1, null]", "[", '"text"', "\udcff"])
def test_a_warning_is_never_a_reason_to_refuse_a_reply(header):
    """Whatever is no array of texts says nothing."""
    assert read(200, b"1", x_stepwell_warnings=header).outcome == Finished(1)


def test_warnings_are_bounded_on_both_ends():
    """No header grows with what an author did wrong."""
    many = tuple("x" * 10_000 for _ in range(100))
    status, headers, body = encode_reply(Finished(1, warnings=many), NOW_MS)
    sent = json.dumps(["y" * 10_000] * 100)

    assert len(headers["x-stepwell-warnings"]) < 4_000
    assert decode_reply(status, SDK | headers, body, NOW_MS).outcome.warnings == tuple("x" * 500 for _ in range(5))
    assert read(200, b"1", x_stepwell_warnings=sent).outcome.warnings == tuple("y" * 500 for _ in range(5))


@pytest.mark.parametrize(("no_retry", "said"), [(False, "false"), (True, "true")])
def test_a_step_error_says_whether_it_is_worth_another_attempt(no_retry, said):
    """The header is there either way; with a Retry-After it says false."""
    failed = Opcode(Op.STEP_ERROR, "a", error=ERROR_BODY)
    retry_at_ms = None if no_retry else NOW_MS + 5_000
    _, headers, _ = encode_reply(Instructions((failed,), no_retry=no_retry, retry_at_ms=retry_at_ms), NOW_MS)
    assert headers["x-inngest-no-retry"] == said
    assert ("retry-after" in headers) is not no_retry
