"""A function: the author's handler with everything a server needs to know about it, checked when it is defined."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, overload

from stepwell.authoring.checkpointing import Pace, pace_of
from stepwell.authoring.options import FunctionOptions
from stepwell.authoring.triggers import On, triggers_of
from stepwell.errors import DefinitionError
from stepwell.middleware.hooks import Chain, makes_of
from stepwell.values.checks import Field, check_id
from stepwell.values.event import Event
from stepwell.values.result_types import restore_result
from stepwell.wire.registration import NAME_MAX_CHARS, RETRIES_MAX, Trigger

if TYPE_CHECKING:
    from stepwell.steps.context import Context, SyncContext

Handler = Callable[["Context"], Any] | Callable[["SyncContext"], Any]
T = TypeVar("T")


class FunctionDecorator(Protocol):
    """What ``@app.function(...)`` is: it makes a handler a function."""

    @overload
    def __call__(self, handler: Callable[[Context], Awaitable[T]], /) -> Function[T]: ...
    @overload
    def __call__(self, handler: Callable[[SyncContext], T], /) -> Function[T]: ...
    def __call__(self, handler: Any, /) -> Function[Any]:
        """The function, with the handler's result."""
        ...


@dataclass(frozen=True, slots=True)
class Function(Generic[T]):
    """One registered function, whose runs give a T.

    Calling it calls the handler, so that a unit test may run it with a context of its own. ``slug`` is its name on the
    wire, ``<app id>-<id>``; ``retries`` counts the attempts after the first; ``options`` holds wire members;
    ``event_types`` maps event names to the classes their payload is validated with; ``pace`` says how steps are saved
    while a call goes on, None when they are not; ``middleware`` is what its calls go through; ``location`` is where
    the handler is written.
    """

    id: str
    slug: str
    name: str
    handler: Handler
    is_async: bool
    retries: int
    triggers: tuple[Trigger, ...]
    event_types: Mapping[str, type[Event]]
    options: Mapping[str, Any]
    pace: Pace | None
    middleware: Chain
    location: str

    def __call__(self, ctx: Any) -> Any:
        """Call the handler."""
        return self.handler(ctx)

    def restore(self, value: Any, what: str) -> T:
        """What a run gave, in the type the handler is annotated with. Raises EncodingError beginning with ``what``."""
        restored: T = restore_result(self.handler, value, what)
        return restored


@dataclass(frozen=True, slots=True)
class Defaults:
    """What an app says for all its functions."""

    pace: Pace | None
    middleware: Chain


def define_function(
    app_id: str,
    handler: Handler,
    *,
    function_id: str | None,
    name: str | None,
    on: On | Sequence[On] | None,
    retries: int,
    options: FunctionOptions,
    checkpoint: Any,
    middleware: Any,
    defaults: Defaults,
) -> Function[Any]:
    """A function of the app ``app_id``. Raises DefinitionError naming the function and the field that is wrong."""
    chosen_id = _function_id(handler, function_id)
    _check_handler(Field(chosen_id, "handler"), handler)
    triggers = triggers_of(chosen_id, on)
    return Function(
        id=chosen_id,
        slug=f"{app_id}-{chosen_id}",
        name=_name(Field(chosen_id, "name"), chosen_id if name is None else name),
        handler=handler,
        is_async=_is_async(handler),
        retries=Field(chosen_id, "retries").whole(retries, 0, RETRIES_MAX),
        triggers=triggers.wire,
        event_types=triggers.event_types,
        options=options.encode(chosen_id),
        pace=pace_of(Field(chosen_id, "checkpoint"), checkpoint, defaults.pace),
        middleware=defaults.middleware.extended_by(makes_of(Field(chosen_id, "middleware"), middleware)),
        location=_location(handler),
    )


def failure_function(app_id: str, failed: Function[Any], handler: Handler) -> Function[Any]:
    """The function that runs ``handler`` when a run of ``failed`` fails for good (protocol 2.7); it is not retried.

    Raises DefinitionError when ``handler`` is none.
    """
    _check_handler(Field(failed.id, "on_failure"), handler)
    function_id = f"{failed.id}-failure"
    failures = Trigger("inngest/function.failed", expression=f"event.data.function_id == '{failed.slug}'")
    return Function(
        id=function_id,
        slug=f"{app_id}-{function_id}",
        name=f"{failed.name} (failure)",
        handler=handler,
        is_async=_is_async(handler),
        retries=0,
        triggers=(failures,),
        event_types={},
        options={},
        pace=failed.pace,
        middleware=failed.middleware,
        location=_location(handler),
    )


def duplicate_error(app_id: str, known: Function[Any], added: Function[Any]) -> DefinitionError:
    """The error for a second function with the id of one that is already there."""
    return DefinitionError(
        f'app "{app_id}" has two functions with the id "{added.id}": {known.location} and {added.location}; '
        "give one of them another id="
    )


def _function_id(handler: Handler, function_id: str | None) -> str:
    if function_id is not None:
        return check_id(f"the function at {_location(handler)}", function_id)
    own_name = getattr(handler, "__name__", "")
    return check_id(f"the function at {_location(handler)}", own_name.replace("_", "-").strip("-"))


def _name(field: Field, name: Any) -> str:
    if not isinstance(name, str) or not name.strip() or len(name) > NAME_MAX_CHARS:
        raise field.error(f"must be a text of 1 to {NAME_MAX_CHARS} characters, got {name!r}")
    return name


def _check_handler(field: Field, handler: Any) -> None:
    if isinstance(handler, Function):
        raise field.error(f'is the registered function "{handler.id}"; pass the plain function instead')
    if not callable(handler):
        raise field.error(f"must be a function that takes the context, got {handler!r}")
    if inspect.isgeneratorfunction(handler) or inspect.isasyncgenfunction(handler):
        raise field.error("is a generator; return the result instead of yielding it")
    try:
        signature = inspect.signature(handler)
    except ValueError:  # some callables written in C have none; they are taken at their word
        return
    try:
        signature.bind(None)
    except TypeError:
        raise field.error(
            f"must take one argument, the context: write it as {_qualified_name(handler)}(ctx) ({_location(handler)})"
        ) from None


def _is_async(handler: Handler) -> bool:
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(type(handler).__call__)


def _location(handler: Any) -> str:
    """``file:line`` of a function, and of anything else at least its name."""
    code = getattr(inspect.unwrap(handler), "__code__", None) if callable(handler) else None
    return f"{code.co_filename}:{code.co_firstlineno}" if code is not None else _qualified_name(handler)


def _qualified_name(handler: Any) -> str:
    return str(getattr(handler, "__qualname__", type(handler).__qualname__))
