from __future__ import annotations

import pytest

from stepwell.errors import EncodingError
from stepwell.wire import headers as names
from stepwell.wire.errors import ErrorBody
from stepwell.wire.opcodes import Op, Opcode
from stepwell.wire.reply import (
    Failed,
    Finished,
    Instructions,
    Outcome,
    decode_reply,
    encode_reply,
    encode_streamed,
)
from tests.adapter.serving.support import NOW_MS

ERROR = ErrorBody("ValueError", "no", stack="trace")
FAILED_STEP = Opcode(Op.STEP_ERROR, "abc", error=ERROR)
OUTCOMES = [
    pytest.param(Finished(None), 200, id="nothing"),
    pytest.param(Finished({"a": [1, "é"]}), 200, id="a value"),
    pytest.param(Instructions(()), 206, id="no opcode"),
    pytest.param(Instructions((Opcode(Op.STEP_RUN, "abc", display_name="a", data=1),)), 206, id="a step"),
    pytest.param(Instructions((FAILED_STEP,), no_retry=True), 206, id="a step not to be retried"),
    pytest.param(Instructions((FAILED_STEP,), retry_at_ms=NOW_MS + 90_000), 206, id="a step to be retried later"),
    pytest.param(Failed(ERROR, ERROR.encode()), 500, id="an error"),
    pytest.param(Failed(ERROR, ERROR.encode(), no_retry=True), 400, id="an error not to be retried"),
    pytest.param(Failed(ERROR, ERROR.encode(), retry_at_ms=NOW_MS + 5_000), 500, id="an error to be retried later"),
]


@pytest.mark.parametrize(("outcome", "status"), OUTCOMES)
def test_a_reply_is_read_as_it_was_meant(outcome: Outcome, status: int) -> None:
    """Whatever the outcome, decoding its encoding gives it back, plainly and as a stream."""
    encoded_status, headers, body = encode_reply(outcome, NOW_MS)
    sdk = {names.SDK: "py:v1"}
    stream = b"   " + encode_streamed(encoded_status, headers, body)
    assert encoded_status == status
    assert _plain(decode_reply(status, {**sdk, **headers}, body, NOW_MS).outcome) == _plain(outcome)
    assert _plain(decode_reply(201, sdk, stream, NOW_MS).outcome) == _plain(outcome)


def _plain(outcome: Outcome) -> object:
    """An outcome to compare: opcodes in wire form, where an absent name is the display name's."""
    if isinstance(outcome, Instructions):
        return [opcode.encode() for opcode in outcome.opcodes], outcome.no_retry, outcome.retry_at_ms
    return outcome


@pytest.mark.parametrize(("outcome", "no_retry"), [(False, "false"), (True, "true")])
def test_a_failure_always_says_whether_to_retry(outcome: bool, no_retry: str) -> None:
    """The status alone decides nothing, so the header is there in both cases."""
    assert encode_reply(Failed(ERROR, {}, no_retry=outcome), NOW_MS)[1] == {names.NO_RETRY: no_retry}


@pytest.mark.parametrize(
    ("delay_ms", "seconds"),
    [(-5, "1"), (1, "1"), (1_000, "1"), (1_001, "2"), (59_999, "60"), (10**12, "86400")],
)
def test_retry_after_is_whole_seconds_and_never_early(delay_ms: int, seconds: str) -> None:
    """The delay is rounded up and kept within a second and a day."""
    headers = encode_reply(Failed(ERROR, {}, retry_at_ms=NOW_MS + delay_ms), NOW_MS)[1]
    assert headers[names.RETRY_AFTER] == seconds


def test_a_result_that_is_not_json_is_refused() -> None:
    """Encoding raises rather than sending something else."""
    with pytest.raises(EncodingError):
        encode_reply(Finished({1, 2}), NOW_MS)
