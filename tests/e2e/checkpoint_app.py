"""An app on a server of its own: a hundred steps that tell a pipe what they do, one of which stalls when told to.

Started with two file descriptors, the socket to serve on and the pipe, and the number of the step that stalls.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import threading

import uvicorn

import stepwell

STEPS = 100
LISTENER, PIPE, STALL_AT = map(int, sys.argv[1:])
app = stepwell.App("loop", dev=True)


def tell(*words: object) -> None:
    """One line, written at once."""
    os.write(PIPE, f"{' '.join(map(str, words))}\n".encode())


async def flowing_body(number: int) -> int:
    """A step: tell of it, and never end when it is the one to stall at."""
    tell("body", number)
    if number == STALL_AT:
        tell("stalled")
        await asyncio.Event().wait()
    return number


def plain_body(number: int) -> int:
    """The same in a thread."""
    tell("body", number)
    if number == STALL_AT:
        tell("stalled")
        threading.Event().wait()
    return number


@app.function(on="loop/flowing")
async def flowing(ctx: stepwell.Context) -> int:
    """A hundred steps of a coroutine."""
    tell("called")
    total = sum([await ctx.step.run("step", flowing_body, number) for number in range(1, STEPS + 1)])
    tell("end", total)
    return total


@app.function(on="loop/plain")
def plain(ctx: stepwell.SyncContext) -> int:
    """A hundred steps in a thread."""
    tell("called")
    total = sum([ctx.step.run("step", plain_body, number) for number in range(1, STEPS + 1)])
    tell("end", total)
    return total


if __name__ == "__main__":
    served = uvicorn.Server(uvicorn.Config(stepwell.asgi(app), log_level="warning", ws="none"))
    served.run(sockets=[socket.socket(fileno=LISTENER)])
