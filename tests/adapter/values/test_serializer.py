"""User values to JSON and back in their type."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import functools
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any, NamedTuple, TypedDict

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from stepwell.errors import EncodingError
from stepwell.values.result_types import restore_result
from stepwell.values.serializer import to_json
from stepwell.wire.encoding import decode, encode


class Color(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


class Word(enum.StrEnum):
    YES = "yes"


class User(BaseModel):
    id: uuid.UUID
    born: dt.date
    nick: str | None = Field(default=None, alias="nickName")


@dataclasses.dataclass
class Money:
    amount: Decimal
    tags: list[str] = dataclasses.field(default_factory=list)


class Pair(NamedTuple):
    left: int
    right: str


class Shape(TypedDict):
    sides: int


ID = uuid.UUID("6f9619ff-8b86-d011-b42d-00cf4fc964ff")
USER = User(id=ID, born=dt.date(1990, 5, 17), nickName="ada")
USER_JSON = {"id": str(ID), "born": "1990-05-17", "nickName": "ada"}
MOMENT = dt.datetime(2027, 1, 1, 9, 0, 0, 123456, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (7, 7),
        (2**70, 2**70),
        (1.5, 1.5),
        ("täxt", "täxt"),
        ([1, (2, {"a": None})], [1, [2, {"a": None}]]),
        ({3, 1, 2}, [1, 2, 3]),
        (frozenset({"b", "a"}), ["a", "b"]),
        (Color.RED, "red"),
        (Level.LOW, 1),
        (Word.YES, "yes"),
        ({Word.YES: 1}, {"yes": 1}),
        (MOMENT, "2027-01-01T09:00:00.123456Z"),
        (dt.date(2027, 1, 2), "2027-01-02"),
        (dt.time(9, 30), "09:30:00"),
        (dt.timedelta(hours=1, seconds=1), "PT1H1S"),
        (ID, str(ID)),
        (Decimal("1.10"), "1.10"),
        (PurePosixPath("/a/b"), "/a/b"),
        (USER, USER_JSON),
        (Money(Decimal("2.50"), ["x"]), {"amount": "2.50", "tags": ["x"]}),
        (Pair(1, "r"), [1, "r"]),
        ({"deep": [USER]}, {"deep": [USER_JSON]}),
    ],
)
def test_a_value_becomes_json(value: Any, expected: Any) -> None:
    """Every supported type has one JSON form, of plain types only."""
    encoded = to_json(value, "it")

    assert encoded == expected
    assert decode(encode(encoded)) == expected


class Stubborn(BaseModel):
    anything: Any


def _loop() -> list[Any]:
    own: list[Any] = []
    own.append(own)
    return own


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (object(), "it is of type object; return JSON values, a dataclass or a pydantic model"),
        (float("nan"), "it is nan, which JSON has no number for; return None or a text instead"),
        ({"a": [float("inf")]}, "a[0] is inf, which JSON has no number for; return None or a text instead"),
        ({1: 2}, "it has the key 1 of type int; make the keys text, e.g. str(key)"),
        ({"a": {(1, 2): 3}}, "a has the key (1, 2) of type tuple; make the keys text, e.g. str(key)"),
        ({"a": b"x"}, "a is of type bytes; return text, e.g. base64.b64encode(data).decode()"),
        ("\ud800", "it is text with half a surrogate pair; clean the text first"),
        ((number for number in [1]), "it is of type generator; return list(...) of it"),
        ({"u": [USER, User]}, "u[1] is of type ModelMetaclass; return JSON values, a dataclass or a pydantic model"),
        ([Money], "[0] is of type type; return JSON values, a dataclass or a pydantic model"),
    ],
)
def test_what_json_cannot_hold_is_explained(value: Any, problem: str) -> None:
    """The error names the owner, the path, the type, and what to return instead."""
    with pytest.raises(EncodingError) as caught:
        to_json(value, 'step "a": the result')

    assert str(caught.value) == f'step "a": the result cannot be stored as JSON: {problem}'


def test_a_model_that_cannot_be_serialised_is_explained() -> None:
    """What pydantic refuses is passed on with its reason."""
    with pytest.raises(EncodingError, match="it is a Stubborn that pydantic cannot serialise"):
        to_json(Stubborn(anything=object()), "it")


def test_a_value_that_contains_itself_is_explained() -> None:
    """A cycle is an error, not an endless recursion."""
    with pytest.raises(EncodingError, match="it contains itself or is nested too deeply: return a flat copy"):
        to_json(_loop(), "it")


async def user() -> User:
    return USER


def later() -> Awaitable[User]:
    return user()


def coroutine() -> Coroutine[Any, Any, User]:
    return user()


def users() -> list[User | None]:
    return [USER]


def by_id() -> dict[uuid.UUID, Money]:
    return {}


class Factory:
    def __call__(self) -> Money:
        return Money(Decimal(1))

    def method(self) -> Money:
        return Money(Decimal(1))


def returning(annotation: Any) -> Callable[[], Any]:
    def fn() -> Any: ...

    fn.__annotations__["return"] = annotation
    return fn


@pytest.mark.parametrize(
    ("fn", "value", "restored"),
    [
        (user, USER_JSON, USER),
        (later, USER_JSON, USER),
        (coroutine, USER_JSON, USER),
        (functools.partial(user), USER_JSON, USER),
        (functools.partial(functools.partial(user)), USER_JSON, USER),
        (Factory(), {"amount": "2"}, Money(Decimal(2))),
        (Factory().method, {"amount": "2", "tags": []}, Money(Decimal(2))),
        (users, [USER_JSON, None], [USER, None]),
        (returning(dt.datetime), "2027-01-01T09:00:00.123456Z", MOMENT),
        (returning("dt.timedelta"), "PT1H1S", dt.timedelta(hours=1, seconds=1)),
        (returning(Decimal), "1.10", Decimal("1.10")),
        (returning(Color), "red", Color.RED),
        (returning(Level), 1, Level.LOW),
        (returning(set[int]), [1, 2], {1, 2}),
        (returning(tuple[int, str]), [1, "a"], (1, "a")),
        (returning(Pair), [1, "a"], Pair(1, "a")),
        (returning(Shape), {"sides": 3}, {"sides": 3}),
        (returning(dict[str, uuid.UUID]), {"a": str(ID)}, {"a": ID}),
        (returning(Money | User), {"amount": "2"}, Money(Decimal(2))),
        (returning(float), 1, 1.0),
        (returning(None), None, None),
        (lambda: (1, 2), [1, 2], [1, 2]),
        (returning(Any), [1], [1]),
        (returning(object), [1], [1]),
        (returning("Missing"), [1], [1]),
        (returning(list[int] | Any), "x", "x"),
        (returning(io_type := type("Opaque", (), {})), [1], [1]),
        (str, "x", "x"),
        (len, 3, 3),
        ([].append, None, None),
    ],
)
def test_a_value_comes_back_in_its_type(fn: Any, value: Any, restored: Any) -> None:
    """The return annotation decides; one that is missing, open or unresolvable leaves plain JSON."""
    result = restore_result(fn, value, "it")

    assert (result, type(result)) == (restored, type(restored))


def test_an_annotation_may_name_what_its_function_closes_over() -> None:
    """A class local to the function that defines the callable is found when the callable uses it."""

    class Local(BaseModel):
        n: int

    def fn() -> Local:
        return Local(n=1)

    assert restore_result(fn, {"n": 1}, "it") == Local(n=1)


@pytest.mark.parametrize(
    ("fn", "value", "message"),
    [
        (returning(int), "5", "it does not fit the annotation of returning.<locals>.fn, -> int: "),
        (returning(User), {"id": str(ID)}, "-> User: born: Field required; correct the annotation or what is returned"),
        (returning(list[int]), [1, "x"], "-> list[int]: 1: Input should be a valid integer"),
        (returning(None), 3, "-> None: Input should be null"),
        (returning(str), None, "-> str: Input should be a valid string"),
    ],
)
def test_a_value_that_does_not_fit_is_explained(fn: Any, value: Any, message: str) -> None:
    """Nothing is converted silently: the error names the annotation and the member."""
    with pytest.raises(EncodingError) as caught:
        restore_result(fn, value, "it")

    assert message in str(caught.value)


ANNOTATED = {
    int: st.integers(),
    float: st.floats(allow_nan=False, allow_infinity=False),
    str: st.text(st.characters(exclude_categories=["Cs"])),
    bool: st.booleans(),
    uuid.UUID: st.uuids(),
    dt.date: st.dates(),
    dt.datetime: st.datetimes(timezones=st.just(dt.UTC)),
    dt.time: st.times(),
    dt.timedelta: st.timedeltas(dt.timedelta(days=-9999), dt.timedelta(days=9999)),
    Decimal: st.decimals(allow_nan=False, allow_infinity=False),
    Color: st.sampled_from(Color),
}
TYPED = st.sampled_from(sorted(ANNOTATED, key=str)).flatmap(
    lambda kind: st.one_of(
        st.tuples(st.just(kind), ANNOTATED[kind]),
        st.tuples(st.just(list[kind]), st.lists(ANNOTATED[kind], max_size=3)),  # type: ignore[valid-type]
        st.tuples(st.just(kind | None), st.none() | ANNOTATED[kind]),
        st.tuples(st.just(dict[str, kind]), st.dictionaries(st.text("ab"), ANNOTATED[kind], max_size=3)),  # type: ignore[valid-type]
    )
)


@given(TYPED)
def test_an_annotated_value_survives_the_round_trip(typed: tuple[Any, Any]) -> None:
    """Encoding, storing, reading and restoring gives back an equal value of the same type."""
    annotation, value = typed
    stored = decode(encode(to_json(value, "it")))

    restored = restore_result(returning(annotation), stored, "it")

    assert (restored, type(restored)) == (value, type(value))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text("aé€"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner, max_size=3),
)


@given(JSON)
def test_plain_json_is_kept_as_it_is(value: Any) -> None:
    """A JSON value is its own encoding, in a copy of its own."""
    encoded = to_json(value, "it")

    assert encoded == value
    assert not isinstance(value, list | dict) or encoded is not value


def test_a_model_with_fields_that_are_set_again_round_trips() -> None:
    """Aliases, computed members and defaults survive, since what is stored is what pydantic reads."""

    class Rich(BaseModel):
        model_config = pydantic.ConfigDict(extra="forbid")
        width: int = Field(alias="w")

        @pydantic.computed_field
        def area(self) -> int:
            return self.width**2

    stored = to_json(Rich(w=3), "it")

    assert restore_result(returning(Rich), stored, "it") == Rich(w=3)
