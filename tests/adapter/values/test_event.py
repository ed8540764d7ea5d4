"""Events: made, typed, sent and received."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import BaseModel

from stepwell.errors import DefinitionError, EventError
from stepwell.values.event import Event
from tests.adapter.executing.support import Fn, call, failure, result


class OrderData(BaseModel):
    order_id: uuid.UUID
    placed: dt.datetime


class OrderCreated(Event, name="order/created"):
    data: OrderData


@dataclass
class Point:
    x: int


NAIVE = dt.datetime(2027, 1, 1)  # noqa: DTZ001 - without a zone on purpose
WHEN = dt.datetime(2027, 1, 1, 9, tzinfo=dt.UTC)
ORDER = {"order_id": "6f9619ff-8b86-d011-b42d-00cf4fc964ff", "placed": "2027-01-01T09:00:00Z"}


@pytest.mark.parametrize(
    ("event", "wire"),
    [
        (Event(name="a/b"), {"name": "a/b", "data": {}}),
        (Event(name="a/b", data={"n": (1, 2)}), {"name": "a/b", "data": {"n": [1, 2]}}),
        (Event(name="a/b", data=Point(3)), {"name": "a/b", "data": {"x": 3}}),
        (Event(name="a/b", id="1", ts=5, v="2"), {"name": "a/b", "data": {}, "id": "1", "ts": 5, "v": "2"}),
        (Event(name="a/b", ts=WHEN), {"name": "a/b", "data": {}, "ts": 1798794000000}),
        (Event(name="a/b", user={"id": "u"}), {"name": "a/b", "data": {}, "user": {"id": "u"}}),
        (OrderCreated(data=ORDER), {"name": "order/created", "data": ORDER}),
        (OrderCreated(data=OrderData(**ORDER)), {"name": "order/created", "data": ORDER}),  # type: ignore[arg-type]
    ],
)
def test_an_event_goes_to_the_wire(event: Event, wire: dict[str, Any]) -> None:
    """Members that are set are encoded, with typed data as JSON; the others are left out."""
    assert event.to_wire() == wire


def test_an_event_comes_from_the_wire() -> None:
    """Data is read into its type; members nobody knows are ignored."""
    event = OrderCreated.from_wire({"name": "order/created", "data": ORDER, "ts": 5, "meta": {"x": 1}, "v": None})

    assert (event.data.placed, event.data.order_id.version, event.ts) == (WHEN, 13, 5)


def test_an_event_round_trips() -> None:
    """What is read from the wire form of an event is the event."""
    event = OrderCreated(data=ORDER, id="1", ts=7)

    assert OrderCreated.from_wire(event.to_wire()) == event


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"name": ""}, 'Event: name is empty; name the event, e.g. name="order/created"'),
        ({"name": "  "}, 'Event: name is empty; name the event, e.g. name="order/created"'),
        ({"name": "x" * 256}, "the name is 256 characters; the limit is 255"),
        ({"name": 5}, 'event "5", name: Input should be a valid string'),
        ({"name": "a/b", "data": [1]}, 'event "a/b", data: must be a JSON object, got list; wrap the value'),
        ({"name": "a/b", "data": "text"}, 'event "a/b", data: must be a JSON object, got str; wrap the value'),
        ({"name": "a/b", "ts": NAIVE}, 'event "a/b", ts: a datetime without a time zone'),
        ({"name": "a/b", "ts": "soon"}, 'event "a/b", ts: Input should be a valid integer'),
        ({"name": "a/b", "user": 3}, 'event "a/b", user: Input should be a valid dictionary'),
    ],
)
def test_a_wrong_member_is_explained(members: dict[str, Any], message: str) -> None:
    """An event that is wrong is refused when it is made, naming event and member."""
    with pytest.raises(EventError) as caught:
        Event(**members)

    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (Event(name="inngest/x"), 'names starting with "inngest/" are reserved; rename it'),
        (Event(name="Inngest/X"), 'names starting with "inngest/" are reserved; rename it'),
        (Event(name="a/b", data={"x": float("nan")}), 'event "a/b", data cannot be stored as JSON: x is nan'),
        (Event(name="a/b", data={"x": {"y": [object()]}}), "x.y[0] is of type object"),
        (Event(name="a/b", user={"x": b""}), 'event "a/b", user cannot be stored as JSON: x is of type bytes'),
    ],
)
def test_what_cannot_be_sent_is_explained(event: Event, message: str) -> None:
    """Reserved names and values that are no JSON are refused when the event is sent."""
    with pytest.raises(EventError) as caught:
        event.to_wire()

    assert message in str(caught.value)


def test_typed_data_is_validated() -> None:
    """Data that does not fit names the event and the field."""
    with pytest.raises(EventError, match=r'event "order/created", data\.placed: '):
        OrderCreated(data={**ORDER, "placed": "soon"})  # type: ignore[arg-type]


def test_the_name_of_a_typed_event_is_fixed() -> None:
    """A typed event cannot be given another name."""
    with pytest.raises(EventError, match='the name is fixed to "order/created", got "other"; leave name= out'):
        OrderCreated(name="other", data=ORDER)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["", "  ", "x" * 256])
def test_a_typed_event_needs_a_usable_name(name: str) -> None:
    """A name that could never trigger is refused where the class is defined."""
    with pytest.raises(DefinitionError, match="Wrong: name must have 1 to 255 characters"):
        type("Wrong", (Event,), {}, name=name)


def test_a_subclass_keeps_the_name() -> None:
    """A class derived from a typed event is the same event; a plain Event has no fixed name."""

    class Special(OrderCreated):
        pass

    assert (Special.event_name, Event.event_name) == ("order/created", None)


def test_an_event_cannot_be_changed() -> None:
    """Events are values."""
    with pytest.raises(ValueError, match="frozen"):
        Event(name="a/b").name = "c/d"


async def test_a_function_gets_the_typed_event() -> None:
    """ctx.event is of the class whose name the event has, and a plain Event otherwise."""

    async def handler(ctx: Any) -> Any:
        return [type(ctx.event).__name__, str(getattr(ctx.event.data, "placed", None))]

    typed = Fn(handler, event_types={"order/created": OrderCreated})

    assert result(await call(typed, event={"name": "order/created", "data": ORDER})) == [
        "OrderCreated",
        "2027-01-01 09:00:00+00:00",
    ]
    assert result(await call(typed, event={"name": "other/event", "data": ORDER})) == ["Event", "None"]


async def test_a_payload_that_does_not_fit_fails_the_run() -> None:
    """An event that does not validate fails for good, naming event and field."""

    async def handler(ctx: Any) -> None:
        raise AssertionError

    typed = Fn(handler, event_types={"order/created": OrderCreated})
    failed = failure(await call(typed, event={"name": "order/created", "data": {"placed": ORDER["placed"]}}))

    assert failed.no_retry
    assert failed.error.message == 'event "order/created", data.order_id: Field required'
