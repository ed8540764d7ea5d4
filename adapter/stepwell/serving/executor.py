"""How the functions of an app are executed: with what they need from outside, imported when first served."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any

from stepwell.authoring.app import App
from stepwell.authoring.function import Function
from stepwell.client import system
from stepwell.client.outbound import Fetch, connection
from stepwell.client.sender import Sender
from stepwell.client.settings import Settings
from stepwell.executing.saving import Save, Saver
from stepwell.wire.call import CallRequest
from stepwell.wire.reply import Outcome

if TYPE_CHECKING:
    from stepwell.executing.execution import Runtime

Execute = Callable[[Function[Any], CallRequest, str | None], Awaitable[Outcome]]
"""Runs a function for a call request; the third argument is the hashed id of the step it targets, if any."""


def runtime_of(
    app: App,
    settings: Settings,
    now_ms: Callable[[], int],
    connect: Callable[[], AbstractAsyncContextManager[Fetch]] = connection,
) -> Runtime:
    """What the functions of ``app`` need from outside. ``connect`` gives a call its way to the server's API."""
    from stepwell.executing.execution import Runtime

    @asynccontextmanager
    async def saves() -> AsyncGenerator[Save]:
        if app.transport is not None:
            yield app.transport.checkpoint
            return
        async with connect() as kept:
            yield Sender(settings, kept).checkpoint

    saver = Saver(saves, now_ms, system.sleep_ms, system.jitter_ms)
    return Runtime(send=app.send_wire, send_signal=app.send_signal, now_ms=now_ms, saver=saver)


def executor_of(
    app: App,
    settings: Settings,
    now_ms: Callable[[], int],
    connect: Callable[[], AbstractAsyncContextManager[Fetch]] = connection,
) -> Execute:
    """Execution proper, imported when first served."""
    from stepwell.executing.execution import execute

    runtime = runtime_of(app, settings, now_ms, connect)

    async def run(function: Function[Any], call: CallRequest, target: str | None) -> Outcome:
        return await execute(function, call, target=target, runtime=runtime)

    return run
