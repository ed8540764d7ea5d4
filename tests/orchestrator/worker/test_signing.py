"""How a signed call request is spelled: as the SDK that checks the signature spells what it has read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from stepwell.version import SDK
from stepwell.wire import headers as names
from stepwell.wire.signing import verify_request
from stepwell_orchestrator.ports import HttpReply, Ports
from stepwell_orchestrator.worker import Worker
from tests.orchestrator.worker.harness import Script, ScriptInvoker, World

KEY = "signkey-test-12345678"
LARGE = 2**63 - 1


class Recorder(ScriptInvoker):
    """Remembers what was sent."""

    def __init__(self, world: World) -> None:
        super().__init__(world.scripts)
        self.sent: list[tuple[Mapping[str, str], bytes]] = []

    async def call(self, url: str, headers: Mapping[str, str], body: bytes) -> HttpReply:
        self.sent.append((headers, body))
        return await super().call(url, headers, body)


async def called(sdk: str, keys: tuple[str, ...], number: int = LARGE) -> tuple[World, Recorder]:
    """A run on an event with a large number, carried to its end."""
    world = World(Script([["a"]]), retries=0)
    world.function = replace(world.function, sdk=sdk)
    recorder = Recorder(world)
    backend = world.backend
    ports = Ports(
        backend.journal, backend.waits, backend.registry, backend.queue, recorder, world.clock, flow=backend.flow
    )
    worker = Worker(ports, signing_keys=keys)
    await world.register()
    await world.send(data={"number": number})
    await world.settle(worker=worker)
    return world, recorder


@pytest.mark.parametrize(
    ("sdk", "keys", "spelled"),
    [
        (SDK, (KEY,), b'"number":9223372036854775807'),
        ("", (KEY,), b'"number":9223372036854775807'),
        ("inngest-py:v0.5.19", (KEY,), b'"number":9223372036854776000'),
        ("inngest-js:v9.0.0", (KEY,), b'"number":9223372036854776000'),
        ("a-new-sdk", (KEY,), b'"number":9223372036854776000'),
        ("inngest-py:v0.5.19", (), b'"number":9223372036854775807'),
    ],
)
async def test_large_integers_go_out_as_the_sdk_reads_them(sdk: str, keys: tuple[str, ...], spelled: bytes) -> None:
    """Ours gets them exactly, and so does anybody without keys; with keys, others get the double that they read."""
    world, recorder = await called(sdk, keys)
    assert [spelled in body for _, body in recorder.sent] == [True] * len(recorder.sent)
    for headers, body in recorder.sent:
        if keys:
            verify_request(body, headers[names.SIGNATURE], keys, world.clock.now_ms() // 1000)
    assert (await world.run()).header.status == "completed"


async def test_what_no_double_holds_fails_the_run_with_what_to_do() -> None:
    """An integer beyond the largest double cannot be signed for an SDK that reads doubles."""
    world, recorder = await called("inngest-js:v4.24.0", (KEY,), 10**400)
    outcome = (await world.run()).header.outcome
    assert recorder.sent == []
    assert outcome is not None
    assert "an integer is beyond the largest double; send it as a string" in outcome.output["message"]
