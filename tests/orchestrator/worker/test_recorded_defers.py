"""Runs that defer functions, recorded between the official server and SDK, lived again: the same is asked and told."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from stepwell.wire.checkpoint import decode_checkpoint
from stepwell.wire.encoding import decode, encode
from stepwell.wire.registration import Trigger
from stepwell_orchestrator.accepting.checkpointing import Checkpointer
from stepwell_orchestrator.limits import Limits
from stepwell_orchestrator.model.function import App, Function
from stepwell_orchestrator.ports import HttpReply, Ports, RunFilter
from stepwell_orchestrator.views.run_view import RUN_STATUS_NAMES
from stepwell_orchestrator.worker import Worker
from tests.orchestrator.worker.harness import Script, World

RECORDED = json.loads((Path(__file__).parents[2] / "golden" / "defers.json").read_text())
DEFERRED_EVENT = "inngest/deferred.schedule"


@dataclass
class Recorded:
    """An app that saves and answers what it did at the same call. ``unknown`` has the calls that nobody recorded."""

    calls: list[dict[str, Any]]
    checkpointer: Checkpointer
    unknown: list[Any] = field(default_factory=list)
    saved: list[int] = field(default_factory=list)
    answered: list[dict[str, Any]] = field(default_factory=list)

    def body_bytes_max(self, url: str) -> int | None:
        """There is no bound."""
        return None

    async def call(self, url: str, headers: Mapping[str, str], body: bytes) -> HttpReply:
        """Look the call up by everything in it but ids and times."""
        request = decode(body)
        [slug] = parse_qs(urlsplit(url).query)["fnId"]
        asked = {"function": slug, "attempt": request["ctx"]["attempt"], "event": _comparable(request["event"])}
        asked |= {"steps": request["steps"], "defers": request["defers"]}
        for call in self.calls:
            if asked.items() <= call.items():
                return await self._answer(call, request)
        self.unknown.append(asked)
        return HttpReply(500, {}, b"nobody recorded that")

    async def _answer(self, call: dict[str, Any], request: Mapping[str, Any]) -> HttpReply:
        for save in call["saves"]:
            ctx = request["ctx"]
            raw = {**{name: ctx[name] for name in ("run_id", "fn_id", "qi_id", "request_id", "generation_id")}, **save}
            assert await self.checkpointer.answer(decode_checkpoint(raw, ctx["run_id"])) == save["status"]
        self.answered.append(call)
        reply = call["reply"]
        return HttpReply(reply["status"], reply["headers"], encode(reply["body"]))


def _comparable(event: Mapping[str, Any]) -> dict[str, Any]:
    data = dict(event["data"])
    internal = data.pop("_inngest", None)
    compared = {"name": event["name"], "data": data}
    if "meta" in event:
        compared["meta"] = event["meta"]
    if event["name"] == DEFERRED_EVENT:
        compared["internal"] = {name: internal[name] for name in ("fn_slug", "parent_fn_slug")}
    return compared


def _functions(recorded: Mapping[str, Any]) -> list[Function]:
    """The functions that were called, with the triggers that the SDK gives them."""
    found: dict[str, Function] = {}
    for call in recorded["calls"]:
        slug, name = call["function"], call["event"]["name"]
        expression = f"event.data._inngest.fn_slug == '{slug}'" if name == DEFERRED_EVENT else None
        stops = [{"event": event["name"]} for event in recorded["later"]]
        options = {"cancel": stops} if stops and expression is None else {}
        retries = call["max_attempts"] - 1
        found[slug] = Function(
            slug, "shop", slug, "http://app.test/api", (Trigger(name, expression),), retries, options
        )
    return list(found.values())


@pytest.mark.parametrize("name", RECORDED)
async def test_a_recorded_run_defers_what_it_did(name: str) -> None:
    """Calls, their memos, what they are told of deferrals, events, checkpoints' answers and ends are those recorded."""
    recorded = RECORDED[name]
    world = World(Script([]))
    backend = world.backend
    app = Recorded(recorded["calls"], Checkpointer(backend.journal, world.clock, Limits(), world.notices.append))
    registered = App("shop", "http://app.test/api", "test:v1", "", "sum", world.clock.now_ms())
    await backend.registry.put_app(registered, _functions(recorded))
    ports = Ports(backend.journal, backend.waits, backend.registry, backend.queue, app, world.clock, flow=backend.flow)
    world.worker = Worker(ports, retry_delay_ms=1_000)
    event = recorded["event"]
    await world.send(event["name"], data=event["data"], meta=event.get("meta"))
    await world.settle()
    for later in recorded["later"]:
        await world.clock.advance(1_000)
        await world.send(later["name"], data=later["data"])
    await world.run_to_end()
    assert app.unknown == []
    assert sorted(map(id, app.answered)) == sorted(map(id, recorded["calls"]))
    headers = await backend.journal.list_runs(RunFilter(), cursor=None, limit=100)
    parents = [header for header in headers if header.event_name != DEFERRED_EVENT]
    assert [RUN_STATUS_NAMES[header.status] for header in parents] == recorded["statuses"]
