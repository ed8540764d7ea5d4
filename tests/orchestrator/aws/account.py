"""A whole deployment on moto, and around it what AWS does by itself: handing messages to the queue function, firing
schedules, invoking functions, all on a clock that only tests turn.

Every function runs by its real handler. What is not real: Lambda, which is this process, and time.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, cached_property
from queue import Empty, SimpleQueue
from threading import Lock
from types import SimpleNamespace
from typing import Any, Final

import boto3
import pytest
from botocore.exceptions import ClientError

import stepwell
import stepwell.aws
from stepwell.serving.lambda_handler import LambdaHandler
from stepwell.wire.checkpoint import Checkpoint
from stepwell.wire.encoding import encode
from stepwell.wire.signing import hash_signing_key
from stepwell_orchestrator.aws.clients import Clients
from stepwell_orchestrator.aws.service import Carry, inline
from stepwell_orchestrator.entry.api import serving
from stepwell_orchestrator.entry.aws.assemble import Deployment
from stepwell_orchestrator.entry.aws.function import LambdaFunction
from stepwell_orchestrator.entry.aws.settings import DeployedSettings
from stepwell_orchestrator.entry.queue import Batches
from stepwell_orchestrator.entry.sweep import sweeping
from stepwell_orchestrator.entry.sync import Registration
from tests.orchestrator.aws import strict
from tests.orchestrator.aws.bed import Bed, a_bed

EVENT_KEY: Final = "event-key"
SIGNING_KEY: Final = "signkey-prod-00112233445566778899aabbccddeeff"
QUEUE_FUNCTION_MS: Final = 900_000
SYNC_FUNCTION_MS: Final = 60_000
APP_FUNCTION_MS: Final = 900_000
"""Of real time, by which apps go: enough for a busy machine."""
BATCH_MAX: Final = 10
ROUNDS_MAX: Final = 2_000


def get(path: str, **headers: str) -> dict[str, Any]:
    """A GET as a function URL gives it, with the right bearer."""
    return {
        "version": "2.0",
        "rawPath": path.partition("?")[0],
        "rawQueryString": path.partition("?")[2],
        "headers": {"authorization": f"Bearer {hash_signing_key(SIGNING_KEY)}", **headers},
        "requestContext": {"http": {"method": "GET", "path": path.partition("?")[0], "sourceIp": "1.2.3.4"}},
        "isBase64Encoded": False,
    }


def context(name: str, ms: int) -> Any:
    """What Lambda hands a handler beside the event."""
    return SimpleNamespace(function_name=name, get_remaining_time_in_millis=lambda: ms)


class Lambdas:
    """Lambda's Invoke for apps, by function name; a sandbox serves one call at a time, and there is always one more."""

    def __init__(self) -> None:
        self.apps: dict[str, stepwell.App] = {}
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.before_call: Callable[[], None] | None = None
        self._idle: dict[str, SimpleQueue[LambdaHandler]] = defaultdict(SimpleQueue)

    def deploy(self, name: str, app: stepwell.App) -> None:
        """Make an app the code of a function; its sandboxes of before are gone."""
        self.apps[name] = app
        self.close()

    def invoke(self, *, FunctionName: str, Payload: bytes, **_: Any) -> dict[str, Any]:  # noqa: N803 - boto3's names
        event = json.loads(Payload)
        self.calls.append((FunctionName, event))
        if self.before_call is not None:
            self.before_call()
        if FunctionName not in self.apps:
            error = {"Code": "ResourceNotFoundException", "Message": f"Function not found: {FunctionName}"}
            raise ClientError({"Error": error}, "Invoke")
        try:
            handler = self._idle[FunctionName].get_nowait()
        except Empty:
            handler = stepwell.aws.handler(self.apps[FunctionName])
        try:
            answer = {
                "Payload": io.BytesIO(json.dumps(handler(event, context(FunctionName, APP_FUNCTION_MS))).encode())
            }
        except Exception as error:  # noqa: BLE001 - what a function raises is told, as Lambda does
            told = {"errorType": type(error).__name__, "errorMessage": str(error)}
            answer = {"FunctionError": "Unhandled", "Payload": io.BytesIO(json.dumps(told).encode())}
        self._idle[FunctionName].put(handler)
        return {"StatusCode": 200, **answer}

    def close(self) -> None:
        for idle in self._idle.values():
            while not idle.empty():
                idle.get().close()


@dataclass
class Account:
    """One deployment with its functions. ``register`` deploys an app beside it."""

    bed: Bed
    settings: DeployedSettings
    lambdas: Lambdas = field(default_factory=Lambdas)
    answers: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """What CloudFormation was answered."""

    def __post_init__(self) -> None:
        self._seeds = random.Random(7)
        self._api_lock = Lock()
        self._runner = asyncio.Runner()
        self.api = LambdaHandler(lambda: serving(self.deployment()))
        self.queue = self.queue_function()
        self.sweep = LambdaFunction(lambda: sweeping(self.deployment()))
        self.sync = LambdaFunction(lambda: Registration(self.deployment, self._answered).handle)

    def queue_function(self) -> LambdaFunction:
        """Another environment of the queue function."""
        return LambdaFunction(lambda: Batches(self.deployment()).handle)

    def deployment(self) -> Deployment:
        """Another process."""
        entropy = random.Random(self._seeds.random()).randbytes
        return Deployment(self.settings, _ClientsInPlace(self._client), clock=self.bed.clock, entropy=entropy)

    def register(self, name: str, app: stepwell.App) -> dict[str, Any]:
        """Deploy an app as a Lambda function and register it."""
        self.lambdas.deploy(name, app)
        app.transport = _ThroughApi(self)
        answer = self.sync({"action": "sync", "function": name}, context("sync", SYNC_FUNCTION_MS))
        assert answer["ok"], answer
        return answer

    def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        query: str = "",
        headers: Mapping[str, str] | None = None,
        bearer: str | None = hash_signing_key(SIGNING_KEY),
    ) -> tuple[int, Any]:
        """Ask the API through its function URL; status and JSON."""
        auth = {} if bearer is None else {"authorization": f"Bearer {bearer}"}
        event = {
            "version": "2.0",
            "rawPath": path,
            "rawQueryString": query,
            "headers": {"host": "x.lambda-url.eu-west-1.on.aws", **auth, **(headers or {})},
            "requestContext": {"http": {"method": method, "path": path, "sourceIp": "1.2.3.4"}, "stage": "$default"},
            "body": base64.b64encode(body).decode(),
            "isBase64Encoded": True,
        }
        with self._api_lock:
            answer = self.api(event, context("api", 30_000))
        text = base64.b64decode(answer["body"]) if answer.get("isBase64Encoded") else answer["body"]
        try:
            return answer["statusCode"], json.loads(text)
        except ValueError:
            return answer["statusCode"], text

    def send(self, *events: Mapping[str, Any]) -> list[str]:
        """Send events; their ids."""
        status, answer = self.request("POST", f"/e/{EVENT_KEY}", encode(list(events)), bearer=None)
        assert status == 200, answer
        return list(answer["ids"])

    def runs(self) -> list[dict[str, Any]]:
        """All runs, as the API lists them."""
        return list(self.request("GET", "/v1/runs")[1]["data"])

    def run(self) -> dict[str, Any]:
        """The only run."""
        [run] = self.runs()
        return dict(run)

    def batch(self, most: int = BATCH_MAX) -> dict[str, Any] | None:
        """What the event source mapping would hand over now: one event, or nothing."""
        received = self.bed.clients["sqs"].client.receive_message(
            QueueUrl=self.bed.names.queue_url,
            MaxNumberOfMessages=most,
            MessageSystemAttributeNames=["All"],
            VisibilityTimeout=960,
        )
        messages = received.get("Messages", ())
        return {"Records": [_record(message) for message in messages]} if messages else None

    def deliver(self, event: Mapping[str, Any], ms: int = QUEUE_FUNCTION_MS) -> set[str]:
        """Have the queue function work on an event, and delete what it did not report; the ids of what it did."""
        answer = self.queue(event, context("queue", ms))
        failed = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
        for record in event["Records"]:
            if record["messageId"] not in failed:
                self.bed.clients["sqs"].client.delete_message(
                    QueueUrl=self.bed.names.queue_url, ReceiptHandle=record["receiptHandle"]
                )
        return failed

    def work(self, ms: int = QUEUE_FUNCTION_MS) -> int:
        """Deliver what is visible until nothing is; how many messages."""
        count = 0
        for _ in range(ROUNDS_MAX):
            event = self.batch()
            if event is None:
                return count
            self.deliver(event, ms)
            count += len(event["Records"])
        raise AssertionError(f"the queue never comes to rest; {count} messages so far")

    def advance(self, ms: int) -> None:
        """Let time pass: schedules fire and messages appear at their times, and are worked on."""
        until_ms = self.bed.clock.now_ms() + ms
        self.work()
        while (at_ms := self.bed.next_at_ms()) is not None and at_ms <= until_ms:
            self._turn_to(at_ms)
            for fired in self.bed.fire_schedules(at_ms):
                self.bed.clients["sqs"].client.send_message(
                    QueueUrl=self.bed.names.queue_url, MessageBody=fired.target["Input"]
                )
            self.work()
        self._turn_to(until_ms)

    def put_secret(self, arn: str, value: str) -> None:
        """Change a key."""
        _secrets().put_secret_value(SecretId=arn, SecretString=value)

    def forget_previous_secret(self, arn: str) -> None:
        """End the key that was in force before the last change."""
        before = _secrets().get_secret_value(SecretId=arn, VersionStage="AWSPREVIOUS")["VersionId"]
        _secrets().update_secret_version_stage(SecretId=arn, VersionStage="AWSPREVIOUS", RemoveFromVersionId=before)

    def close(self) -> None:
        """End all loops."""
        for one in (self.api, self.queue, self.sweep, self.sync, self.lambdas, self._runner):
            one.close()

    def _turn_to(self, at_ms: int) -> None:
        clock = self.bed.clock
        self._runner.run(clock.advance(max(at_ms - clock.now_ms(), 0)))

    def _client(self, name: str, _options: Mapping[str, Any]) -> Any:
        match name:
            case "lambda":
                return self.lambdas
            case "secretsmanager":
                return _secrets()
            case "s3":
                # The deployment reads objects whole by itself.
                return self.bed.s3.client.client
            case _:
                return self.bed.clients[name]

    def _answered(self, url: str, body: bytes) -> None:
        self.answers.append((url, json.loads(body)))


class _ClientsInPlace(Clients):
    """Clients whose calls are made where they are asked for, except of functions, which have event loops of their own.

    A clock that is turned does not wait for threads: a call that was cancelled would be made in another time.
    """

    @cached_property
    def _carry(self) -> Carry:
        return inline


@dataclass(frozen=True)
class _ThroughApi:
    """How an app of this account sends: through the function URL, as it would over HTTP."""

    account: Account

    async def send_events(self, events: Any, _seed: Any) -> list[str]:
        return await asyncio.to_thread(self.account.send, *events)

    async def send_signal(self, signal: str, data: Any) -> str | None:
        body = encode({"signal": signal, "data": data})
        _, answer = await asyncio.to_thread(self.account.request, "POST", "/v1/signals", body)
        return answer.get("data", {}).get("run_id")

    async def checkpoint(self, checkpoint: Checkpoint) -> int:
        path = f"/v1/checkpoint/{checkpoint.run_id}/async"
        status, _ = await asyncio.to_thread(self.account.request, "POST", path, encode(checkpoint.encode()))
        return status


def _record(message: Mapping[str, Any]) -> dict[str, Any]:
    """A received message as Lambda gives it."""
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message["Attributes"],
        "messageAttributes": {},
        "md5OfBody": message["MD5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:eu-west-1:123456789012:work",
        "awsRegion": strict.REGION,
    }


@cache
def _secrets() -> Any:
    session = boto3.session.Session(aws_access_key_id="made-up", aws_secret_access_key="made-up")
    return session.client("secretsmanager", region_name=strict.REGION)


@contextmanager
def an_account() -> Iterator[Account]:
    """An empty deployment, gone afterwards."""
    with a_bed() as bed, pytest.MonkeyPatch.context() as patch:
        patch.setattr("moto.sqs.models.unix_time_millis", lambda: float(bed.clock.now_ms()))
        secrets = _secrets()
        arns = [
            secrets.create_secret(Name=name, SecretString=value)["ARN"]
            for name, value in (("event-key", EVENT_KEY), ("signing-key", SIGNING_KEY))
        ]
        account = Account(bed, DeployedSettings(bed.names, *arns))
        try:
            yield account
        finally:
            account.close()
            asyncio.set_event_loop(None)
