"""A deployment in this process, counted.

Its functions run by their handlers, its table and bucket are moto's, its queue goes by a clock that only the rehearsal
turns, and a ledger is on every call. Calls are carried in place, one at a time, and give way to each other before each:
the items of a batch go side by side, in an order that is the same every time.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from typing import Any, Final

from stepwell.authoring.app import App
from stepwell.errors import DefinitionError
from stepwell.serving.lambda_handler import LambdaHandler
from stepwell.wire.encoding import encode
from stepwell.wire.signing import hash_signing_key
from stepwell_orchestrator.aws.attribute_values import Item, Key
from stepwell_orchestrator.aws.backend import Names, Services
from stepwell_orchestrator.aws.clients import Clients
from stepwell_orchestrator.aws.imitated_clients import REGION, imitated_client
from stepwell_orchestrator.aws.payloads.blobs import WholeObjects
from stepwell_orchestrator.aws.service import Service
from stepwell_orchestrator.aws.table import table
from stepwell_orchestrator.costing.bill import FIRED, Work
from stepwell_orchestrator.costing.durations import Invocation
from stepwell_orchestrator.costing.ledger import Ledger, Usage, queue_usage
from stepwell_orchestrator.entry.api import serving
from stepwell_orchestrator.entry.aws.assemble import Deployment
from stepwell_orchestrator.entry.aws.function import LambdaFunction
from stepwell_orchestrator.entry.aws.settings import DeployedSettings
from stepwell_orchestrator.entry.queue import Batches
from stepwell_orchestrator.entry.rehearsal.log_bytes import LogBytes, counted_logs
from stepwell_orchestrator.entry.rehearsal.stand_ins import (
    Message,
    StandInLambda,
    StandInQueue,
    StandInScheduler,
    StandInSecrets,
    StandInTransport,
    lambda_context,
)
from stepwell_orchestrator.entry.sweep import sweeping
from stepwell_orchestrator.entry.sync import Registration
from stepwell_orchestrator.entry.virtual_clock import VirtualClock

BATCH_MAX: Final = 10
"""How many messages the queue function is handed at most, as the stack has it."""
_QUEUE_FUNCTION_MS: Final = 900_000
_FUNCTION_MS: Final = 60_000
_ROUNDS_MAX: Final = 10_000
_numbers = itertools.count(1)
"""Rehearsals may stand side by side."""
_ACCOUNT: Final = "123456789012"
_EVENT_KEY: Final = "event-key"
_SECRETS: Final = {"event": _EVENT_KEY, "signing": "signkey-prod-00112233445566778899aabbccddeeff"}


class Rehearsal:
    """A deployment with apps, by the names of their functions. ``take`` says what was done."""

    def __init__(self, apps: Mapping[str, App], logs: LogBytes) -> None:
        self.clock = VirtualClock()
        self.queue = StandInQueue(self.clock)
        self.scheduler = StandInScheduler()
        self._logs = logs
        self.apps_lambda = StandInLambda(apps)
        self.database = imitated_client("dynamodb")
        self.bucket = imitated_client("s3")
        self._names = self._made()
        self.ledger = Ledger(self._look)
        self._entropy = random.Random(self._names.table)  # noqa: S311 - it tells writes apart
        self._done = Work({})
        self._saves = self._save_calls = 0
        self._api = LambdaHandler(lambda: serving(self.deployment()))
        self._queue_function = LambdaFunction(lambda: Batches(self.deployment()).handle)
        self._sweep = LambdaFunction(lambda: sweeping(self.deployment()))
        self._sync = LambdaFunction(lambda: Registration(self.deployment, lambda _url, _body: None).handle)
        self._turner = asyncio.Runner()
        for name, app in apps.items():
            app.transport = StandInTransport(self.save)
            answer = self._sync({"action": "sync", "function": name}, lambda_context("sync", _FUNCTION_MS))
            assert answer["ok"], answer
        self.take()

    def deployment(self) -> Deployment:
        """Another process of the deployment."""
        settings = DeployedSettings(self._names, "event", "signing")
        return Deployment(settings, _Metered(self), clock=self.clock, entropy=self._entropy.randbytes)

    def take(self) -> Work:
        """What was done since the last time."""
        done, self._done = self._done.plus(Work(self.ledger.take(), log_bytes=self._logs.count)), Work({})
        self._logs.count = 0
        return done

    def send(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Send events to the function URL, one a request."""
        for event in events:
            request = _request(f"/e/{_EVENT_KEY}", encode(event).decode())
            answer = self._counted("api", 1, partial(self._api, request, lambda_context("api", _FUNCTION_MS)))
            assert answer["statusCode"] == 200, answer

    def deliver(self, most: int = BATCH_MAX) -> int:
        """Have the queue function work on up to ``most`` visible messages. Returns how many there were."""
        messages = self.queue.receive(most)
        if not messages:
            return 0
        event = {"Records": [_record(message) for message in messages]}
        context = lambda_context("queue", _QUEUE_FUNCTION_MS)
        answer = self._counted("queue", len(messages), lambda: self._queue_function(event, context))
        self.queue.begin_chain()
        assert answer["batchItemFailures"] == [], answer
        data_bytes = sum(len(message.body.encode()) for message in messages)
        self.ledger.add("sqs", "receive_message", Usage(requests=1) + queue_usage(data_bytes))
        self.ledger.add("sqs", "delete_message_batch", Usage(requests=1) + queue_usage(0))
        return len(messages)

    def work(self, most: int = BATCH_MAX) -> int:
        """Deliver what is visible, ``most`` at a time, until nothing is. Returns how many messages that were."""
        count = 0
        for _ in range(_ROUNDS_MAX):
            delivered = self.deliver(most)
            if not delivered:
                return count
            count += delivered
        raise AssertionError(f"the queue never comes to rest; {count} messages so far")

    def advance(self, duration_ms: int, most: int = BATCH_MAX) -> None:
        """Let time pass: schedules fire and messages appear at their times, and are worked on."""
        until_ms = self.clock.now_ms() + duration_ms
        self.work(most)
        while (at_ms := self._next_at_ms()) is not None and at_ms <= until_ms:
            self._turn_to(at_ms)
            for body in self.scheduler.fire(at_ms):
                self.queue.put(body)
                self.ledger.add("scheduler", FIRED, Usage(requests=1))
            self.work(most)
        self._turn_to(until_ms)

    def sweep(self) -> None:
        """Have the sweep function work once."""
        self._counted("sweep", 1, lambda: self._sweep({}, lambda_context("sweep", _FUNCTION_MS)))

    def save(self, path: str, body: str) -> int:
        """Have the API take what an app posts in the middle of its call, and count that as the API's.

        Returns the HTTP status.
        """
        until_now = self.ledger.take()
        context = lambda_context("api", _FUNCTION_MS)
        status: int = self._api(_request(path, body, hash_signing_key(_SECRETS["signing"])), context)["statusCode"]
        did = Work(self.ledger.take())
        for (service, operation), usage in until_now.items():
            self.ledger.add(service, operation, usage)
        calls = int(did.total().requests)
        self._saves, self._save_calls = self._saves + 1, self._save_calls + calls
        self._done = self._done.plus(Work(did.usages, ((Invocation("api", 1, calls), 1.0),)))
        return status

    def close(self) -> None:
        """End all loops."""
        for one in (self._api, self._queue_function, self._sweep, self._sync, self.apps_lambda, self._turner):
            one.close()

    def _counted(self, function: str, items: int, invoke: Callable[[], Any]) -> Any:
        """Invoke a function, and keep what it did."""
        self._done = self._done.plus(Work(self.ledger.take()))
        self._saves = self._save_calls = 0
        answer = invoke()
        did = Work(self.ledger.take())
        app_calls = int(did.requests("lambda", "invoke"))
        calls = int(did.total().requests) - app_calls
        saves, save_calls = self._saves, self._save_calls
        invocations = [(Invocation(function, items, calls, app_calls, saves, save_calls), 1.0)]
        if app_calls:
            app = Invocation("app", saves=saves / app_calls, save_calls=save_calls / app_calls)
            invocations.append((app, float(app_calls)))
        self._done = self._done.plus(Work(did.usages, tuple(invocations)))
        return answer

    def _look(self, table_name: str, item: Item) -> Item | None:
        key: Key = {name: item[name] for name in (table.PK, table.SK)}
        found: Item | None = self.database.get_item(TableName=table_name, Key=key, ConsistentRead=True).get("Item")
        return found

    def _made(self) -> Names:
        name = f"rehearsal-{next(_numbers)}"
        self.database.create_table(TableName=name, **table.SCHEMA)
        self.bucket.create_bucket(Bucket=name)
        return Names(
            table=name,
            bucket=name,
            queue_url=f"https://sqs.{REGION}.amazonaws.com/{_ACCOUNT}/{name}",
            queue_arn=f"arn:aws:sqs:{REGION}:{_ACCOUNT}:{name}",
            dead_letter_queue_url=f"https://sqs.{REGION}.amazonaws.com/{_ACCOUNT}/{name}-dead",
            dead_letter_queue_arn=f"arn:aws:sqs:{REGION}:{_ACCOUNT}:{name}-dead",
            schedule_group=name,
            schedule_role_arn=f"arn:aws:iam::{_ACCOUNT}:role/{name}",
        )

    def _next_at_ms(self) -> int | None:
        times = [time for time in (self.queue.next_at_ms(), self.scheduler.next_at_ms()) if time is not None]
        return max(min(times), self.clock.now_ms()) if times else None

    def _turn_to(self, at_ms: int) -> None:
        self._turner.run(self.clock.advance(max(at_ms - self.clock.now_ms(), 0)))


class _Metered(Clients):
    """What a process of a rehearsal talks to."""

    def __init__(self, rehearsal: Rehearsal) -> None:
        super().__init__()
        self._rehearsal = rehearsal

    @cached_property
    def services(self) -> Services:
        """As in a deployment."""
        rehearsal = self._rehearsal
        return Services(
            dynamodb=self._metered("dynamodb", rehearsal.database),
            s3=self._metered("s3", WholeObjects(rehearsal.bucket)),
            sqs=self._metered("sqs", rehearsal.queue),
            scheduler=self._metered("scheduler", rehearsal.scheduler),
        )

    @cached_property
    def secrets(self) -> Service:
        """As in a deployment."""
        return self._metered("secretsmanager", StandInSecrets(_SECRETS))

    @cached_property
    def functions(self) -> Service:
        """As in a deployment."""
        return self._metered("lambda", self._rehearsal.apps_lambda)

    def _metered(self, name: str, client: Any) -> Service:
        return Service(name, client, _giving_way, self._rehearsal.ledger)


async def _giving_way(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Carries a call in place, after everybody else who has something to do has done one thing."""
    await asyncio.sleep(0)
    return work()


@contextmanager
def rehearsing(apps: Mapping[str, App], log_level: str = "INFO") -> Generator[Rehearsal]:
    """A rehearsal, gone afterwards. Raises DefinitionError when moto is not installed."""
    try:
        from moto import mock_aws
    except ImportError as error:
        raise DefinitionError(
            "a rehearsal needs the package moto, which is not installed: "
            'pip install "stepwell[aws]" "moto[dynamodb,s3]"'
        ) from error
    imitated = mock_aws(config={"core": {"mock_credentials": False, "reset_boto3_session": False}})
    with imitated, counted_logs(log_level) as logs:
        rehearsal = Rehearsal(apps, logs)
        try:
            yield rehearsal
        finally:
            rehearsal.close()


def _request(path: str, body: str, bearer: str = "") -> dict[str, Any]:
    """A POST as a function URL gives it."""
    authorization = {"authorization": f"Bearer {bearer}"} if bearer else {}
    return {
        "version": "2.0",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"host": "rehearsal.lambda-url.us-east-1.on.aws", "content-type": "application/json"}
        | authorization,
        "requestContext": {"http": {"method": "POST", "path": path, "sourceIp": "192.0.2.1"}, "stage": "$default"},
        "body": body,
        "isBase64Encoded": False,
    }


def _record(message: Message) -> dict[str, Any]:
    """A received message as Lambda gives it."""
    return {
        "messageId": str(message.number),
        "receiptHandle": str(message.number),
        "body": message.body,
        "attributes": {"ApproximateReceiveCount": "1"},
        "eventSource": "aws:sqs",
    }
