"""What the workloads of the budgets take, in counts, on the handlers and backends as they are deployed.

A number that changes here changes somebody's bill. Make it smaller and write down the new one; if it has to be larger,
docs/reference/cost.md has to say so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from stepwell.wire.encoding import encode
from stepwell_orchestrator.aws.table.table import PK, SK
from stepwell_orchestrator.cli.bench.idle import ALARMS, DASHBOARDS, SECRETS
from stepwell_orchestrator.costing.bill import Work
from stepwell_orchestrator.costing.durations import Assumptions
from stepwell_orchestrator.entry.rehearsal.rehearsal import Rehearsal, rehearsing
from stepwell_orchestrator.entry.rehearsal.workloads import (
    FAR_NAP_MS,
    NAP_MS,
    STEPS,
    Saving,
    Workloads,
    an_app,
    noise_of_1_kb,
    order_of_1_kb,
    routing,
)
from tests.tidy.sources import ROOT


@pytest.fixture(scope="module")
def rehearsal() -> Iterator[Rehearsal]:
    """A deployment."""
    with rehearsing({"bench": an_app()}) as one:
        yield one


@pytest.fixture
def one(rehearsal: Rehearsal) -> Workloads:
    """Runs one by one."""
    return Workloads(rehearsal, 1)


def table_calls(work: Work) -> dict[str, float]:
    """How many requests of each operation the journal, the waits and the registry made together."""
    return {operation: usage.requests for (service, operation), usage in work.usages.items() if service == "dynamodb"}


def units(work: Work) -> tuple[float, float]:
    """Write and read units."""
    table = work.total("dynamodb")
    return table.write_units, table.read_units


def test_the_outputs_have_1_kb():
    """What the steps of the workloads return is what the budgets are set for."""
    assert {len(encode(make(number))) for make in (order_of_1_kb, noise_of_1_kb) for number in range(20)} == {1024}


def test_a_run_of_ten_steps(one: Workloads):
    """Its journal's requests and units, its messages and calls, each as many as are written here."""
    work = one.sequential()
    assert table_calls(work) == {"get_item": 13, "put_item": 16, "update_item": 2, "query": 3, "batch_get_item": 1}
    assert units(work) == (21, 17)
    assert (work.messages, work.app_calls) == (2, 11)


@pytest.mark.parametrize("saving", ["checkpointed", "buffered"])
def test_a_run_that_saves_its_steps_is_one_call(one: Workloads, saving: Saving):
    """A run of ten steps is one call, with nine saves before its reply, or none where one reply has them all."""
    work = one.sequential(saving=saving)
    assert work.app_calls == 1
    saves = {call.saves for call, _ in work.invocations if call.function == "app" and call.saves}
    assert saves == ({STEPS - 1} if saving == "checkpointed" else set())
    # One for the event, and one for each save.
    assert sum(count for call, count in work.invocations if call.function == "api") == 1 + sum(saves)


def test_a_step_in_sequence_costs_one_write_unit(one: Workloads):
    """One more step with an output of 1 KB is one more request that writes, one that reads, one call, a unit each."""
    more = one.sequential(STEPS).without(one.sequential(0))
    assert table_calls(more.times(1 / STEPS)) == {
        "get_item": 1,
        "put_item": 1,
        "update_item": 0,
        "query": 0,
        "batch_get_item": 0,
    }
    assert units(more) == (STEPS, STEPS)
    assert (more.messages, more.app_calls, more.total("sqs").requests) == (0, STEPS, 0)


def test_a_step_that_goes_well_logs_nothing(one: Workloads):
    """One more step in sequence costs no line: two of them would cost as much as half a write unit."""
    more = one.sequential(STEPS).without(one.sequential(0))
    assert more.log_bytes == 0


def test_no_step_writes_more_than_a_unit_and_a_half_whatever_its_output(one: Workloads):
    """An output of 1 KB that cannot be compressed takes a second write unit at times."""
    noisy = one.sequential(noise=True).without(one.sequential(0))
    assert STEPS < units(noisy)[0] <= 2 * STEPS


@pytest.mark.parametrize("duration_ms", [NAP_MS, FAR_NAP_MS], ids=["a minute", "30 days"])
def test_a_sleep(one: Workloads, duration_ms: int):
    """A sleep is four write units and one call more, a far one also a schedule and a message more."""
    sleep = one.sleep(duration_ms).without(one.bare())
    far = duration_ms == FAR_NAP_MS
    # A far one begins in another hour than the one before it, and an event's hour is written once.
    assert units(sleep) == (4 + far, 5)
    assert (sleep.messages, sleep.app_calls) == (1 + far, 1)
    assert sleep.requests("scheduler", "create_schedule", "fire") == 2 * far


def test_a_wait(one: Workloads):
    """A wait is six write units, one message and one call more, without the event that ends it."""
    wait = one.wait().without(one.bare()).without(one.unheard())
    assert units(wait) == (6, 9)
    assert (wait.messages, wait.app_calls) == (1, 1)


def test_an_event_that_nobody_hears(one: Workloads):
    """An event is three write units and a message: its record, itself, its entry in the listing."""
    event = one.unheard()
    assert units(event) == (3, 3)
    assert (event.messages, event.total("sqs").requests) == (1, 4)


def test_an_event_costs_the_same_however_many_wait():
    """Routing an event that one run waits for takes the same requests and units among 10 and among 1,000."""
    few, many = routing(10), routing(1_000)
    assert many.usages == few.usages
    assert few.total("dynamodb").requests > 0


@pytest.mark.parametrize("width", [2, 10])
def test_parallel_steps_take_three_calls_more_than_there_are(rehearsal: Rehearsal, width: int):
    """Parallel steps and one more take at most three calls more than there are parallel steps."""
    work = Workloads(rehearsal, runs=1).parallel(width)
    assert work.app_calls <= width + 3
    # Of its event, of its start, and of each step.
    assert work.messages == width + 2


def test_a_busy_queue_shares_its_requests(rehearsal: Rehearsal):
    """Ten messages handed out at once are received, leased and deleted by one request each."""
    busy, quiet = Workloads(rehearsal).bare(), Workloads(rehearsal, 1).bare()
    assert (busy.messages, quiet.messages) == (2, 2)
    assert (round(busy.total("sqs").requests, 6), quiet.total("sqs").requests) == (2 + 0.6, 2 + 6)
    assert units(busy) == pytest.approx(units(quiet))


def test_a_sweep_in_which_nothing_happens(one: Workloads):
    """A sweep looks at each shard of the leases and the lines, and whether it is time to look at the runs."""
    sweep = one.sweep()
    assert table_calls(sweep) == {"query": 32, "get_item": 1}
    assert units(sweep) == (0, 17)


def test_the_ledger_saw_every_write(rehearsal: Rehearsal, one: Workloads):
    """What the ledger believes to be in the table is what is there, item by item."""
    one.wait()
    seen = {place: item for place, item in rehearsal.ledger._seen.items() if item is not None}
    assert seen == {(item[PK]["S"], item[SK]["S"]): item for item in _scan(rehearsal)}


def test_the_stack_is_as_it_is_priced():
    """The template has the alarms, secrets, dashboards and memory that an idle stack is priced with."""
    template = (ROOT / "template.yaml").read_text(encoding="utf-8")
    kinds = re.findall(r"^    Type: (\S+)$", template, re.MULTILINE)
    assert kinds.count("AWS::CloudWatch::Alarm") == ALARMS
    assert kinds.count("AWS::SecretsManager::Secret") == SECRETS
    assert kinds.count("AWS::CloudWatch::Dashboard") == DASHBOARDS
    memory = {
        name: int(default)
        for name, default in re.findall(
            r"^  (\w+)Memory:\n    Type: Number\n    Default: (\d+)$", template, re.MULTILINE
        )
    }
    assumed = Assumptions()
    assert memory == {"Api": assumed.api_memory_mb, "Queue": assumed.queue_memory_mb}


def _scan(rehearsal: Rehearsal) -> Iterator[dict[str, dict[str, object]]]:
    client = rehearsal.database
    for page in client.get_paginator("scan").paginate(TableName=rehearsal._names.table, ConsistentRead=True):
        yield from page["Items"]
