"""Waits, signals and invocations: the exact opcodes they report, and what their memos give (protocol 4.3, 5.4)."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pydantic
import pytest

import stepwell
from stepwell.errors import InvokeTimeoutError, StepError, StepwellWarning
from stepwell.steps.signals import Signal
from stepwell.values.event import Event
from stepwell.wire.ids import hash_step_id
from stepwell.wire.opcodes import Op, Opcode
from stepwell.wire.times import DAY_MS, format_instant
from tests.adapter.executing.support import NOW_MS, call, data, error, failure, give, modes, only, ops, result, runtime

Use = Callable[[Any], Any]
"""What a function does with its ``step``."""


class Amount(pydantic.BaseModel):
    cents: int


class Paid(Event, name="order/paid"):
    data: Amount


@dataclasses.dataclass(frozen=True)
class Order:
    id: int


APP = stepwell.App("shop", dev=True)


@APP.function()
async def price(ctx: stepwell.Context) -> Amount:
    return Amount(cents=1)


def both(use: Use, *, keep: Callable[[Any], Any] = lambda value: value) -> list[Callable[[Any], Any]]:
    """An ``async def`` and a ``def`` function that return what a step gives."""

    async def handler(ctx: Any) -> Any:
        return keep(await use(ctx.step))

    def plain(ctx: Any) -> Any:
        return keep(use(ctx.step))

    return [handler, plain]


def instant(offset_ms: int) -> dt.datetime:
    return dt.datetime.fromtimestamp((NOW_MS + offset_ms) / 1000, dt.UTC)


WAIT: Mapping[str, Any] = {"event": "order/paid", "timeout": "7d"}
SIGNAL: Mapping[str, Any] = {"signal": "go/1", "timeout": "7d", "conflict": "fail"}
ALONG: Mapping[str, Any] = {"on_parent_cancel": "cancel"}
INVOKE: Mapping[str, Any] = {"function_id": "shop-price", "payload": {"data": {}}, **ALONG}

OPCODES: list[tuple[Use, Op, str, Mapping[str, Any]]] = [
    (lambda step: step.wait_for_event("a", event="order/paid", timeout="7d"), Op.WAIT_FOR_EVENT, "order/paid", WAIT),
    (lambda step: step.wait_for_event("a", event=Paid, timeout=dt.timedelta(7)), Op.WAIT_FOR_EVENT, "order/paid", WAIT),
    (lambda step: step.wait_for_event("a", event=Paid, timeout=604_800), Op.WAIT_FOR_EVENT, "order/paid", WAIT),
    (
        lambda step: step.wait_for_event("a", event="order/paid", timeout="7d", match="data.order_id"),
        Op.WAIT_FOR_EVENT,
        "order/paid",
        {**WAIT, "if": "event.data.order_id == async.data.order_id"},
    ),
    (
        lambda step: step.wait_for_event("a", event="order/paid", timeout="7d", if_="async.data.cents > 5"),
        Op.WAIT_FOR_EVENT,
        "order/paid",
        {**WAIT, "if": "async.data.cents > 5"},
    ),
    (
        lambda step: step.wait_for_event("a", event="order/paid", timeout="7d", lookback="run"),
        Op.WAIT_FOR_EVENT,
        "order/paid",
        {**WAIT, "lookback": "run"},
    ),
    (
        lambda step: step.wait_for_event("a", event="order/paid", timeout="7d", lookback=90),
        Op.WAIT_FOR_EVENT,
        "order/paid",
        {**WAIT, "lookback": "1m30s"},
    ),
    (
        lambda step: step.wait_for_event("a", event="order/paid", timeout=instant(DAY_MS)),
        Op.WAIT_FOR_EVENT,
        "order/paid",
        {**WAIT, "timeout": format_instant(NOW_MS + DAY_MS)},
    ),
    (lambda step: step.wait_for_signal("a", signal="go/1", timeout="7d"), Op.WAIT_FOR_SIGNAL, "go/1", SIGNAL),
    (
        lambda step: step.wait_for_signal("a", signal="go/1", timeout="7d", on_conflict="replace"),
        Op.WAIT_FOR_SIGNAL,
        "go/1",
        {**SIGNAL, "conflict": "replace"},
    ),
    (lambda step: step.invoke("a", function=price), Op.INVOKE_FUNCTION, "a", INVOKE),
    (
        lambda step: step.invoke("a", function="other-fn", data={"n": 1}, timeout="1h", user={"id": 7}, v="2"),
        Op.INVOKE_FUNCTION,
        "a",
        {
            "function_id": "other-fn",
            "payload": {"data": {"n": 1}, "user": {"id": 7}, "v": "2"},
            "timeout": "1h",
            **ALONG,
        },
    ),
    (
        lambda step: step.invoke("a", function="other-fn", on_parent_cancel="abandon"),
        Op.INVOKE_FUNCTION,
        "a",
        {"function_id": "other-fn", "payload": {"data": {}}},
    ),
    (
        lambda step: step.invoke("a", function=price, data=Amount(cents=3)),
        Op.INVOKE_FUNCTION,
        "a",
        {**INVOKE, "payload": {"data": {"cents": 3}}},
    ),
    (
        lambda step: step.invoke("a", function=price, data=Order(3), timeout=instant(-DAY_MS)),
        Op.INVOKE_FUNCTION,
        "a",
        {**INVOKE, "payload": {"data": {"id": 3}}, "timeout": format_instant(NOW_MS - DAY_MS)},
    ),
]


@pytest.mark.parametrize(("use", "op", "name", "opts"), OPCODES)
async def test_the_server_is_told_what_to_wait_for(use: Use, op: Op, name: str, opts: Mapping[str, Any]) -> None:
    """Each call reports one opcode with exactly these options, from both kinds of function."""
    expected = Opcode(op=op, id=hash_step_id("a"), name=name, display_name="a", opts=opts, user_id="a")
    for handler in both(use):
        assert only(await call(handler)) == expected


async def test_people_see_the_name_of_a_wait() -> None:
    """The name in StepOptions is what is displayed."""
    options = stepwell.StepOptions("a", name="Wait for the money")
    uses: list[Use] = [
        lambda step: step.wait_for_event(options, event=Paid, timeout="1h"),
        lambda step: step.wait_for_signal(options, signal="s", timeout="1h"),
        lambda step: step.invoke(options, function="app-fn"),
    ]
    for use in uses:
        assert only(await call(both(use)[0])).display_name == "Wait for the money"


def wait(step: Any) -> Any:
    return step.wait_for_event("a", event="order/paid", timeout="1h")


def typed_wait(step: Any) -> Any:
    return step.wait_for_event("a", event=Paid, timeout="1h")


def signal(step: Any) -> Any:
    return step.wait_for_signal("a", signal="go/1", timeout="1h")


def invoke(step: Any) -> Any:
    return step.invoke("a", function="shop-price")


def typed_invoke(step: Any) -> Any:
    return step.invoke("a", function=price)


PAID = {"id": "e-9", "name": "order/paid", "data": {"cents": 5}, "ts": NOW_MS, "user": {}, "v": "1"}

VALUES: list[tuple[Use, Any, Any]] = [
    (wait, PAID, Event(name="order/paid", data={"cents": 5}, id="e-9", ts=NOW_MS, user={}, v="1")),
    (wait, {**PAID, "meta": {"sessions": {}}}, Event.from_wire(PAID)),
    (wait, None, None),
    (typed_wait, PAID, Paid(data=Amount(cents=5), id="e-9", ts=NOW_MS, user={}, v="1")),
    (typed_wait, None, None),
    (signal, data({"signal": "go/1", "data": {"by": "Ada"}}), Signal("go/1", {"by": "Ada"})),
    (signal, data({"signal": "go/1", "data": None}), Signal("go/1", None)),
    (signal, None, None),
    (invoke, data({"cents": 5}), {"cents": 5}),
    (invoke, data(None), None),
    (typed_invoke, data({"cents": 5}), Amount(cents=5)),
]  # fmt: skip


@pytest.mark.parametrize(("use", "memo", "value"), VALUES)
async def test_a_memo_gives_its_value(use: Use, memo: Any, value: Any) -> None:
    """Every row of protocol 4.3 that a wait, a signal or an invocation succeeds or times out with, in its type."""
    seen: list[Any] = []
    for handler in both(use, keep=seen.append):
        assert result(await call(handler, {"a": memo})) is None
    assert seen == [value, value]
    assert [type(each) for each in seen] == [type(value)] * 2


TIMEOUT = "InngestInvokeTimeoutError"
TIMED_OUT = {
    "error": {
        "error": f"{TIMEOUT}: Timed out waiting for invoked function to complete",
        "name": TIMEOUT,
        "message": "Timed out waiting for invoked function to complete",
    }
}
CHILD = {"error": {"error": "invalid status code: 500", "name": "CardError", "message": "declined", "stack": "at pay"}}

FAILURES: list[tuple[Use, Any, type[Exception], tuple[str, str, str | None]]] = [
    (invoke, CHILD, StepError, ("CardError", "declined", "at pay")),
    (invoke, error("no such function", "Error"), StepError, ("Error", "no such function", None)),
    (invoke, TIMED_OUT, InvokeTimeoutError, (TIMEOUT, TIMED_OUT["error"]["message"], None)),
    (signal, error("Signal conflict", "Error"), StepError, ("Error", "Signal conflict", None)),
    (lambda step: step.run("a", give, 1), error("no", TIMEOUT), StepError, (TIMEOUT, "no", None)),
]  # fmt: skip


@pytest.mark.parametrize(("use", "memo", "kind", "facts"), FAILURES)
async def test_a_memo_raises_its_error(
    use: Use, memo: Any, kind: type[Exception], facts: tuple[str, str, str | None]
) -> None:
    """A failed invocation or a refused signal raises with the name, message and stack that the memo has."""
    caught: list[StepError] = []

    async def handler(ctx: Any) -> None:
        try:
            await use(ctx.step)
        except StepError as problem:
            caught.append(problem)

    def plain(ctx: Any) -> None:
        try:
            use(ctx.step)
        except StepError as problem:
            caught.append(problem)

    for function in (handler, plain):
        await call(function, {"a": memo})
    assert [(type(each), (each.name, each.message, each.stack)) for each in caught] == [(kind, facts)] * 2


WRONG_MEMOS: list[tuple[Use, Any, str, str]] = [
    (
        typed_wait,
        {**PAID, "data": {}},
        "EventError",
        'step "a": event "order/paid", data.cents: Field required',
    ),
    (wait, data(5), "EventError", 'step "a": the journal has 5 for it, which is no event'),
    (signal, data({"by": 1}), "WireError", "step \"a\": the journal has {'by': 1} for it, which is no signal"),
    (
        typed_invoke,
        data({"cents": "many"}),
        "EncodingError",
        (
            'step "a": the result of function "shop-price" does not fit the annotation of price, -> Amount: cents: '
            "Input should be a valid integer; correct the annotation or what is returned"
        ),
    ),
]


@pytest.mark.parametrize(("use", "memo", "name", "message"), WRONG_MEMOS)
async def test_what_does_not_fit_is_explained(use: Use, memo: Any, name: str, message: str) -> None:
    """An event, signal or result of another shape fails where it is awaited, naming step, what came and the field."""
    for handler in both(use):
        failed = failure(await call(handler, {"a": memo}))
        assert (failed.error.name, failed.error.message) == (name, message)


MISUSES: list[tuple[Use, str]] = [
    (lambda step: step.wait_for_event("a", event="x", timeout="367d"), 'step "a": timeout is 367d; the limit is 366d'),
    (lambda step: step.wait_for_event("a", event="x", timeout=0), 'step "a": timeout must be longer than 0, got 0'),
    (lambda step: step.wait_for_event("a", event="x", timeout="-1s"), 'step "a": timeout must be longer than 0'),
    (lambda step: step.wait_for_event("a", event="x", timeout="soon"), 'step "a": timeout: "soon" is not a duration'),
    (
        lambda step: step.wait_for_event("a", event="x", timeout=instant(367 * DAY_MS)),
        'step "a": timeout is 367d; the limit is 366d',
    ),
    (
        lambda step: step.wait_for_event("a", event="x", timeout=dt.datetime(2030, 1, 1)),  # noqa: DTZ001 - on purpose
        'step "a": timeout: a datetime without a time zone is ambiguous',
    ),
    (
        lambda step: step.wait_for_event("a", event="x", timeout=1, match="data.n", if_="true"),
        'step "a", wait_for_event: has both match and if_',
    ),
    (
        lambda step: step.wait_for_event("a", event="x", timeout=1, match="data.n == 1"),
        'step "a", wait_for_event.match: must be a path such as "data.order_id"',
    ),
    (
        lambda step: step.wait_for_event("a", event="x", timeout=1, if_="data.n == 1"),
        'step "a", wait_for_event.if_: uses "data", but only event and async can be used here',
    ),
    (
        lambda step: step.wait_for_event("a", event="x", timeout=1, if_="(event.data.n"),
        'step "a", wait_for_event.if_: has a "(" that is never closed',
    ),
    (lambda step: step.wait_for_event("a", event="", timeout=1), 'step "a", wait_for_event.event: must name an event'),
    (lambda step: step.wait_for_event("a", event="x/*", timeout=1), "give the exact event name here"),
    (lambda step: step.wait_for_event("a", event=Event, timeout=1), "Event has no event name"),
    (lambda step: step.wait_for_event("a", event="x", timeout=1, lookback=0), 'step "a": lookback must be "run" or'),
    (lambda step: step.wait_for_event("a", event="x", timeout=1, lookback="367d"), 'step "a": lookback must be "run"'),
    (lambda step: step.wait_for_event("a", event="x", timeout=1, lookback="runs"), 'step "a": lookback: "runs" is not'),
    (
        lambda step: step.wait_for_event(stepwell.StepOptions("a", retries=1), event="x", timeout=1),
        'step "a": a wait is never retried',
    ),
    (
        lambda step: step.wait_for_signal(stepwell.StepOptions("a", timeout="1s"), signal="x", timeout=1),
        'step "a": a wait is never retried',
    ),
    (lambda step: step.wait_for_signal("a", signal="", timeout=1), 'step "a": a signal\'s name must be a text of 1 to'),
    (lambda step: step.wait_for_signal("a", signal="s" * 256, timeout=1), "255 characters, got 256 characters"),
    (lambda step: step.wait_for_signal("a", signal=7, timeout=1), "got 7"),
    (lambda step: step.wait_for_signal("a", signal="s", timeout="0s"), 'step "a": timeout must be longer than 0'),
    (
        lambda step: step.wait_for_signal("a", signal="s", timeout=1, on_conflict="wait"),
        'step "a", wait_for_signal.on_conflict: must be "fail" or "replace"',
    ),
    (lambda step: step.send_signal("a", signal=""), 'step "a": a signal\'s name must be a text'),
    (lambda step: step.invoke("a", function=""), 'step "a": invoke takes a function of an app or its full id'),
    (lambda step: step.invoke("a", function=give), 'step "a": invoke takes a function of an app or its full id'),
    (lambda step: step.invoke("a", function=price, data=[1]), 'step "a": invoke: data must be a JSON object, got list'),
    (lambda step: step.invoke("a", function=price, user="me"), 'step "a": invoke: user must be a JSON object, got str'),
    (lambda step: step.invoke("a", function=price, timeout=-1), 'step "a": timeout must be longer than 0'),
    (
        lambda step: step.invoke("a", function=price, on_parent_cancel="keep"),
        'step "a", invoke.on_parent_cancel: must be "cancel" or "abandon", got \'keep\'',
    ),
    (lambda step: step.invoke(stepwell.StepOptions("a", retries=1), function=price), "invoke is not retried"),
]


@pytest.mark.parametrize(("use", "message"), MISUSES)
async def test_misuse_is_explained(use: Use, message: str) -> None:
    """A wrong call says which step and argument, what is wrong and what to write, and is not retried."""
    for handler in both(use):
        failed = failure(await call(handler))
        assert message in failed.error.message
        assert (failed.error.name, failed.no_retry) == ("DefinitionError", True)


@pytest.mark.parametrize("use", [lambda step: step.invoke("a", function=price, data={"x": object()}),
                                 lambda step: step.send_signal("a", signal="s", data={"x": object()})])  # fmt: skip
async def test_what_is_no_json_is_refused_at_the_call(use: Use) -> None:
    """Data that cannot be stored is refused where it is passed, naming step and path."""
    for handler in both(use):
        failed = failure(await call(handler))
        assert failed.error.name == "EncodingError"
        assert 'step "a"' in failed.error.message
        assert "x is of type object" in failed.error.message


async def forgetful(ctx: Any) -> None:
    for number in range(3):
        await ctx.step.wait_for_event(f"wait-{number}", event="x")


def plainly_forgetful(ctx: Any) -> None:
    ctx.step.parallel(*(partial(ctx.step.wait_for_signal, f"wait-{name}", signal=name) for name in "ab"))


@pytest.mark.parametrize(
    ("handler", "step", "method", "line"),
    [(forgetful, "wait-0", "wait_for_event", 2), (plainly_forgetful, "wait-a", "wait_for_signal", 1)],
)
async def test_a_wait_without_a_timeout_warns_once_at_its_line(
    handler: Callable[[Any], Any], step: str, method: str, line: int
) -> None:
    """The default of 30 days is used with one warning for each place in the user's code, which names the first step."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for known in ({}, {"wait-0": None}):
            await call(handler, known)
        opcodes = [only(await call(handler, {"wait-0": None, "wait-1": None, "wait-a": None}))]
    assert [opcode.opts["timeout"] for opcode in opcodes] == ["30d"]
    [warning] = caught
    assert (warning.category, warning.filename) == (StepwellWarning, __file__)
    assert warning.lineno == handler.__code__.co_firstlineno + line
    assert str(warning.message) == (
        f'step "{step}": {method} without a timeout gives up after 30d; say how long it may take: timeout="7d"'
    )


async def helped(step: Any) -> Any:
    return await step.wait_for_event("helped", event="x")


async def test_waits_of_two_functions_are_told_each_at_its_own_line() -> None:
    """A wait on another line is told as well; one that two functions reach by one line is to be mended at that line."""

    async def one(ctx: Any) -> None:
        await asyncio.gather(helped(ctx.step), ctx.step.wait_for_event("own", event="x"))

    async def two(ctx: Any) -> None:
        await asyncio.gather(helped(ctx.step), ctx.step.wait_for_event("own", event="x"))

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for handler in (one, two, one):
            await call(handler)
    lines = sorted(each.lineno for each in caught)
    assert lines == sorted(
        [helped.__code__.co_firstlineno + 1, one.__code__.co_firstlineno + 1, two.__code__.co_firstlineno + 1]
    )


async def test_a_condition_that_no_event_can_change_is_told() -> None:
    """An ``if_`` without ``async`` is taken, and its author is told what to compare with."""

    async def handler(ctx: Any) -> None:
        await ctx.step.wait_for_event("paid", event="x", timeout=1, if_="event.data.paid")

    with pytest.warns(StepwellWarning, match=r'^step "paid", wait_for_event.if_: never mentions async') as told:
        opcode = only(await call(handler))
    assert opcode.opts["if"] == "event.data.paid"
    assert told[0].filename == __file__


async def test_an_event_that_is_nearly_a_declared_one_is_told() -> None:
    """A wait for a misspelt name is taken, and its author is told the name of the Event class that is near."""

    async def handler(ctx: Any) -> None:
        await ctx.step.wait_for_event("paid", event="order/payed", timeout=1)

    with pytest.warns(StepwellWarning, match=r'^step "paid", wait_for_event.event: .* did you mean "order/paid"\?'):
        assert only(await call(handler)).opts["event"] == "order/payed"


async def test_an_invocation_without_a_timeout_is_no_reason_to_warn() -> None:
    """An invocation lasts a year unless told otherwise, and nobody is warned."""
    assert "timeout" not in only(await call(both(invoke)[0])).opts


async def test_a_signal_is_sent_in_a_step() -> None:
    """send_signal is a step that runs, marked as what it is, and gives the id of the run it resumed."""
    sent: list[tuple[str, Any]] = []

    async def send(name: str, payload: Any) -> str | None:
        sent.append((name, payload))
        return "run-1" if name == "awaited" else None

    handlers = [
        handler
        for name in ("awaited", "lost")
        for handler in both(lambda step, name=name: step.send_signal("a", signal=name, data=Order(1)))
    ]
    outcomes = [only(await call(handler, runtime=runtime(send_signal=send))) for handler in handlers]
    assert [outcome.op for outcome in outcomes] == [Op.STEP_RUN] * 4
    assert [outcome.opts for outcome in outcomes] == [{"type": "step.sendSignal"}] * 4
    assert [outcome.data for outcome in outcomes] == ["run-1", "run-1", None, None]
    assert sent == [("awaited", {"id": 1})] * 2 + [("lost", {"id": 1})] * 2
    assert result(await call(both(lambda step: step.send_signal("a", signal="s"))[0], {"a": data("run-1")})) == "run-1"


async def test_a_signal_that_cannot_be_sent_is_a_failed_attempt() -> None:
    """A server that is away fails the attempt, and the step is tried again."""

    async def send(name: str, payload: Any) -> str | None:
        raise ConnectionError("refused")

    for handler in both(lambda step: step.send_signal("a", signal="s")):
        assert ops(await call(handler, runtime=runtime(send_signal=send))) == [("StepError", "a")]


def trio(step: Any) -> list[Any]:
    return [step.run("a", give, 1), step.run("b", give, 2), step.invoke("c", function="app-fn")]


async def _gather(ctx: Any) -> None:
    await asyncio.gather(*trio(ctx.step))


async def _tasks(ctx: Any) -> None:
    await asyncio.gather(*map(asyncio.create_task, trio(ctx.step)))


async def _kept(ctx: Any) -> None:
    await asyncio.gather(*trio(ctx.step), return_exceptions=True)


async def _kept_below(ctx: Any) -> None:
    first, second, third = trio(ctx.step)
    await asyncio.gather(first, second, asyncio.gather(third, return_exceptions=True))


async def _kept_above(ctx: Any) -> None:
    first, second, third = trio(ctx.step)
    await asyncio.gather(first, asyncio.gather(second, third), return_exceptions=True)


async def _kept_elsewhere(ctx: Any) -> None:
    first, second, third = trio(ctx.step)
    await asyncio.gather(asyncio.gather(first, second, return_exceptions=True), third)


async def _group(ctx: Any) -> None:
    async with asyncio.TaskGroup() as group:
        for each in trio(ctx.step):
            group.create_task(each)


async def _raced(ctx: Any) -> None:
    await asyncio.wait(map(asyncio.ensure_future, trio(ctx.step)), return_when=asyncio.FIRST_COMPLETED)


async def _alone(ctx: Any) -> None:
    await ctx.step.invoke("c", function="app-fn")


async def _alone_in_a_gather(ctx: Any) -> None:
    await asyncio.gather(ctx.step.invoke("c", function="app-fn"))


def _parallel(ctx: Any) -> None:
    step = ctx.step
    step.parallel(lambda: step.run("a", give, 1), lambda: step.invoke("c", function="app-fn"))


def _with(use: Use) -> Callable[[Any], Any]:
    async def handler(ctx: Any) -> None:
        await asyncio.gather(ctx.step.run("b", give, 1), use(ctx.step))

    return handler


@pytest.mark.parametrize(
    ("handler", "expected"),
    [
        (_gather, [None, None, "race"]),
        (_tasks, [None, None, "race"]),
        (_kept, [None, None, None]),
        (_kept_below, [None, None, None]),
        (_kept_above, [None, None, None]),
        (_kept_elsewhere, [None, None, "race"]),
        (_group, [None, None, "race"]),
        (_raced, ["race", "race", "race"]),
        (_alone, [None]),
        (_alone_in_a_gather, [None]),
        (_parallel, [None, None]),
        (_with(wait), [None, None]),
        (_with(typed_wait), [None, "race"]),
        (_with(signal), [None, "race"]),
        (_with(lambda step: step.wait_for_signal("a", signal="s", timeout=1, on_conflict="replace")), [None, None]),
    ],
    ids=lambda part: getattr(part, "__name__", None),
)
async def test_what_the_server_may_fail_is_a_race(handler: Callable[[Any], Any], expected: list[str | None]) -> None:
    """A step whose failure would let the function go on before its siblings end is reported so, and only that step."""
    outcome = await call(handler, from_stepwell=True)
    assert modes(outcome) == set(expected)
    assert [opcode.parallel_mode for opcode in outcome.opcodes] == expected  # type: ignore[union-attr]


async def test_a_failed_invocation_lets_a_gather_go_on() -> None:
    """The failure is raised while the siblings are pending, and what the function does then is reported."""

    async def handler(ctx: Any) -> Any:
        try:
            await asyncio.gather(*trio(ctx.step))
        except StepError as problem:
            return await ctx.step.run("give-up", give, problem.message)

    outcome = await call(handler, {"c": error("declined")}, disable_immediate_execution=True)
    assert ("StepPlanned", "give-up") in ops(outcome)
