"""``step.invoke``: another function runs, and its result is the step's (protocol 6.8)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from stepwell.steps.calls import StepId, TypedStepCall, misuse, options_of, refuse_policy
from stepwell.steps.invocable import Invocable
from stepwell.steps.timeouts import Timeout, timeout_text
from stepwell.values.checks import Field
from stepwell.values.serializer import to_json
from stepwell.wire.opcodes import Op

OnParentCancel = Literal["cancel", "abandon"]
"""What becomes of the invoked run when the invoking one is cancelled while it waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """What to invoke and with what event, as the user gave it; a text is ``<app id>-<function id>``."""

    function: Invocable[Any] | str
    data: Any = None
    timeout: Timeout | None = None
    user: Mapping[str, Any] | None = None
    v: str | None = None
    on_parent_cancel: OnParentCancel = "cancel"


def invoke_call(step: StepId, invocation: Invocation, now_ms: int) -> TypedStepCall[Any]:
    """A step that gives what the invoked function returned, in the type that an Invocable says it returns.

    Raises DefinitionError naming step and argument, EncodingError when the data cannot be JSON.
    """
    options = options_of(step)
    refuse_policy(options, "invoke is not retried, the function is; leave StepOptions.retries and .timeout out")
    function = invocation.function
    payload = {
        "data": _object(options.id, "data", {} if invocation.data is None else invocation.data),
        "user": None if invocation.user is None else _object(options.id, "user", invocation.user),
        "v": invocation.v,
    }
    opts: dict[str, Any] = {
        "function_id": _slug(options.id, function),
        "payload": {key: value for key, value in payload.items() if value is not None},
    }
    if invocation.timeout is not None:
        opts["timeout"] = timeout_text(options.id, invocation.timeout, now_ms)
    field = Field(options.id, "invoke", "step").member("on_parent_cancel")
    if field.choice(invocation.on_parent_cancel, ("cancel", "abandon")) == "cancel":
        opts["on_parent_cancel"] = "cancel"  # other servers ignore it, and abandon
    return TypedStepCall(
        user_id=options.id,
        op=Op.INVOKE_FUNCTION,
        name=options.id,
        display_name=options.name or options.id,
        restore=partial(_restore, options.id, function),
        opts=opts,
        may_raise=True,
    )


def _slug(step_id: str, function: Any) -> str:
    if isinstance(function, Invocable):
        return function.slug
    if not isinstance(function, str) or not function.strip():
        raise misuse(
            step_id, f'invoke takes a function of an app or its full id, such as "shop-fulfil", got {function!r}'
        )
    return function


def _object(step_id: str, argument: str, value: Any) -> dict[str, Any]:
    encoded = to_json(value, f'step "{step_id}", invoke: the {argument}')
    if not isinstance(encoded, dict):
        raise misuse(
            step_id, f"invoke: {argument} must be a JSON object, got {type(value).__name__}; wrap it: {{'value': ...}}"
        )
    return encoded


def _restore(step_id: str, function: Invocable[Any] | str, value: Any) -> Any:
    if isinstance(function, str):
        return value
    return function.restore(value, f'step "{step_id}": the result of function "{function.slug}"')
