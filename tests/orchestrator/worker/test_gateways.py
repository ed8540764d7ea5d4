"""What workers may do to each other, and to a run that moves on, while a gateway step is executed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from stepwell.wire.call import DISCOVERY_STEP_ID
from stepwell.wire.encoding import encode
from stepwell.wire.ids import hash_step_id
from stepwell.wire.times import HOUR_MS
from stepwell_orchestrator.engine.waits import items
from stepwell_orchestrator.limits import DELIVERY_LEASE_MS
from stepwell_orchestrator.model.fetch import Fetched, FetchRequest
from stepwell_orchestrator.model.run import RunStatus
from stepwell_orchestrator.model.step import StepStatus
from stepwell_orchestrator.ports import FetchError, Ports
from stepwell_orchestrator.worker import Worker
from tests.orchestrator.worker.harness import Script, ScriptInvoker, World

FETCH = ("Gateway", {"url": "https://api.test/x", "method": "GET"})
INFER = ("AIGateway", {"url": "https://api.test/x", "auth_key": "k", "format": "openai-chat", "body": {}})


@dataclass
class FakeFetcher:
    """Gives its outcomes in turn, the last one again and again."""

    outcomes: list[Any] = field(default_factory=lambda: [200])
    requests: list[FetchRequest] = field(default_factory=list)
    during: Callable[[], Awaitable[Any]] | None = None
    begun: asyncio.Event = field(default_factory=asyncio.Event)

    async def fetch(self, request: FetchRequest) -> Fetched:
        self.requests.append(request)
        self.begun.set()
        if self.during is not None:
            await self.during()
        outcome = self.outcomes[min(len(self.requests), len(self.outcomes)) - 1]
        if isinstance(outcome, Exception):
            raise outcome
        status, headers = outcome if isinstance(outcome, tuple) else (outcome, {})
        return Fetched(request.url, status, headers, encode({"n": len(self.requests)}))


class FetchingWorld(World):
    """A world whose workers fetch."""

    def __init__(self, script: Script, fetcher: FakeFetcher, **options: Any) -> None:
        self.fetcher = fetcher
        super().__init__(script, **options)

    def new_worker(self, journal: Any, queue: Any, waits: Any = None) -> Worker:
        backend = self.backend
        invoker = ScriptInvoker(self.scripts)
        return Worker(
            Ports(
                journal,
                waits or backend.waits,
                backend.registry,
                queue,
                invoker,
                self.clock,
                self.fetcher,
                flow=backend.flow,
            ),
            retry_delay_ms=1_000,
            observe=self.notices.append,
        )


async def world_of(script: Script, fetcher: FakeFetcher, **options: Any) -> FetchingWorld:
    world = FetchingWorld(script, fetcher, **options)
    await world.register()
    await world.send()
    return world


@pytest.mark.parametrize("copies", [1, 3])
async def test_a_gateway_step_is_requested_once_however_often_it_is_delivered(copies: int) -> None:
    """Duplicates of every delivery make one request, and the run goes on from its result."""
    fetcher = FakeFetcher()
    world = await world_of(Script([["get"], ["after"]], ops={"get": FETCH}), fetcher)
    await world.run_to_end(copies=copies)
    run = await world.run()
    assert run.header.status is RunStatus.COMPLETED
    assert len(fetcher.requests) == 1
    assert (await world.entry("get")).memo == {
        "data": {"url": "https://api.test/x", "headers": {}, "body": '{"n":1}', "status_code": 200}
    }
    assert world.script.bodies == {"after": 1}


async def test_the_function_is_never_told_to_execute_a_gateway_step() -> None:
    """An SDK may not report such a step when it is the target, so that it is asked for all its steps instead."""
    world = await world_of(Script([["get", "infer", "ran"]], ops={"get": FETCH, "infer": INFER}), FakeFetcher())
    await world.run_to_end()
    targets = [target for target, _ in world.script.calls]
    assert sorted(targets) == sorted([*[DISCOVERY_STEP_ID] * 4, hash_step_id("ran")])
    assert world.script.bodies == {"ran": 1}
    assert (await world.run()).header.status is RunStatus.COMPLETED


async def test_attempts_fail_and_are_made_again_with_backoff() -> None:
    """No reply, then a status of 500, then success: three requests, each asked for anew, with its attempt."""
    fetcher = FakeFetcher([FetchError("down"), 500, 200])
    world = await world_of(Script([["ask"]], ops={"ask": INFER}), fetcher)
    await world.settle()
    entry = await world.entry("ask")
    assert (entry.status, entry.attempt, entry.due_at_ms) == (StepStatus.ERRORED, 1, world.clock.now_ms() + 1_000)
    assert entry.error == {"name": "AIGatewayError", "message": "Error making AI request: down"}
    await world.run_to_end()
    assert [request.attempt for request in fetcher.requests] == [0, 1, 2]
    assert (await world.entry("ask")).memo == {"data": {"n": 3}}
    assert [attempt for _, attempt in world.script.calls] == [0, 0, 1, 2, 0]


async def test_the_last_attempt_decides() -> None:
    """When the attempts are used up the error is the step's memo, and the function goes on to deal with it."""
    fetcher = FakeFetcher([FetchError("down")])
    world = await world_of(Script([["get"], ["after"]], ops={"get": FETCH}), fetcher, retries=1)
    await world.run_to_end()
    message = "Error making gateway request: down"
    assert (await world.entry("get")).memo == {"error": {"name": "GatewayError", "message": message}}
    assert len(fetcher.requests) == 2
    assert (await world.run()).header.status is RunStatus.COMPLETED


async def test_a_provider_may_ask_for_time() -> None:
    """Retry-After of a refused inference replaces the back-off."""
    world = await world_of(Script([["ask"]], ops={"ask": INFER}), FakeFetcher([(429, {"retry-after": "60"}), 200]))
    await world.settle()
    assert (await world.entry("ask")).due_at_ms == world.clock.now_ms() + 60_000


async def test_a_final_error_is_not_tried_again() -> None:
    """A refused address is the step's error after one attempt."""
    fetcher = FakeFetcher([FetchError("refused", final=True)])
    world = await world_of(Script([["get"]], ops={"get": FETCH}), fetcher)
    await world.run_to_end()
    assert len(fetcher.requests) == 1
    assert (await world.entry("get")).status is StepStatus.FAILED


@pytest.mark.parametrize("opts", [{}, {"url": ""}, {"url": 7}, {"url": "https://a.test", "method": 7}])
async def test_an_opcode_that_asks_for_nothing_is_the_steps_error(opts: dict[str, Any]) -> None:
    """Without a URL or with a method that is none, no request is made, and nothing is tried again."""
    fetcher = FakeFetcher()
    world = await world_of(Script([["get"]], ops={"get": ("Gateway", opts)}), fetcher)
    await world.run_to_end()
    assert fetcher.requests == []
    assert (await world.entry("get")).status is StepStatus.FAILED


async def test_a_worker_that_dies_between_request_and_commit_is_replaced() -> None:
    """The claim runs out, another worker asks for the opcode again, repeats the request, and commits one result."""

    async def die() -> None:
        if len(fetcher.requests) == 1:
            await asyncio.Event().wait()

    fetcher = FakeFetcher(during=die)
    world = await world_of(Script([["get"]], ops={"get": FETCH}), fetcher)
    working = asyncio.create_task(world.settle())
    await fetcher.begun.wait()
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    assert (await world.entry("get")).status is StepStatus.RUNNING
    await world.clock.advance(DELIVERY_LEASE_MS)
    await world.run_to_end()
    assert len(fetcher.requests) == 2
    assert (await world.entry("get")).memo["data"]["body"] == '{"n":2}'
    assert (await world.run()).header.status is RunStatus.COMPLETED


async def test_a_request_may_take_longer_than_a_claim_lasts() -> None:
    """The claim is renewed while the reply is awaited, so that a duplicate delivery does not make the request too."""
    replied = asyncio.Event()
    fetcher = FakeFetcher(during=replied.wait)
    world = await world_of(Script([["get"]], ops={"get": FETCH}), fetcher)
    working = asyncio.create_task(world.settle())
    await fetcher.begun.wait()
    for _ in range(6):
        await world.clock.advance(DELIVERY_LEASE_MS // 3)
    run = await world.run()
    repeat = items.execute(run.header, hash_step_id("get"), 0, world.clock.now_ms()).item
    assert await world.worker.handle(repeat, 2) == (await world.entry("get")).claim_until_ms
    replied.set()
    await working
    await world.run_to_end()
    assert len(fetcher.requests) == 1


async def test_no_request_begins_after_a_cancellation() -> None:
    """A run that is cancelled while the function is asked makes no request any more."""
    fetcher = FakeFetcher()
    script = Script([["get"]], ops={"get": FETCH})
    world = await world_of(script, fetcher)

    async def cancel(_: str) -> None:
        if len(script.calls) == 2:
            (header,) = await world.headers()
            await world.worker.handle(items.cancel(header.run_id, world.clock.now_ms()).item, 1)

    script.before_reply = cancel
    await world.run_to_end()
    assert fetcher.requests == []
    assert (await world.run()).header.status is RunStatus.CANCELLED


async def test_a_cancellation_during_the_request_keeps_its_result_out() -> None:
    """The run stays cancelled, whatever the provider answers."""

    async def cancel() -> None:
        (header,) = await world.headers()
        await world.worker.handle(items.cancel(header.run_id, world.clock.now_ms()).item, 1)

    world = await world_of(Script([["get"]], ops={"get": FETCH}), FakeFetcher(during=cancel))
    await world.run_to_end()
    assert (await world.run()).header.status is RunStatus.CANCELLED
    assert len(world.script.calls) == 2


async def test_a_step_the_function_no_longer_has_is_dropped() -> None:
    """When the function asks for something else by the time it is asked, nothing is requested and the run goes on."""
    fetcher = FakeFetcher()
    script = Script([["get"]], ops={"get": FETCH})
    world = await world_of(script, fetcher)

    async def deploy(_: str) -> None:
        if len(script.calls) == 2:
            script.stages = [["other"]]

    script.before_reply = deploy
    await world.run_to_end()
    assert fetcher.requests == []
    assert (await world.entry("get")).status is StepStatus.DROPPED


async def test_a_step_may_change_its_kind_while_it_is_tried() -> None:
    """An inline step that failed and is a fetch in the next deployment is fetched."""
    fetcher = FakeFetcher()
    script = Script([["get"]], fails={"get": 1})
    world = await world_of(script, fetcher)
    await world.settle()
    assert (await world.entry("get")).status is StepStatus.ERRORED
    script.ops = {"get": FETCH}
    await world.run_to_end()
    assert len(fetcher.requests) == 1
    assert (await world.entry("get")).memo["data"]["status_code"] == 200


async def test_a_function_that_fails_when_it_is_asked_uses_up_an_attempt() -> None:
    """A function-level error on the way to the opcode is retried like one of a targeted call."""
    fetcher = FakeFetcher()
    script = Script([["get"]], ops={"get": FETCH})
    world = await world_of(script, fetcher)

    async def break_once(_: str) -> None:
        script.function_fails = 1 if len(script.calls) == 2 else 0

    script.before_reply = break_once
    await world.run_to_end()
    assert [request.attempt for request in fetcher.requests] == [1]
    assert (await world.run()).header.status is RunStatus.COMPLETED


async def test_a_race_is_won_by_the_faster_step() -> None:
    """A sleep beside a slow request ends first, and the function is called without waiting for the reply."""
    replied = asyncio.Event()
    fetcher = FakeFetcher(during=replied.wait)
    script = Script([["get", "sleep:1h"]], ops={"get": FETCH}, race=True)
    world = await world_of(script, fetcher)
    working = asyncio.create_task(world.settle())
    await fetcher.begun.wait()
    before = len(script.calls)
    await world.clock.advance(HOUR_MS)
    run = await world.run()
    await world.worker.handle(items.timer(run.header.run_id, hash_step_id("sleep:1h"), world.clock.now_ms()).item, 1)
    assert len(script.calls) == before + 1
    replied.set()
    await working
    await world.run_to_end()
    assert (await world.run()).header.status is RunStatus.COMPLETED


async def test_a_reply_over_the_step_limit_is_the_steps_error() -> None:
    """A body that fits the fetch but not the journal, once it is JSON, fails the step and not the run."""

    class Wide(FakeFetcher):
        async def fetch(self, request: FetchRequest) -> Fetched:
            return Fetched(request.url, 200, {}, b"\n" * (3 * 1024 * 1024))

    world = await world_of(Script([["get"]], ops={"get": FETCH}), Wide())
    await world.run_to_end()
    assert (await world.entry("get")).status is StepStatus.FAILED
    assert "limit" in (await world.entry("get")).memo["error"]["message"]
    assert (await world.run()).header.status is RunStatus.COMPLETED
