"""What moto lets pass about time: SQS goes by the bed's clock, and EventBridge Scheduler looks at what it is given."""

from __future__ import annotations

import datetime as dt
import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from zoneinfo import available_timezones

from moto.scheduler.exceptions import ValidationException
from moto.scheduler.responses import EventBridgeSchedulerResponse
from moto.sqs import models as sqs_models

NAME = re.compile(r"[0-9a-zA-Z\-_.]{1,64}")
TOKEN = re.compile(r"[a-zA-Z0-9\-_]{1,64}")
AT = re.compile(r"at\((\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\)")
_FIELD = r"(?:\*|\d+(?:-\d+)?(?:,\d+(?:-\d+)?)*)"
CRON = re.compile(rf"cron\({_FIELD} {_FIELD} (?:{_FIELD} {_FIELD} \?|\? {_FIELD} {_FIELD}) \*\)")
QUEUE_ARN = re.compile(r"arn:aws[a-z-]*:sqs:[a-z0-9-]+:\d{12}:[A-Za-z0-9_-]{1,80}")
ROLE_ARN = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+")
INPUT_BYTES_MAX = 256_000
YEARS_MAX = 2


def machine_ms() -> float:
    """The machine's time."""
    return time.time() * 1_000


class _Time:
    now_ms: Callable[[], float] = staticmethod(machine_ms)


@contextmanager
def going_by(now_ms: Callable[[], float]) -> Iterator[None]:
    """SQS and the scheduler go by that time."""
    before, _Time.now_ms = _Time.now_ms, staticmethod(now_ms)
    try:
        yield
    finally:
        _Time.now_ms = staticmethod(before)


def install() -> None:
    """Patch moto."""
    sqs_models.unix_time_millis = lambda *_: _Time.now_ms()
    sqs_models.unix_time = lambda *_: _Time.now_ms() / 1_000
    for name in ("create_schedule", "update_schedule"):
        setattr(EventBridgeSchedulerResponse, name, _checked(getattr(EventBridgeSchedulerResponse, name)))


def broken_rules(name: str, schedule: dict[str, Any]) -> list[str]:
    """What the service would refuse of a schedule of ours, one-time or recurring."""
    target = schedule["Target"]
    recurs = CRON.fullmatch(schedule["ScheduleExpression"]) is not None
    rules = {
        "Name": NAME.fullmatch(name),
        "GroupName": NAME.fullmatch(schedule["GroupName"]),
        "ClientToken": TOKEN.fullmatch(schedule.get("ClientToken", "none")),
        "ScheduleExpression": recurs or _is_at(schedule["ScheduleExpression"]),
        "ScheduleExpressionTimezone": _is_zone(schedule.get("ScheduleExpressionTimezone", "UTC"), recurs=recurs),
        "FlexibleTimeWindow": schedule["FlexibleTimeWindow"] == {"Mode": "OFF"},
        "ActionAfterCompletion": schedule.get("ActionAfterCompletion", "NONE") in ("NONE", "DELETE"),
        "Description": len(schedule.get("Description", "")) <= 512,
        "Target.Arn": QUEUE_ARN.fullmatch(target["Arn"]),
        "Target.RoleArn": ROLE_ARN.fullmatch(target["RoleArn"]),
        "Target.DeadLetterConfig": QUEUE_ARN.fullmatch(target["DeadLetterConfig"]["Arn"]),
        "Target.RetryPolicy": _is_retry_policy(target["RetryPolicy"]),
        "Target.Input": 1 <= len(target["Input"].encode()) <= INPUT_BYTES_MAX,
        "Target.SqsParameters": "SqsParameters" not in target,  # only of FIFO queues
    }
    return [rule for rule, holds in rules.items() if not holds]


def _is_retry_policy(policy: dict[str, int]) -> bool:
    attempts, age_s = policy.get("MaximumRetryAttempts", 185), policy.get("MaximumEventAgeInSeconds", 86_400)
    return 0 <= attempts <= 185 and 60 <= age_s <= 86_400


def _is_zone(name: str, *, recurs: bool) -> bool:
    return name in available_timezones() if recurs else name == "UTC"


def _is_at(expression: str) -> bool:
    """Whole seconds of a day that exists, still to come, and not in a future that nobody has tried."""
    spelled = AT.fullmatch(expression)
    if spelled is None:
        return False
    try:
        at = dt.datetime.fromisoformat(spelled[1]).replace(tzinfo=dt.UTC)
    except ValueError:
        return False
    now = dt.datetime.fromtimestamp(_Time.now_ms() / 1_000, dt.UTC)
    return now < at < now + dt.timedelta(days=366 * YEARS_MAX)


def _checked(method: Callable[..., Any]) -> Callable[..., Any]:
    def checked(self: Any) -> Any:
        name = self.uri.split("/")[-1]
        broken = broken_rules(name, json.loads(self.body))
        if broken:
            raise ValidationException(f"schedule {name} breaks the rules of {', '.join(broken)}")
        return method(self)

    return checked
