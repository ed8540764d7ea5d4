"""A result comes back exactly as it went out, or is refused with its place and what to do."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pydantic
import pytest
from typing_extensions import TypedDict

import stepwell
from stepwell.errors import EncodingError, EventError
from stepwell.values.secrets import ADVICE
from stepwell.values.serializer import to_json
from tests.adapter.executing.support import call, only


class Login(pydantic.BaseModel):
    user: str
    token: pydantic.SecretStr


class Session(pydantic.BaseModel):
    logins: list[Login]
    by_name: dict[str, Login] = {}
    key: pydantic.SecretBytes = pydantic.SecretBytes(b"")


class Renamed(pydantic.BaseModel):
    token: pydantic.SecretStr = pydantic.Field(alias="apiToken")


class Pin(pydantic.BaseModel):
    pin: pydantic.Secret[int]


class Tokens(pydantic.RootModel[list[pydantic.SecretStr]]):
    pass


class OpenHanded(pydantic.BaseModel):
    token: pydantic.SecretStr

    @pydantic.field_serializer("token")
    def _shown(self, token: pydantic.SecretStr) -> str:
        return token.get_secret_value()


class Loose(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    id: int


class Base(pydantic.BaseModel):
    id: int


class Sub(Base):
    name: str


class Twin(Base):
    pass


class Hidden(pydantic.BaseModel):
    id: int
    note: str = pydantic.Field(default="", exclude=True)


class Cents(pydantic.BaseModel):
    price: float

    @pydantic.field_serializer("price")
    def _rounded(self, price: float) -> float:
        return round(price, 2)


class Rich(pydantic.BaseModel):
    width: int = pydantic.Field(alias="w")
    other: Any = None
    _cache: dict[str, int] = pydantic.PrivateAttr(default_factory=dict)

    @pydantic.computed_field
    def area(self) -> int:
        return self.width**2


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0
    seen: int = dataclasses.field(default=0, init=False)


@dataclasses.dataclass
class Place(Point):
    name: str = ""


class Slim(TypedDict):
    id: int


class Hue(enum.Enum):
    RED = "red"


class Opaque(pydantic.BaseModel):
    id: int

    def __eq__(self, other: object) -> bool:
        raise TypeError("ask somebody else")

    __hash__ = None  # type: ignore[assignment]


SECRET_ADA = Login(user="ada", token=pydantic.SecretStr("s3cr3t"))
LISBON = ZoneInfo("Europe/Lisbon")


def returns(value: Any, annotation: Any) -> Callable[[], Any]:
    def body() -> Any:
        return value

    if annotation is not None:
        body.__annotations__["return"] = annotation
    return body


async def _step(value: Any, annotation: Any) -> Any:
    async def handler(ctx: Any) -> None:
        await ctx.step.run("s", returns(value, annotation))

    return only(await call(handler))


MASKED: list[tuple[Any, Any, str]] = [
    (SECRET_ADA, Login, "token"),
    (SECRET_ADA, None, "token"),
    ([SECRET_ADA], list[Login], "[0].token"),
    ({"a": {"b": SECRET_ADA}}, None, "a.b.token"),
    (Session(logins=[SECRET_ADA]), Session, "logins[0].token"),
    (Session(logins=[], by_name={"ada": SECRET_ADA}), Session, "by_name.ada.token"),
    (Session(logins=[], key=pydantic.SecretBytes(b"k")), Session, "key"),
    (Renamed(apiToken=pydantic.SecretStr("x")), Renamed, "apiToken"),
    (Pin(pin=pydantic.Secret[int](1234)), Pin, "pin"),
    (Tokens([pydantic.SecretStr("x")]), Tokens, "[0]"),
    (Loose(id=1, extra=SECRET_ADA), Loose, "extra.token"),
]


@pytest.mark.parametrize(("value", "annotation", "path"), MASKED)
async def test_a_secret_is_refused_and_not_masked(value: Any, annotation: Any, path: str) -> None:
    """Asterisks are never stored for a secret: the step fails for good, with step, place and advice."""
    opcode = await _step(value, annotation)

    assert opcode.op == "StepFailed"
    assert opcode.error.name == "EncodingError"
    assert opcode.error.message == (
        f'step "s": the result cannot be stored as JSON: {path} is a secret, of which asterisks would be stored; '
        f"{ADVICE}"
    )


@pytest.mark.parametrize("value", [pydantic.SecretStr("x"), {"token": pydantic.SecretStr("x")}])
def test_a_secret_of_its_own_is_refused(value: Any) -> None:
    """Outside of a model there is nothing to serialise it with."""
    with pytest.raises(EncodingError, match="is of type SecretStr; keep secrets out"):
        to_json(value, "it")


KEPT: list[tuple[Any, Any]] = [
    (OpenHanded(token=pydantic.SecretStr("s3cr3t")), OpenHanded),
    (OpenHanded(token=pydantic.SecretStr("***")), OpenHanded),
    (Session(logins=[]), Session),
    (Login(user="stars", token=pydantic.SecretStr("**********")), Login),
    (Base(id=1), Base),
    (Twin(id=1), Base),
    (Sub(id=1, name="x"), None),
    (Sub(id=1, name="x"), Sub | Base),
    (Hidden(id=1), Hidden),
    (Hidden(id=1, note="mine"), None),
    (Cents(price=1.25), Cents),
    (Cents(price=1.2345), None),
    (Rich(w=3), Rich),
    (Rich(w=3), None),
    (Rich(w=3, other={"when": dt.datetime(2026, 1, 1, tzinfo=dt.UTC)}), Rich),
    (Loose(id=1, more=[1, {"a": None}]), Loose),
    (Opaque(id=1), Opaque),
    (Point(1, 2), Point),
    (Place(1, 2, name="here"), Place),
    (Place(1, 2, name="here"), None),
    ({"id": 1}, Slim),
    ({"id": 1}, Base),
    ((1, 2), None),
    ((1, (2, 3)), tuple[int, tuple[int, int]]),
    ([1, 2], tuple[int, ...]),
    ({3, 1}, set[int]),
    ({3, 1}, None),
    (frozenset({"a"}), list[str]),
    (Decimal("1.10"), Decimal),
    (Decimal("NaN"), None),
    (Hue.RED, Hue),
    (Hue.RED, None),
    ({Hue.RED.value: Hue.RED}, dict[Hue, Hue]),
    (5.0, float),
    (2**70, int),
    (dt.datetime(2026, 7, 1, 9, tzinfo=LISBON), dt.datetime),
    (dt.datetime(2026, 10, 25, 1, 30, fold=1, tzinfo=LISBON), dt.datetime),
    (dt.datetime(2026, 7, 1, 9), dt.datetime),  # noqa: DTZ001 - naive on purpose
    (dt.time(9, 30), dt.time),
    (dt.timedelta(days=-1, microseconds=1), dt.timedelta),
]


@pytest.mark.parametrize(("value", "annotation"), KEPT, ids=str)
async def test_what_round_trips_is_taken(value: Any, annotation: Any) -> None:
    """Nothing is refused that comes back as it was, or as the JSON that a missing annotation promises."""
    opcode = await _step(value, annotation)

    assert opcode.op == "StepRun", opcode.error


LOST: list[tuple[Any, Any, str]] = [
    (Sub(id=1, name="x"), Base, "name would be lost, Base, which it is read back as, has no such member; annotate it"),
    ([Base(id=1), Sub(id=2, name="x")], list[Base], "[1].name would be lost, Base"),
    ({"a": Sub(id=1, name="x")}, dict[str, Base], "a.name would be lost, Base"),
    (Place(1, 2, name="here"), Point, "name would be lost, Point"),
    ({"id": 1, "name": "x"}, Slim, "name would be lost, dict"),
    (Hidden(id=1, note="mine"), Hidden, "note went out as str and comes back as another str; let its serializer"),
    (Cents(price=1.2345), Cents, "price went out as float and comes back as another float; let its serializer"),
    ([Cents(price=1.2345)], list[Cents], "[0].price went out as float"),
    (2**60 + 1, float, "it went out as int and comes back as another float"),
]


@pytest.mark.parametrize(("value", "annotation", "problem"), LOST, ids=str)
async def test_what_would_come_back_different_is_refused(value: Any, annotation: Any, problem: str) -> None:
    """The step fails for good, and the error names the place, what would happen to it, and what to do."""
    opcode = await _step(value, annotation)

    assert opcode.op == "StepFailed"
    assert opcode.error.message.startswith(f'step "s": the result would not come back as it went out: {problem}')


class Created(stepwell.Event, name="login/created"):
    data: Login


class Priced(stepwell.Event, name="price/set"):
    data: Cents


class Based(stepwell.Event, name="base/set"):
    data: Base


@pytest.mark.parametrize(
    ("event", "problem"),
    [
        (Created(data=SECRET_ADA), "data cannot be stored as JSON: token is a secret"),
        (Priced(data=Cents(price=1.2345)), "data would not come back as it went out: price went out as float"),
        (Based(data=Sub(id=1, name="x")), "data would not come back as it went out: name would be lost, Base"),
        (stepwell.Event(name="any", data=SECRET_ADA), "data cannot be stored as JSON: token is a secret"),
        (stepwell.Event(name="any", data={}, user={"login": SECRET_ADA}), "user cannot be stored as JSON: login.token"),
    ],
)
def test_an_event_whose_data_would_change_is_refused(event: stepwell.Event, problem: str) -> None:
    """Nothing is sent; the error names event and field."""
    with pytest.raises(EventError) as refused:
        event.to_wire()

    assert str(refused.value).startswith(f'event "{event.name}", {problem}')


@pytest.mark.parametrize(
    "event",
    [Priced(data=Cents(price=1.25)), Based(data=Base(id=1)), Priced(data={"price": 1.5})],  # type: ignore[arg-type]
)
def test_an_event_that_round_trips_is_sent(event: stepwell.Event) -> None:
    """A typed event whose data comes back is what it was."""
    assert type(event).from_wire(event.to_wire()).data == event.data


async def test_a_secret_in_an_invocation_is_refused() -> None:
    """The data of an invocation is stored, too."""

    async def handler(ctx: Any) -> str:
        try:
            await ctx.step.invoke("i", function="app-child", data=SECRET_ADA)
        except EncodingError as error:
            return str(error)
        return "invoked"

    outcome: Any = await call(handler)

    assert outcome.result.startswith('step "i", invoke: the data cannot be stored as JSON: token is a secret')


async def test_a_secret_in_the_result_of_a_function_is_refused() -> None:
    """The run fails, rather than complete with asterisks."""

    async def handler(ctx: Any) -> Login:
        return SECRET_ADA

    outcome: Any = await call(handler)

    assert (outcome.error.code, outcome.no_retry) == ("output_unserializable", True)
