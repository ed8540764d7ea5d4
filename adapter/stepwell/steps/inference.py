"""``step.ai``: requests to models that the server makes, and calls of AI libraries as steps (protocol 9.4, 5.3)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, ParamSpec, TypeVar, overload

from stepwell.replaying.replay import StepCall
from stepwell.steps.awaitable import Pending
from stepwell.steps.calls import StepId, misuse, options_of, refuse_policy, run_call
from stepwell.steps.fetch import checked_headers, checked_url
from stepwell.steps.models import Model
from stepwell.values.serializer import to_json
from stepwell.wire.opcodes import Op

P = ParamSpec("P")
T = TypeVar("T")

_CALL: Final = "ai.infer"


class StepAI:
    """The AI steps of an ``async def`` function: ``step.ai``."""

    def __init__(self, request: Callable[[StepCall], Pending[Any]]) -> None:
        self._request = request

    def infer(self, step: StepId, *, model: Model, body: Mapping[str, Any]) -> Pending[Any]:
        """Let the server ask a model, and give the provider's answer as JSON; nothing of yours runs meanwhile.

        ``body`` is a request as the provider's reference has it. Raises StepError, named ``AIGatewayError``, where it
        is awaited when no attempt was answered with a status below 300.
        """
        return self._request(_infer_call(step, model, body))

    @overload
    def wrap(self, step: StepId, fn: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> Pending[T]: ...
    @overload
    def wrap(self, step: StepId, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Pending[T]: ...
    def wrap(self, step: StepId, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Pending[Any]:
        """Execute ``fn(*args, **kwargs)`` as ``step.run`` does, and mark the step as a call of an AI library."""
        return self._request(_wrap_call(step, fn, args, kwargs))


class SyncStepAI:
    """The AI steps of a ``def`` function: the same calls as StepAI, each giving its result directly."""

    def __init__(self, request: Callable[[StepCall], Any]) -> None:
        self._request = request

    def infer(self, step: StepId, *, model: Model, body: Mapping[str, Any]) -> Any:
        """Let the server ask a model, as in an ``async def`` function, and give the provider's answer."""
        return self._request(_infer_call(step, model, body))

    @overload
    def wrap(self, step: StepId, fn: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T: ...
    @overload
    def wrap(self, step: StepId, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T: ...
    def wrap(self, step: StepId, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Execute ``fn(*args, **kwargs)`` as ``step.run`` does, and mark the step as a call of an AI library."""
        return self._request(_wrap_call(step, fn, args, kwargs))


def _infer_call(step: StepId, model: Model, body: Mapping[str, Any]) -> StepCall:
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
    return StepCall(
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


def _wrap_call(step: StepId, fn: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> StepCall:
    return run_call(step, fn, args, kwargs, opts={"type": "step.ai.wrap"})


def _as_answered(value: Any) -> Any:
    return value
