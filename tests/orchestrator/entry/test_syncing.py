"""Keeping an app at a URL registered: what is asked, and what is told when it changes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from stepwell.wire.signing import verify_request
from stepwell_orchestrator.entry.syncing import Syncer
from stepwell_orchestrator.ports import CallError, HttpReply
from stepwell_orchestrator.transports.invoke_http import HttpInvoker
from tests.orchestrator.fakes import NOW_MS, FixedClock

URL = "http://127.0.0.1:3000/api/inngest?tenant=1"
AWAY = f"nothing answers at {URL}; is your app running?"
OK = HttpReply(200, {}, b'{"ok": true, "modified": false}')


@dataclass
class FakeApp(HttpInvoker):
    """An app that answers a PUT with ``answer``, and registers first when ``registers``."""

    answer: HttpReply | CallError = OK
    registers: bool = True
    asked: list[tuple[str, str, Mapping[str, str], bytes]] = field(default_factory=list)
    syncer: Syncer | None = None

    async def request(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> HttpReply:
        self.asked.append((method, url, headers, body))
        if isinstance(self.answer, CallError):
            raise self.answer
        if self.registers and self.syncer is not None:
            assert self.syncer.registered() == URL
        return self.answer


@dataclass(slots=True)
class World:
    app: FakeApp
    syncer: Syncer
    said: list[str]

    async def sync(self, answer: HttpReply | CallError = OK, *, registers: bool = True) -> list[str]:
        """Ask once; what was said about it."""
        self.app.answer, self.app.registers = answer, registers
        self.said.clear()
        await self.syncer.sync()
        return list(self.said)


@pytest.fixture
def world() -> World:
    app = FakeApp()
    said: list[str] = []
    app.syncer = Syncer(
        URL, app, FixedClock(), said.append, own_origin="http://127.0.0.1:8288", signing_keys=["signkey-test-00ff"]
    )
    return World(app, app.syncer, said)


async def test_app_is_asked_as_the_protocol_says(world: World) -> None:
    """The app is asked by a signed PUT that names its URL, the server's kind and the id the answer will carry."""
    await world.sync()
    [(method, url, headers, body)] = world.app.asked
    assert (method, url) == ("PUT", f"{URL}&deployId={world.syncer.deploy_id}")
    assert json.loads(body) == {"url": URL}
    assert (headers["content-type"], headers["x-inngest-server-kind"]) == ("application/json", "cloud")
    assert verify_request(body, headers["x-inngest-signature"], ["signkey-test-00ff"], NOW_MS // 1000)


async def test_only_changes_are_told(world: World) -> None:
    """Waiting, the first registration, going away and coming back are each told once."""
    away = CallError(AWAY)
    assert await world.sync(away) == [f"waiting for {URL}: {AWAY}"]
    assert await world.sync(away) == []
    assert await world.sync() == [f"{URL} is registered"]
    assert await world.sync() == []
    assert await world.sync(away) == [f"{URL} has gone away: {AWAY}"]
    assert await world.sync(away) == []
    assert await world.sync() == [f"{URL} is back"]


@pytest.mark.parametrize(
    ("status", "body", "problem"),
    [
        (200, b'{"error": "App ID required", "status": 400}', "HTTP 200: App ID required"),
        (500, b'{"message": "boom"}', "HTTP 500: boom"),
        (500, b"{}", "HTTP 500: no reason given"),
        (400, b'{"code": "server_kind_mismatch", "message": "wrong kind"}', "HTTP 400: wrong kind"),
        (
            404,
            b"<html>not found",
            "HTTP 404, and not the answer of an SDK; is this the URL at which the functions are served?",
        ),
        (
            200,
            b'"hello"',
            "HTTP 200, and not the answer of an SDK; is this the URL at which the functions are served?",
        ),
    ],
)
async def test_refusal_is_told(world: World, status: int, body: bytes, problem: str) -> None:
    """What answers and does not register is told once with its reason, whatever status it hides behind."""
    refusal = HttpReply(status, {}, body)
    assert await world.sync(refusal) == [f"{URL} did not register: {problem}"]
    assert await world.sync(refusal) == []


async def test_app_of_another_server_is_told(world: World) -> None:
    """An app that answers well and registers elsewhere is told how to find this server."""
    [line] = await world.sync(registers=False)
    assert line == (
        f"{URL} did not register: it registers with another server than this one; start the app with "
        "INNGEST_DEV=http://127.0.0.1:8288 (or STEPWELL_DEV=http://127.0.0.1:8288)"
    )
