from __future__ import annotations

from typing import Any

import pytest

from stepwell.wire.encoding import decode
from stepwell_orchestrator.aws.queue.messages import Delivery, read_message
from stepwell_orchestrator.aws.queue.recurring import recurring_name, tick_message
from stepwell_orchestrator.aws.service import AwsError
from stepwell_orchestrator.model.queue_item import QueueItem, Tick
from stepwell_orchestrator.model.schedule import Schedule
from tests.orchestrator.aws import strict
from tests.orchestrator.aws.bed import Bed
from tests.orchestrator.aws.faults import lost_reply, refused
from tests.orchestrator.aws.strict_timers import NAME, TOKEN

MONDAYS = Schedule("shop-report", "TZ=Europe/London 0 9 * * 1")
DAILY = Schedule("shop-report", "@daily")


def kept(bed: Bed) -> dict[str, Any]:
    """The schedules there are, by name."""
    return strict.recurring(bed.names.schedule_group)


async def test_a_schedule_is_as_the_service_wants_it(bed: Bed):
    """A cron becomes a schedule in its zone that sends a tick into the queue, with the time put in by the service."""
    schedules = bed.backend().schedules
    assert schedules.recurs(MONDAYS)
    await schedules.keep([MONDAYS])
    ((name, parameters),) = bed.clients["scheduler"].calls
    assert name == "create_schedule"
    assert parameters == {
        "Name": recurring_name(MONDAYS),
        "ClientToken": recurring_name(MONDAYS),
        "GroupName": bed.names.schedule_group,
        "Description": "stepwell: shop-report, TZ=Europe/London 0 9 * * 1",
        "ScheduleExpression": "cron(0 9 ? * 2 *)",
        "ScheduleExpressionTimezone": "Europe/London",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": {
            "Arn": bed.names.queue_arn,
            "RoleArn": bed.names.schedule_role_arn,
            "RetryPolicy": {"MaximumRetryAttempts": 185, "MaximumEventAgeInSeconds": 86_400},
            "DeadLetterConfig": {"Arn": bed.names.dead_letter_queue_arn},
            "Input": tick_message(MONDAYS),
        },
    }


@pytest.mark.parametrize("time", ["2026-12-07T09:00:00Z", "2026-12-07T09:00:31Z", "2026-12-07T09:00:00.000+00:00"])
def test_the_message_of_a_tick_is_a_queue_item(time: str):
    """With the service's time in it, a tick's message is the recurring tick of that minute, due at once."""
    body = tick_message(MONDAYS).replace("<aws.scheduler.scheduled-time>", time)
    delivery = read_message("m", "r", 1, body)
    assert isinstance(delivery, Delivery)
    work = Tick("shop-report", MONDAYS.cron, 1_796_634_000_000, recurring=True)
    assert delivery.item == QueueItem(decode(body)["id"], work, 0)


async def test_kept_again_it_is_what_it_is_now(bed: Bed):
    """A schedule that is there is brought to what it is now, by whichever process."""
    await bed.backend().schedules.keep([MONDAYS])
    (schedule,) = kept(bed).values()
    schedule.schedule_expression = "cron(0 8 ? * 2 *)"
    await bed.backend().schedules.keep([MONDAYS, DAILY])
    assert {each.schedule_expression for each in kept(bed).values()} == {"cron(0 9 ? * 2 *)", "cron(0 0 * * ? *)"}


async def test_what_is_dropped_is_gone(bed: Bed):
    """Dropping deletes the schedule, and one that is not there is dropped too."""
    schedules = bed.backend().schedules
    await schedules.keep([MONDAYS, DAILY])
    for _ in range(2):
        await schedules.drop([MONDAYS])
    assert set(kept(bed)) == {recurring_name(DAILY)}


async def test_a_lost_reply_is_told_and_repeated(bed: Bed):
    """When the service cannot be heard the caller is told, and the same again leaves one schedule."""
    schedules = bed.backend().schedules
    bed.clients["scheduler"].plan("create_schedule", lost_reply)
    with pytest.raises(AwsError):
        await schedules.keep([MONDAYS])
    await schedules.keep([MONDAYS])
    bed.clients["scheduler"].plan("delete_schedule", refused("ThrottlingException"))
    with pytest.raises(AwsError):
        await schedules.drop([MONDAYS])
    assert set(kept(bed)) == {recurring_name(MONDAYS)}


def test_a_name_is_one_function_and_cron():
    """A schedule's name depends on function and cron alone, is taken by the service, and no two crons share it."""
    crons = [("a", "b c"), ("a b", "c"), ("é" * 200, "@daily"), ("a", "@daily")]
    names = {recurring_name(Schedule(*each)) for each in crons}
    assert len(names) == len(crons)
    assert all(NAME.fullmatch(name) and TOKEN.fullmatch(name) for name in names)
    assert recurring_name(Schedule("a", "@daily", 5_000)) == recurring_name(Schedule("a", "@daily"))
