"""What an app sends: the port an embedded engine may take over, and its HTTP client (protocol 3, 6.9, 9.1)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import quote

from stepwell.client import system
from stepwell.client.batches import TOO_LARGE, joined, split
from stepwell.client.http import HttpResponse
from stepwell.client.outbound import Fetch, OutboundRequest, call_api, fetch, own_headers
from stepwell.client.settings import Settings
from stepwell.errors import EventError, WireError
from stepwell.wire import headers as names
from stepwell.wire.checkpoint import Checkpoint
from stepwell.wire.encoding import encode
from stepwell.wire.ids import EventIdSeed


class Transport(Protocol):
    """What an app sends through: a server over HTTP, or an engine in the same process."""

    async def send_events(self, events: Sequence[Mapping[str, Any]], seed: EventIdSeed) -> list[str]:
        """Take events in wire form, with the seed of their ids. Returns the ids in order. Raises EventError."""
        ...

    async def send_signal(self, signal: str, data: Any) -> str | None:
        """Resume the run that waits for a signal with JSON data. Returns its id, or None when no run waits."""
        ...

    async def checkpoint(self, checkpoint: Checkpoint) -> int:
        """Save steps of a call that goes on. Returns the HTTP status. Raises ConnectionError without an answer."""
        ...


ATTEMPTS: Final = 5
FIRST_DELAY_MS: Final = 100
EVENTS_MAX: Final = 5000
SUPERSEDED: Final = 409
_RUN_IS_GONE: Final = b"run not found in state store"
"""What servers that are not ours say, with a 400, of a checkpoint whose run was cancelled."""
CHECKPOINT_TIMEOUT_S: Final = 5
"""A function waits for this answer; a repeat does no harm."""


@dataclass(frozen=True, slots=True)
class Sender:
    """The transport that posts to a server. A repeat carries the same seed, so that no event is sent twice."""

    settings: Settings
    fetch: Fetch = fetch
    sleep_ms: Callable[[int], Awaitable[None]] = system.sleep_ms

    async def send_events(self, events: Sequence[Mapping[str, Any]], seed: EventIdSeed) -> list[str]:
        """Send ``events`` in one request, tried five times while the server fails or cannot be reached.

        A request that is too large for the server is sent in parts. Returns the internal ids in order. Raises
        EventError when the server refuses an event; the error's ``ids`` are of those accepted before.
        """
        if len(events) > EVENTS_MAX:
            raise EventError(f"{len(events)} events in one send; the limit is {EVENTS_MAX}: send them in several calls")
        ids: list[str] = []
        waiting: list[Sequence[bytes]] = [[encode(event) for event in events]]
        while waiting:
            part = waiting.pop()
            answer = await self._post(self._request(part, seed.after(len(ids))))
            if answer.status == TOO_LARGE and len(part) > 1:
                waiting += reversed(list(split(part, answer)))
                continue
            try:
                ids += _accepted_ids(answer, joined(part))
            except EventError as error:
                raise EventError(str(error), ids=(*ids, *error.ids)) from None
        return ids

    def _request(self, events: Sequence[bytes], seed: EventIdSeed) -> OutboundRequest:
        headers = {"content-type": "application/json", **own_headers(self.settings), names.EVENT_ID_SEED: seed.encode()}
        return OutboundRequest("POST", self.settings.event_url(), headers, joined(events))

    async def send_signal(self, signal: str, data: Any) -> str | None:
        """Send a signal, once: after a lost answer a repeat would find no run waiting.

        Returns the id of the run that waited, or None when no run did.

        Raises WireError when the server refuses it, ConnectionError when it cannot be reached.
        """
        url = self.settings.api_url("/v1/signals")
        body = encode({"signal": signal, "data": data})
        return _resumed_run_id(await call_api(self.settings, self.fetch, OutboundRequest("POST", url, {}, body)))

    async def checkpoint(self, checkpoint: Checkpoint) -> int:
        """Save steps, in one request, which the caller may repeat. Returns the status. Raises ConnectionError."""
        url = self.settings.api_url(f"/v1/checkpoint/{quote(checkpoint.run_id, safe='')}/async")
        request = OutboundRequest("POST", url, {}, encode(checkpoint.encode()), CHECKPOINT_TIMEOUT_S)
        answer = await call_api(self.settings, self.fetch, request)
        return SUPERSEDED if answer.status == 400 and _RUN_IS_GONE in answer.body else answer.status

    async def _post(self, request: OutboundRequest) -> HttpResponse:
        for attempt in range(1, ATTEMPTS):
            try:
                answer = await self.fetch(request)
            except ConnectionError:
                answer = None
            if answer is not None and answer.status < 500:
                return answer
            await self.sleep_ms(FIRST_DELAY_MS * 2 ** (attempt - 1))
        try:
            return await self.fetch(request)
        except ConnectionError as error:
            raise EventError(
                f"events could not be sent to {self.settings.event_origin} in {ATTEMPTS} attempts ({error}); "
                "check that the server runs and the base URL is right"
            ) from error


def _accepted_ids(answer: HttpResponse, sent: bytes) -> list[str]:
    body = answer.json_object()
    raw_ids = body.get("ids")
    ids = [item for item in raw_ids if isinstance(item, str) and item] if isinstance(raw_ids, list) else []
    error = body.get("error")
    if answer.status == 200 and not error and "ids" in body:
        return ids
    if answer.status == TOO_LARGE:
        # A platform before the server answers in words of its own: Lambda's member is "Message".
        error = (
            f"{error or body.get('Message') or 'the request is too large'}; this event alone makes a request of "
            f"{len(sent)} bytes: store the payload elsewhere and send a reference"
        )
    reason = error if isinstance(error, str) and error else "the answer is not that of an ingest endpoint"
    raise EventError(f"the server refused the events with HTTP {answer.status}: {reason}", ids=tuple(ids))


def _resumed_run_id(answer: HttpResponse) -> str | None:
    body = answer.json_object()
    data, error = body.get("data"), body.get("error")
    run_id = data.get("run_id") if isinstance(data, Mapping) else None
    if answer.status == 200 and isinstance(run_id, str):
        return run_id
    if answer.status == 404 and error:
        return None
    reason = error if isinstance(error, str) and error else "the answer is not that of a signals endpoint"
    raise WireError(f"the server did not take the signal, with HTTP {answer.status}: {reason}")
