"""Apps of the official TypeScript package that defer functions and pass sessions on, on our dev server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from stepwell_orchestrator.entry.dev import listen
from stepwell_orchestrator.entry.dev_server import own_origin
from stepwell_orchestrator.model.notice import NoticeKind
from tests.interop.node import APPS, typescript, why_not
from tests.interop.server import Server

pytestmark = [
    pytest.mark.skipif(bool(why_not()), reason=why_not()),
    pytest.mark.asyncio(loop_scope="module"),
]

DEFERRING = {
    "defer-top": [1, 2],
    "defer-in-step": 1,
    "defer-no-steps": "ok",
    "defer-end": 1,
    "defer-sleep": "ok",
}
"""What each function returns; the ``n`` of what it defers is its place here, from 1."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[Server]:
    """One dev server and one Node process for all tests here."""
    with listen("127.0.0.1", 0) as listener:
        async with typescript(listener, {"INNGEST_DEV": own_origin(listener)}) as serving:
            yield serving


async def deferred(server: Server, app: str) -> list[tuple[Any, ...]]:
    """What an app's deferred runs were given, each with its parent."""
    sent = await server.get(f"/v1/events?name={app}/deferred&limit=100")
    return sorted((event["data"]["n"], event["data"]["parent"]) for event in sent)


@pytest.mark.parametrize("app", APPS)
async def test_what_a_run_defers_starts_once_it_has_ended(server: Server, app: str) -> None:
    """At the top, in a step, at the end, before a sleep, and in a run that fails; not what was aborted."""
    outcomes = await asyncio.gather(*(server.outcome(f"{app}/{name}") for name in DEFERRING))
    assert [outcome.output for outcome in outcomes] == list(DEFERRING.values())
    failed, aborted = await asyncio.gather(server.outcome(f"{app}/defer-fails"), server.outcome(f"{app}/defer-abort"))
    assert (failed.status, failed.output["message"], aborted.output) == ("Failed", "broken", "aborted")
    await server.watcher.told(NoticeKind.RUN_COMPLETED, f"{app}-later", len(DEFERRING) + 1)
    names = [*DEFERRING, "defer-fails"]
    assert await deferred(server, app) == [(n, f"{app}-{name}") for n, name in enumerate(names, 1)]


@pytest.mark.parametrize("app", APPS)
async def test_an_invoked_run_has_the_sessions_of_its_caller(server: Server, app: str) -> None:
    """The package passes them on; a number that the sender gave is text from the first call on."""
    event_id = await server.send(f"{app}/sessions", meta={"sessions": {"user": "u1", "order": 7}})
    sessions = {"user": "u1", "order": "7"}
    assert (await server.ended(event_id)).output == [sessions, sessions]
