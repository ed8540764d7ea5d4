"""Events: what is sent, and what starts a function."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, ClassVar, Final, Self

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from stepwell.errors import DefinitionError, EncodingError, EventError
from stepwell.values.round_trip import check_round_trip
from stepwell.values.serializer import to_json
from stepwell.wire.times import instant_of

EVENT_NAME_MAX_CHARS: Final = 255
RESERVED_PREFIX: Final = "inngest/"

_WIRE_MEMBERS = ("name", "data", "id", "ts", "user", "v")


class Event(BaseModel):
    """One event (protocol 3.2).

    ``name`` says what happened; ``data`` is a JSON object; ``id`` is the sender's idempotency id: within 24 h one id
    starts a function at most once; ``ts`` is when it happened, in epoch milliseconds (an aware datetime is accepted);
    a ``ts`` in the future starts its functions then; ``v`` is a free version tag.

    A typed event fixes its name and the type of its data::

        class OrderCreated(stepwell.Event, name="order/created"):
            data: OrderData

    Raises EventError when a member is wrong, DefinitionError when a typed event is declared wrongly.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    event_name: ClassVar[str | None] = None

    name: str = ""
    data: Any  # without a default, or checkers would want one of every subclass that gives the data a type
    id: str | None = None
    ts: int | None = None
    user: dict[str, Any] | None = None
    v: str | None = None

    def __init__(
        self,
        *,
        name: str | None = None,
        data: Any = None,
        id: str | None = None,  # noqa: A002 - the member is called so on the wire
        ts: int | dt.datetime | None = None,
        user: Mapping[str, Any] | None = None,
        v: str | None = None,
    ) -> None:
        name = (type(self).event_name or "") if name is None else name
        try:
            super().__init__(name=name, data=data, id=id, ts=ts, user=user, v=v)
        except ValidationError as error:
            raise EventError(_problem(name, error)) from error
        _check_name(type(self), self.name)

    @classmethod
    def __pydantic_init_subclass__(cls, name: str | None = None, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if name is None:
            return
        if not name.strip() or len(name) > EVENT_NAME_MAX_CHARS:
            raise DefinitionError(
                f"{cls.__name__}: name must have 1 to {EVENT_NAME_MAX_CHARS} characters, got {name!r}"
            )
        cls.event_name = name

    def __init_subclass__(cls, name: str | None = None, **kwargs: Any) -> None:
        """Takes the class keyword ``name``."""
        super().__init_subclass__(**kwargs)

    @field_validator("data", mode="before")
    @classmethod
    def _data_is_an_object(cls, data: Any) -> Any:
        if data is None:
            return {}
        if isinstance(data, Mapping | BaseModel) or hasattr(data, "__dataclass_fields__"):
            return data
        raise ValueError(f"must be a JSON object, got {type(data).__name__}; wrap the value, e.g. {{'value': ...}}")

    @field_validator("ts", mode="before")
    @classmethod
    def _ts_in_ms(cls, ts: Any) -> Any:
        return instant_of(ts) if isinstance(ts, dt.datetime) else ts

    @classmethod
    def from_wire(cls, raw: Mapping[str, Any]) -> Self:
        """The event in a wire object; unknown members are ignored. Raises EventError naming event and field."""
        return cls(**{key: raw[key] for key in _WIRE_MEMBERS if raw.get(key) is not None})

    def to_wire(self) -> dict[str, Any]:
        """The wire object to send; absent members are left out.

        Raises EventError when the name is reserved, a value cannot be encoded, or a typed one would not come back as it
        is.
        """
        if self.name.lower().startswith(RESERVED_PREFIX):
            raise EventError(f'event "{self.name}": names starting with "{RESERVED_PREFIX}" are reserved; rename it')
        body: dict[str, Any] = {"name": self.name, "data": self._encoded(self.data, "data")}
        optional = {"id": self.id, "ts": self.ts, "v": self.v}
        if self.user is not None:
            body["user"] = self._encoded(self.user, "user")
        if type(self).model_fields["data"].annotation is not Any:
            self._check_data(body)
        return body | {key: value for key, value in optional.items() if value is not None}

    def _check_data(self, body: Mapping[str, Any]) -> None:
        try:
            check_round_trip(self.data, type(self).from_wire(body).data, f'event "{self.name}", data')
        except EncodingError as error:
            raise EventError(str(error)) from error

    def _encoded(self, value: Any, member: str) -> Any:
        try:
            return to_json(value, f'event "{self.name}", {member}')
        except EncodingError as error:
            raise EventError(str(error)) from error


def _check_name(event_class: type[Event], name: str) -> None:
    if not name.strip():
        raise EventError(f'{event_class.__name__}: name is empty; name the event, e.g. name="order/created"')
    if len(name) > EVENT_NAME_MAX_CHARS:
        raise EventError(
            f'event "{name[:40]}...": the name is {len(name)} characters; the limit is {EVENT_NAME_MAX_CHARS}'
        )
    fixed = event_class.event_name
    if fixed is not None and name != fixed:
        raise EventError(f'{event_class.__name__}: the name is fixed to "{fixed}", got "{name}"; leave name= out')


def _problem(name: Any, error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    path = ".".join(str(part) for part in first["loc"])
    return f'event "{name}", {path}: {first["msg"].removeprefix("Value error, ")}'
