"""Integers of 64 bits through official apps, with keys and without: events, steps, invocations and signals."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from stepwell_orchestrator.entry.dev import listen
from stepwell_orchestrator.entry.dev_server import own_origin
from stepwell_orchestrator.model.notice import NoticeKind
from tests.interop.node import typescript, why_not
from tests.interop.official import inngest, official
from tests.interop.server import EVENT_KEY, KEYED, SIGNING_KEY, Server

LARGE = 2**63 - 1
AS_DOUBLE = 9223372036854776000
"""How JavaScript and canonical JSON write the double next to it."""


def large(client: inngest.Inngest) -> list[Any]:
    """A function that passes the number of its event through a step and an invocation, and one that returns it."""

    async def give(value: int) -> int:
        return value

    @client.create_function(fn_id="same", trigger=inngest.TriggerEvent(event="official/never"))
    async def same(ctx: inngest.Context) -> object:
        return ctx.event.data["n"]

    @client.create_function(fn_id="large", trigger=inngest.TriggerEvent(event="official/large"), retries=0)
    async def passed(ctx: inngest.Context) -> object:
        given = await ctx.step.run("step", give, LARGE)
        invoked = await ctx.step.invoke("invoke", function=same, data={"n": LARGE})
        return [ctx.event.data["n"], given, invoked]

    return [same, passed]


@pytest.mark.parametrize(("keyed", "seen"), [(False, LARGE), (True, AS_DOUBLE)], ids=["keyless", "keyed"])
async def test_python_apps_take_large_integers(keyed: bool, seen: int) -> None:
    """Without keys they arrive exactly, and with keys as the doubles over which the package checks the signature."""
    async with official(large, settings=KEYED if keyed else None) as server:
        outcome = await server.outcome("official/large", {"n": LARGE})
        assert (outcome.status, outcome.output) == ("Completed", [seen] * 3)


@pytest.mark.skipif(bool(why_not()), reason=why_not())
async def test_typescript_apps_take_large_integers() -> None:
    """With keys, too, they are the numbers that JavaScript reads, with checkpoints and without."""
    with listen("127.0.0.1", 0) as listener:
        environment = {
            "INNGEST_DEV": "0",
            "INNGEST_BASE_URL": own_origin(listener),
            "INNGEST_EVENT_KEY": EVENT_KEY,
            "INNGEST_SIGNING_KEY": SIGNING_KEY,
        }
        async with typescript(listener, environment, settings=KEYED, apps=("default", "off")) as server:
            assert await asyncio.gather(signalled(server, "default"), signalled(server, "off")) == [AS_DOUBLES] * 2


AS_DOUBLES = ("Completed", [AS_DOUBLE] * 4)


async def signalled(server: Server, app: str) -> tuple[str, Any]:
    """How a function ends that is started on a large number, and woken with one."""
    event_id = await server.send(f"{app}/large", {"n": LARGE})
    await server.watcher.told(NoticeKind.STEP_WAITING, f"{app}-large", count=2)
    async with server.session.post("/v1/signals", json={"signal": f"{app}-large", "data": {"n": LARGE}}) as answer:
        assert answer.status == 200
    outcome = await server.ended(event_id)
    return outcome.status, outcome.output
