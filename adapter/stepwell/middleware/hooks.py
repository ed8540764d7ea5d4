"""The middleware of one call, run in order: the app's first, then the function's; after what happens, reversed."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

from stepwell.client.http import HttpRequest
from stepwell.errors import MiddlewareError
from stepwell.middleware.base import CallInput, EventSender, Make, Middleware, Output, Scope, StepInfo
from stepwell.values.checks import Field
from stepwell.values.serializer import to_json
from stepwell.wire.ids import EventIdSeed

REQUEST: Final[ContextVar[HttpRequest | None]] = ContextVar("stepwell_request", default=None)
"""The HTTP request that is being answered."""

INVOKED: Final = "inngest/function.invoked"

Send = Callable[[Sequence[Mapping[str, Any]], EventIdSeed | None], Awaitable[list[str]]]


class Hooks:
    """The instances of one call, outermost first. Each method raises MiddlewareError for what a hook raises."""

    def __init__(self, layers: Sequence[Middleware] = ()) -> None:
        self._layers = layers

    def __bool__(self) -> bool:
        return bool(self._layers)

    async def transform_input(self, call: CallInput) -> None:
        """Let every layer change what the function gets."""
        for layer in self._layers:
            await _call_hook(layer, "transform_input", layer.transform_input, call)

    async def before_memoization(self) -> None:
        """Tell every layer that the function is about to be called."""
        for layer in self._layers:
            await _call_hook(layer, "before_memoization", layer.before_memoization)

    async def after_memoization(self) -> None:
        """Tell every layer that the function has come to rest for the first time."""
        for layer in reversed(self._layers):
            await _call_hook(layer, "after_memoization", layer.after_memoization)

    async def before_execution(self, step: StepInfo) -> None:
        """Tell every layer that a step's body is about to run."""
        for layer in self._layers:
            await _call_hook(layer, "before_execution", layer.before_execution, step)

    async def after_execution(self, step: StepInfo) -> None:
        """Tell every layer that a step's body has ended."""
        for layer in reversed(self._layers):
            await _call_hook(layer, "after_execution", layer.after_execution, step)

    async def transform_output(
        self, value: Any, error: BaseException | None, step: StepInfo | None = None
    ) -> tuple[Any, BaseException | None]:
        """Let every layer change the JSON value or the error of a step, or of the function. Returns what to report."""
        output = Output(value, error, step)
        for layer in reversed(self._layers):
            await _call_hook(layer, "transform_output", _transform_output, layer, output)
        return output.value, output.error

    async def before_response(self) -> None:
        """Tell every layer that the answer is ready."""
        for layer in self._layers:
            await _call_hook(layer, "before_response", layer.before_response)

    def sending(self, send: Send) -> Send:
        """``send`` with the hooks before and after it."""
        if not self._layers:
            return send

        async def send_through_hooks(events: Sequence[Mapping[str, Any]], seed: EventIdSeed | None) -> list[str]:
            ids = await send(await self.before_send_events(events), seed)
            for layer in reversed(self._layers):
                await _call_hook(layer, "after_send_events", layer.after_send_events, list(ids))
            return ids

        return send_through_hooks

    async def before_send_events(self, events: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Let every layer change events. Returns them as they are to be sent."""
        changed = [dict(event) for event in events]
        for layer in self._layers:
            await _call_hook(layer, "before_send_events", layer.before_send_events, changed)
        return changed

    async def invoke_opts(self, opts: Mapping[str, Any]) -> Mapping[str, Any]:
        """Let every layer change the event that an invocation makes of its payload. Returns the options to report."""
        if not self._layers:
            return opts
        event, *_ = await self.before_send_events([{"name": INVOKED, **opts["payload"]}])
        return {**opts, "payload": {key: value for key, value in event.items() if key != "name"}}


NO_HOOKS: Final = Hooks()


@dataclass(frozen=True, slots=True)
class Chain:
    """The middleware of a function, or of an app that sends by itself: what makes the layers of one call."""

    app: EventSender
    makes: tuple[Make, ...]

    def hooks(self, now_ms: Callable[[], int]) -> Hooks:
        """Make the layers of one call. Raises MiddlewareError when one cannot be made."""
        if not self.makes:
            return NO_HOOKS
        scope = Scope(self.app, now_ms, REQUEST.get())
        return Hooks([_make(make, scope) for make in self.makes])

    def extended_by(self, makes: tuple[Make, ...]) -> Chain:
        """The same with ``makes`` inside, closer to the function."""
        return Chain(self.app, self.makes + makes)


def makes_of(field: Field, value: Any) -> tuple[Make, ...]:
    """What ``middleware=value`` means, checked. Raises DefinitionError."""
    makes = tuple(value) if isinstance(value, list | tuple) else None
    if makes is None or not all(callable(make) and not isinstance(make, Middleware) for make in makes):
        raise field.error(
            "must be a list of stepwell.Middleware classes, or of functions that make one from a scope, "
            f"got {value!r}; write it like [MyMiddleware]"
        )
    return makes


def _make(make: Make, scope: Scope) -> Middleware:
    name = getattr(make, "__name__", type(make).__name__)
    try:
        made = make(scope)
        if not isinstance(made, Middleware):
            raise TypeError(f"it made {type(made).__name__}, which is no stepwell.Middleware: derive it from that")
    except Exception as error:
        raise MiddlewareError(name, "__init__", error) from error
    return made


async def _call_hook(layer: Middleware, hook: str, call: Callable[..., Any], *args: Any) -> None:
    try:
        waited = call(*args)
        if inspect.isawaitable(waited):
            await waited
    except Exception as error:
        raise MiddlewareError(type(layer).__name__, hook, error) from error


async def _transform_output(layer: Middleware, output: Output) -> None:
    waited = layer.transform_output(output)
    if waited is not None:
        await waited
    output.value = to_json(output.value, "the output")
