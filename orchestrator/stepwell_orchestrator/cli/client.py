"""The one HTTP client of the commands. Every failure is one line that names the fix."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from stepwell.errors import WireError
from stepwell.wire.encoding import decode, encode
from stepwell.wire.ids import is_ulid
from stepwell.wire.times import parse_instant_ms
from stepwell_orchestrator.cli.errors import CommandError, usage_error
from stepwell_orchestrator.cli.settings import Server

_TIMEOUT_S: Final = 30
_RECENT_RUNS: Final = 100


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server says, and when by its own clock."""

    data: Any
    at_ms: int


@dataclass(frozen=True, slots=True)
class EventRuns:
    """The runs an event started. ``routed``: no more will come; None where the server cannot tell."""

    runs: list[dict[str, Any]]
    routed: bool | None
    at_ms: int


class Client:
    """One server's API. Every method raises CommandError when there is no answer or the answer is no."""

    def __init__(self, server: Server, session: aiohttp.ClientSession) -> None:
        self._server = server
        self._session = session

    async def send_event(self, event: Mapping[str, Any]) -> str:
        """Send one event; returns its internal id once it is durable."""
        body = await self._request("POST", self._server.event_url, body=event)
        return str(body["ids"][0])

    async def send_events(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Send events; they are durable when it returns."""
        await self._request("POST", self._server.event_url, body=events)

    async def event(self, internal_id: str) -> Answer:
        """One event."""
        return await self._get(f"/v1/events/{internal_id}")

    async def every_run(self, query: Mapping[str, str]) -> AsyncIterator[dict[str, Any]]:
        """Runs newest first, page after page."""
        origin, cursor = self._server.api_origin, ""
        while True:
            asked = {**query, "cursor": cursor} if cursor else query
            body = await self._request("GET", f"{origin}/v1/runs", query=asked)
            for run in body["data"]:
                yield run
            cursor = body["page"]["cursor"]
            if not cursor:
                return

    async def runs(self, query: Mapping[str, str]) -> list[dict[str, Any]]:
        """Runs newest first."""
        data: list[dict[str, Any]] = (await self._get("/v1/runs", query)).data
        return data

    async def crons(self, query: Mapping[str, str]) -> list[dict[str, Any]]:
        """Schedules with their next ticks."""
        data: list[dict[str, Any]] = (await self._get("/v1/crons", query)).data
        return data

    async def runs_of_event(self, event_id: str) -> EventRuns:
        """The runs an event started so far. Needs a server that tells when there are no more to come."""
        origin = self._server.api_origin
        body = await self._request("GET", f"{origin}/v1/events/{event_id}/runs")
        if "routed" not in body:
            raise CommandError(f"{origin} does not tell whether more runs will come; --wait needs a Stepwell server")
        return EventRuns(body["data"], body["routed"], _fetched_at_ms(body))

    async def run(self, run_id: str) -> Answer:
        """One run."""
        return await self._get(f"/v1/runs/{run_id}")

    async def why(self, run_id: str) -> Answer:
        """Why it is not running."""
        return await self._get(f"/v1/runs/{run_id}/why")

    async def halt(self, path: str, said: Mapping[str, str]) -> dict[str, Any]:
        """Pause, drain or resume: ``functions/ID/pause`` and the like; returns how it stands then."""
        body = await self._request("POST", f"{self._server.api_origin}/v1/{path}", body=said)
        data: dict[str, Any] = body["data"]
        return data

    async def trace(self, run_id: str) -> Answer:
        """Its steps."""
        return await self._get(f"/v1/runs/{run_id}/trace")

    async def journal(self, run_id: str) -> dict[str, Any]:
        """Its journal as one document."""
        document: dict[str, Any] = (await self._get(f"/v1/runs/{run_id}/journal")).data
        return document

    async def cancel(self, run_id: str) -> None:
        """Cancel it."""
        await self._request("DELETE", f"{self._server.api_origin}/v1/runs/{run_id}")

    async def rerun(self, run_id: str, from_step: Mapping[str, Any] | None = None) -> str:
        """Run it again, from its start or a step; returns the new run's id."""
        body = None if from_step is None else {"fromStep": from_step}
        body = await self._request("POST", f"{self._server.api_origin}/v1/runs/{run_id}/rerun", body=body)
        return str(body["data"]["run_id"])

    async def sync(self, url: str) -> dict[str, Any]:
        """Ask the app served at ``url`` to register itself with its server; returns what it answers."""
        body: dict[str, Any] = await self._request("PUT", url, body={"url": url})
        return body

    async def resolve(self, text: str) -> str:
        """The run id that is ``text``, or that begins or ends with it among the latest hundred."""
        if is_ulid(text):
            return text
        wanted = text.upper()
        recent = [run["run_id"] for run in await self.runs({"limit": str(_RECENT_RUNS)})]
        found = [run_id for run_id in recent if run_id.startswith(wanted) or run_id.endswith(wanted)]
        if not found:
            raise CommandError(
                f'none of the latest {_RECENT_RUNS} runs begins or ends with "{text}"; `stepwell runs` lists them'
            )
        if len(found) > 1:
            shown = ", ".join(found[:3]) + (", ..." if len(found) > 3 else "")
            raise usage_error(f'"{text}" names {len(found)} runs ({shown}); give more of the id')
        return str(found[0])

    async def _get(self, path: str, query: Mapping[str, str] | None = None) -> Answer:
        body = await self._request("GET", self._server.api_origin + path, query=query)
        return Answer(body["data"], _fetched_at_ms(body))

    async def _request(
        self, method: str, url: str, *, query: Mapping[str, str] | None = None, body: Any = None
    ) -> dict[str, Any]:
        origin = "/".join(url.split("/", 3)[:3])
        # A signing key is for its server alone: an app that is asked to sync has another origin.
        own = url.startswith(self._server.api_origin + "/")
        headers = {"content-type": "application/json"}
        if own and self._server.bearer:
            headers["authorization"] = f"Bearer {self._server.bearer}"
        content = None if body is None else encode(body)
        proxy = self._server.proxies.for_url(url)
        try:
            async with self._session.request(
                method, url, params=query, data=content, headers=headers, proxy=proxy
            ) as response:
                return _understood(response.status, await response.read(), origin)
        except TimeoutError:
            raise CommandError(f"{origin} did not answer within {_TIMEOUT_S} s; is it overloaded or stopped?") from None
        except aiohttp.InvalidURL:
            raise usage_error(f'"{url}" is not a URL; write it like "http://127.0.0.1:8288"') from None
        except aiohttp.ClientError as error:
            raise CommandError(_unreachable(origin, error, own=own)) from None


def _fetched_at_ms(body: Mapping[str, Any]) -> int:
    return parse_instant_ms(body["metadata"]["fetched_at"])


@asynccontextmanager
async def connected(server: Server) -> AsyncGenerator[Client]:
    """A client for the time of one command."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S)) as session:
        yield Client(server, session)


def _understood(status: int, raw: bytes, origin: str) -> dict[str, Any]:
    """The body of a good answer. Raises CommandError with the reason in any other."""
    if status < 300 and not raw:
        return {}
    try:
        body = decode(raw)
    except WireError:
        body = None
    if status == 401:
        raise CommandError(
            f"{origin} refused the credentials; set STEPWELL_EVENT_KEY and STEPWELL_SIGNING_KEY to the server's keys"
        )
    if not isinstance(body, dict):
        raise CommandError(f"{origin} answers {status} but not as a Stepwell server does; check the URL")
    reason = body.get("error") or body.get("message")
    if status >= 400 or body.get("error"):
        raise CommandError(f"{origin} says no ({status}): {reason or 'no reason given'}", status=status)
    return body


def _unreachable(origin: str, error: aiohttp.ClientError, *, own: bool) -> str:
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return f"the proxy did not lead to {origin}, it answered {error.status}; check HTTPS_PROXY and NO_PROXY"
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return f"the proxy on the way to {origin} cannot be reached; check HTTPS_PROXY and NO_PROXY"
    if isinstance(error, aiohttp.ClientConnectorError):
        fix = "start a server with `stepwell dev`, or name yours with --url" if own else "is your app running?"
        return f"nothing answers at {origin}; {fix}"
    return f"the connection to {origin} broke ({type(error).__name__}); is it an HTTP server?"
