"""What moto leaves out and the backends rely on, put in by hand.

One call at a time, whole transactions or none of them, the idempotency token, the bounds of a transaction and a batch;
and what the services do by themselves some day, done when a test asks for it: forgetting items whose time is up, and
firing one-time schedules.
"""

from __future__ import annotations

import copy
import datetime as dt
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from moto.core.exceptions import JsonRESTError
from moto.core.responses import ActionResult
from moto.dynamodb.comparisons import get_filter_expression
from moto.dynamodb.exceptions import MockValidationException, TransactionCanceledException
from moto.dynamodb.models import DynamoDBBackend, dynamodb_backends
from moto.dynamodb.models.dynamo_type import DynamoType
from moto.dynamodb.models.table import Table
from moto.dynamodb.parsing.expressions import UpdateExpressionParser
from moto.dynamodb.responses import DynamoHandler
from moto.scheduler.models import scheduler_backends
from moto.scheduler.responses import EventBridgeSchedulerResponse
from moto.sqs.responses import SQSResponse

from tests.orchestrator.aws import strict_timers

ACCOUNT = "123456789012"
REGION = "eu-west-1"
TRANSACTION_ITEMS_MAX = 100
TRANSACTION_BYTES_MAX = 4 * 1024 * 1024
BATCH_ITEMS_MAX = 25


@dataclass
class State:
    """What the patches keep between calls."""

    lock: threading.RLock = field(default_factory=threading.RLock)
    tokens: dict[str, str] = field(default_factory=dict)
    installed: bool = False


STATE = State()


def install() -> None:
    """Patch moto, once a process. It has no effect on tests that do not use moto."""
    if STATE.installed:
        return
    STATE.installed = True
    for handler in (DynamoHandler, SQSResponse, EventBridgeSchedulerResponse):
        handler.call_action = _one_at_a_time(handler.call_action)
    DynamoHandler.transact_write_items = _with_token(DynamoHandler.transact_write_items)
    DynamoHandler.batch_write_item = _bounded_batch(DynamoHandler.batch_write_item)
    DynamoDBBackend.transact_write_items = _transact
    Table.query = _among_its_own(Table.query)
    # Reading the same few expressions again and again takes a third of an update's time. What is read is not changed.
    UpdateExpressionParser.make = staticmethod(cache(UpdateExpressionParser.make))
    strict_timers.install()


def forget_tokens() -> None:
    """Begin anew, as a service does after ten minutes."""
    STATE.tokens.clear()


def table(name: str) -> Table:
    """A table as moto keeps it."""
    return dynamodb_backends[ACCOUNT][REGION].tables[name]


def expire(table_name: str, now_ms: int) -> int:
    """Remove the items whose time is up, as the service does within days; how many."""
    found = table(table_name)
    attribute = found.ttl["AttributeName"]
    times = ((item, item.attrs.get(attribute)) for item in list(found.all_items()))
    gone = [item for item, time in times if time is not None and float(time.value) * 1000 <= now_ms]
    for item in gone:
        found.delete_item(item.hash_key, item.range_key)
    return len(gone)


@dataclass(frozen=True)
class Fired:
    """A one-time schedule whose time came."""

    name: str
    at_ms: int
    target: dict[str, Any]


def schedule_times(group: str) -> list[int]:
    """When the one-time schedules fire."""
    return [
        _at_ms(name, schedule)
        for name, schedule in _schedules(group).items()
        if schedule.state == "ENABLED" and not recurs(schedule)
    ]


def fire_schedules(group: str, now_ms: int) -> list[Fired]:
    """The one-time schedules that are due, oldest first; each is handed out once and removed if it asks for it."""
    schedules = _schedules(group)
    fired = []
    for name, schedule in list(schedules.items()):
        if recurs(schedule):
            continue
        at_ms = _at_ms(name, schedule)
        if at_ms > now_ms or schedule.state != "ENABLED":
            continue
        fired.append(Fired(name, at_ms, schedule.target))
        schedule.state = "DISABLED"
        if schedule.action_after_completion == "DELETE":
            del schedules[name]
    return sorted(fired, key=lambda one: one.at_ms)


def recurring(group: str) -> dict[str, Any]:
    """The schedules that fire again and again, by their names."""
    return {name: schedule for name, schedule in _schedules(group).items() if recurs(schedule)}


def recurs(schedule: Any) -> bool:
    """Whether a schedule fires again and again."""
    return str(schedule.schedule_expression).startswith("cron(")


def _schedules(group: str) -> dict[str, Any]:
    return scheduler_backends[ACCOUNT][REGION].schedule_groups[group].schedules


def _at_ms(name: str, schedule: Any) -> int:
    time = re.fullmatch(r"at\((\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\)", schedule.schedule_expression)
    assert time is not None, f"schedule {name} has the expression {schedule.schedule_expression}"
    assert schedule.schedule_expression_timezone in (None, "UTC"), f"schedule {name} is not in UTC"
    return int(dt.datetime.fromisoformat(time[1]).replace(tzinfo=dt.UTC).timestamp() * 1000)


def _one_at_a_time(method: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any, **keywords: Any) -> Any:
        with STATE.lock:
            return method(*arguments, **keywords)

    return call


def _with_token(method: Callable[..., Any]) -> Callable[..., Any]:
    """A transaction that was done under a token is not done again; another one under it is refused."""

    def transact(self: Any) -> Any:
        request = json.dumps(self.body["TransactItems"], sort_keys=True, default=repr)
        _check_bounds(self.body["TransactItems"])
        token = self.body.get("ClientRequestToken")
        known = STATE.tokens.get(token)
        if known is not None:
            if known != request:
                raise JsonRESTError("IdempotentParameterMismatchException", "another request under the same token")
            return ActionResult({})
        result = method(self)
        if token is not None:
            STATE.tokens[token] = request
        return result

    return transact


def _check_bounds(items: list[dict[str, Any]]) -> None:
    if len(items) > TRANSACTION_ITEMS_MAX:
        raise MockValidationException(f"a transaction of {len(items)} actions, more than {TRANSACTION_ITEMS_MAX}")
    written = ("Item", "Key", "ExpressionAttributeValues")
    size = sum(_size(action[name]) for item in items for action in item.values() for name in written if name in action)
    if size > TRANSACTION_BYTES_MAX:
        raise MockValidationException(f"a transaction of {size} bytes, more than {TRANSACTION_BYTES_MAX}")


def _size(value: Any) -> int:
    """About what the service reckons."""
    match value:
        case dict():
            return sum(len(name) + _size(member) for name, member in value.items())
        case list():
            return sum(_size(member) for member in value)
        case str():
            return len(value.encode())
        case _:
            return len(value)


def _bounded_batch(method: Callable[..., Any]) -> Callable[..., Any]:
    def batch(self: Any) -> Any:
        count = sum(len(requests) for requests in self.body["RequestItems"].values())
        if count > BATCH_ITEMS_MAX:
            raise MockValidationException(f"a batch of {count} writes, more than {BATCH_ITEMS_MAX}")
        return method(self)

    return batch


def _among_its_own(method: Callable[..., Any]) -> Callable[..., Any]:
    """A query looks at the items of its partition alone, which moto looks for by sorting all there are."""

    def query(self: Table, *arguments: Any, hash_key_conditions: Any = None, **keywords: Any) -> Any:
        wanted = [(name, value.value) for name, value in hash_key_conditions]

        def is_wanted(item: Any) -> bool:
            return all(name in item.attrs and item.attrs[name].value == value for name, value in wanted)

        whole = self.items
        partitions = whole
        if [name for name, _ in wanted] == [self.hash_key_attr]:
            (key,) = (value for _, value in hash_key_conditions)
            partitions = {key: whole[key]} if key in whole else {}
        found = (
            (key, rows)
            for key, items in partitions.items()
            if (rows := {place: item for place, item in items.items() if is_wanted(item)})
        )
        self.items = dict(found)
        try:
            return method(self, *arguments, hash_key_conditions=hash_key_conditions, **keywords)
        finally:
            self.items = whole

    return query


def _transact(self: DynamoDBBackend, items: list[dict[str, Any]]) -> None:
    """Look at every condition, then do everything; what fails after all is undone."""
    steps = [_Step(self, kind, action) for item in items for kind, action in item.items()]
    keys = {(step.action["TableName"], str(step.key)) for step in steps}
    if len(keys) < len(steps):
        raise MockValidationException("Transaction request cannot include multiple operations on one item")
    reasons = [step.refusal() for step in steps]
    if any(code is not None for code, _, _ in reasons):
        raise TransactionCanceledException(reasons)
    for done, step in enumerate(steps):
        try:
            step.do()
        except BaseException:
            for undone in steps[: done + 1]:
                undone.undo()
            raise


class _Step:
    """One action of a transaction."""

    def __init__(self, backend: DynamoDBBackend, kind: str, action: dict[str, Any]) -> None:
        self.backend = backend
        self.kind = kind
        self.action = action
        self.table = backend.get_table(action["TableName"])
        whole = action["Item"] if kind == "Put" else action["Key"]
        self.key = {name: whole[name] for name in (self.table.hash_key_attr, self.table.range_key_attr)}
        self.old = copy.deepcopy(self.table.get_item(*self._key_values()))

    def refusal(self) -> tuple[str | None, str | None, dict[str, Any] | None]:
        """Code, message and old item when the condition fails."""
        if "ConditionExpression" not in self.action:
            return None, None, None
        names, values = (self.action.get(f"ExpressionAttribute{what}") for what in ("Names", "Values"))
        if get_filter_expression(self.action["ConditionExpression"], names, values).expr(self.old):
            return None, None, None
        wanted = self.action.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD" and self.old is not None
        return (
            "ConditionalCheckFailed",
            "The conditional request failed",
            self.old.to_json()["Attributes"] if wanted else None,
        )

    def do(self) -> None:
        """Do it; its condition holds."""
        name = self.action["TableName"]
        if self.kind == "Put":
            self.backend.put_item(name, self.action["Item"])
        elif self.kind == "Delete":
            self.backend.delete_item(name, self.key)
        elif self.kind == "Update":
            self.backend.update_item(
                name,
                self.key,
                update_expression=self.action["UpdateExpression"],
                expression_attribute_names=self.action.get("ExpressionAttributeNames", {}),
                expression_attribute_values=self.action.get("ExpressionAttributeValues", {}),
            )

    def undo(self) -> None:
        """Put back what was there."""
        self.table.delete_item(*self._key_values())
        if self.old is not None:
            self.table.put_item(self.old.to_json()["Attributes"])

    def _key_values(self) -> tuple[DynamoType, DynamoType]:
        hash_value, range_value = (DynamoType(value) for value in self.key.values())
        return hash_value, range_value
