"""The queue function: what is done, what is handed back and what fails, each message by itself."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from moto.sqs.models import sqs_backends

import stepwell
from stepwell.errors import WireError
from stepwell_orchestrator.aws.service import AwsError
from stepwell_orchestrator.entry.aws.function import LambdaFunction
from stepwell_orchestrator.entry.aws.logs import NOISY, set_up_logs
from stepwell_orchestrator.entry.queue import SUSPICIOUS_DELIVERIES, Batches
from stepwell_orchestrator.limits import DELIVERY_LEASE_MS, LEASE_RENEW_MS, THROTTLED_REDELIVERY_MS
from stepwell_orchestrator.model.queue_item import Drive, QueueItem
from tests.orchestrator.aws import strict
from tests.orchestrator.aws.account import Account, context
from tests.orchestrator.aws.faults import refused

Work = Callable[[QueueItem, int], Awaitable[int | None]]
SECOND_MS = 1_000


@pytest.fixture
def logs() -> Iterator[None]:
    """Logs as a deployed function has them."""
    names = ("stepwell", *NOISY)
    levels = [logging.getLogger(name).level for name in names]
    set_up_logs("INFO")
    yield
    for name, level in zip(names, levels, strict=True):
        logging.getLogger(name).setLevel(level)


async def done(_item: QueueItem, _deliveries: int) -> int | None:
    return None


def worked_by(account: Account, work: Work = done) -> list[tuple[str, int]]:
    """Put ``work`` in the worker's place; what it is handed is kept: item ids and deliveries."""
    handed: list[tuple[str, int]] = []

    class FakeWorker:
        async def handle(self, item: QueueItem, deliveries: int) -> int | None:
            handed.append((item.id, deliveries))
            return await work(item, deliveries)

    deployment = account.deployment()
    deployment.__dict__.update(worker=FakeWorker())
    account.queue = LambdaFunction(lambda: Batches(deployment).handle)
    return handed


def queued(account: Account, *ids: str, delay_ms: int = 0) -> None:
    """Queue an item of each id."""
    due_at_ms = account.bed.clock.now_ms() + delay_ms
    items = [QueueItem(one, Drive(f"run-{one}", "test"), due_at_ms) for one in ids]
    asyncio.run(account.deployment().backend.queue.send(items))


def hidden_ms(account: Account) -> dict[str, float]:
    """For how long each item's message is out of sight."""
    queue = sqs_backends[strict.ACCOUNT][strict.REGION].queues[account.bed.names.queue_url.rsplit("/", 1)[1]]
    now_ms = account.bed.clock.now_ms()
    return {
        json.loads(message.body)["id"]: max(message.visible_at, message.delayed_until) - now_ms
        for message in queue._messages
    }


def failing(*ids: str) -> Work:
    """Work that fails for some items."""

    async def work(item: QueueItem, _deliveries: int) -> int | None:
        if item.id in ids:
            raise RuntimeError("boom")
        return None

    return work


def test_one_failure_is_one_failure(account: Account):
    """Only the message whose item failed is reported; the others of its batch are done."""
    handed = worked_by(account, failing("b"))
    queued(account, "a", "b", "c")
    event = account.batch()
    failed = account.deliver(event)
    assert sorted(handed) == [("a", 1), ("b", 1), ("c", 1)]
    [record] = [record for record in event["Records"] if record["messageId"] in failed]
    assert json.loads(record["body"])["id"] == "b"
    assert hidden_ms(account) == {"b": DELIVERY_LEASE_MS}


def test_a_failed_item_comes_back_when_its_lease_ends(account: Account):
    """What failed is delivered again after a lease, with the count of its deliveries."""
    handed = worked_by(account, failing("a"))
    queued(account, "a")
    account.work()
    account.advance(DELIVERY_LEASE_MS - 1)
    assert handed == [("a", 1)]
    account.advance(2)
    assert handed == [("a", 1), ("a", 2)]


def test_a_failed_item_does_not_wait_for_its_batch(account: Account):
    """While a batch goes on, what failed in it is renewed no more, and what is done stays out of sight."""
    elapsed_ms = 2 * LEASE_RENEW_MS

    async def work(item: QueueItem, _deliveries: int) -> int | None:
        if item.id == "failing":
            raise RuntimeError("boom")
        if item.id == "slow":
            await account.bed.clock.advance(elapsed_ms)
        return None

    worked_by(account, work)
    queued(account, "failing", "quick", "slow")
    event = account.batch()
    account.queue(event, context("queue", 900_000))
    assert hidden_ms(account) == {
        "failing": DELIVERY_LEASE_MS - elapsed_ms,
        "quick": DELIVERY_LEASE_MS,
        "slow": DELIVERY_LEASE_MS,
    }


def test_an_item_that_is_to_come_again_does(account: Account):
    """An item whose worker names a time is handed out then, and its message of now is done."""

    async def later(_item: QueueItem, deliveries: int) -> int | None:
        return account.bed.clock.now_ms() + 5 * SECOND_MS if deliveries == 1 else None

    handed = worked_by(account, later)
    queued(account, "a")
    account.work()
    assert hidden_ms(account) == {"a": 5 * SECOND_MS}
    account.advance(5 * SECOND_MS)
    assert handed == [("a", 1), ("a", 2)]
    assert account.batch() is None


def test_an_early_item_is_not_worked_on(account: Account):
    """A message that comes before its item is due goes back for the rest of the time, and counts no delivery."""
    handed = worked_by(account)
    queued(account, "a", delay_ms=20 * 60 * SECOND_MS)
    assert account.batch() is None
    account.advance(19 * 60 * SECOND_MS + 59 * SECOND_MS)
    assert handed == []
    account.advance(SECOND_MS)
    assert handed == [("a", 1)]


def test_a_throttle_is_nobodys_failure(account: Account, caplog: pytest.LogCaptureFixture):
    """An item that met a throttle is handed out again after a lease as a new message, however often that happens."""

    async def throttled(_item: QueueItem, _deliveries: int) -> int | None:
        raise AwsError("lambda", "invoke", "TooManyRequestsException", "Rate Exceeded.", {})

    handed = worked_by(account, throttled)
    queued(account, "a")
    for _ in range(5):
        event = account.batch()
        assert event["Records"][0]["attributes"]["ApproximateReceiveCount"] == "1"
        assert account.deliver(event) == set()
        account._turn_to(account.bed.clock.now_ms() + THROTTLED_REDELIVERY_MS)
    assert [deliveries for _, deliveries in handed] == [1, 2, 3, 4, 5]
    assert "comes again in 30000 ms" in caplog.text


def test_a_message_that_cannot_be_read_fails_with_its_reason(account: Account, caplog: pytest.LogCaptureFixture):
    """A message that is no item is reported, logged with its reason, and takes nothing else with it."""
    handed = worked_by(account)
    queued(account, "a")
    account.bed.clients["sqs"].client.send_message(QueueUrl=account.bed.names.queue_url, MessageBody="hello")
    event = account.batch()
    failed = account.deliver(event)
    [poison] = [record["messageId"] for record in event["Records"] if record["body"] == "hello"]
    assert (failed, handed) == ({poison}, [("a", 1)])
    assert f"message {poison} is no queue item of this version" in caplog.text


@pytest.mark.usefixtures("logs")
def test_an_item_that_keeps_failing_is_told_with_its_run(account: Account, caplog: pytest.LogCaptureFixture):
    """After many deliveries a failure says where the item will end, in a line that names run and item."""
    worked_by(account, failing("a"))
    queued(account, "a")
    for _ in range(SUSPICIOUS_DELIVERIES):
        account.work()
        account._turn_to(account.bed.clock.now_ms() + DELIVERY_LEASE_MS + 1)
    told = [record for record in caplog.records if "dead letter queue" in record.getMessage()]
    assert len(told) == 1
    assert (told[0].run_id, told[0].item) == ("run-a", "a")


def test_a_batch_ends_before_lambda_ends_it(account: Account):
    """Items that are still under way when the time is all but up are reported, and those that are done are not."""
    waited_ms: list[int] = []

    async def work(item: QueueItem, _deliveries: int) -> int | None:
        if item.id == "stuck":
            for ms in (895_999, 1):
                await account.bed.clock.advance(ms)
                waited_ms.append(ms)
            raise AssertionError("it is waited for no longer")
        return None

    worked_by(account, work)
    queued(account, "a", "stuck")
    failed = account.deliver(account.batch(), ms=900_000)
    assert waited_ms == [895_999]
    assert len(failed) == 1
    assert hidden_ms(account).keys() == {"stuck"}


def test_keys_that_cannot_be_read_fail_the_items(account: Account, caplog: pytest.LogCaptureFixture):
    """Without the signing key no call can be made: the items come back, and the log names the secret."""
    handed = worked_by(account)
    settings = account.settings
    object.__setattr__(settings, "signing_key_secret", "arn:aws:secretsmanager:eu-west-1:123456789012:secret:gone")
    queued(account, "a")
    assert len(account.deliver(account.batch())) == 1
    assert handed == []
    assert "secretsmanager get_secret_value: ResourceNotFoundException" in caplog.text


def test_a_lost_handing_back_leaves_the_message(account: Account):
    """An item that could not be queued again is not done: its message comes back by itself."""

    async def later(_item: QueueItem, _deliveries: int) -> int | None:
        return account.bed.clock.now_ms() + 5 * SECOND_MS

    worked_by(account, later)
    queued(account, "a")
    event = account.batch()
    account.bed.clients["sqs"].plan("send_message_batch", refused("InternalError"))
    assert account.deliver(event) == {event["Records"][0]["messageId"]}


def test_an_empty_batch_is_done(account: Account):
    """A batch without messages, with which somebody may start a process, is answered and asks nothing of AWS."""
    assert account.queue({"Records": []}, context("queue", 1_000)) == {"batchItemFailures": []}
    assert account.bed.clients["sqs"].calls == []


@pytest.mark.parametrize("event", [{}, [], None, {"Records": "x"}, {"Records": [{"eventSource": "aws:s3"}]}])
def test_another_event_is_refused(account: Account, event: Any):
    """What is no batch of SQS messages is an error that says so."""
    with pytest.raises(WireError, match="not a batch of SQS messages"):
        account.queue(event, context("queue", 1_000))


def test_a_run_goes_on_in_the_next_delivery_when_time_is_short(account: Account, monkeypatch: pytest.MonkeyPatch):
    """When an invocation has no time left to begin a call, the run is handed over and finished by later ones."""
    app = stepwell.App("shop", dev=False)

    @app.function(on="order/created")
    async def fulfil(ctx: stepwell.Context) -> list[int]:
        return [await ctx.step.run(f"step-{n}", lambda n=n: n) for n in range(3)]

    account.register("shop-functions", app)
    account.send({"name": "order/created", "data": {}})
    account.deliver(account.batch())
    calls = len(account.lambdas.calls)
    with monkeypatch.context() as patch:
        patch.setattr("stepwell_orchestrator.entry.aws.deadline.BEGIN_SHARE", 10**9)
        assert account.deliver(account.batch()) == set()
    assert len(account.lambdas.calls) == calls
    account.work()
    assert (account.run()["status"], account.run()["output"]) == ("Completed", [0, 1, 2])
