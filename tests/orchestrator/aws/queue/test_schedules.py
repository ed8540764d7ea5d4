from __future__ import annotations

from typing import Any

import pytest

from stepwell.wire.times import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from stepwell_orchestrator.aws.queue.queue import DELAY_MAX_MS
from stepwell_orchestrator.aws.queue.schedules import LEAD_MS, at_expression, fires_at_ms, schedule_name
from stepwell_orchestrator.aws.service import AwsError
from stepwell_orchestrator.entry.virtual_clock import VIRTUAL_START_MS
from stepwell_orchestrator.limits import TIMEOUT_MAX_MS
from stepwell_orchestrator.model.queue_item import QueueItem, TimerDue
from tests.conformance.samples import run_id
from tests.orchestrator.aws.bed import Bed
from tests.orchestrator.aws.faults import lost_reply, refused, repeated
from tests.orchestrator.aws.receiving import done, fire_due_schedules, take
from tests.orchestrator.aws.strict_timers import AT, NAME, TOKEN, broken_rules

NOW_MS = VIRTUAL_START_MS


def a_timer(in_ms: int, name: str = "step") -> QueueItem:
    """The timer of a step, due so long from the start of the clock."""
    return QueueItem(f"{run_id(1)}:{name}:due", TimerDue(run_id(1), name), NOW_MS + in_ms)


def created(bed: Bed) -> list[dict[str, Any]]:
    """The schedules that were asked for."""
    return [parameters for name, parameters in bed.clients["scheduler"].calls if name == "create_schedule"]


@pytest.mark.parametrize(
    ("at_ms", "expected"),
    [
        (0, "at(1970-01-01T00:00:00)"),
        (999, "at(1970-01-01T00:00:00)"),
        (1_767_225_600_000, "at(2026-01-01T00:00:00)"),
        (1_767_225_659_999, "at(2026-01-01T00:00:59)"),
        (1_835_481_599_000, "at(2028-02-29T23:59:59)"),
        (1_774_746_000_000, "at(2026-03-29T01:00:00)"),
        (4_133_980_799_999, "at(2100-12-31T23:59:59)"),
    ],
)
def test_a_time_is_spelled_in_whole_seconds_of_utc(at_ms: int, expected: str):
    """A one-time expression has no fraction, no zone and no offset, also where others change their clocks."""
    assert at_expression(at_ms) == expected
    assert AT.fullmatch(expected)


@pytest.mark.parametrize("in_ms", [DELAY_MAX_MS + 1, HOUR_MS + 1, 30 * DAY_MS - 1, TIMEOUT_MAX_MS, 399 * DAY_MS])
def test_a_schedule_fires_two_minutes_early(in_ms: int):
    """A schedule fires in whole seconds, so early that a minute's imprecision leaves a minute, and late enough."""
    at_ms = fires_at_ms(a_timer(in_ms), NOW_MS)
    assert at_ms % SECOND_MS == 0
    assert LEAD_MS <= NOW_MS + in_ms - at_ms < LEAD_MS + SECOND_MS
    assert at_ms > NOW_MS + 12 * MINUTE_MS
    assert NOW_MS + in_ms - at_ms < DELAY_MAX_MS


@pytest.mark.parametrize("in_ms", [400 * DAY_MS, 10_000 * DAY_MS, 2**53])
def test_the_farthest_times_are_reached_in_parts(in_ms: int):
    """However late an item is due, its schedule fires within 400 days; the rest is for the next one."""
    assert fires_at_ms(a_timer(in_ms), NOW_MS) == NOW_MS + 400 * DAY_MS - LEAD_MS


def test_a_name_is_one_item_at_one_time():
    """A schedule's name depends on its item and time alone, is taken by the service, and no two items share it."""
    names = [schedule_name(item_id, at_ms) for item_id in ("a", "b", "é" * 500, "1:a") for at_ms in (1, 11)]
    assert len(set(names)) == len(names)
    assert all(NAME.fullmatch(name) and TOKEN.fullmatch(name) for name in names)
    assert schedule_name("a", 1) == schedule_name("a", 1)


async def test_a_schedule_is_as_the_service_wants_it(bed: Bed):
    """A far item becomes a schedule that fires once, exactly, into the queue, and is gone afterwards."""
    await bed.backend().queue.send([a_timer(30 * DAY_MS)])
    (schedule,) = created(bed)
    body = '{"id":"%s","due_at_ms":%d,"deliveries":0,"work":["timer","%s","step"]}'
    assert schedule == {
        "Name": schedule_name(a_timer(0).id, NOW_MS + 30 * DAY_MS - LEAD_MS),
        "GroupName": bed.names.schedule_group,
        "ClientToken": schedule["Name"],
        "ScheduleExpression": "at(2026-01-30T23:58:00)",
        "ScheduleExpressionTimezone": "UTC",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "ActionAfterCompletion": "DELETE",
        "Target": {
            "Arn": bed.names.queue_arn,
            "RoleArn": bed.names.schedule_role_arn,
            "RetryPolicy": {"MaximumRetryAttempts": 185, "MaximumEventAgeInSeconds": 86_400},
            "DeadLetterConfig": {"Arn": bed.names.dead_letter_queue_arn},
            "Input": body % (a_timer(0).id, NOW_MS + 30 * DAY_MS, run_id(1)),
        },
    }


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"ScheduleExpression": "at(2026-02-30T00:00:00)"}, "ScheduleExpression"),
        ({"ScheduleExpression": "at(2026-02-03T00:00:00.5)"}, "ScheduleExpression"),
        ({"ScheduleExpression": "at(2026-02-03T00:00:00Z)"}, "ScheduleExpression"),
        ({"ScheduleExpression": "at(2025-12-31T23:59:59)"}, "ScheduleExpression"),
        ({"ScheduleExpression": "rate(5 minutes)"}, "ScheduleExpression"),
        ({"GroupName": "a group"}, "GroupName"),
        ({"ClientToken": "a.token"}, "ClientToken"),
        ({"Target": {"Arn": "queue"}}, "Target.Arn"),
        ({"Target": {"RoleArn": "role"}}, "Target.RoleArn"),
        ({"Target": {"DeadLetterConfig": {"Arn": "queue"}}}, "Target.DeadLetterConfig"),
        ({"Target": {"RetryPolicy": {"MaximumRetryAttempts": 186}}}, "Target.RetryPolicy"),
        ({"Target": {"RetryPolicy": {"MaximumEventAgeInSeconds": 86_401}}}, "Target.RetryPolicy"),
        ({"Target": {"RetryPolicy": {"MaximumEventAgeInSeconds": 59}}}, "Target.RetryPolicy"),
        ({"Target": {"Input": "é" * 128_001}}, "Target.Input"),
        ({"Target": {"SqsParameters": {"MessageGroupId": "g"}}}, "Target.SqsParameters"),
    ],
    ids=str,
)
async def test_what_the_service_would_refuse_is_noticed(bed: Bed, change: dict[str, Any], rule: str):
    """The tests' own rules let our schedules pass, and nothing that EventBridge Scheduler refuses."""
    await bed.backend().queue.send([a_timer(30 * DAY_MS)])
    (schedule,) = created(bed)
    name = schedule["Name"]
    assert broken_rules(name, schedule) == []
    assert broken_rules(name + "x" * 17, schedule) == ["Name"]
    target = schedule["Target"] | change.get("Target", {})
    assert broken_rules(name, schedule | change | {"Target": target}) == [rule]


async def test_an_item_that_is_sent_again_has_one_schedule(bed: Bed):
    """Sent again, by a process that was told so or not, an item has the schedule it has."""
    bed.clients["scheduler"].plan("create_schedule", lost_reply, repeated)
    queue = bed.backend().queue
    with pytest.raises(AwsError):
        await queue.send([a_timer(DAY_MS)])
    await queue.send([a_timer(DAY_MS)])
    await bed.clock.advance(5 * MINUTE_MS)
    await bed.backend().queue.send([a_timer(DAY_MS)])
    assert len(bed.fire_schedules(NOW_MS + DAY_MS)) == 1


async def test_a_schedule_that_cannot_be_made_is_told(bed: Bed):
    """When the service refuses a schedule the sender is told, and those beside it are made."""
    bed.clients["scheduler"].plan("create_schedule", refused("ServiceQuotaExceededException"))
    with pytest.raises(AwsError, match="ServiceQuotaExceededException"):
        await bed.backend().queue.send([a_timer(DAY_MS, name) for name in ("a", "b", "c")])
    assert len(bed.fire_schedules(NOW_MS + DAY_MS)) == 2


@pytest.mark.parametrize("late_ms", [0, 1, 59_999])
@pytest.mark.parametrize("in_ms", [DELAY_MAX_MS + 1, 30 * DAY_MS, 30 * DAY_MS + 1, 30 * DAY_MS + 999, TIMEOUT_MAX_MS])
async def test_a_long_sleep_ends_at_its_time(bed: Bed, in_ms: int, late_ms: int):
    """A far item goes from schedule to queue, comes early, is delayed, and comes at its time: at most a second late."""
    queue = bed.backend().queue
    await queue.send([a_timer(in_ms)])
    await bed.clock.advance(in_ms - LEAD_MS - 2 * SECOND_MS)
    assert fire_due_schedules(bed) == 0
    await bed.clock.advance(2 * SECOND_MS + late_ms)
    assert fire_due_schedules(bed, late_ms=late_ms) == 1
    (early,) = take(bed)
    assert early.item.due_at_ms > bed.clock.now_ms()
    await queue.hand_back(early, early.item.due_at_ms)
    done(bed, early.receipt_handle)
    await bed.clock.advance(early.item.due_at_ms - 1 - bed.clock.now_ms())
    assert take(bed) == []
    await bed.clock.advance(SECOND_MS)
    (due,) = take(bed)
    assert (due.item, due.deliveries) == (a_timer(in_ms), 1)
    assert fire_due_schedules(bed) == 0


async def test_a_sleep_of_many_years_passes_through_the_queue(bed: Bed):
    """An item beyond what one schedule covers is handed out early, sent again, and has a schedule for the next part."""
    queue = bed.backend().queue
    await queue.send([a_timer(1_000 * DAY_MS)])
    schedules = 0
    while not (received := take(bed)) or received[0].item.due_at_ms > bed.clock.now_ms():
        for delivery in received:
            await queue.hand_back(delivery, delivery.item.due_at_ms)
            done(bed, delivery.receipt_handle)
        await bed.clock.advance(DAY_MS - 5 * MINUTE_MS if schedules < 3 else MINUTE_MS)
        schedules += fire_due_schedules(bed)
    assert (schedules, received[0].item, received[0].deliveries) == (3, a_timer(1_000 * DAY_MS), 1)
