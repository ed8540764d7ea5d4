"""Call requests of a real server, and what the official Python SDK answered them: ours must be the same."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from stepwell.errors import StepError
from stepwell.executing.execution import execute
from stepwell.wire.call import DISCOVERY_STEP_ID, decode_call_request
from stepwell.wire.opcodes import decode_opcodes
from stepwell.wire.reply import Finished, Instructions
from tests.adapter.executing.support import Fn, fail, give, runtime

GOLDEN: Mapping[str, list[Any]] = json.loads((Path(__file__).parent / "golden" / "calls.json").read_text())


async def three_steps(ctx: Any) -> Any:
    first = await ctx.step.run("a", give, 1)
    second = await ctx.step.run("b", give, {"k": [1, None, "x"]})
    await ctx.step.run("c", give, None)
    return [first, second]


async def loop_ids(ctx: Any) -> Any:
    return [await ctx.step.run("same", give, number) for number in range(3)]


async def parallel_wait(ctx: Any) -> Any:
    numbers = await asyncio.gather(*(ctx.step.run(f"p{number}", give, number) for number in (1, 2, 3)))
    return [numbers, await ctx.step.run("after", give, "done")]


async def parallel_race(ctx: Any) -> Any:
    tasks = [asyncio.ensure_future(ctx.step.run(f"p{number}", give, number)) for number in (1, 2, 3)]
    while not all(task.done() for task in tasks):
        await asyncio.wait([task for task in tasks if not task.done()], return_when=asyncio.FIRST_COMPLETED)
    return [task.result() for task in tasks]


async def step_exhaust_caught(ctx: Any) -> Any:
    try:
        await ctx.step.run("bad", fail, "always")
    except StepError as problem:
        await ctx.step.run("recover", give, "recovered")
        return {"type": type(problem).__name__, "msg": problem.message}


async def step_retry_ok(ctx: Any) -> Any:
    async def flaky() -> str:
        if ctx.attempt < 2:
            await fail(f"boom {ctx.attempt}")
        return "third time"

    await ctx.step.run("before", give, 0)
    return await ctx.step.run("flaky", flaky)


async def returns_none(ctx: Any) -> None:
    return None


FUNCTIONS: Mapping[str, Callable[[Any], Any]] = {
    "three-steps": three_steps,
    "loop-ids": loop_ids,
    "parallel-wait": parallel_wait,
    "parallel-race": parallel_race,
    "step-exhaust-caught": step_exhaust_caught,
    "step-retry-ok": step_retry_ok,
    "returns-none": returns_none,
}
CALLS = [(name, number) for name in FUNCTIONS for number in range(len(GOLDEN[name]))]


@pytest.mark.parametrize(("name", "number"), CALLS, ids=lambda part: str(part))
async def test_a_recorded_call_is_answered_alike(name: str, number: int) -> None:
    """The same call request gets the same opcodes, ids, data, errors and result."""
    golden = GOLDEN[name][number]
    request = decode_call_request(golden["request"])
    target = None if golden["target"] == DISCOVERY_STEP_ID else golden["target"]

    outcome = await execute(Fn(FUNCTIONS[name]), request, target=target, runtime=runtime())

    if golden["status"] == 200:
        assert outcome == Finished(golden["reply"])
        return
    assert isinstance(outcome, Instructions)
    recorded = decode_opcodes(golden["reply"])
    assert [_essence(opcode) for opcode in outcome.opcodes] == [_essence(opcode) for opcode in recorded]


def _essence(opcode: Any) -> tuple[Any, ...]:
    """What must agree: a final failure is marked as a race by us alone, and error classes are the test's own."""
    error = None if opcode.error is None else opcode.error.message
    mode = None if error else opcode.parallel_mode
    return opcode.op, opcode.id, opcode.name, opcode.title, opcode.data, opcode.user_id, opcode.user_index, error, mode
