"""The part of a call request that was too large to send: fetched from the server's API instead (protocol 4.4)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import quote

from stepwell.client.outbound import Fetch, OutboundRequest, call_api
from stepwell.client.settings import Settings
from stepwell.errors import WireError
from stepwell.wire.call import CallRequest
from stepwell.wire.encoding import decode


async def fetch_state(settings: Settings, fetch: Fetch, call: CallRequest) -> CallRequest:
    """Fetch the steps and events of a call. Returns ``call`` with both, as the server has them.

    Raises WireError when the server does not have them, ConnectionError when it cannot be reached.
    """
    steps = await _get(settings, fetch, call.ctx.run_id, "actions")
    events = await _get(settings, fetch, call.ctx.run_id, "batch")
    if not isinstance(steps, dict) or not isinstance(events, list):
        raise WireError(f"run {call.ctx.run_id}: its state must be an object of steps and a list of events")
    return replace(call, steps=steps, events=tuple(events) or (call.event,))


async def _get(settings: Settings, fetch: Fetch, run_id: str, what: str) -> Any:
    url = settings.api_url(f"/v0/runs/{quote(run_id, safe='')}/{what}")
    answer = await call_api(settings, fetch, OutboundRequest("GET", url, {}))
    if answer.status != 200:
        raise WireError(f"run {run_id}: the server answered HTTP {answer.status} when asked for its {what}")
    return decode(answer.body)
