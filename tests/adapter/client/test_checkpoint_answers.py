"""What a server says of a checkpoint, as the status it stands for."""

from __future__ import annotations

import pytest

from stepwell.client.http import HttpResponse
from stepwell.client.outbound import OutboundRequest
from stepwell.client.sender import Sender
from stepwell.client.settings import Overrides, read_settings
from stepwell.wire.checkpoint import Checkpoint

A_CHECKPOINT = Checkpoint(
    run_id="R", fn_id="f", qi_id="q", request_id="", generation_id=0, request_started_at_ms=0, ts_ms=0, steps=()
)


@pytest.mark.parametrize(
    ("status", "body", "meaning"),
    [
        (400, b'{"error":"run not found in state store"}', 409),
        (400, b'{"error":"cannot checkpoint async steps"}', 400),
        (409, b"{}", 409),
        (200, b"run not found in state store", 200),
    ],
)
async def test_a_run_that_is_gone_supersedes_its_call(status: int, body: bytes, meaning: int) -> None:
    """Servers that are not ours say 400 where a run was cancelled; that is about this call alone."""

    async def fetch(_request: OutboundRequest) -> HttpResponse:
        return HttpResponse(status, {}, body)

    settings = read_settings(Overrides(base_url="http://x", dev=True), {})

    assert await Sender(settings, fetch).checkpoint(A_CHECKPOINT) == meaning
