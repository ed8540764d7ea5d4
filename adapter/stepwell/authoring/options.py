"""A function's options, from concurrency to timeouts: checked and put on the wire (protocol 2.6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from enum import Enum
from typing import Any, Final, Literal

from stepwell.values.checks import Duration, Field
from stepwell.values.event_names import EventName, event_name
from stepwell.wire.registration import BATCH_EVENTS_MAX, CANCELLATIONS_MAX
from stepwell.wire.times import DAY_MS, SECOND_MS

CONCURRENCY_LIMITS_MAX: Final = 2
LONGEST_WAIT_MS: Final = 366 * DAY_MS
LONGEST_PERIOD_MS: Final = 7 * DAY_MS
LONGEST_RATE_PERIOD_MS: Final = DAY_MS


class Left(Enum):
    """What an argument is that was not given, where None is something to give."""

    OUT = "left out"

    def __repr__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class CancelOn:
    """Cancel the run when ``event`` arrives.

    Narrow it with ``match``, a path that must hold the same value in both events (``"data.order_id"``), or with
    ``if_``, an expression over ``event`` (what started the run) and ``async`` (the one that arrived). One of them is
    due: every event of that name cancels every run of the function only where ``match=None`` says so.
    After ``timeout`` from the start of the run (default one year) it no longer applies.
    """

    event: EventName
    _: KW_ONLY
    match: str | Literal[Left.OUT] | None = Left.OUT
    if_: str | None = None
    timeout: Duration | None = None

    def encode(self, field: Field) -> dict[str, Any]:
        """The wire value. Raises DefinitionError."""
        name = event_name(field.member("event"), self.event)
        if self.match is Left.OUT and self.if_ is None:
            raise field.error(
                f'any "{name}" would cancel every run of the function, whatever it is about; narrow it: '
                'match="data.order_id" or if_=..., or write match=None if every run is meant'
            )
        match = None if self.match is Left.OUT else self.match
        return _present(
            {
                "event": name,
                "if": field.condition(match, self.if_),
                "timeout": _optional_duration(field.member("timeout"), self.timeout, LONGEST_WAIT_MS),
            }
        )


@dataclass(frozen=True, slots=True)
class Concurrency:
    """At most ``limit`` steps at the same time, for each value of ``key``; runs that sleep or wait do not count.

    ``scope`` says what is counted together: the function, the environment or the account. The last two need ``key``.
    """

    limit: int
    _: KW_ONLY
    key: str | None = None
    scope: Literal["fn", "env", "account"] = "fn"

    def encode(self, field: Field) -> dict[str, Any]:
        """The wire value. Raises DefinitionError."""
        scope = field.member("scope").choice(self.scope, ("fn", "env", "account"))
        if scope != "fn" and self.key is None:
            raise field.error(f'scope "{scope}" needs a key that all who share the limit use, e.g. key="\'mail\'"')
        return _present(
            {
                "limit": field.member("limit").whole(self.limit, 1),
                "key": _key(field, self.key),
                "scope": None if scope == "fn" else scope,
            }
        )


@dataclass(frozen=True, slots=True)
class Throttle:
    """Start at most ``limit`` runs per ``period`` (1 s to 7 days), and ``burst`` more at once; the others wait."""

    limit: int
    period: Duration
    _: KW_ONLY
    burst: int = 0
    key: str | None = None

    def encode(self, field: Field) -> dict[str, Any]:
        """The wire value. Raises DefinitionError."""
        return _present(
            {
                "limit": field.member("limit").whole(self.limit, 1),
                "period": field.member("period").duration(self.period, SECOND_MS, LONGEST_PERIOD_MS),
                "burst": field.member("burst").whole(self.burst, 0) or None,
                "key": _key(field, self.key),
            }
        )


@dataclass(frozen=True, slots=True)
class RateLimit:
    """Start at most ``limit`` runs per ``period`` (1 s to 24 h); events beyond that start nothing."""

    limit: int
    period: Duration
    _: KW_ONLY
    key: str | None = None

    def encode(self, field: Field) -> dict[str, Any]:
        """The wire value. Raises DefinitionError."""
        return _present(
            {
                "limit": field.member("limit").whole(self.limit, 1),
                "period": field.member("period").duration(self.period, SECOND_MS, LONGEST_RATE_PERIOD_MS),
                "key": _key(field, self.key),
            }
        )


@dataclass(frozen=True, slots=True)
class Debounce:
    """Start one run, with the latest event, once none came for ``period`` (1 s to 7 days) or ``timeout`` has passed."""

    period: Duration
    _: KW_ONLY
    key: str | None = None
    timeout: Duration | None = None

    def encode(self, field: Field) -> dict[str, Any]:
        """The wire value. Raises DefinitionError."""
        return _present(
            {
                "period": field.member("period").duration(self.period, SECOND_MS, LONGEST_PERIOD_MS),
                "key": _key(field, self.key),
                "timeout": _optional_duration(field.member("timeout"), self.timeout, LONGEST_WAIT_MS),
            }
        )


@dataclass(frozen=True, slots=True)
class Batch:
    """Start one run for up to ``max_size`` events (2 to 100), or for what came within ``timeout`` of the first.

    An event for which the expression ``if_`` is not true runs alone, at once.
    """

    max_size: int
    timeout: Duration
    _: KW_ONLY
    key: str | None = None
    if_: str | None = None

    def encode(self, field: Field) -> dict[str, Any]:
        """The wire value; its timeout is in seconds, as servers read no days here. Raises DefinitionError."""
        timeout_ms = field.member("timeout").duration_ms(self.timeout, SECOND_MS, LONGEST_PERIOD_MS)
        return _present(
            {
                "maxSize": field.member("max_size").whole(self.max_size, 2, BATCH_EVENTS_MAX),
                "timeout": f"{timeout_ms}ms" if timeout_ms % SECOND_MS else f"{timeout_ms // SECOND_MS}s",
                "key": _key(field, self.key),
                "if": None if self.if_ is None else field.member("if_").expression(self.if_, "event"),
            }
        )


@dataclass(frozen=True, slots=True)
class Priority:
    """Let runs overtake waiting ones: the expression ``run`` gives the seconds to move ahead, or back when negative."""

    run: str

    def encode(self, field: Field) -> dict[str, Any]:
        """The wire value. Raises DefinitionError."""
        return {"run": field.member("run").expression(self.run, "event")}


@dataclass(frozen=True, slots=True)
class Singleton:
    """One run at a time, for each value of ``key``: a newer event is skipped, or cancels the run that is going on."""

    mode: Literal["skip", "cancel"]
    _: KW_ONLY
    key: str | None = None

    def encode(self, field: Field) -> dict[str, Any]:
        """The wire value. Raises DefinitionError."""
        mode = field.member("mode").choice(self.mode, ("skip", "cancel"))
        return _present({"key": _key(field, self.key), "mode": mode})


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Cancel a run not started ``start`` after it was scheduled, or not finished ``finish`` after it started."""

    _: KW_ONLY
    start: Duration | None = None
    finish: Duration | None = None

    def encode(self, field: Field) -> dict[str, Any]:
        """The wire value. Raises DefinitionError."""
        if self.start is None and self.finish is None:
            raise field.error("sets neither start nor finish; give one of them or leave timeouts out")
        return _present(
            {
                "start": _optional_duration(field.member("start"), self.start, LONGEST_WAIT_MS),
                "finish": _optional_duration(field.member("finish"), self.finish, LONGEST_WAIT_MS),
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionOptions:
    """Everything a function may be given beside its triggers and retries; None where it was not."""

    cancel_on: CancelOn | Sequence[CancelOn] = ()
    concurrency: int | Concurrency | Sequence[Concurrency] | None = None
    throttle: Throttle | None = None
    rate_limit: RateLimit | None = None
    debounce: Debounce | None = None
    batch: Batch | None = None
    priority: Priority | None = None
    singleton: Singleton | None = None
    idempotency: str | None = None
    timeouts: Timeouts | None = None

    def encode(self, function_id: str) -> dict[str, Any]:
        """The wire members of these options. Raises DefinitionError naming the function and the field."""
        self._refuse_combinations(function_id)
        idempotency = Field(function_id, "idempotency")
        return _present(
            {
                "cancel": _several(Field(function_id, "cancel_on"), CancelOn, self.cancel_on, CANCELLATIONS_MAX),
                "concurrency": self._concurrency(Field(function_id, "concurrency")),
                "throttle": _one(Field(function_id, "throttle"), Throttle, self.throttle),
                "rateLimit": _one(Field(function_id, "rate_limit"), RateLimit, self.rate_limit),
                "debounce": _one(Field(function_id, "debounce"), Debounce, self.debounce),
                "batchEvents": _one(Field(function_id, "batch"), Batch, self.batch),
                "priority": _one(Field(function_id, "priority"), Priority, self.priority),
                "singleton": _one(Field(function_id, "singleton"), Singleton, self.singleton),
                "idempotency": None if self.idempotency is None else idempotency.expression(self.idempotency, "event"),
                "timeouts": _one(Field(function_id, "timeouts"), Timeouts, self.timeouts),
            }
        )

    def _concurrency(self, field: Field) -> list[dict[str, Any]] | None:
        if isinstance(self.concurrency, int):
            return [Concurrency(self.concurrency).encode(field)]
        return _several(field, Concurrency, self.concurrency or (), CONCURRENCY_LIMITS_MAX)

    def _refuse_combinations(self, function_id: str) -> None:
        if self.rate_limit is not None and self.idempotency is not None:
            raise Field(function_id, "idempotency").error("cannot be combined with rate_limit, which it would replace")
        if self.batch is None:
            return
        for member in ("cancel_on", "debounce", "singleton", "priority", "rate_limit", "idempotency"):
            if getattr(self, member):
                raise Field(function_id, "batch").error(f"cannot be combined with {member}; leave one of them out")


def _one(field: Field, kind: type[Any], value: Any) -> Any:
    if value is None:
        return None
    if not isinstance(value, kind):
        raise field.error(f"must be a stepwell.{kind.__name__}(...), got {value!r}")
    return value.encode(field)


def _several(field: Field, kind: type[Any], value: Any, most: int) -> list[Any] | None:
    items = list(value) if isinstance(value, list | tuple) else [value]
    if len(items) > most:
        raise field.error(f"has {len(items)} entries; the limit is {most}")
    return [_one(field, kind, item) for item in items] or None


def _key(field: Field, key: str | None) -> str | None:
    return None if key is None else field.member("key").expression(key, "event")


def _optional_duration(field: Field, value: Duration | None, high_ms: int) -> str | None:
    return None if value is None else field.duration(value, SECOND_MS, high_ms)


def _present(members: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in members.items() if value is not None}
