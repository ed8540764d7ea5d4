"""``step.ai``: requests to models that the server makes, and calls of AI libraries as steps (protocol 9.4, 5.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from stepwell.steps.calls import StepId, TypedStepCall, misuse, options_of, refuse_policy, run_call
from stepwell.steps.fetch import checked_headers, checked_url
from stepwell.steps.models import Model
from stepwell.values.serializer import to_json
from stepwell.wire.opcodes import Op

_CALL: Final = "ai.infer"


def infer_call(step: StepId, model: Model, body: Mapping[str, Any]) -> TypedStepCall[Any]:
    """A step that gives a provider's answer as JSON. Raises DefinitionError naming step and argument, EncodingError."""
    options = options_of(step)
    refuse_policy(options, "an inference is retried as often as its function is; leave retries and timeout out")
    if not isinstance(model, Model):
        raise misuse(options.id, f"{_CALL}: model must be one of stepwell.ai, such as stepwell.ai.openai(...)")
    if not isinstance(model.auth_key, str):
        raise misuse(options.id, f"{_CALL}: the api_key of the model must be a text")
    encoded = to_json(body, f'step "{options.id}", {_CALL}: the body')
    if not isinstance(encoded, dict):
        raise misuse(options.id, f"{_CALL}: body must be a mapping, got {type(body).__name__}")
    if model.body_model is not None:
        encoded = {"model": model.body_model, **encoded}
    return TypedStepCall(
        user_id=options.id,
        op=Op.AI_GATEWAY,
        name=options.id,
        display_name=options.name or options.id,
        restore=_as_answered,
        opts={
            "type": "step.ai.infer",
            "url": checked_url(options.id, _CALL, model.url),
            "headers": checked_headers(options.id, _CALL, model.headers),
            "auth_key": model.auth_key,
            "format": model.format,
            "body": encoded,
        },
        may_raise=True,
    )


def wrap_call(step: StepId, fn: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> TypedStepCall[Any]:
    """A step that executes ``fn``, marked as a call of an AI library."""
    return run_call(step, fn, args, kwargs, opts={"type": "step.ai.wrap"})


def _as_answered(value: Any) -> Any:
    return value
