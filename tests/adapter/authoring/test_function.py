from __future__ import annotations

import functools
from typing import Any

import pytest

import stepwell
from stepwell.errors import DefinitionError
from stepwell.wire.registration import Trigger


class OrderCreated(stepwell.Event, name="order/created"):
    """A typed event."""


class Callable:
    """A handler that is an object."""

    async def __call__(self, ctx: Any) -> str:
        """Answer."""
        return "object"


def plain(ctx: Any) -> str:
    """A handler."""
    return f"plain {ctx}"


async def waiting(ctx: Any) -> str:
    """An async handler."""
    return "async"


def no_argument() -> None:
    """Not a handler."""


def two_arguments(ctx: Any, step: Any) -> None:
    """Not a handler."""


def generator(ctx: Any) -> Any:
    """Not a handler."""
    yield 1


async def async_generator(ctx: Any) -> Any:
    """Not a handler."""
    yield 1


@pytest.fixture
def app() -> stepwell.App:
    """An empty app."""
    return stepwell.App("shop", dev=True)


def test_a_function_knows_what_the_server_needs(app: stepwell.App) -> None:
    """Id and name default to the handler's name with dashes, retries to four, and the slug starts with the app's id."""

    @app.function(on=OrderCreated)
    async def fulfil_order(ctx: Any) -> None: ...

    assert (fulfil_order.id, fulfil_order.slug, fulfil_order.name) == (
        "fulfil-order",
        "shop-fulfil-order",
        "fulfil-order",
    )
    assert (fulfil_order.retries, fulfil_order.is_async) == (4, True)
    assert fulfil_order.event_types == {"order/created": OrderCreated}
    assert __file__ in fulfil_order.location
    assert app.functions == {"fulfil-order": fulfil_order}


@pytest.mark.parametrize(
    ("handler", "is_async"),
    [(plain, False), (waiting, True), (functools.partial(waiting), True), (Callable(), True), (lambda ctx: 1, False)],
)
def test_every_kind_of_callable_is_a_handler(app: stepwell.App, handler: Any, is_async: bool) -> None:
    """Plain and async functions, partials, objects and lambdas are told apart by how they are called."""
    assert app.function(id="x")(handler).is_async is is_async


async def test_a_function_is_called_like_its_handler(app: stepwell.App) -> None:
    """A unit test may call the registered function with a context of its own."""
    assert app.function()(plain)("ctx") == "plain ctx"
    assert await app.function()(waiting)(None) == "async"


@pytest.mark.parametrize(
    ("handler", "options", "problem"),
    [
        (lambda ctx: 1, {}, "id must be"),
        (plain, {"id": ""}, "id must be"),
        (plain, {"id": "a b"}, "got 'a b'"),
        (plain, {"id": "x" * 101}, "1 to 100 letters"),
        (plain, {"id": 7}, "got 7"),
        (plain, {"name": " "}, 'function "plain", name: must be a text'),
        (plain, {"retries": 21}, 'function "plain", retries: must be a whole number from 0 to 20, got 21'),
        (plain, {"retries": True}, "retries: must be a whole number"),
        (plain, {"on": 1}, 'function "plain", on: '),
        (plain, {"throttle": 1}, 'function "plain", throttle: '),
        (no_argument, {}, 'function "no-argument", handler: must take one argument'),
        (two_arguments, {}, "write it as two_arguments(ctx)"),
        (generator, {}, "is a generator"),
        (async_generator, {}, "is a generator"),
        ("plain", {"id": "x"}, "must be a function"),
        (plain, {"on_failure": no_argument}, 'function "plain", on_failure: must take one argument'),
        (plain, {"on_failure": "notify"}, 'function "plain", on_failure: must be a function'),
    ],
)
def test_a_wrong_definition_is_refused_whole(
    app: stepwell.App, handler: Any, options: dict[str, Any], problem: str
) -> None:
    """What is wrong is named with the function, and the app stays as it was."""
    with pytest.raises(DefinitionError) as refused:
        app.function(**options)(handler)
    assert problem in str(refused.value)
    assert app.functions == {}


def test_a_registered_function_is_not_a_handler(app: stepwell.App) -> None:
    """Decorating a function twice says to pass the plain one."""
    registered = app.function()(plain)
    with pytest.raises(DefinitionError, match='is the registered function "plain"'):
        app.function(id="other", on_failure=registered)(waiting)


def test_ids_are_unique_and_the_refusal_names_both_places(app: stepwell.App) -> None:
    """A second function of one id is refused with where both are written."""
    first = app.function(id="x")(plain)
    with pytest.raises(DefinitionError) as refused:
        app.function(id="x")(waiting)
    assert first.location in str(refused.value)
    assert str(waiting.__code__.co_firstlineno) in str(refused.value)
    assert app.functions["x"] is first


def test_a_failure_handler_is_a_function_of_its_own(app: stepwell.App) -> None:
    """It starts on the failure of just that function, is not retried and inherits no option."""
    app.function(id="pay", name="Pay", on="order/created", concurrency=1, on_failure=waiting)(plain)
    failure = app.functions["pay-failure"]
    assert (failure.slug, failure.name, failure.retries, failure.is_async) == (
        "shop-pay-failure",
        "Pay (failure)",
        0,
        True,
    )
    assert failure.triggers == (
        Trigger(event="inngest/function.failed", expression="event.data.function_id == 'shop-pay'"),
    )
    assert failure.options == {}


def test_a_taken_failure_id_refuses_both(app: stepwell.App) -> None:
    """When the derived id is taken, neither the function nor its failure handler is added."""
    app.function(id="pay-failure")(plain)
    with pytest.raises(DefinitionError, match='two functions with the id "pay-failure"'):
        app.function(id="pay", on_failure=waiting)(plain)
    assert list(app.functions) == ["pay-failure"]


def test_functions_are_read_only(app: stepwell.App) -> None:
    """The mapping of functions cannot be changed from outside."""
    with pytest.raises(TypeError):
        app.functions["x"] = app.function()(plain)  # type: ignore[index]


@pytest.mark.parametrize("app_id", ["", "my shop", "-x", None])
def test_an_app_id_is_checked(app_id: Any) -> None:
    """An app is refused when its id cannot be part of a slug."""
    with pytest.raises(DefinitionError, match="the app: id must be"):
        stepwell.App(app_id)
