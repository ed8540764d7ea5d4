from __future__ import annotations

from typing import Any

import pytest

import stepwell
from stepwell.ai import Model
from stepwell.errors import DefinitionError, EncodingError, WireError
from stepwell.replaying.replay import StepCall
from stepwell.steps.fetch import Request, fetch_call
from stepwell.steps.inference import infer_call
from stepwell.wire.opcodes import Op

KEY = "sk-secret-of-the-provider"


def asked_for(**arguments: Any) -> StepCall:
    """What ``step.fetch`` asks for."""
    return fetch_call("get", Request(**{"url": "https://api.test/x", **arguments}))


def infer(model: Any, body: Any, step: Any = "ask") -> StepCall:
    """What ``step.ai.infer`` asks for."""
    return infer_call(step, model, body)


@pytest.mark.parametrize(
    ("arguments", "opts"),
    [
        ({}, {"method": "GET", "headers": {}}),
        ({"method": "delete"}, {"method": "DELETE", "headers": {}}),
        ({"body": "text"}, {"method": "POST", "headers": {}, "body": "text"}),
        (
            {"json": {"a": [1]}},
            {"method": "POST", "headers": {"content-type": "application/json"}, "body": '{"a":[1]}'},
        ),
        (
            {"json": 0, "method": "PUT", "headers": {"Content-Type": "text/x", "X-A": "b"}},
            {"method": "PUT", "headers": {"content-type": "text/x", "x-a": "b"}, "body": "0"},
        ),
    ],
)
def test_a_fetch_is_reported_as_a_gateway_step(arguments: dict[str, Any], opts: dict[str, Any]) -> None:
    """Method, headers and body are spelled out, so that every server makes the same request of them."""
    call = asked_for(**arguments)
    assert (call.op, call.body, call.name) == (Op.GATEWAY, None, "get")
    assert call.opts == {"type": "step.fetch", "url": "https://api.test/x", **opts}


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"url": "api.test/x"}, 'fetch: the URL must be a text such as "https://example.com/x"'),
        ({"url": None}, "fetch: the URL must be a text"),
        ({"json": 1, "body": "x"}, "fetch takes json= or body=, not both"),
        ({"body": b"x"}, "fetch: body must be a text, got bytes; pass JSON values as json="),
        ({"method": "GET /"}, "fetch: method must be a word"),
        ({"method": 1}, "fetch: method must be a word"),
        ({"headers": ["a"]}, "fetch: headers must be a mapping of texts, got list"),
        ({"headers": {"a": 1}}, "fetch: the header 'a' must be a text with a text for its value"),
    ],
)
def test_a_fetch_that_is_written_wrongly_is_refused(arguments: dict[str, Any], problem: str) -> None:
    """Each mistake is named with the step."""
    with pytest.raises(DefinitionError) as caught:
        asked_for(**arguments)
    assert str(caught.value).startswith(f'step "get": {problem}')


def test_a_body_that_is_no_json_is_refused() -> None:
    """What cannot be JSON is named with its path."""
    with pytest.raises(EncodingError, match='step "get", fetch: json'):
        asked_for(json={"a": object()})


@pytest.mark.parametrize("options", [{"retries": 1}, {"timeout": "1s"}])
def test_gateway_steps_have_no_policy_of_their_own(options: dict[str, Any]) -> None:
    """Retries are the function's; a policy that would do nothing is refused."""
    step = stepwell.StepOptions("get", **options)
    with pytest.raises(DefinitionError, match="retried as often as its function"):
        fetch_call(step, Request(url="https://api.test/x"))
    with pytest.raises(DefinitionError, match="retried as often as its function"):
        infer(stepwell.ai.openai("gpt", api_key=KEY), {}, step)


def test_a_response_is_restored_from_what_the_journal_has() -> None:
    """Status, headers, text and URL come back; JSON is read when it is asked for."""
    restore = asked_for().restore
    response = restore({"url": "u", "headers": {"a": "b"}, "body": '{"n":1}', "status_code": 201})
    assert response == stepwell.Response(201, {"a": "b"}, '{"n":1}', "u")
    assert (response.ok, response.json()) == (True, {"n": 1})
    bare = restore({"status_code": 500, "headers": None, "body": None})
    assert (bare.ok, bare.text) == (False, "")
    with pytest.raises(WireError):
        bare.json()
    with pytest.raises(WireError, match='step "get": the journal has something for it that is no response'):
        restore({"ok": True})


@pytest.mark.parametrize(
    ("model", "opts"),
    [
        (
            stepwell.ai.openai("gpt", api_key=KEY, headers={"OpenAI-Organization": "o"}),
            {
                "url": "https://api.openai.com/v1/chat/completions",
                "format": "openai-chat",
                "headers": {"openai-organization": "o"},
                "auth_key": KEY,
                "body": {"model": "gpt", "messages": []},
            },
        ),
        (
            stepwell.ai.anthropic("claude", api_key=KEY),
            {
                "url": "https://api.anthropic.com/v1/messages",
                "format": "anthropic",
                "headers": {"anthropic-version": "2023-06-01"},
                "auth_key": KEY,
                "body": {"model": "claude", "messages": []},
            },
        ),
        (
            stepwell.ai.gemini("gem", api_key=KEY),
            {
                "url": "https://generativelanguage.googleapis.com/v1beta/models/gem:generateContent",
                "format": "gemini",
                "headers": {},
                "auth_key": KEY,
                "body": {"messages": []},
            },
        ),
        (
            stepwell.ai.bedrock("amazon.nova-lite-v1:0", api_key=KEY, region="eu-west-1"),
            {
                "url": "https://bedrock-runtime.eu-west-1.amazonaws.com/model/amazon.nova-lite-v1%3A0/converse",
                "format": "bedrock",
                "headers": {},
                "auth_key": f"Bearer {KEY}",
                "body": {"messages": []},
            },
        ),
    ],
)
def test_an_inference_is_reported_as_the_official_sdks_do(model: Model, opts: dict[str, Any]) -> None:
    """URL, format, headers and body are each provider's; a model the body names itself stays."""
    call = infer(model, {"messages": []})
    assert (call.op, call.body) == (Op.AI_GATEWAY, None)
    assert call.opts == {"type": "step.ai.infer", **opts}
    assert infer(model, {"model": "mine"}).opts["body"] == {"model": "mine"}
    assert KEY not in repr(model)


@pytest.mark.parametrize(
    ("model", "body", "problem"),
    [
        ("gpt-4o", {}, "ai.infer: model must be one of stepwell.ai"),
        (stepwell.ai.openai("gpt", api_key=None), {}, "ai.infer: the api_key of the model must be a text"),  # type: ignore[arg-type]
        (stepwell.ai.openai("gpt", api_key=KEY), [], "ai.infer: body must be a mapping, got list"),
        (stepwell.ai.openai("gpt", api_key=KEY, base_url="api.test"), {}, "ai.infer: the URL must be a text"),
    ],
)
def test_an_inference_that_is_written_wrongly_is_refused(model: Any, body: Any, problem: str) -> None:
    """Each mistake is named with the step, and never with the key."""
    with pytest.raises(DefinitionError) as caught:
        infer(model, body)
    assert str(caught.value).startswith(f'step "ask": {problem}')
    assert KEY not in str(caught.value)
