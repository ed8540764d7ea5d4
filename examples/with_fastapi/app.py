"""Functions served by a FastAPI app of your own, next to its other routes.

uvicorn examples.with_fastapi.app:api --port 3000
stepwell dev http://127.0.0.1:3000/api/inngest
curl -X POST http://127.0.0.1:3000/signups -H 'content-type: application/json' -d '{"email": "ada@example.com"}'
"""

from fastapi import FastAPI
from pydantic import BaseModel

import stepwell
import stepwell.fastapi

app = stepwell.App("signups", dev=True)
api = FastAPI()
stepwell.fastapi.serve(api, app, path="/api/inngest")


class Signup(BaseModel):
    """Who signed up."""

    email: str


class SignedUp(stepwell.Event, name="user/signed.up"):
    """Somebody signed up."""

    data: Signup


@api.post("/signups", status_code=202)
async def sign_up(signup: Signup) -> dict[str, str]:
    """Answer at once; what follows is durable."""
    (event_id,) = await app.send(SignedUp(data=signup))
    return {"event_id": event_id}


@app.function(on=SignedUp)
async def welcome(ctx: stepwell.Context) -> str:
    """Greet, wait, and follow up."""
    signup: Signup = ctx.event.data
    await ctx.step.run("send-welcome", send_mail, signup.email, "Welcome")
    await ctx.step.sleep("let-them-look-around", "2s")
    return await ctx.step.run("send-tips", send_mail, signup.email, "Three things to try first")


async def send_mail(to: str, subject: str) -> str:
    """Stands for a mail service."""
    return f"{subject!r} sent to {to}"
