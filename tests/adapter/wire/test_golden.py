"""Traffic recorded from the official SDKs, read by this codec."""

import json
from pathlib import Path

import pytest

from stepwell.wire.call import decode_call_request
from stepwell.wire.encoding import canonical, encode
from stepwell.wire.errors import ErrorBody
from stepwell.wire.memo import Failure, Value, decode_memo
from stepwell.wire.opcodes import Op
from stepwell.wire.registration import Trigger, decode_registration
from stepwell.wire.reply import Failed, Finished, Instructions, decode_reply
from stepwell.wire.signing import verify_request, verify_response

GOLDEN = Path(__file__).parents[2] / "golden"


def load(name):
    return json.loads((GOLDEN / name).read_text())


CALLS = load("calls.json")
REPLIES = load("replies.json")
REGISTRATIONS = load("registrations.json")
NOW_MS = 1_795_355_028_000


@pytest.mark.parametrize("body", CALLS.values(), ids=CALLS)
def test_call_requests(body):
    """A recorded call request is read and written again without a difference."""
    assert decode_call_request(body).encode() == body


def test_call_request_members():
    """The members of a recorded call request are where they belong."""
    request = decode_call_request(CALLS["invoke failed"])
    step_id = "bc8d8647b02deea0ab3e715c220d041ee78cc19d"
    assert (request.ctx.attempt, request.ctx.max_attempts, request.ctx.stack) == (0, 1, (step_id,))
    assert (request.version, request.ctx.generation_id, request.ctx.use_api) == (2, 1, False)


@pytest.mark.parametrize(
    ("call", "memo"),
    [
        ("invoke failed", Failure(ErrorBody("ValueError", "child broke", stack="trace"))),
        ("slept", Value(None)),
        (
            "event arrived",
            Value(
                {
                    "data": {"v": 42},
                    "id": "my-id-1",
                    "name": "cap/wait.fulfil",
                    "ts": 1700000000000,
                    "user": {"id": "u"},
                    "v": "1",
                }
            ),
        ),
    ],
)
def test_memos(call, memo):
    """The memos of recorded call requests are a failure, a null and a bare event."""
    (raw,) = CALLS[call]["steps"].values()
    assert decode_memo(raw) == memo


def outcome(name):
    recorded = REPLIES[name]
    reply = decode_reply(recorded["status"], recorded["headers"], encode(recorded["body"]), NOW_MS)
    assert reply.request_version == 2
    return reply.outcome


@pytest.mark.parametrize(
    ("name", "ops", "user_ids"),
    [
        ("py 206 StepRun", [Op.STEP_RUN], ["a"]),
        ("py 206 Sleep", [Op.SLEEP], ["zzz"]),
        ("py 206 WaitForEvent", [Op.WAIT_FOR_EVENT], ["w"]),
        ("py 206 InvokeFunction", [Op.INVOKE_FUNCTION], ["call"]),
        ("py 206 StepPlanned+StepPlanned+StepPlanned", [Op.STEP_PLANNED] * 3, ["p1", "p2", "p3"]),
        ("py 206 StepError", [Op.STEP_ERROR], ["flaky"]),
        ("py 206 StepFailed", [Op.STEP_FAILED], ["bad"]),
        ("js 206 StepRun", [Op.STEP_RUN], ["a"]),
        ("js 206 Sleep", [Op.SLEEP], ["zzz"]),
        ("js 206 WaitForEvent", [Op.WAIT_FOR_EVENT], ["w"]),
        ("js 206 WaitForSignal", [Op.WAIT_FOR_SIGNAL], ["w"]),
        ("js 206 InvokeFunction", [Op.INVOKE_FUNCTION], ["call"]),
        ("js 206 StepPlanned+StepPlanned+StepPlanned", [Op.STEP_PLANNED] * 3, ["p1", "p2", "p3"]),
        ("js 206 StepError", [Op.STEP_ERROR], ["flaky"]),
        ("js 206 StepFailed", [Op.STEP_FAILED], ["bad"]),
        ("js 206 StepError after", [Op.STEP_ERROR], ["later"]),
        ("js 206 RunComplete", [Op.RUN_COMPLETE], [None]),
    ],
)
def test_opcodes(name, ops, user_ids):
    """Recorded opcodes are read, with the user's id, and read again as this codec writes them."""
    found = outcome(name)
    assert isinstance(found, Instructions)
    assert [opcode.op for opcode in found.opcodes] == ops
    assert [opcode.user_id for opcode in found.opcodes] == user_ids
    written = [opcode.encode() for opcode in found.opcodes]
    again = decode_reply(206, REPLIES[name]["headers"], encode(written), NOW_MS).outcome
    assert [opcode.encode() for opcode in again.opcodes] == written


@pytest.mark.parametrize(
    ("name", "opts"),
    [
        ("py 206 Sleep", {}),
        (
            "py 206 WaitForEvent",
            {"if": "event.data.userId == async.data.userId && async.data.n > 1", "timeout": "1m"},
        ),
        (
            "py 206 InvokeFunction",
            {"function_id": "cap-child-ok", "payload": {"data": {"p": 1}, "v": None}, "timeout": None},
        ),
    ],
)
def test_opcode_options(name, opts):
    """The options of a recorded opcode are kept as sent."""
    assert outcome(name).opcodes[0].opts == opts


@pytest.mark.parametrize(
    ("name", "error_name", "no_retry", "delayed"),
    [
        ("py 500 ValueError", "ValueError", False, False),
        ("py 500 NonRetriableError", "NonRetriableError", True, False),
        ("py 500 RetryAfterError after", "RetryAfterError", False, True),
        ("js 400 NonRetriableError", "NonRetriableError", True, False),
        ("js 400 Error", "Error", True, False),
    ],
)
def test_failures(name, error_name, no_retry, delayed):
    """Recorded failures keep their body verbatim, and their headers say whether and when to retry."""
    found = outcome(name)
    assert isinstance(found, Failed)
    assert found.error.name == error_name
    assert found.output == REPLIES[name]["body"]
    assert (found.no_retry, found.retry_at_ms is not None) == (no_retry, delayed)


@pytest.mark.parametrize(
    ("name", "no_retry", "retry_at_ms"),
    [
        ("py 206 StepError", False, None),
        ("js 206 StepError", False, None),
        ("js 206 StepFailed", True, None),
        ("js 206 StepError after", False, NOW_MS + 2_000),
    ],
)
def test_step_errors(name, no_retry, retry_at_ms):
    """The headers of a recorded step error say whether and when to retry."""
    found = outcome(name)
    assert (found.no_retry, found.retry_at_ms) == (no_retry, retry_at_ms)


@pytest.mark.parametrize("name", ["py 200 value", "py 200 object", "js 200 value"])
def test_results(name):
    """A recorded result is kept as sent."""
    assert outcome(name) == Finished(REPLIES[name]["body"])


def test_every_reply_is_tested():
    """No recorded reply is left out of the tables above."""
    tables = (test_opcodes, test_failures, test_results)
    rows = [row for test in tables for mark in test.pytestmark for row in mark.args[1]]
    assert {row if isinstance(row, str) else row[0] for row in rows} == set(REPLIES)


@pytest.mark.parametrize(
    ("sdk", "app_id", "slugs"),
    [
        ("py", "cap", ["cap-three-steps", "cap-on-failure-failure", "cap-everything-config"]),
        ("js", "capjs", ["capjs-three-steps", "capjs-fn-fail", "capjs-fn-fail-failure"]),
    ],
)
def test_registrations(sdk, app_id, slugs):
    """A recorded registration is read, and its functions read again as this codec writes them."""
    found = decode_registration(REGISTRATIONS[sdk])
    assert (found.app_id, [function.id for function in found.functions]) == (app_id, slugs)
    assert found.sdk.startswith(f"{sdk}:v")
    assert decode_registration(found.encode()) == found


def test_registered_function():
    """The Python SDK's fullest function keeps its triggers, retries and options."""
    function = decode_registration(REGISTRATIONS["py"]).functions[2]
    assert function.triggers == (
        Trigger(event="cap/every", expression="event.data.x == 1"),
        Trigger(cron="TZ=Europe/Paris 0 12 * * 5"),
    )
    assert function.retries == 7
    assert set(function.options) == {"cancel", "concurrency", "priority", "throttle", "timeouts"}


def test_signatures():
    """The official server's request signature and the Python SDK's response signature verify."""
    signed = load("signed.json")
    request, response = signed["request"], signed["response"]
    now_s = NOW_MS // 1000 + 848
    keys = ["signkey-test-00", signed["key"]]
    assert verify_request(canonical(request["body"]), request["signature"], keys, now_s) == signed["key"]
    assert verify_request(encode(request["body"]), request["signature"], keys, now_s) == signed["key"]
    assert verify_response(response["body"].encode(), response["signature"], keys, now_s) == signed["key"]
