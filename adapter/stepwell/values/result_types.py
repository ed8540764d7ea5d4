"""Step results back in the type their callable is annotated with."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Awaitable, Callable, Coroutine
from types import FunctionType, NoneType, SimpleNamespace, UnionType
from typing import Any, Final
from weakref import WeakKeyDictionary

from stepwell.errors import EncodingError
from stepwell.values.closure_variables import closed_over
from stepwell.wire.encoding import encode

Restore = Callable[[Any], Any]
"""JSON value -> typed value. Raises ValueError when the value is not of the type."""

_UNKNOWN: Final = object()
_known: WeakKeyDictionary[FunctionType, Any] = WeakKeyDictionary()


def restore_result(fn: Callable[..., Any], value: Any, owner: str) -> Any:
    """``value``, a JSON value, in the type that ``fn`` says it returns, or as it is when ``fn`` does not say.

    An annotation that cannot be resolved or validated counts as none. Raises EncodingError, starting with ``owner``,
    when the value does not fit the annotation.
    """
    annotation = _return_annotation(fn)
    restore = None if annotation is _UNKNOWN else _restorer(annotation)
    if restore is None:
        return value
    try:
        return restore(value)
    except ValueError as error:
        raise EncodingError(
            f"{owner} does not fit the annotation of {_name(fn)}, -> {_spelled(annotation)}: {_first_problem(error)}; "
            "correct the annotation or what is returned"
        ) from None


def _restorer(annotation: Any) -> Restore | None:
    try:
        return _cached_restorer(annotation)
    except TypeError:  # an annotation need not be hashable, e.g. Annotated with a dict
        return _build_restorer(annotation)


def _build_restorer(annotation: Any) -> Restore | None:
    from pydantic import PydanticUserError, TypeAdapter

    try:
        adapter: TypeAdapter[Any] = TypeAdapter(annotation)
    except (PydanticUserError, NameError):
        return None
    return lambda value: adapter.validate_json(encode(value), strict=True)


_cached_restorer = functools.lru_cache(maxsize=1024)(_build_restorer)


def _return_annotation(fn: Callable[..., Any]) -> Any:
    """What ``fn`` returns once awaited, or the unknown marker."""
    target = _annotated_function(fn)
    if not inspect.isfunction(target):
        return _UNKNOWN
    if target not in _known:
        _known[target] = _resolved(target)
    return _known[target]


def _resolved(target: FunctionType) -> Any:
    try:
        raw = target.__annotations__.get("return", _UNKNOWN)
    except NameError:  # evaluated lazily from Python 3.14 on
        return _UNKNOWN
    if raw is _UNKNOWN:
        return _UNKNOWN
    shim = SimpleNamespace(__annotations__={"return": raw})
    try:
        hints = typing.get_type_hints(shim, target.__globals__, closed_over(target), include_extras=True)
    except Exception:  # noqa: BLE001 - evaluating an annotation is evaluating user code
        return _UNKNOWN
    return _checked(_awaited(hints["return"]))


def _annotated_function(fn: Callable[..., Any]) -> Any:
    while isinstance(fn, functools.partial | functools.partialmethod):
        fn = fn.func
    fn = inspect.unwrap(fn)
    if inspect.isfunction(fn) or inspect.isclass(fn):
        return fn
    if inspect.ismethod(fn):
        return fn.__func__
    return inspect.unwrap(type(fn).__call__)


def _awaited(annotation: Any) -> Any:
    origin = typing.get_origin(annotation)
    if origin is Awaitable:
        return typing.get_args(annotation)[0]
    return typing.get_args(annotation)[2] if origin is Coroutine else annotation


def _checked(annotation: Any) -> Any:
    """The annotation when there is something in it to check or restore."""
    if annotation is Any or annotation is object or isinstance(annotation, typing.TypeVar):
        return _UNKNOWN
    if typing.get_origin(annotation) in (typing.Union, UnionType) and Any in typing.get_args(annotation):
        return _UNKNOWN
    return annotation


def _first_problem(error: ValueError) -> str:
    details = getattr(error, "errors", None)
    if details is None:
        return str(error)
    first = details(include_url=False)[0]
    path = ".".join(str(part) for part in first["loc"])
    return f"{path}: {first['msg']}" if path else str(first["msg"])


def _spelled(annotation: Any) -> str:
    if annotation is NoneType:
        return "None"
    is_class = isinstance(annotation, type) and typing.get_origin(annotation) is None
    return annotation.__qualname__ if is_class else str(annotation)


def _name(fn: Callable[..., Any]) -> str:
    return str(getattr(_annotated_function(fn), "__qualname__", type(fn).__qualname__))
