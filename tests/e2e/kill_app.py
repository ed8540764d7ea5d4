"""An app that tells a pipe what it does, and stops dead after a number of step bodies when it is told to."""

from __future__ import annotations

import asyncio
import os
import uuid

import stepwell

app = stepwell.App("kill")
STALL_AFTER = int(os.environ.get("KILL_STALL_AFTER", "0"))
pipe = os.open(os.environ["KILL_PIPE"], os.O_WRONLY)
bodies = 0


async def body(run_id: str, name: str, before: list[str]) -> str:
    """One step: tell which it is, what it was given and what it returns."""
    global bodies  # noqa: PLW0603 - the process is the test's subject
    bodies += 1
    if STALL_AFTER and bodies > STALL_AFTER:
        os.write(pipe, b"stalled\n")
        await asyncio.Event().wait()
    token = uuid.uuid4().hex
    os.write(pipe, f"body {run_id} {name} {token} {','.join(before)}\n".encode())
    return token


@app.function(on="kill/started")
async def five_steps(ctx: stepwell.Context) -> list[str]:
    """A loop, a parallel pair and a last step; each is given what the ones before it returned."""
    step = ctx.step
    tokens: list[str] = []
    for number in range(2):
        tokens.append(await step.run("loop", body, ctx.run_id, f"loop-{number}", list(tokens)))
    tokens += await asyncio.gather(
        step.run("left", body, ctx.run_id, "left", list(tokens)),
        step.run("right", body, ctx.run_id, "right", list(tokens)),
    )
    await step.sleep("nap", "10ms")
    tokens.append(await step.run("last", body, ctx.run_id, "last", list(tokens)))
    os.write(pipe, f"end {ctx.run_id}\n".encode())
    return tokens
