"""Checks of the server: whether one answers, whether its port is free otherwise, whether the clocks agree."""

from __future__ import annotations

import socket
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit

import aiohttp

from stepwell.wire.headers import SERVER_KIND
from stepwell.wire.signing import WINDOW_S
from stepwell.wire.times import SECOND_MS, instant_of
from stepwell_orchestrator.cli.doctor.finding import Finding, fail, ok, warn
from stepwell_orchestrator.ports import Clock

_TIMEOUT_S: Final = 5
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_RELEASE_MS: Final = 1_735_689_600_000
"""2025-01-01: a clock before it is not set."""


async def check_server(origin: str, clock: Clock) -> list[Finding]:
    """A Stepwell server answers at ``origin``, or else its port is free to start one; and the clocks agree."""
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S)) as session,
            session.get(f"{origin}/health") as response,
        ):
            kind = response.headers.get(SERVER_KIND)
            served_at = response.headers.get("date")
    except (aiohttp.ClientError, TimeoutError) as error:
        return [_unanswered(origin, error), check_clock(clock.now_ms(), None)]
    if kind is None:
        return [
            fail("server", f"something else answers at {origin}", "stop it, or pass --port to dev and --url elsewhere"),
            check_clock(clock.now_ms(), None),
        ]
    return [ok("server", f"a {kind} server answers at {origin}"), check_clock(clock.now_ms(), served_at)]


def check_clock(now_ms: int, served_at: str | None) -> Finding:
    """The clock is set, and no further from the server's than a signature may be old."""
    if now_ms < _RELEASE_MS:
        return fail("clock", "it is set to before 2025", "set the machine's time; ids and signatures depend on it")
    if served_at is None:
        return ok("clock", "it is set")
    apart_s = abs(now_ms - instant_of(parsedate_to_datetime(served_at))) // SECOND_MS
    if apart_s > WINDOW_S:
        return fail("clock", f"{apart_s} s apart from the server's", "set both by NTP; signed requests are refused")
    if apart_s > WINDOW_S // 10:
        return warn("clock", f"{apart_s} s apart from the server's", "set both by NTP")
    return ok("clock", "it agrees with the server's")


def _unanswered(origin: str, error: Exception) -> Finding:
    parts = urlsplit(origin)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    if host not in _LOOPBACK:
        return fail("server", f"nothing answers at {origin} ({type(error).__name__})", "check --url and the network")
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        # As a server does, so that connections of one that has just stopped are no hindrance.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as reason:
            return fail("server", f"port {port} cannot be used: {reason.strerror}", "pass another --port")
    return ok("server", f"none is running; port {port} is free for `stepwell dev`")
