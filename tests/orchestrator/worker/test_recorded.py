"""Runs recorded between the official server and SDKs, lived again: the same is asked, and they end as they did."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from stepwell.wire import headers as names
from stepwell.wire.call import DISCOVERY_STEP_ID
from stepwell.wire.encoding import decode, encode
from stepwell.wire.registration import Trigger
from stepwell_orchestrator.model.function import App, Function
from stepwell_orchestrator.ports import HttpReply, Ports
from stepwell_orchestrator.views.run_view import RUN_STATUS_NAMES
from stepwell_orchestrator.worker import Worker
from tests.orchestrator.worker.harness import SLUG, Script, World

RECORDED = json.loads((Path(__file__).parents[2] / "golden" / "transcripts.json").read_text())


@dataclass
class Recorded:
    """An app that answers what was answered to the same call. ``asked`` has the calls that were recorded nowhere."""

    calls: list[dict[str, Any]]
    unknown: list[Any] = field(default_factory=list)
    answered: int = 0

    def body_bytes_max(self, url: str) -> int | None:
        """There is no bound."""
        return None

    async def call(self, url: str, headers: Mapping[str, str], body: bytes) -> HttpReply:
        """Look the call up by its target and attempt and, for a discovery, by the steps that it knows."""
        request = decode(body)
        target, attempt = headers[names.STEP_ID], request["ctx"]["attempt"]
        for call in self.calls:
            same_steps = target != DISCOVERY_STEP_ID or request["steps"] == call["steps"]
            if (call["target"], call["attempt"]) == (target, attempt) and same_steps:
                self.answered += 1
                reply = call["reply"]
                return HttpReply(reply["status"], reply["headers"], encode(reply["body"]))
        self.unknown.append((target, attempt, request["steps"]))
        return HttpReply(500, {}, b"nobody recorded that")


@pytest.mark.parametrize("name", RECORDED)
async def test_a_recorded_run_ends_as_it_did(name: str) -> None:
    """Every call has the attempt and the memos that were recorded, and status and output are those recorded."""
    recorded = RECORDED[name]
    world, app = World(Script([])), Recorded(recorded["calls"])
    event = recorded["event"]
    function = Function(
        SLUG, "shop", "Recorded", "http://app.test/api", (Trigger(event["name"]),), recorded["max_attempts"] - 1
    )
    registered = App("shop", "http://app.test/api", "test:v1", "", "sum", world.clock.now_ms())
    await world.backend.registry.put_app(registered, [function])
    ports = Ports(
        world.backend.journal,
        world.backend.waits,
        world.backend.registry,
        world.backend.queue,
        app,
        world.clock,
        flow=world.backend.flow,
    )
    world.worker = Worker(ports, retry_delay_ms=1_000)
    await world.send(event["name"], data=event["data"])
    await world.run_to_end()
    header = (await world.run()).header
    assert app.unknown == []
    assert header.outcome is not None
    assert (RUN_STATUS_NAMES[header.status], header.outcome.output) == (recorded["status"], recorded["output"])
    assert app.answered == len(recorded["calls"])
