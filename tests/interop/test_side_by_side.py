"""Apps of the official Python package and of ours on one server, and a run that changes from one to the other."""

from __future__ import annotations

import datetime as dt
from typing import Any

import aiohttp
import fastapi

import stepwell
import stepwell.fastapi
from stepwell_orchestrator.entry.dev import listen
from stepwell_orchestrator.entry.dev_server import own_origin
from stepwell_orchestrator.model.notice import NoticeKind
from tests.interop.official import PATH, inngest, official_client, on_fastapi, on_uvicorn
from tests.interop.server import dev_server


async def four() -> int:
    return 4


def theirs(client: inngest.Inngest) -> list[Any]:
    """A function that waits, one that invokes ours, and one that ours invokes."""

    @client.create_function(fn_id="moved", trigger=inngest.TriggerEvent(event="shop/moved"))
    async def moved(ctx: inngest.Context) -> object:
        first = await ctx.step.run("first", four)
        told = await ctx.step.wait_for_event("told", event="shop/told", timeout=dt.timedelta(hours=1))
        return ["theirs", first, told and told.data]

    @client.create_function(fn_id="invoker", trigger=inngest.TriggerEvent(event="shop/invoke-ours"))
    async def invoker(ctx: inngest.Context) -> object:
        return await ctx.step.invoke_by_id("call", app_id="ours", function_id="double", data={"n": 4})

    @client.create_function(fn_id="square", trigger=inngest.TriggerEvent(event="shop/never"))
    async def square(ctx: inngest.Context) -> object:
        return int(ctx.event.data["n"]) ** 2

    return [moved, invoker, square]


def ours(app_id: str, origin: str) -> stepwell.App:
    """The same waiting function, one that invokes theirs, and one that theirs invokes."""
    app = stepwell.App(app_id, dev=True, base_url=origin)

    @app.function(id="moved", on="shop/moved")
    async def moved(ctx: stepwell.Context) -> list[Any]:
        first = await ctx.step.run("first", four)
        told = await ctx.step.wait_for_event("told", event="shop/told", timeout="1h")
        return ["ours", first, told and told.data, await ctx.step.run("last", four)]

    @app.function(id="double", on="shop/never")
    async def double(ctx: stepwell.Context) -> int:
        return int(ctx.event.data["n"]) * 2

    @app.function(id="invoker", on="shop/invoke-theirs")
    async def invoker(ctx: stepwell.Context) -> Any:
        return await ctx.step.invoke("call", function="shop-square", data={"n": 3})

    return app


async def register(url: str) -> None:
    """What a deployment asks of an app."""
    async with aiohttp.ClientSession() as session, session.put(url) as answer:
        assert answer.status == 200, await answer.text()


async def test_a_run_goes_on_in_the_code_that_its_function_was_rewritten_to() -> None:
    """With the same ids, a run that an official app began is finished by an app of ours, which reads its memos."""
    with listen("127.0.0.1", 0) as listener, listen("127.0.0.1", 0) as old, listen("127.0.0.1", 0) as new:
        origin = own_origin(listener)
        async with official_client(origin, app_id="shop") as client, dev_server(listener, ()) as server:
            async with on_fastapi(client, theirs(client), old):
                await register(own_origin(old) + PATH)
                event_id = await server.send("shop/moved")
                await server.watcher.told(NoticeKind.STEP_WAITING, "shop-moved")
            api = fastapi.FastAPI()
            stepwell.fastapi.serve(api, ours("shop", origin))
            async with on_uvicorn(api, new):
                await register(own_origin(new) + PATH)
                await server.send("shop/told", {"n": 1})
                outcome = await server.ended(event_id)
    assert (outcome.status, outcome.output) == ("Completed", ["ours", 4, {"n": 1}, 4])


async def test_apps_of_both_kinds_invoke_each_other() -> None:
    """An official app and one of ours on one server invoke functions of the other by their ids."""
    with listen("127.0.0.1", 0) as listener, listen("127.0.0.1", 0) as old, listen("127.0.0.1", 0) as new:
        origin = own_origin(listener)
        api = fastapi.FastAPI()
        stepwell.fastapi.serve(api, ours("ours", origin))
        async with (
            official_client(origin, app_id="shop") as client,
            dev_server(listener, ()) as server,
            on_fastapi(client, theirs(client), old),
            on_uvicorn(api, new),
        ):
            await register(own_origin(old) + PATH)
            await register(own_origin(new) + PATH)
            outputs = [(await server.outcome(f"shop/invoke-{whose}")).output for whose in ("ours", "theirs")]
    assert outputs == [8, 9]
