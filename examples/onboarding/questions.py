"""A customer's question: a race between a colleague and the hour.

`tests/examples/test_onboarding.py` lets either win.
"""

from __future__ import annotations

import asyncio

import stepwell
from examples.onboarding import services

support = stepwell.App("support")


@support.function(on="question/asked")
async def find_colleague(ctx: stepwell.Context) -> str:
    """Returns who takes the question. After an hour the customer hears that it takes longer."""
    step, question = ctx.step, ctx.event.data
    taken = asyncio.ensure_future(
        step.wait_for_event("taken", event="question/taken", match="data.question_id", timeout="1d")
    )
    hour = asyncio.ensure_future(step.sleep("hour", "1h"))
    done, _ = await asyncio.wait({taken, hour}, return_when=asyncio.FIRST_COMPLETED)
    if taken not in done:
        await step.run("apologise", services.send_mail, question["email"], "We are still looking for somebody")
    answer = await taken
    return "nobody" if answer is None else str(answer.data["by"])
