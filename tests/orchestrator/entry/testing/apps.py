"""Small apps for the test kit's own tests; each call makes a new one."""

from __future__ import annotations

import stepwell


def reminder() -> stepwell.App:
    """One function that sleeps three days between two steps, and tells of its end."""
    app = stepwell.App("mail", dev=True)

    @app.function(on="user/signup")
    async def remind(ctx: stepwell.Context) -> dict[str, object]:
        await ctx.step.run("welcome", str.upper, ctx.event.data.get("name", "ada"))
        await ctx.step.sleep("nap", "3d")
        sent = await ctx.step.run("remind", lambda: {"mail": 1})
        await ctx.step.send_event("tell", stepwell.Event(name="user/reminded", data={"run": ctx.run_id}))
        return sent

    return app


def fan() -> stepwell.App:
    """Two functions on one event, one of them under a condition, and one on an event of its own."""
    app = stepwell.App("shop", dev=True)

    @app.function(on="order/created")
    async def pack(ctx: stepwell.Context) -> str:
        return "packed"

    @app.function(on=stepwell.on("order/created", if_="event.data.total > 100"))
    async def insure(ctx: stepwell.Context) -> str:
        return "insured"

    @app.function(on=stepwell.on("order/paid", if_="event.data.total > 0"))
    async def receipt(ctx: stepwell.Context) -> str:
        return "sent"

    return app
