"""Schedules of a deployment: made when an app registers, ticking through the queue, gone with the app."""

from __future__ import annotations

import datetime as dt
from typing import Any

import stepwell
from stepwell.wire.times import DAY_MS, HOUR_MS, MINUTE_MS
from tests.orchestrator.aws import strict
from tests.orchestrator.aws.account import Account, context

NAME = "clockwork"


def an_app(*crons: str) -> stepwell.App:
    """An app with one function on those crons."""
    app = stepwell.App(NAME, dev=False)

    @app.function(on=[stepwell.cron(each) for each in crons] or None)
    async def report(ctx: stepwell.Context) -> Any:
        return ctx.event.data["scheduledAt"]

    return app


def fire(account: Account) -> int:
    """Have EventBridge Scheduler send the tick of this minute of every schedule that recurs; how many."""
    bed = account.bed
    now = dt.datetime.fromtimestamp(bed.clock.now_ms() / 1_000, dt.UTC)
    schedules = strict.recurring(bed.names.schedule_group)
    for schedule in schedules.values():
        assert schedule.target["Arn"] == bed.names.queue_arn
        body = schedule.target["Input"].replace("<aws.scheduler.scheduled-time>", f"{now:%Y-%m-%dT%H:%M:00Z}")
        bed.clients["sqs"].send_message(QueueUrl=bed.names.queue_url, MessageBody=body)
    return len(schedules)


def test_a_cron_of_a_minute_ticks_on_its_minute(account: Account):
    """A registered cron ticks once a minute, however often the service sends it, and each tick is a run of its own."""
    assert account.register(NAME, an_app("* * * * *"))["ok"]
    for _ in range(3):
        account.advance(MINUTE_MS)
        assert [fire(account), fire(account)] == [1, 1]
        account.work()
    assert [run["cron"] for run in account.runs()] == ["* * * * *"] * 3
    outputs = sorted(run["output"] for run in account.runs())
    assert outputs == [f"2026-01-01T00:0{minute}:00Z" for minute in (1, 2, 3)]


def test_what_the_service_cannot_say_ticks_through_the_queue(account: Account):
    """A line with both kinds of days has no schedule of the service's, and ticks all the same, at its time."""
    assert account.register(NAME, an_app("0 9 2 * 1"))["ok"]
    assert strict.recurring(account.bed.names.schedule_group) == {}
    for _ in range(5 * 24):
        account.advance(HOUR_MS)
        account.work()
    assert sorted(run["output"] for run in account.runs()) == ["2026-01-02T09:00:00Z", "2026-01-05T09:00:00Z"]


def test_another_registration_changes_what_ticks(account: Account):
    """Registered with another cron, a function has one schedule, of that cron; the sweep brings back what was lost."""
    account.register(NAME, an_app("@daily"))
    account.register(NAME, an_app("@hourly"))
    group = account.bed.names.schedule_group
    (hourly,) = strict.recurring(group).values()
    assert hourly.schedule_expression == "cron(0 * * * ? *)"
    strict.recurring(group).clear()
    account.bed.clients["scheduler"].delete_schedule(Name=hourly.name, GroupName=group)
    account.advance(DAY_MS // 96)
    account.sweep({}, context("sweep", 60_000))
    assert len(strict.recurring(group)) == 1
