"""Keeping an app that is served elsewhere registered: asked at once, and again every few seconds (protocol 2.2)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final
from urllib.parse import urlencode, urlsplit

from stepwell.errors import WireError
from stepwell.wire import headers as names
from stepwell.wire.encoding import canonical, decode
from stepwell.wire.signing import sign
from stepwell.wire.times import SECOND_MS
from stepwell_orchestrator.entry.settings import server_kind
from stepwell_orchestrator.ports import CallError, Clock
from stepwell_orchestrator.transports.invoke_http import HttpInvoker

SYNC_TIMEOUT_MS: Final = 10 * SECOND_MS
POLL_MS: Final = 5 * SECOND_MS
RETRY_MS: Final = SECOND_MS

Say = Callable[[str], None]


class _State(Enum):
    UNKNOWN = "unknown"
    AWAY = "away"
    REFUSING = "refusing"
    SYNCED = "synced"


class Syncer:
    """One app's URL. ``say`` is told when the app is first reached, goes away, comes back, or will not register."""

    def __init__(
        self, url: str, http: HttpInvoker, clock: Clock, say: Say, *, own_origin: str, signing_keys: Sequence[str] = ()
    ) -> None:
        self.url = url
        self.deploy_id = hashlib.sha256(url.encode()).hexdigest()[:16]
        self._http = http
        self._clock = clock
        self._say = say
        self._own_origin = own_origin
        self._signing_keys = signing_keys
        self._registered = False
        self._known = False
        self._state = _State.UNKNOWN
        self._problem = ""

    def registered(self) -> str:
        """The app has answered with a registration; returns the URL it was reached at."""
        self._registered = True
        return self.url

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            await self.sync()
            delay_ms = POLL_MS if self._state is _State.SYNCED else RETRY_MS
            await self._clock.sleep_until(self._clock.now_ms() + delay_ms)

    async def sync(self) -> None:
        """Ask the app once to register."""
        self._registered = False
        try:
            status, body = await self._put()
        except CallError as error:
            self._enter(_State.AWAY, str(error))
            return
        problem = _refusal(status, body)
        if problem:
            self._enter(_State.REFUSING, problem)
        elif not self._registered:
            fix = f"start the app with INNGEST_DEV={self._own_origin} (or STEPWELL_DEV={self._own_origin})"
            self._enter(_State.REFUSING, f"it registers with another server than this one; {fix}")
        else:
            self._enter(_State.SYNCED, "")

    async def _put(self) -> tuple[int, bytes]:
        body = canonical({"url": self.url})
        headers = {"content-type": "application/json", names.SERVER_KIND: server_kind(self._signing_keys)}
        if self._signing_keys:
            headers[names.SIGNATURE] = sign(body, self._signing_keys[0], self._clock.now_ms() // SECOND_MS)
        parts = urlsplit(self.url)
        query = "&".join(filter(None, (parts.query, urlencode({"deployId": self.deploy_id}))))
        reply = await self._http.request("PUT", parts._replace(query=query).geturl(), headers, body)
        return reply.status, reply.body

    def _enter(self, state: _State, problem: str) -> None:
        if (self._state, self._problem) == (state, problem):
            return
        self._state, self._problem = state, problem
        match state:
            case _State.SYNCED:
                self._say(f"{self.url} is {'back' if self._known else 'registered'}")
                self._known = True
            case _State.AWAY if self._known:
                self._say(f"{self.url} has gone away: {problem}")
            case _State.AWAY:
                self._say(f"waiting for {self.url}: {problem}")
            case _:
                self._say(f"{self.url} did not register: {problem}")


def _refusal(status: int, body: bytes) -> str:
    """Why a PUT was not answered with success; the Python SDK answers 200 whatever went wrong (protocol 2.3)."""
    try:
        answer = decode(body)
    except WireError:
        answer = None
    if not isinstance(answer, dict):
        return f"HTTP {status}, and not the answer of an SDK; is this the URL at which the functions are served?"
    reason = answer.get("error") or (answer.get("message") if "code" in answer or status >= 400 else None)
    if status >= 400 or answer.get("error") or "code" in answer:
        return f"HTTP {status}: {str(reason or 'no reason given')[:500]}"
    return ""
