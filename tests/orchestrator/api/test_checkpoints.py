"""The checkpoint endpoint, asked as the official TypeScript SDK asks it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from stepwell.wire.ids import hash_step_id
from stepwell_orchestrator.model.run import RunStatus
from tests.orchestrator.scripted import client_of
from tests.orchestrator.worker.harness import World
from tests.orchestrator.worker.saving import Answer, Call, Programmed, complete, world_of

UNKNOWN_ID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


def body_of(call: Call, *names: str, **changes: Any) -> dict[str, Any]:
    """A checkpoint as SDK 4.18.1 sends it, with the members that leak from its insides."""
    ctx, now_ms = call.request.ctx, call.saver.world.clock.now_ms()
    steps = [
        {
            "id": hash_step_id(name),
            "mode": "sync",
            "op": "StepRun",
            "name": name,
            "displayName": name,
            "userland": {"id": name},
            "opts": {},
            "rawArgs": [name, None],
            "hashedId": hash_step_id(name),
            "promise": {},
            "fulfilled": True,
            "middleware": {"stepInfo": {"memoized": False, "stepType": "run"}},
            "data": {"k": [1, None]},
            "timing": {"a": (now_ms + number) * 1_000_000, "b": 0},
        }
        for number, name in enumerate(names)
    ]
    body = {
        "run_id": ctx.run_id,
        "fn_id": ctx.fn_id,
        "qi_id": ctx.qi_id,
        "request_id": ctx.request_id,
        "generation_id": ctx.generation_id,
        "request_started_at": now_ms,
        "steps": steps,
        "ts": now_ms + 6,
    }
    return body | changes


async def asked(ask: Callable[[httpx.AsyncClient, Call], Any], **options: Any) -> tuple[World, list[httpx.Response]]:
    """The world after a run whose call asked the endpoint, and the answers."""
    answers: list[httpx.Response] = []
    made: list[World] = []

    async def program(call: Call) -> Answer:
        async with client_of(made[0], **options) as client:
            answers.extend(await ask(client, call))
        return 206, [complete("done")]

    world, script = await world_of(program)
    assert isinstance(script, Programmed)
    made.append(world)
    await world.run_to_end()
    return world, answers


@pytest.mark.parametrize("path", ["/v1/checkpoint/{}/async", "/v1/http/runs/{}/async"])
async def test_steps_are_saved_by_either_path(path: str) -> None:
    """The memo is the data in its wrapper, and what else is sent is ignored; the answer has no body."""

    async def ask(client: httpx.AsyncClient, call: Call) -> list[httpx.Response]:
        return [await client.post(path.format(call.request.ctx.run_id), json=body_of(call, "a", "b"))]

    world, [answer] = await asked(ask)
    assert (answer.status_code, answer.content) == (200, b"")
    run = await world.run()
    assert run.header.status is RunStatus.COMPLETED
    assert [run.entries[hash_step_id(name)].memo for name in "ab"] == [{"data": {"k": [1, None]}}] * 2


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({"steps": None}, 400, "a checkpoint must have a list of steps"),
        ({"steps": [{"op": "Sleep", "id": "x", "name": "1s"}]}, 400, "cannot checkpoint opcode: Sleep"),
        ({"steps": [{"op": "DeferAdd", "id": "x", "opts": {}}]}, 400, "names no function; it needs fn_slug"),
        ({"steps": [{"op": "DeferAbort", "id": "x", "opts": {}}]}, 400, "names none; it needs target_hashed_id"),
        ({"steps": [{"op": "RunComplete", "id": "x"}]}, 400, "cannot checkpoint opcode: RunComplete"),
        ({"steps": [{"op": "StepFailed", "id": "x", "error": {}}]}, 400, "cannot checkpoint opcode: StepFailed"),
        ({"run_id": UNKNOWN_ID}, 400, f"the checkpoint is of run {UNKNOWN_ID}"),
        ({"qi_id": None}, 400, "qi_id must be the one of the call request"),
        ({"generation_id": 2}, 409, "has ended, or goes on in another call"),
    ],
)
async def test_what_is_refused_says_why(changes: dict[str, Any], status: int, error: str) -> None:
    """The public error with the run's id, and nothing is saved."""

    async def ask(client: httpx.AsyncClient, call: Call) -> list[httpx.Response]:
        run_id = call.request.ctx.run_id
        return [await client.post(f"/v1/checkpoint/{run_id}/async", json=body_of(call, "a", **changes))]

    world, [answer] = await asked(ask)
    run = await world.run()
    assert answer.status_code == status
    assert error in answer.json()["error"]
    assert (answer.json()["status"], answer.json()["data"]) == (status, {"run_id": run.header.run_id})
    assert run.entries == {}


async def test_a_body_that_is_no_json_and_a_run_there_is_not_are_refused() -> None:
    """Both are a mistake of the sender's."""

    async def ask(client: httpx.AsyncClient, call: Call) -> list[httpx.Response]:
        body = body_of(call, "a", run_id=UNKNOWN_ID, qi_id=f"{UNKNOWN_ID}:1:1:1")
        return [
            await client.post(f"/v1/checkpoint/{call.request.ctx.run_id}/async", content=b"{"),
            await client.post(f"/v1/checkpoint/{UNKNOWN_ID}/async", json=body),
        ]

    _, [malformed, unknown] = await asked(ask)
    assert (malformed.status_code, unknown.status_code) == (400, 400)
    assert "malformed JSON" in malformed.json()["error"]
    assert unknown.json()["error"] == f"Unable to load function run: {UNKNOWN_ID}"


async def test_a_step_above_the_limit_is_refused_by_name() -> None:
    """413 names the step, its size and what to do."""

    async def ask(client: httpx.AsyncClient, call: Call) -> list[httpx.Response]:
        body = body_of(call, "large")
        body["steps"][0]["data"] = "x" * (4 * 1024 * 1024)
        return [await client.post(f"/v1/checkpoint/{call.request.ctx.run_id}/async", json=body)]

    world, [answer] = await asked(ask)
    assert answer.status_code == 413
    assert 'the output of step "large" is' in answer.json()["error"]
    assert (await world.run()).entries == {}


async def test_half_a_surrogate_pair_is_replaced_as_it_is_in_a_reply() -> None:
    """JavaScript sends one when it cuts an emoji in two; saved and reported results are the same."""

    async def ask(client: httpx.AsyncClient, call: Call) -> list[httpx.Response]:
        body = body_of(call, "a")
        body["steps"][0]["data"] = "cut"
        text = json.dumps(body).replace('"cut"', '"\\ud83d"')
        return [await client.post(f"/v1/checkpoint/{call.request.ctx.run_id}/async", content=text)]

    world, [answer] = await asked(ask)
    assert answer.status_code == 200
    assert (await world.entry("a")).memo == {"data": "\ufffd"}


async def test_a_keyed_server_wants_the_signing_key() -> None:
    """Without it nothing is saved; with it, hashed or not, it is."""
    key = "signkey-test-12345678"

    async def ask(client: httpx.AsyncClient, call: Call) -> list[httpx.Response]:
        path = f"/v1/checkpoint/{call.request.ctx.run_id}/async"
        refused = await client.post(path, json=body_of(call, "a"))
        headers = {"authorization": f"Bearer {key}"}
        return [refused, await client.post(path, json=body_of(call, "b"), headers=headers)]

    world, answers = await asked(ask, signing_keys=[key])
    assert [answer.status_code for answer in answers] == [401, 200]
    assert set((await world.run()).entries) == {hash_step_id("b")}
