"""Checkpoints over real HTTP, and how they are switched on, off and tuned."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest

import stepwell
import stepwell.aws
from stepwell.authoring.checkpointing import Pace
from stepwell.client import system
from stepwell.errors import DefinitionError
from stepwell.serving.asgi_app import AsgiApp
from stepwell.serving.handler import Handler
from stepwell.serving.lambda_handler import LambdaHandler
from stepwell.wire.checkpoint import Checkpoint
from stepwell.wire.encoding import canonical
from stepwell.wire.ids import EventIdSeed, hash_step_id
from stepwell.wire.opcodes import Op
from stepwell.wire.reply import Failed, Finished, Instructions
from tests.adapter.serving.live import Caller, Orchestrator, served
from tests.adapter.serving.support import FALLBACK, KEY, NOW_MS, call_body
from tests.adapter.serving.test_lambda_handler import Request, answer_of, context

MAY_SAVE = {"fn_id": "fn-1", "qi_id": "item-1", "request_id": "call-1", "generation_id": 2}
ALONE = (Op.STEP_RUN,)
TOGETHER = (Op.STEP_RUN, Op.RUN_COMPLETE)


async def give(value: Any) -> Any:
    """A step body."""
    return value


def define(app: stepwell.App, **options: Any) -> stepwell.App:
    """The functions of these tests."""

    @app.function(**options)
    async def loop(ctx: stepwell.Context) -> int:
        return sum([await ctx.step.run("n", give, number) for number in range(5)])

    @app.function(**options)
    def plain(ctx: stepwell.SyncContext) -> int:
        return sum([ctx.step.run("n", lambda number=number: number) for number in range(5)])

    @app.function(**options)
    async def fails(ctx: stepwell.Context) -> None:
        await ctx.step.run("n", give, 1)
        raise ValueError("no")

    return app


@pytest.fixture
def orchestrator() -> Orchestrator:
    """The server's API, not yet served."""
    return Orchestrator()


@pytest.fixture
async def origin(orchestrator: Orchestrator) -> AsyncIterator[str]:
    """Where the server's API is."""
    async with served(orchestrator) as api:
        yield api


@pytest.fixture
async def caller(origin: str) -> AsyncIterator[Caller]:
    """The server's hand on an app in cloud mode."""
    app = stepwell.App(
        "shop", dev=False, base_url=origin, event_key="events", signing_key=KEY, signing_key_fallback=FALLBACK
    )
    async with aiohttp.ClientSession() as session, served(stepwell.asgi(define(app))) as own:
        yield Caller(session, f"{own}/api/inngest", KEY)


async def outcome_ops(caller: Caller, fn: str, **call: Any) -> tuple[Op, ...]:
    """The opcodes a call is answered with."""
    outcome = await caller.outcome(fn, **(MAY_SAVE | call))
    assert isinstance(outcome, Instructions), outcome
    return tuple(opcode.op for opcode in outcome.opcodes)


@pytest.mark.parametrize("fn", ["loop", "plain"])
async def test_a_loop_is_one_call(caller: Caller, orchestrator: Orchestrator, fn: str) -> None:
    """Every step but the last is posted, with the fallback key where the first is refused, over one connection."""
    assert isinstance(await caller.outcome(fn, **MAY_SAVE), Instructions | Finished)

    saved = [step.id for checkpoint in orchestrator.checkpoints for step in checkpoint.steps]
    labels = ["n", *(f"n:{n}" for n in range(1, 5))]
    assert saved[:4] == [hash_step_id(label) for label in labels[:4]]
    assert {checkpoint.generation_id for checkpoint in orchestrator.checkpoints} == {2}
    assert (len(orchestrator.clients), orchestrator.refusals) == (1, len(orchestrator.checkpoints))


async def test_a_server_that_does_not_ask_for_it_gets_none(caller: Caller, orchestrator: Orchestrator) -> None:
    """Without ``fn_id`` the step ends the call."""
    assert await outcome_ops(caller, "loop", fn_id="") == ALONE
    assert orchestrator.checkpoints == []


async def test_with_the_state_fetched_the_call_goes_on(caller: Caller, orchestrator: Orchestrator) -> None:
    """A call whose memos come from the API executes what is left."""
    orchestrator.steps = {hash_step_id("n"): {"data": 0}, hash_step_id("n:1"): {"data": 1}}
    orchestrator.events = [{"name": "go", "data": {}, "id": "e1", "ts": 1}]
    ops = await outcome_ops(caller, "loop", use_api=True, stack=list(orchestrator.steps))

    assert ops == TOGETHER
    assert [step.data for checkpoint in orchestrator.checkpoints for step in checkpoint.steps] == [2, 3]


async def test_under_a_stream_the_call_goes_on(
    origin: str, orchestrator: Orchestrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reply that is kept alive ends in the same opcodes, and steps are saved meanwhile."""
    monkeypatch.setenv("STEPWELL_STREAMING", "force")
    app = define(stepwell.App("shop", dev=True, base_url=origin))
    orchestrator.keys = ()
    async with aiohttp.ClientSession() as session, served(AsgiApp(Handler(app))) as own:
        caller = Caller(session, f"{own}/api/inngest", None)
        assert (await caller.call("loop", **MAY_SAVE)).status == 201
        assert await outcome_ops(caller, "loop") == TOGETHER

    assert len(orchestrator.checkpoints) == 8


async def test_an_error_comes_after_what_was_executed(caller: Caller, orchestrator: Orchestrator) -> None:
    """The step before a function's error is posted first."""
    outcome = await caller.outcome("fails", **MAY_SAVE)

    assert isinstance(outcome, Failed)
    assert [len(checkpoint.steps) for checkpoint in orchestrator.checkpoints] == [1]


class Engine:
    """An engine in the same process."""

    def __init__(self) -> None:
        self.checkpoints: list[Checkpoint] = []

    async def send_events(self, events: Any, seed: EventIdSeed) -> list[str]:
        """Take nothing."""
        raise AssertionError(events)

    async def send_signal(self, signal: str, data: Any) -> str | None:
        """Take nothing."""
        raise AssertionError(signal)

    async def checkpoint(self, checkpoint: Checkpoint) -> int:
        """Take a checkpoint."""
        self.checkpoints.append(checkpoint)
        return 200


async def test_an_engine_in_the_process_takes_checkpoints_itself() -> None:
    """With a transport set nothing goes over HTTP."""
    app, engine = define(stepwell.App("shop", dev=True)), Engine()
    app.transport = engine
    async with aiohttp.ClientSession() as session, served(stepwell.asgi(app)) as own:
        assert await outcome_ops(Caller(session, f"{own}/api", None), "loop") == TOGETHER

    assert [len(checkpoint.steps) for checkpoint in engine.checkpoints] == [1] * 4


async def test_the_mode_an_app_is_served_in_counts(
    origin: str, orchestrator: Orchestrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An app that is put into dev mode where it is served saves at the server of that mode."""
    monkeypatch.setenv("STEPWELL_API_BASE_URL", origin)
    app = define(stepwell.App("shop", dev=False))
    orchestrator.keys = ()
    async with aiohttp.ClientSession() as session, served(stepwell.asgi(app, dev=True)) as own:
        assert await outcome_ops(Caller(session, f"{own}/api", None), "loop") == TOGETHER

    assert len(orchestrator.checkpoints) == 4


@pytest.fixture
def lambdas() -> Iterator[list[LambdaHandler]]:
    """Lambda handlers, closed after the test."""
    made: list[LambdaHandler] = []
    yield made
    for handler in made:
        handler.close()
    asyncio.set_event_loop(None)


@pytest.mark.parametrize(("step_ms", "ops"), [(100, TOGETHER), (40_000, ALONE)])
def test_lambda_says_how_long_a_call_goes_on(
    lambdas: list[LambdaHandler], monkeypatch: pytest.MonkeyPatch, step_ms: int, ops: tuple[Op, ...]
) -> None:
    """In Lambda a call hands back what it executed when another such step would not end in the time there is."""
    at_ms = [NOW_MS]
    monkeypatch.setattr(system, "now_ms", lambda: at_ms[0])
    app = stepwell.App("shop", dev=False, checkpoint=stepwell.Checkpointing(max_runtime="1h"))
    app.transport = Engine()

    async def body() -> None:
        at_ms[0] += step_ms

    @app.function(id="greet")
    async def greet(ctx: stepwell.Context) -> None:
        await ctx.step.run("a", body)

    lambdas.append(stepwell.aws.handler(app))
    request = Request(query={"fnId": "shop-greet", "stepId": "step"}, body=canonical(call_body(**MAY_SAVE)))
    reply = lambdas[0](request.direct(), context(60_000))

    assert tuple(opcode["op"] for opcode in answer_of(reply)) == ops


@pytest.mark.parametrize(
    ("environment", "of_app", "of_function", "expected"),
    [
        ({}, None, None, Pace(1, None, 10_000)),
        ({}, True, None, Pace(1, None, 10_000)),
        ({}, False, None, None),
        ({}, False, True, Pace(1, None, 10_000)),
        ({}, stepwell.Checkpointing(max_runtime="5m"), None, Pace(1, None, 300_000)),
        ({}, stepwell.Checkpointing(max_runtime="5m"), True, Pace(1, None, 300_000)),
        ({}, stepwell.Checkpointing(max_runtime="5m"), False, None),
        ({}, None, stepwell.Checkpointing(3, max_interval="3s"), Pace(3, 3_000, 10_000)),
        ({"STEPWELL_CHECKPOINT": "0"}, None, None, None),
        ({"STEPWELL_CHECKPOINT": "off"}, True, None, Pace(1, None, 10_000)),
        ({"STEPWELL_CHECKPOINT": "off"}, None, True, Pace(1, None, 10_000)),
        ({"STEPWELL_CHECKPOINT": "1"}, False, None, None),
    ],
)
def test_the_nearest_word_counts(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], of_app: Any, of_function: Any, expected: Pace | None
) -> None:
    """A function's option wins over its app's, which wins over the environment."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    app = stepwell.App("shop", checkpoint=of_app)

    @app.function(id="f", on_failure=lambda ctx: None, checkpoint=of_function)
    def _(ctx: Any) -> None: ...

    assert {function.pace for function in app.functions.values()} == {expected}


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (1, "checkpoint: must be True, False or a stepwell.Checkpointing(...), got 1"),
        ("yes", "checkpoint: must be True, False or a stepwell.Checkpointing(...), got 'yes'"),
        (stepwell.Checkpointing(0), "checkpoint.buffered_steps: must be a whole number from 1 to 1000, got 0"),
        (stepwell.Checkpointing(1001), "checkpoint.buffered_steps: must be a whole number from 1 to 1000, got 1001"),
        (stepwell.Checkpointing(True), "checkpoint.buffered_steps: must be a whole number from 1 to 1000, got True"),
        (stepwell.Checkpointing(max_interval="0s"), "checkpoint.max_interval: must be from 1ms to 2h, got 0s"),
        (stepwell.Checkpointing(max_interval=5), "checkpoint.max_interval: must be a duration such as"),  # type: ignore[arg-type]
        (stepwell.Checkpointing(max_runtime="500ms"), "checkpoint.max_runtime: must be from 1s to 2h, got 500ms"),
        (stepwell.Checkpointing(max_runtime="3h"), "checkpoint.max_runtime: must be from 1s to 2h, got 3h"),
    ],
)
def test_a_wrong_option_names_its_field(value: Any, problem: str) -> None:
    """What cannot be meant is refused where it is written, in the app's name or the function's."""
    with pytest.raises(DefinitionError) as refused:
        stepwell.App("shop", checkpoint=value)
    assert str(refused.value).startswith(f'app "shop", {problem}')

    app = stepwell.App("shop")
    with pytest.raises(DefinitionError) as refused:
        app.function(id="f", checkpoint=value)(lambda ctx: None)
    assert str(refused.value).startswith(f'function "f", {problem}')
    assert not app.functions
