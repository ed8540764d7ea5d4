"""Inferences of the official Python package, made by our dev server against a stand-in provider."""

from __future__ import annotations

import warnings
from typing import Any

from tests.interop.official import Define, inngest, official
from tests.interop.server import Outcome
from tests.orchestrator.transports.provider import Answer, Provider, json_answer, provider

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from inngest.experimental.ai import anthropic, openai
    from inngest.experimental.ai.gemini import Adapter as Gemini

KEY = "sk-secret-of-the-provider"


def asks(server: Provider) -> Define:
    """A function that asks three providers at once, and one more that deals with a refusal."""

    def define(client: inngest.Inngest) -> list[Any]:
        models = {
            "openai": openai.Adapter(auth_key=KEY, base_url=f"{server.origin}/openai", model="gpt"),
            "anthropic": anthropic.Adapter(auth_key=KEY, base_url=f"{server.origin}/anthropic", model="claude"),
            "gemini": Gemini(auth_key=KEY, base_url=f"{server.origin}/gemini", model="gem"),
        }

        @client.create_function(fn_id="ask", trigger=inngest.TriggerEvent(event="official/ask"), retries=1)
        async def ask(ctx: inngest.Context) -> Any:
            answers = await ctx.group.parallel(
                tuple(
                    lambda name=name, model=model: ctx.step.ai.infer(name, adapter=model, body={"messages": []})
                    for name, model in models.items()
                )
            )
            return list(answers)

        @client.create_function(fn_id="refused", trigger=inngest.TriggerEvent(event="official/refused"), retries=1)
        async def refused(ctx: inngest.Context) -> Any:
            try:
                return await ctx.step.ai.infer("ask", adapter=models["openai"], body={"messages": []})
            except inngest.StepError as error:
                return [error.name, error.message]

        return [ask, refused]

    return define


async def run_of(event: str, *answers: Answer) -> tuple[Outcome, Provider]:
    async with provider(*answers) as server, official(asks(server)) as dev:
        return await dev.outcome(event), server


async def test_official_inferences_are_made_beside_each_other() -> None:
    """Three providers are asked once each, with the key as each wants it, and the answers come back in order."""
    outcome, server = await run_of("official/ask", json_answer({"text": "yes"}))
    assert (outcome.status, outcome.output) == ("Completed", [{"text": "yes"}] * 3)
    seen = {request.path: request for request in server.seen}
    chat, messages = seen["/openai/chat/completions"], seen["/anthropic/messages"]
    assert len(server.seen) == 3
    assert chat.headers["authorization"] == f"Bearer {KEY}"
    assert messages.headers["x-api-key"] == KEY
    assert seen["/gemini/models/gem:generateContent"].query == {"key": KEY}


async def test_an_official_inference_that_is_refused_is_the_steps_error() -> None:
    """After its last attempt the error reaches the function as a StepError, without the key."""
    outcome, server = await run_of("official/refused", json_answer({"error": f"bad key {KEY}"}, 401))
    name, message = outcome.output
    assert (outcome.status, name) == ("Completed", "AIGatewayError")
    assert "answered HTTP 401" in message
    assert KEY not in str(outcome)
    assert len(server.seen) == 2
