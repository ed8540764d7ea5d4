"""Thirty days with a new customer: welcome, help if nothing happens, a warning, the bill.

`stepwell dev examples.onboarding.app:app` serves it; `tests/examples/test_onboarding.py` lives through the month.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import stepwell
from examples.onboarding import services
from stepwell import StepError, StepOptions

PRICE = Decimal("20.00")

app = stepwell.App("crm")


@app.function(on="user/signed-up", cancel_on=stepwell.CancelOn("user/deleted", match="data.user_id"))
async def onboard(ctx: stepwell.Context) -> str:
    """Returns the plan the customer is on after the trial."""
    step, user = ctx.step, ctx.event.data
    signed_up = dt.datetime.fromisoformat(user["at"])
    await step.run("welcome", services.send_mail, user["email"], "Welcome!")

    project = await step.wait_for_event("first-project", event="project/created", match="data.user_id", timeout="3d")
    if project is None:
        await step.run("offer-help", services.send_mail, user["email"], "Shall we set it up together?")

    await step.sleep_until("trial", signed_up + dt.timedelta(days=23))
    await step.run("warn", services.send_mail, user["email"], "Your trial ends in a week")

    await step.sleep_until("last-week", signed_up + dt.timedelta(days=30))
    try:
        await step.run(StepOptions("charge", retries=2), services.charge, user["user_id"], PRICE)
    except StepError as error:
        await step.send_event("downgrade", stepwell.Event(name="user/downgraded", data={"reason": error.message}))
        return "free"
    return "pro"


@app.function(on="user/downgraded")
async def ask_why(ctx: stepwell.Context) -> str:
    """Somebody calls."""
    return await ctx.step.run("open-ticket", "call the customer: {}".format, ctx.event.data["reason"])
