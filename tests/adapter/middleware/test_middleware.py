from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

import stepwell
from stepwell.authoring.checkpointing import Pace
from stepwell.errors import DefinitionError, MiddlewareError, NonRetriableError
from stepwell.middleware import CallInput, Make, Output, Scope, StepInfo
from stepwell.middleware.hooks import Chain
from stepwell.serving.handler import Handler
from stepwell.values.retry_after import RetryAfterError
from stepwell.wire.opcodes import Op
from tests.adapter.executing.saving import MAY_SAVE, Saves, pace
from tests.adapter.executing.support import NOW_MS, Fn, call, data, failure, only, ops, result, runtime, seeded_ids
from tests.adapter.serving.support import SERVER, call_request

APP: Any = SimpleNamespace(id="app")


def with_layers(handler: Any, *makes: Make, pace: Pace | None = None) -> Fn:
    """A function whose calls go through ``makes``."""
    return Fn(handler, middleware=Chain(APP, makes), pace=pace)


@dataclass
class Trace:
    """Makes middleware that writes down which of its hooks are called, and with what, as ``name.hook``."""

    name: str
    lines: list[str]

    def __call__(self, scope: Scope) -> stepwell.Middleware:
        lines, name = self.lines, self.name

        class Traced(stepwell.Middleware):
            def transform_input(self, call: CallInput) -> None:
                lines.append(f"{name}.transform_input {len(call.events)} {len(call.steps)}")

            async def before_memoization(self) -> None:
                lines.append(f"{name}.before_memoization")

            async def after_memoization(self) -> None:
                lines.append(f"{name}.after_memoization")

            def before_execution(self, step: StepInfo) -> None:
                lines.append(f"{name}.before_execution {step.id}")

            async def after_execution(self, step: StepInfo) -> None:
                lines.append(f"{name}.after_execution {step.id}")

            def transform_output(self, output: Output) -> None:
                of = "function" if output.step is None else output.step.id
                said = output.value if output.error is None else type(output.error).__name__
                lines.append(f"{name}.transform_output {of} {said}")

            async def before_send_events(self, events: list[dict[str, Any]]) -> None:
                lines.append(f"{name}.before_send_events {events[0]['name']}")

            def after_send_events(self, ids: list[str]) -> None:
                lines.append(f"{name}.after_send_events {len(ids)}")

            async def before_response(self) -> None:
                lines.append(f"{name}.before_response")

        return Traced(scope)


def number(value: int) -> int:
    """A step body."""
    return value


async def counts(ctx: stepwell.Context) -> int:
    first = await ctx.step.run("a", number, 1)
    return first + await ctx.step.run("b", number, 2)


def counts_plainly(ctx: stepwell.SyncContext) -> int:
    first = ctx.step.run("a", number, 1)
    return first + ctx.step.run("b", number, 2)


@pytest.mark.parametrize("handler", [counts, counts_plainly])
async def test_a_step_goes_through_the_hooks_in_order(handler: Any) -> None:
    """Hooks before something go from the outermost in, hooks after something from the innermost out."""
    lines: list[str] = []
    await call(with_layers(handler, Trace("out", lines), Trace("in", lines)), {"a": data(1)})
    assert lines == [
        "out.transform_input 1 1",
        "in.transform_input 1 1",
        "out.before_memoization",
        "in.before_memoization",
        "in.after_memoization",
        "out.after_memoization",
        "out.before_execution b",
        "in.before_execution b",
        "in.after_execution b",
        "out.after_execution b",
        "in.transform_output b 2",
        "out.transform_output b 2",
        "out.before_response",
        "in.before_response",
    ]


@pytest.mark.parametrize("handler", [counts, counts_plainly])
async def test_hooks_of_a_step_are_called_for_each_that_a_call_executes(handler: Any) -> None:
    """Where many steps go in one call, hooks of the call are called once, and hooks of steps for every one of them."""
    lines: list[str] = []
    saves = Saves()
    function = with_layers(handler, Trace("m", lines), pace=pace())
    await call(function, runtime=runtime(saver=saves.saver(), now_ms=saves.clock.now_ms), **MAY_SAVE)
    steps = [
        [
            f"m.before_execution {step}",
            f"m.after_execution {step}",
            f"m.transform_output {step} {value}",
            "m.transform_input 0 1",
        ]
        for step, value in (("a", 1), ("b", 2))
    ]
    assert lines == [
        "m.transform_input 1 0",
        "m.before_memoization",
        "m.after_memoization",
        *steps[0],
        *steps[1],
        "m.transform_output function 3",
        "m.before_response",
    ]


async def test_errors_are_outputs() -> None:
    """What a step or a function raises goes through transform_output, and another error may take its place."""

    class Renamed(stepwell.Middleware):
        def transform_output(self, output: Output) -> None:
            output.error = NonRetriableError(f"hidden {type(output.error).__name__}")

    async def fails(ctx: stepwell.Context) -> None:
        await ctx.step.run("a", lambda: 1 / 0)

    async def fails_itself(ctx: stepwell.Context) -> None:
        raise LookupError("secret")

    reported = only(await call(with_layers(fails, Renamed)))
    assert reported.op is Op.STEP_FAILED
    assert reported.error is not None
    assert reported.error.message == "hidden ZeroDivisionError"
    failed = failure(await call(with_layers(fails_itself, Renamed)))
    assert (failed.error.message, failed.no_retry) == ("hidden LookupError", True)


class Doubling(stepwell.Middleware):
    """Stores half of every number, and gives out double."""

    def transform_input(self, call: CallInput) -> None:
        call.steps.update({hashed: value * 2 for hashed, value in call.steps.items()})
        for event in call.events:
            event["data"] = {"n": 10}
        call.state["database"] = "db"

    def transform_output(self, output: Output) -> None:
        if output.step is not None:
            output.value //= 2


async def test_input_is_transformed() -> None:
    """The function gets the events, the stored results and the state that transform_input leaves."""

    async def handler(ctx: stepwell.Context) -> Any:
        return [ctx.event.data["n"], await ctx.step.run("a", number, 1), ctx.state["database"]]

    assert result(await call(with_layers(handler, Doubling), {"a": data(4)})) == [10, 8, "db"]


async def test_a_result_in_the_same_call_is_what_a_replay_would_give() -> None:
    """A function that goes on in the same call gets what is stored as transform_input leaves it, as on replay."""
    saves = Saves()

    async def handler(ctx: stepwell.Context) -> Any:
        return await ctx.step.run("a", number, 7)

    function = with_layers(handler, Doubling, pace=pace())
    outcome = await call(function, runtime=runtime(saver=saves.saver(), now_ms=saves.clock.now_ms), **MAY_SAVE)
    assert [opcode.data for opcode in outcome.opcodes] == [3, 6]  # type: ignore[union-attr]


async def test_every_call_has_an_instance_of_its_own() -> None:
    """A middleware is made once a call, from the app and the clock, and keeps what it likes until the call ends."""
    made: list[Scope] = []

    def make(scope: Scope) -> stepwell.Middleware:
        made.append(scope)
        return stepwell.Middleware(scope)

    function = with_layers(counts, make)
    await call(function)
    await call(function, {"a": data(1)})
    assert [scope.app for scope in made] == [APP, APP]
    assert made[0] is not made[1]
    assert made[0].request is None


async def test_the_request_is_there() -> None:
    """A middleware of a served app is given the HTTP request of the call."""
    seen: list[Any] = []

    class Looks(stepwell.Middleware):
        def before_response(self) -> None:
            seen.append((self.app, self.request))

    app = stepwell.App("shop", dev=True, middleware=[Looks])

    @app.function(on="user/signup")
    async def greet(ctx: stepwell.Context) -> str:
        return "hello"

    request = call_request(key=None)
    assert (await Handler(app).handle(request)).body == b'"hello"'
    assert seen == [(app, request)]


@pytest.mark.parametrize(
    "hook",
    [
        "transform_input",
        "before_memoization",
        "after_memoization",
        "before_execution",
        "after_execution",
        "transform_output",
        "before_response",
    ],
)
@pytest.mark.parametrize("raised", [ValueError("oh"), NonRetriableError("oh")])
async def test_a_hook_that_raises_fails_the_call(hook: str, raised: Exception) -> None:
    """The call fails with the names of middleware and hook, and is tried again unless the error says otherwise."""

    def fail(self: Any, *_: Any) -> None:
        raise raised

    broken = type("Broken", (stepwell.Middleware,), {hook: fail})
    failed = failure(await call(with_layers(counts, broken)))
    assert failed.error.name == "MiddlewareError"
    assert failed.error.message == f'middleware "Broken", {hook}: {type(raised).__name__}: oh'
    assert failed.error.code == "middleware_failed"
    assert failed.no_retry is isinstance(raised, NonRetriableError)


async def test_a_hook_may_choose_the_next_attempt() -> None:
    """A RetryAfterError of a hook says when the call is tried again."""

    class Busy(stepwell.Middleware):
        def before_memoization(self) -> None:
            raise RetryAfterError("busy", 30)

    assert failure(await call(with_layers(counts, Busy))).retry_at_ms == NOW_MS + 30_000


async def test_what_was_executed_is_saved_before_a_hook_fails_the_call() -> None:
    """Steps that were buffered when a hook raised are saved, and not executed again."""
    saves = Saves()

    class Broken(stepwell.Middleware):
        def before_execution(self, step: StepInfo) -> None:
            if step.id == "b":
                raise ValueError("oh")

    function = with_layers(counts, Broken, pace=pace(buffered_steps=10))
    outcome = await call(function, runtime=runtime(saver=saves.saver(), now_ms=saves.clock.now_ms), **MAY_SAVE)
    assert failure(outcome).error.name == "MiddlewareError"
    assert saves.labels == [["a"]]


async def test_an_output_that_is_no_json_is_named() -> None:
    """A middleware that leaves a value nobody can store is told so, by name."""

    class Wrong(stepwell.Middleware):
        def transform_output(self, output: Output) -> None:
            output.value = b"bytes"

    failed = failure(await call(with_layers(counts, Wrong)))
    assert failed.error.message.startswith('middleware "Wrong", transform_output: EncodingError: the output cannot')


async def test_a_factory_that_makes_no_middleware_is_named() -> None:
    """What is made must be a Middleware; the call fails with the name of the factory otherwise."""

    def make(scope: Scope) -> Any:
        return "nothing"

    failed = failure(await call(with_layers(counts, make)))
    assert failed.error.message.startswith('middleware "make", __init__: TypeError: it made str')


async def test_events_of_a_step_go_through_the_hooks() -> None:
    """step.send_event sends what before_send_events leaves, and tells after_send_events the ids."""
    sent: list[Mapping[str, Any]] = []
    lines: list[str] = []

    async def send(events: Sequence[Mapping[str, Any]], seed: Any) -> list[str]:
        sent.extend(events)
        return await seeded_ids(events, seed)

    class Stamps(stepwell.Middleware):
        def before_send_events(self, events: list[dict[str, Any]]) -> None:
            events[0]["v"] = "2"

    async def handler(ctx: stepwell.Context) -> None:
        await ctx.step.send_event("tell", stepwell.Event(name="a/b", data={"x": 1}))

    await call(with_layers(handler, Stamps, Trace("m", lines)), runtime=runtime(send=send))
    assert sent == [{"name": "a/b", "data": {"x": 1}, "v": "2"}]
    assert [line for line in lines if "send" in line] == ["m.before_send_events a/b", "m.after_send_events 1"]


async def test_the_event_of_an_invocation_goes_through_the_hooks() -> None:
    """The payload of step.invoke is what before_send_events leaves of the event it becomes."""

    class Changed(stepwell.Middleware):
        def before_send_events(self, events: list[dict[str, Any]]) -> None:
            assert events[0]["name"] == "inngest/function.invoked"
            events[0]["data"] = {"x": 2}

    async def handler(ctx: stepwell.Context) -> None:
        await ctx.step.invoke("other", function="app-other", data={"x": 1}, v="1")

    assert only(await call(with_layers(handler, Changed))).opts["payload"] == {"data": {"x": 2}, "v": "1"}


async def test_what_an_app_sends_goes_through_its_own_middleware() -> None:
    """app.send goes through the hooks of the app; what they raise is raised there, and nothing is sent."""
    lines: list[str] = []
    sent: list[Any] = []

    class Broken(stepwell.Middleware):
        async def before_send_events(self, events: list[dict[str, Any]]) -> None:
            if events[0]["name"] == "bad":
                raise ValueError("no")

    app = stepwell.App("shop", dev=True, base_url=SERVER, middleware=[Trace("m", lines), Broken])

    class Sends:
        async def send_events(self, events: Any, seed: Any) -> list[str]:
            sent.append(events)
            return ["1"]

    app.transport = Sends()  # type: ignore[assignment]
    await app.send(stepwell.Event(name="good"))
    with pytest.raises(MiddlewareError, match='middleware "Broken", before_send_events: ValueError: no'):
        await app.send(stepwell.Event(name="bad"))
    assert [event["name"] for events in sent for event in events] == ["good"]
    assert lines[:2] == ["m.before_send_events good", "m.after_send_events 1"]


async def test_a_function_s_middleware_goes_inside_the_app_s() -> None:
    """A function has the app's middleware and then its own, and so has what handles its failures."""
    lines: list[str] = []
    out, within = Trace("out", lines), Trace("in", lines)
    app = stepwell.App("shop", dev=True, middleware=[out])

    async def mourn(ctx: stepwell.Context) -> None:
        pass

    @app.function(middleware=[within], on_failure=mourn)
    async def buy(ctx: stepwell.Context) -> None:
        pass

    @app.function()
    async def sell(ctx: stepwell.Context) -> None:
        pass

    makes = {function.id: function.middleware.makes for function in app.functions.values()}
    assert makes == {"buy": (out, within), "buy-failure": (out, within), "sell": (out,)}


@pytest.mark.parametrize("wrong", [stepwell.Middleware, "logging", [1], [stepwell.Middleware(Scope(APP, lambda: 0))]])
def test_what_is_no_middleware_is_refused(wrong: Any) -> None:
    """A middleware= that is not a list of classes or factories is refused where it is written."""
    with pytest.raises(DefinitionError, match=r'app "shop", middleware: must be a list of stepwell\.Middleware'):
        stepwell.App("shop", dev=True, middleware=wrong)
    app = stepwell.App("shop", dev=True)
    with pytest.raises(DefinitionError, match=r'function "counts", middleware: must be a list'):
        app.function(middleware=wrong)(counts)


async def test_parallel_steps_are_planned_without_hooks_of_steps() -> None:
    """A call that only reports steps calls the hooks of the call and none of a step."""
    lines: list[str] = []

    async def handler(ctx: stepwell.Context) -> None:
        one, two = ctx.step.run("a", number, 1), ctx.step.run("b", number, 2)
        await one
        await two

    outcome = await call(with_layers(handler, Trace("m", lines)))
    assert [op for op, _ in ops(outcome)] == ["StepPlanned", "StepPlanned"]
    assert [line.split()[0] for line in lines] == [
        "m.transform_input",
        "m.before_memoization",
        "m.after_memoization",
        "m.before_response",
    ]
