from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

import stepwell
from stepwell.authoring.triggers import triggers_of
from stepwell.errors import DefinitionError
from stepwell.wire.registration import Trigger


class OrderCreated(stepwell.Event, name="order/created"):
    """A typed event."""


class Nameless(stepwell.Event):
    """A typed event whose name was forgotten."""


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, ()),
        ([], ()),
        ("order/created", (Trigger(event="order/created"),)),
        ("order/*", (Trigger(event="order/*"),)),
        ("order/item.*", (Trigger(event="order/item.*"),)),
        ("inngest/function.failed", (Trigger(event="inngest/function.failed"),)),
        (OrderCreated, (Trigger(event="order/created"),)),
        (
            stepwell.on(OrderCreated, if_="event.data.total > 1"),
            (Trigger(event="order/created", expression="event.data.total > 1"),),
        ),
        (stepwell.cron("0 9 * * 1"), (Trigger(cron="0 9 * * 1"),)),
        (stepwell.cron("@daily", tz="Asia/Tokyo"), (Trigger(cron="TZ=Asia/Tokyo @daily"),)),
        (stepwell.cron("CRON_TZ=Asia/Tokyo  5 4 * * *"), (Trigger(cron="CRON_TZ=Asia/Tokyo 5 4 * * *"),)),
        (stepwell.cron("@hourly", missed="last"), (Trigger(cron="@hourly", missed="last"),)),
        (stepwell.cron("@hourly", missed="skip"), (Trigger(cron="@hourly"),)),
        (
            stepwell.cron("*/5  0-6,22 1,15 jan-MAR sun", tz="Europe/London", jitter=dt.timedelta(seconds=90)),
            (Trigger(cron="TZ=Europe/London */5 0-6,22 1,15 jan-MAR sun", jitter="1m30s"),),
        ),
        (stepwell.cron("10-50/10 * ? * 1/2"), (Trigger(cron="10-50/10 * ? * 1/2"),)),
        (
            ["a", stepwell.on("a", if_="event.v == '1'"), stepwell.cron("0 0 * * *")],
            (Trigger(event="a"), Trigger(event="a", expression="event.v == '1'"), Trigger(cron="0 0 * * *")),
        ),
    ],
)
def test_what_an_author_writes_becomes_wire_triggers(value: Any, expected: tuple[Trigger, ...]) -> None:
    """Names, classes, conditions, crons and lists of them are what the protocol calls triggers."""
    assert triggers_of("pay", value).wire == expected


def test_event_classes_are_known_by_name() -> None:
    """The classes among the triggers validate the events of their name."""
    assert triggers_of("pay", [OrderCreated, "other"]).event_types == {"order/created": OrderCreated}


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (7, "must name an event"),
        ("", "must name an event"),
        ("x" * 256, "256 characters; the limit is 255"),
        ("*", 'a "*" where none is allowed'),
        ("a*", 'a "*" where none is allowed'),
        ("a/*/b", 'a "*" where none is allowed'),
        ("/*", 'a "*" where none is allowed'),
        (Nameless, 'class Nameless(stepwell.Event, name="order/created")'),
        (dict, "dict is not an Event class"),
        (["a", "a"], 'lists "a" twice'),
        ([stepwell.cron("0 0 * * *"), stepwell.cron("0 0 * * *", jitter="1m")], 'lists "0 0 * * *" twice'),
        ([f"e{number}" for number in range(11)], "11 triggers; the limit is 10"),
        (stepwell.on("a", if_="data.x"), 'on.if_: uses "data"'),
        (stepwell.cron("@every 5m"), "a cron has five fields"),
        (stepwell.cron("0 0 30 2 *"), 'the cron "0 0 30 2 *" never ticks'),
        (stepwell.cron("TZ=Mars/Base 0 0 * * *"), "on.tz: there is no time zone 'Mars/Base'"),
        (
            stepwell.cron("TZ=UTC 0 0 * * *", tz="Asia/Tokyo"),
            'on.tz: the cron "TZ=UTC 0 0 * * *" names a time zone already',
        ),
        (stepwell.cron(5), 'a cron is a text such as "0 9 * * 1", got 5'),
        (stepwell.cron("* * * * *", missed="most"), 'on.missed: must be "skip" or "last" or "all", got \'most\''),
        (stepwell.cron("0 0 * * * *"), "a cron has five fields"),
        (stepwell.cron("60 * * * *"), '"60" is not a minute (0-59)'),
        (stepwell.cron("* 5-2 * * *"), '"5-2" is not a hour (0-23)'),
        (stepwell.cron("* * 0 * *"), '"0" is not a day of month (1-31)'),
        (stepwell.cron("* * * 13 *"), '"13" is not a month (1-12 or jan-dec)'),
        (stepwell.cron("* * * * 7"), '"7" is not a day of week (0-6 or sun-sat)'),
        (stepwell.cron("*/0 * * * *"), '"*/0" is not a minute'),
        (stepwell.cron("1,,2 * * * *"), "is not a minute"),
        (stepwell.cron("* * * * *", tz="Europe/Londres"), "on.tz: there is no time zone 'Europe/Londres'"),
        (stepwell.cron("* * * * *", jitter="10m"), "on.jitter: must be from 1s to 5m, got 10m"),
        (stepwell.cron("* * * * *", jitter="soon"), '"soon" is not a duration'),
    ],
)
def test_a_wrong_trigger_names_function_field_and_problem(value: Any, problem: str) -> None:
    """A trigger no server would take is refused when the function is defined."""
    with pytest.raises(DefinitionError) as refused:
        triggers_of("pay", value)
    assert str(refused.value).startswith('function "pay", on')
    assert problem in str(refused.value)
