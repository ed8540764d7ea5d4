"""A deployment from its function URL to its function and back, by the handlers that Lambda would call."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.exceptions import ClientError

import stepwell
from stepwell_orchestrator.entry.aws.assemble import this_process
from tests.orchestrator.aws import strict
from tests.orchestrator.aws.account import Account, context

DAY_MS = 86_400_000


def a_shop() -> stepwell.App:
    """An app whose function runs two steps, sleeps for a month, waits for an event and runs one more."""
    app = stepwell.App("shop", dev=False)

    @app.function(on="order/created")
    async def fulfil(ctx: stepwell.Context) -> dict[str, Any]:
        step = ctx.step
        price = await step.run("price", lambda: ctx.event.data["n"] * 2)
        await step.sleep("cool-off", "30d")
        paid = await step.wait_for_event("paid", event="order/paid", timeout="7d", match="data.n")
        return {"price": price, "paid": paid is not None}

    return app


def test_an_event_becomes_a_finished_run(account: Account):
    """An event sent to the function URL starts a run that sleeps a month, is resumed by an event, and is read back."""
    account.register("shop-functions", a_shop())
    [event_id] = account.send({"name": "order/created", "data": {"n": 21}})
    account.work()
    assert account.run()["status"] == "Running"
    account.advance(30 * DAY_MS + 60_000)
    account.send({"name": "order/paid", "data": {"n": 20}}, {"name": "order/paid", "data": {"n": 21}})
    account.work()
    run = account.run()
    assert (run["status"], run["output"]) == ("Completed", {"price": 42, "paid": True})
    status, answer = account.request("GET", f"/v1/runs/{run['run_id']}/trace")
    assert (status, [(row["name"], row["status"]) for row in answer["data"]]) == (
        200,
        [("price", "Completed"), ("cool-off", "Completed"), ("paid", "Completed")],
    )
    status, answer = account.request("GET", f"/v1/events/{event_id}/runs")
    assert [row["run_id"] for row in answer["data"]] == [run["run_id"]]
    assert account.batch() is None


def test_parallel_steps_large_results_and_a_failing_one(account: Account):
    """Steps run side by side by messages of their own; results too long for an item, and a retry, come through."""
    app = stepwell.App("shop", dev=False)
    tries: list[int] = []

    async def flaky() -> int:
        tries.append(1)
        if len(tries) < 3:
            raise RuntimeError("not yet")
        return len(tries)

    @app.function(on="order/created", retries=3)
    async def fulfil(ctx: stepwell.Context) -> list[int]:
        step = ctx.step
        texts = await asyncio.gather(
            step.run("flaky", flaky), *(step.run(f"text-{n}", lambda n=n: str(n) * 300_000) for n in range(3))
        )
        return [texts[0], *map(len, texts[1:])]

    account.register("shop-functions", app)
    account.send({"name": "order/created", "data": {}})
    account.advance(10 * 60_000)
    assert (account.run()["status"], account.run()["output"]) == ("Completed", [3, 300_000, 300_000, 300_000])
    assert account.batch() is None


def test_a_function_that_sends_and_invokes(account: Account):
    """A function sends an event that starts another one, and has the result of a third, in the same deployment."""
    app = stepwell.App("shop", dev=False)

    @app.function(on="never")
    async def square(ctx: stepwell.Context) -> int:
        return int(ctx.event.data["n"]) ** 2

    @app.function(on="order/created")
    async def fulfil(ctx: stepwell.Context) -> int:
        await ctx.step.send_event("tell", stepwell.Event(name="mail/send", data={}))
        return await ctx.step.invoke("square", function=square, data={"n": 12})

    @app.function(on="mail/send")
    def mail(ctx: stepwell.SyncContext) -> str:
        return ctx.step.run("send", lambda: "sent")

    account.register("shop-functions", app)
    account.send({"name": "order/created", "data": {}})
    account.work()
    outputs = {run["function_id"]: run["output"] for run in account.runs()}
    assert outputs == {"shop-fulfil": 144, "shop-square": 144, "shop-mail": "sent"}


@pytest.mark.parametrize("is_lost", [False, True], ids=["comes back", "is lost"])
def test_a_dead_queue_function_loses_nothing(account: Account, is_lost: bool):
    """A run whose worker stops in the middle of a call goes on within two minutes, by its message or by the sweep."""
    account.register("shop-functions", a_shop())
    account.send({"name": "order/created", "data": {"n": 1}})
    account.deliver(account.batch())
    event = account.batch()
    with stopped(account, event):
        if is_lost:
            # Another worker gets a copy, finds the run being driven, and the message goes with the copy.
            assert account.deliver(event) == set()
            [record] = event["Records"]
            account.bed.clients["sqs"].client.delete_message(
                QueueUrl=account.bed.names.queue_url, ReceiptHandle=record["receiptHandle"]
            )
        assert trace(account) == []
        for _ in range(2):
            account.advance(59_000)
            if is_lost:
                account.sweep({}, context("sweep", 60_000))
            account.work()
        assert trace(account) == [("price", "Completed", 1), ("cool-off", "Sleeping", 1)]
    # What it does when it wakes up after all changes nothing.
    assert trace(account) == [("price", "Completed", 1), ("cool-off", "Sleeping", 1)]


def trace(account: Account) -> list[tuple[str, str, int]]:
    """The steps of the only run."""
    rows = account.request("GET", f"/v1/runs/{account.run()['run_id']}/trace")[1]["data"]
    return [(row["name"], row["status"], row["attempts"]) for row in rows]


@contextmanager
def stopped(account: Account, event: Any) -> Iterator[None]:
    """Has the queue function stand still in the call that comes of ``event`` for as long as the block runs."""
    reached, go_on = threading.Event(), threading.Event()

    def stand_still() -> None:
        reached.set()
        go_on.wait(3_600)

    account.lambdas.before_call = stand_still
    still = account.queue
    account.queue = account.queue_function()
    worker = threading.Thread(target=still, args=(event, context("queue", 900_000)))
    worker.start()
    reached.wait(3_600)
    account.lambdas.before_call = None
    try:
        yield
    finally:
        go_on.set()
        worker.join()
        still.close()


def test_a_throttled_function_fails_no_run(account: Account, monkeypatch: pytest.MonkeyPatch):
    """A function that Lambda throttles for long is called when it may be, without having used up an attempt."""
    monkeypatch.setattr("stepwell_orchestrator.aws.invoke_lambda.THROTTLED_AGAIN_MS", ())
    app = stepwell.App("shop", dev=False)

    @app.function(on="order/created", retries=0)
    async def fulfil(ctx: stepwell.Context) -> int:
        return ctx.attempt

    account.register("shop-functions", app)
    account.send({"name": "order/created", "data": {}})

    def throttled() -> None:
        raise ClientError({"Error": {"Code": "TooManyRequestsException", "Message": "Rate Exceeded."}}, "Invoke")

    account.lambdas.before_call = throttled
    account.advance(5 * 60_000)
    assert account.run()["status"] == "Running"
    account.lambdas.before_call = None
    account.advance(60_000)
    assert (account.run()["status"], account.run()["output"]) == ("Completed", 0)


def test_a_function_that_is_gone_ends_its_runs(account: Account):
    """Runs of a Lambda function that was deleted fail after their attempts, with what to do, instead of for ever."""
    account.register("shop-functions", a_shop())
    del account.lambdas.apps["shop-functions"]
    account.send({"name": "order/created", "data": {"n": 1}})
    account.advance(60 * 60_000)
    run = account.run()
    assert run["status"] == "Failed"
    assert "shop-functions does not exist; deploy it and sync the app" in run["output"]["message"]


@pytest.fixture
def environment(account: Account, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The environment as the stack makes it; clients are botocore's own."""
    names = account.bed.names
    variables = {
        "AWS_REGION": strict.REGION,
        "AWS_DEFAULT_REGION": strict.REGION,
        "AWS_ACCESS_KEY_ID": "made-up",
        "AWS_SECRET_ACCESS_KEY": "made-up",
        "STEPWELL_TABLE_NAME": names.table,
        "STEPWELL_PAYLOAD_BUCKET": names.bucket,
        "STEPWELL_QUEUE_URL": names.queue_url,
        "STEPWELL_QUEUE_ARN": names.queue_arn,
        "STEPWELL_DEAD_LETTER_QUEUE_URL": names.dead_letter_queue_url,
        "STEPWELL_DEAD_LETTER_QUEUE_ARN": names.dead_letter_queue_arn,
        "STEPWELL_SCHEDULE_GROUP": names.schedule_group,
        "STEPWELL_SCHEDULE_ROLE_ARN": names.schedule_role_arn,
        "STEPWELL_EVENT_KEY_SECRET_ARN": account.settings.event_key_secret,
        "STEPWELL_SIGNING_KEY_SECRET_ARN": account.settings.signing_key_secret,
        "STEPWELL_LOG_LEVEL": "WARN",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    level = logging.getLogger("stepwell").level
    this_process.cache_clear()
    yield
    this_process.cache_clear()
    logging.getLogger("stepwell").setLevel(level)


@pytest.mark.usefixtures("environment")
def test_the_handlers_of_the_template_work_from_their_environment(account: Account):
    """Each handler, imported anew as Lambda does, makes all it needs of its environment and answers its event."""
    handlers = {name: fresh(name) for name in ("api", "queue", "sweep", "sync")}
    try:
        account.api, account.queue, account.sweep, account.sync = handlers.values()
        account.send({"name": "nobody/listens", "data": {}})
        assert account.work() == 1
        assert account.sweep({}, context("sweep", 60_000)) == {"runs": 0, "redriven": 0}
        assert account.sync({}, context("sync", 60_000))["ok"] is False
        assert account.runs() == []
    finally:
        for handler in handlers.values():
            handler.close()


def fresh(name: str) -> Any:
    """The handler of a module that is imported anew."""
    spec = importlib.util.find_spec(f"stepwell_orchestrator.entry.{name}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.handler
