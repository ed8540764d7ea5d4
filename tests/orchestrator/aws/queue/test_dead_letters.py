"""The dead letter queue: what ends there comes back, whoever dies on the way, and the run says so."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from moto.sqs.models import sqs_backends

import stepwell
from stepwell.wire.times import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from stepwell_orchestrator.aws.queue.dead_letters import back_off_ms
from stepwell_orchestrator.entry.aws.function import LambdaFunction
from stepwell_orchestrator.entry.queue import SUSPICIOUS_DELIVERIES
from stepwell_orchestrator.entry.sweep import LOOK_MS, sweeping
from stepwell_orchestrator.limits import DELIVERY_LEASE_MS
from stepwell_orchestrator.worker.worker import Worker
from tests.orchestrator.aws import strict
from tests.orchestrator.aws.account import Account, an_account, context
from tests.orchestrator.aws.faults import Fault, lost_call, lost_reply, refused

NAP_MS = 10 * MINUTE_MS


@pytest.fixture
def account() -> Iterator[Account]:
    """A deployment with a run that sleeps, and nothing else under way."""
    with an_account() as one:
        one.register("shop-functions", a_shop())
        one.send({"name": "order/created", "data": {}})
        one.work()
        yield one


def a_shop() -> stepwell.App:
    """An app whose function sleeps, then runs a step."""
    app = stepwell.App("shop", dev=False)

    @app.function(on="order/created")
    async def fulfil(ctx: stepwell.Context) -> str:
        await ctx.step.sleep("nap", "10m")
        return await ctx.step.run("wake", lambda: "awake")

    return app


def bury(account: Account) -> str:
    """Have the queue give up on its only message, as SQS does after too many deliveries; the message's text."""
    (message,) = queue(account)._messages
    put_dead(account, message.body)
    queue(account)._messages.clear()
    return str(message.body)


def put_dead(account: Account, body: str) -> None:
    """Put a message into the dead letter queue."""
    account.bed.clients["sqs"].client.send_message(QueueUrl=account.bed.names.dead_letter_queue_url, MessageBody=body)


def queue(account: Account, *, dead: bool = False) -> Any:
    """The work queue, or the one of dead letters, as moto has it."""
    names = account.bed.names
    url = names.dead_letter_queue_url if dead else names.queue_url
    return sqs_backends[strict.ACCOUNT][strict.REGION].queues[url.rpartition("/")[2]]


def queued(account: Account) -> list[tuple[int, int]]:
    """What is in the work queue: redrives so far, and in how many ms it is due."""
    bodies = [json.loads(message.body) for message in queue(account)._messages]
    return [(body.get("redrives", 0), body["due_at_ms"] - account.bed.clock.now_ms()) for body in bodies]


def sweep(account: Account, function: LambdaFunction | None = None) -> dict[str, Any]:
    """Sweep once."""
    answer: dict[str, Any] = (function or account.sweep)({}, context("sweep", 60_000))
    return answer


def look(account: Account) -> int:
    """Let the next quarter of an hour begin, and sweep in another process; how many items came back."""
    now_ms = account.bed.clock.now_ms()
    account._turn_to(now_ms - now_ms % LOOK_MS + LOOK_MS)
    function = LambdaFunction(lambda: sweeping(account.deployment()))
    try:
        return int(sweep(account, function)["redriven"])
    finally:
        function.close()


def test_a_run_goes_on_whose_item_was_given_up(account: Account):
    """A run whose timer ended in the dead letter queue goes on when the next quarter of an hour begins."""
    bury(account)
    account.advance(DAY_MS)
    assert account.run()["status"] == "Running"
    assert look(account) == 1
    account.work()
    assert (account.run()["status"], account.run()["output"]) == ("Completed", "awake")
    assert queue(account, dead=True)._messages == []


def test_an_item_that_is_not_due_comes_back_for_its_time(account: Account):
    """A redriven item keeps its own time if that is later."""
    bury(account)
    account._turn_to(account.bed.clock.now_ms() + 2 * MINUTE_MS)
    assert asyncio.run(account.deployment().dead_letters.redrive()) == 1
    assert queued(account) == [(1, NAP_MS - 2 * MINUTE_MS)]


@pytest.mark.parametrize(
    ("operation", "fault", "copies"),
    [
        ("send_message_batch", refused("InternalError"), 1),
        ("send_message_batch", lost_reply, 2),
        ("delete_message", lost_call, 2),
        ("delete_message", lost_reply, 1),
        ("receive_message", refused("ThrottlingException"), 1),
        ("receive_message", lost_reply, 1),
    ],
)
def test_whoever_fails_on_the_way_loses_nothing(account: Account, operation: str, fault: Fault, copies: int):
    """Whatever breaks between the two queues, the item is in at least one of them, and twice is no harm."""
    bury(account)
    account._turn_to(account.bed.clock.now_ms() + NAP_MS - MINUTE_MS)
    account.bed.clients["sqs"].plan(operation, fault)
    assert look(account) == 0
    look(account)
    assert len(queue(account)._messages) == copies
    assert queue(account, dead=True)._messages == []
    account.work()
    assert (account.run()["status"], account.run()["output"]) == ("Completed", "awake")
    [row] = [row for row in trace(account) if row["name"] == "wake"]
    assert row["attempts"] == 1


def trace(account: Account) -> list[dict[str, Any]]:
    """The steps of the only run."""
    return list(account.request("GET", f"/v1/runs/{account.run()['run_id']}/trace")[1]["data"])


def test_two_that_look_at_once_do_not_see_the_same(account: Account):
    """What one look has received, another one does not receive meanwhile; both come to their ends."""
    bury(account)
    first, second = account.deployment(), account.deployment()

    async def both() -> list[int]:
        return await asyncio.gather(first.dead_letters.redrive(), second.dead_letters.redrive())

    assert sorted(asyncio.run(both())) == [0, 1]
    assert len(queue(account)._messages) == 1


def test_a_redrive_after_the_end_is_no_harm(account: Account):
    """An item whose run has ended meanwhile comes back, does nothing, and leaves no mark."""
    body = bury(account)
    run_id = account.run()["run_id"]
    account.request("DELETE", f"/v1/runs/{run_id}")
    account.work()
    ended = account.run()
    assert ended["status"] == "Cancelled"
    put_dead(account, body)
    assert look(account) == 2
    account.work()
    assert account.run() == ended
    assert "dead letter queue" not in json.dumps(account.bed.items(), default=str)


def test_it_comes_back_less_and_less_often(account: Account):
    """An item that ends there again and again comes back at once, then after an hour, two, four, up to a day."""
    account._turn_to(account.bed.clock.now_ms() + NAP_MS)
    waits = []
    for redrives in range(8):
        bury(account)
        assert look(account) == 1
        [(count, wait_ms)] = queued(account) or [schedule(account)]
        assert count == redrives + 1
        waits.append(max(wait_ms, 0) // HOUR_MS)
        if not queue(account)._messages:
            [fired] = account.bed.fire_schedules(account.bed.clock.now_ms() + wait_ms)
            account.bed.clients["sqs"].client.send_message(
                QueueUrl=account.bed.names.queue_url, MessageBody=fired.target["Input"]
            )
    assert waits == [0, 1, 2, 4, 8, 16, 24, 24]
    assert back_off_ms(10**6) == DAY_MS


def schedule(account: Account) -> tuple[int, int]:
    """The redrives and the time of what was scheduled last."""
    [*_, parameters] = [
        parameters for name, parameters in account.bed.clients["scheduler"].calls if name == "create_schedule"
    ]
    body = json.loads(parameters["Target"]["Input"])
    return body["redrives"], body["due_at_ms"] - account.bed.clock.now_ms()


def test_an_early_hand_out_keeps_the_count(account: Account):
    """An item that is handed back because it came early still says how often it was redriven."""
    body = json.loads(bury(account))
    put_dead(account, json.dumps(body | {"due_at_ms": account.bed.clock.now_ms() + HOUR_MS, "redrives": 2}))
    look(account)
    [fired] = account.bed.fire_schedules(account.bed.clock.now_ms() + DAY_MS)
    account.bed.clients["sqs"].client.send_message(
        QueueUrl=account.bed.names.queue_url, MessageBody=fired.target["Input"]
    )
    account.deliver(account.batch())
    assert schedule(account)[0] == 3


@pytest.mark.parametrize("whole_request", [False, True])
def test_a_timer_that_could_not_be_sent_is_not_lost(account: Account, whole_request: bool):
    """What the scheduler could not send comes back, told as its text or within the request that failed."""
    body = bury(account)
    queue(account, dead=True)._messages.clear()
    request = {"QueueUrl": account.bed.names.queue_url, "MessageBody": body}
    put_dead(account, json.dumps(request) if whole_request else body)
    account._turn_to(account.bed.clock.now_ms() + NAP_MS)
    assert look(account) == 1
    account.work()
    assert account.run()["status"] == "Completed"


def test_what_nobody_can_read_stays(account: Account, caplog: pytest.LogCaptureFixture):
    """A message that is no item stays for people, each look says why, and it keeps no item from coming back."""
    bury(account)
    for body in ("hello", '{"id": 1}', "[]", '{"MessageBody": 7}'):
        put_dead(account, body)
    assert [look(account), look(account)] == [1, 0]
    assert len(queue(account, dead=True)._messages) == 4
    told = [record for record in caplog.records if "in the dead letter queue: message" in record.getMessage()]
    assert len(told) == 8


def test_many_come_back_in_one_look(account: Account):
    """One look takes more than one batch."""
    body = json.loads(bury(account))
    for number in range(24):
        put_dead(account, json.dumps(body | {"id": f"{body['id']}:{number}"}))
    assert look(account) == 25
    assert queue(account, dead=True)._messages == []


def test_an_idle_stack_looks_four_times_an_hour(account: Account):
    """Sweeps look every quarter of an hour, with one request when there is nothing, also when a sweep is missed."""
    sqs = account.bed.clients["sqs"]
    sweep(account)
    before = sqs.count("receive_message")
    for minute in range(1, 61):
        account._turn_to(account.bed.clock.now_ms() + MINUTE_MS)
        if minute != 15:
            sweep(account)
    assert sqs.count("receive_message") == before + HOUR_MS // LOOK_MS


def test_a_look_that_fails_spoils_no_sweep(account: Account, caplog: pytest.LogCaptureFixture):
    """When the dead letter queue cannot be read, the sweep is done all the same, and says so."""
    account.bed.clients["sqs"].plan("receive_message", refused("InternalError"))
    assert look(account) == 0
    assert "dead letters are left to the next look" in caplog.text


def failing(account: Account, patch: pytest.MonkeyPatch) -> None:
    """Have the worker fail until its item is suspicious."""

    async def handle(self: Worker, item: Any, deliveries: int) -> int | None:
        raise RuntimeError("the engine is broken")

    patch.setattr(Worker, "handle", handle)
    account._turn_to(account.bed.clock.now_ms() + NAP_MS)
    for _ in range(SUSPICIOUS_DELIVERIES):
        assert account.run()["trouble"] is None
        account.work()
        account._turn_to(account.bed.clock.now_ms() + DELIVERY_LEASE_MS + SECOND_MS)


def test_a_run_says_what_its_item_keeps_failing_by(account: Account, monkeypatch: pytest.MonkeyPatch):
    """After some deliveries the reason is on the run; it is replaced when the item dies, and gone when the run ends."""
    with monkeypatch.context() as patch:
        failing(account, patch)
        trouble = account.run()["trouble"]
        assert f"has failed at {SUSPICIOUS_DELIVERIES} deliveries" in trouble
        assert "RuntimeError: the engine is broken" in trouble
        bury(account)
        look(account)
        assert "was queued again (redrive 1)" in account.run()["trouble"]
    account.work()
    assert (account.run()["status"], account.run()["trouble"]) == ("Completed", None)


def test_a_run_that_cannot_be_marked_fails_no_other_item(
    account: Account, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """When the reason cannot be noted either, the item comes back all the same."""
    with monkeypatch.context() as patch:
        failing(account, patch)
        account.bed.dynamodb.plan("update_item", refused("InternalServerError"))
        assert len(account.deliver(account.batch())) == 1
        assert "the run could not be marked" in caplog.text
        bury(account)
        account.bed.dynamodb.plan("update_item", refused("InternalServerError"))
        assert look(account) == 1
    account.work()
    assert account.run()["status"] == "Completed"
