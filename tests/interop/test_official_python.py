"""An app written with the official Python package, served by FastAPI, against our dev server."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import logging
import socket
import warnings
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import fastapi
import pytest
import uvicorn

from stepwell_orchestrator.entry.dev import listen
from stepwell_orchestrator.entry.dev_server import MEMORY, DevOptions, own_origin, serve
from stepwell_orchestrator.entry.settings import ServerSettings
from stepwell_orchestrator.model.notice import Notice, NoticeKind

with warnings.catch_warnings():
    # The package defines its models in a form that pydantic has deprecated.
    warnings.simplefilter("ignore", DeprecationWarning)
    import inngest
    import inngest.fast_api


def official_app(origin: str) -> tuple[fastapi.FastAPI, Counter[str]]:
    """Two functions of the official package that talk to ``origin``; the counter tells how often each body ran."""
    client = inngest.Inngest(
        app_id="official",
        is_production=False,
        api_base_url=origin,
        event_api_base_url=origin,
        logger=logging.getLogger("official"),
    )
    ran: Counter[str] = Counter()

    async def square(name: str, number: int) -> int:
        ran[name] += 1
        return number * number

    async def flaky() -> str:
        ran["flaky"] += 1
        if ran["flaky"] < 3:
            raise ValueError("not yet")
        return "at last"

    @client.create_function(fn_id="parent", trigger=inngest.TriggerEvent(event="official/go"), retries=2)
    async def parent(ctx: inngest.Context) -> object:
        first = await ctx.step.run("first", square, "first", int(ctx.event.data["number"]))
        await ctx.step.sleep("nap", dt.timedelta(milliseconds=20))
        pair = await ctx.group.parallel(
            (
                lambda: ctx.step.run("left", square, "left", 2),
                lambda: ctx.step.run("right", square, "right", 3),
            )
        )
        text = await ctx.step.run("flaky", flaky)
        ids = await ctx.step.send_event("fan", inngest.Event(name="official/child", data={"n": first}))
        return {"first": first, "pair": list(pair), "text": text, "sent": ids}

    @client.create_function(
        fn_id="child",
        trigger=inngest.TriggerEvent(event="official/child", expression="event.data.n == 49"),
        retries=0,
    )
    async def child(ctx: inngest.Context) -> None:
        await ctx.step.run("boom", square, "boom", 1)
        raise inngest.NonRetriableError("the child gives up")

    api = fastapi.FastAPI()
    inngest.fast_api.serve(api, client, [parent, child])
    return api, ran


class QuietServer(uvicorn.Server):
    """Leaves signals to the test run."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def served(api: fastapi.FastAPI, listener: socket.socket) -> AsyncIterator[None]:
    """``api`` on uvicorn."""
    server = QuietServer(uvicorn.Config(api, log_config=None, access_log=False))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield
    finally:
        server.should_exit = True
        await serving


@dataclass(slots=True)
class Watcher:
    """Collects what a dev server tells, and waits for it."""

    notices: list[Notice] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    _told: asyncio.Event = field(default_factory=asyncio.Event)

    def observe(self, notice: Notice) -> None:
        self.notices.append(notice)
        self._told.set()

    def say(self, line: str) -> None:
        self.lines.append(line)
        self._told.set()

    async def told(self, kind: NoticeKind, function_id: str = "") -> Notice:
        """The first notice of a kind, of a function if given."""
        while True:
            for notice in self.notices:
                if notice.kind is kind and function_id in ("", notice.function_id):
                    return notice
            self._told.clear()
            await self._told.wait()

    async def said(self, text: str) -> None:
        """Return once a line holds ``text``."""
        while not any(text in line for line in self.lines):
            self._told.clear()
            await self._told.wait()


@pytest.mark.timeout(60)
async def test_official_app_runs_to_completion(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps, a sleep, a parallel group, retries, a sent event and a failing child all do what their author meant."""
    for variable in ("STEPWELL_DEV", "STEPWELL_BASE_URL"):
        monkeypatch.setenv(variable, "")
    watcher, stopping = Watcher(), asyncio.Event()
    with listen("127.0.0.1", 0) as listener, listen("127.0.0.1", 0) as app_listener:
        origin, app_origin = own_origin(listener), own_origin(app_listener)
        api, ran = official_app(origin)
        options = DevOptions(targets=(f"{app_origin}/api/inngest",), database=MEMORY, retry_delay_ms=10)
        async with served(api, app_listener), aiohttp.ClientSession(origin) as session:
            dev = asyncio.create_task(
                serve(options, listener, ServerSettings(), observe=watcher.observe, say=watcher.say, stopping=stopping)
            )
            await watcher.said("is registered")
            async with session.post("/e/key", json={"name": "official/go", "data": {"number": 7}}) as answer:
                [event_id] = (await answer.json())["ids"]
            await watcher.told(NoticeKind.RUN_COMPLETED, "official-parent")
            failed = await watcher.told(NoticeKind.RUN_FAILED, "official-child")
            async with session.get(f"/v1/events/{event_id}/runs") as answer:
                [run] = (await answer.json())["data"]
            async with session.get(f"/v1/runs/{run['run_id']}/trace") as answer:
                steps = {row["name"]: (row["status"], row["attempts"]) for row in (await answer.json())["data"]}
            async with session.get(f"/v1/runs/{failed.run_id}") as answer:
                child = (await answer.json())["data"]
            stopping.set()
            await dev
    output = run["output"]
    assert run["status"] == "Completed"
    assert (output["first"], output["pair"], output["text"], len(output["sent"])) == (49, [4, 9], "at last", 1)
    assert child["event_id"] == output["sent"][0]
    assert (child["status"], child["output"]["message"]) == ("Failed", "the child gives up")
    assert ran == {"first": 1, "left": 1, "right": 1, "flaky": 3, "boom": 1}
    assert steps == {
        "first": ("Completed", 1),
        "nap": ("Completed", 1),
        "left": ("Completed", 1),
        "right": ("Completed", 1),
        "flaky": ("Completed", 3),
        "fan": ("Completed", 1),
    }
    calls = Counter(notice.function_id for notice in watcher.notices if notice.kind is NoticeKind.CALLED)
    # Discoveries: first, nap, the group, flaky three times, fan, and the end; the group's two steps are calls as well.
    assert calls == {"official-parent": 10, "official-child": 2}
