"""What deployed functions are made of: settings, clients, keys, the deadline, logs, and what an import brings."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError

from stepwell.errors import DefinitionError
from stepwell_orchestrator.aws.clients import INVOKE_TIMEOUT_MS, Clients
from stepwell_orchestrator.aws.invoke_lambda import lambda_url
from stepwell_orchestrator.aws.service import Service, inline
from stepwell_orchestrator.entry.aws.deadline import BoundedFetcher, BoundedInvoker, Deadline
from stepwell_orchestrator.entry.aws.invokers import ChoosingInvoker
from stepwell_orchestrator.entry.aws.logs import DETAIL_CHARS_MAX, about, log_notice, set_up_logs
from stepwell_orchestrator.entry.aws.secrets import CURRENT, FRESH_MS, PREVIOUS, event_keys, signing_keys
from stepwell_orchestrator.entry.aws.settings import read_deployed_settings
from stepwell_orchestrator.entry.virtual_clock import VirtualClock
from stepwell_orchestrator.errors import StoreError
from stepwell_orchestrator.model.fetch import Fetched, FetchRequest
from stepwell_orchestrator.model.notice import Notice, NoticeKind
from stepwell_orchestrator.ports import CallError, FetchError, HttpReply
from tests.adapter.test_public import loaded_by

ENVIRON = {
    "STEPWELL_TABLE_NAME": "table",
    "STEPWELL_PAYLOAD_BUCKET": "bucket",
    "STEPWELL_QUEUE_URL": "https://sqs/queue",
    "STEPWELL_QUEUE_ARN": "arn:queue",
    "STEPWELL_DEAD_LETTER_QUEUE_URL": "https://sqs/dead",
    "STEPWELL_DEAD_LETTER_QUEUE_ARN": "arn:dead",
    "STEPWELL_SCHEDULE_GROUP": "group",
    "STEPWELL_SCHEDULE_ROLE_ARN": "arn:role",
    "STEPWELL_EVENT_KEY_SECRET_ARN": "arn:event-key",
    "STEPWELL_SIGNING_KEY_SECRET_ARN": "arn:signing-key",
}
MINUTE_MS = 60_000


def test_settings_are_read_from_the_stack():
    """Names, secrets, retention and level come from the environment, the last two with defaults."""
    settings = read_deployed_settings(ENVIRON)
    assert (settings.names.table, settings.signing_key_secret) == ("table", "arn:signing-key")
    assert (settings.retention_days, settings.log_level) == (30, "INFO")
    assert settings.gateway_allow == ()
    optional = {"STEPWELL_RETENTION_DAYS": "7", "STEPWELL_LOG_LEVEL": "warn", "STEPWELL_GATEWAY_ALLOW": "a.internal, b"}
    chosen = read_deployed_settings({**ENVIRON, **optional})
    assert (chosen.retention_days, chosen.log_level, chosen.gateway_allow) == (7, "WARN", ("a.internal", "b"))


@pytest.mark.parametrize("name", sorted(ENVIRON))
def test_a_missing_setting_is_named(name: str):
    """Each variable that is missing or empty is named, with where it comes from."""
    for environ in ({**ENVIRON, name: " "}, {key: value for key, value in ENVIRON.items() if key != name}):
        with pytest.raises(DefinitionError, match=f"{name} is not set; template.yaml gives it"):
            read_deployed_settings(environ)


@pytest.mark.parametrize(
    ("name", "value"),
    [("STEPWELL_RETENTION_DAYS", value) for value in ("0", "-1", "1.5", "x", "٣")] + [("STEPWELL_LOG_LEVEL", "LOUD")],
)
def test_a_setting_that_makes_no_sense_is_named(name: str, value: str):
    """A number of days or a level that is none is refused with what to write."""
    with pytest.raises(DefinitionError, match=f'{name} is "{value}"; set it to'):
        read_deployed_settings({**ENVIRON, name: value})


async def test_clients_are_made_when_they_are_needed():
    """A client is made at its first call and only once; invocations are never repeated and outlast every function."""
    made: list[tuple[str, Mapping[str, Any]]] = []

    class Client:
        def describe_table(self, **_: Any) -> dict[str, Any]:
            return {"ok": True}

    def make(name: str, options: Mapping[str, Any]) -> Any:
        made.append((name, options))
        return Client()

    clients = Clients(make)
    dynamodb = clients.services.dynamodb
    assert made == []
    for _ in range(2):
        assert await dynamodb.call("describe_table") == {"ok": True}
    [(name, options)] = made
    assert (name, options["retries"]["mode"], options["retries"]["total_max_attempts"] > 1) == (
        "dynamodb",
        "standard",
        True,
    )
    with pytest.raises(AttributeError):
        await clients.functions.call("invoke")
    name, options = made[-1]
    assert (name, options["retries"]) == ("lambda", {"total_max_attempts": 1})
    assert options["read_timeout"] * 1000 == INVOKE_TIMEOUT_MS > 15 * MINUTE_MS


async def test_real_clients_have_the_options(monkeypatch: pytest.MonkeyPatch):
    """The options are ones that botocore takes: calls reach its client, which has them."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    configs: list[Any] = []

    def made(self: Any, operation: str, parameters: Any) -> dict[str, Any]:
        configs.append(self.meta.config)
        return {"Payload": io.BytesIO(b""), "SecretString": ""}

    monkeypatch.setattr("botocore.client.BaseClient._make_api_call", made)
    clients = Clients()
    await clients.secrets.call("get_secret_value", SecretId="key")
    await clients.functions.call("invoke", FunctionName="shop")
    assert [config.read_timeout for config in configs] == [15, INVOKE_TIMEOUT_MS / 1000]
    assert [config.retries["total_max_attempts"] for config in configs] == [4, 1]


class FakeSecrets:
    """Secrets Manager with one secret, as it is and as it was before: a text, or the code of an error."""

    def __init__(self, text: str, before: str = "ResourceNotFoundException") -> None:
        self.texts = {CURRENT: text, PREVIOUS: before}
        self.reads: list[str] = []

    def get_secret_value(self, *, SecretId: str, VersionStage: str) -> dict[str, Any]:  # noqa: N803 - boto3's names
        self.reads.append(VersionStage)
        text = self.texts[VersionStage]
        if text.endswith(("Exception", "Error")):
            raise ClientError({"Error": {"Code": text, "Message": "away"}}, "GetSecretValue")
        return {"SecretString": text}


AWAY = "InternalServiceError"


async def test_keys_are_read_every_few_minutes(caplog: pytest.LogCaptureFixture):
    """Keys are read once and again after a while; those in use survive a failure, which is looked at sooner."""
    clock, secrets = VirtualClock(), FakeSecrets("one, two ,")
    keys = event_keys(Service("secretsmanager", secrets, inline), clock, "arn")
    held = keys.values
    for _ in range(3):
        await keys.refresh()
    assert (held, secrets.reads) == (["one", "two"], [CURRENT, PREVIOUS])
    secrets.texts[CURRENT] = AWAY
    await clock.advance(FRESH_MS)
    for _ in range(3):
        await keys.refresh()
    assert (held, secrets.reads[2:]) == (["one", "two"], [CURRENT])
    assert "the keys in use are kept" in caplog.text
    secrets.texts[CURRENT] = "three"
    await clock.advance(MINUTE_MS)
    await keys.refresh()
    assert (held, secrets.reads[3:]) == (["three"], [CURRENT, PREVIOUS])


@pytest.mark.parametrize(
    ("text", "before", "values"),
    [
        ("new", "old", ["new", "old"]),
        ("new, old", "old", ["new", "old"]),
        ("new", "old, older", ["new", "old", "older"]),
        ("new", "", ["new"]),
    ],
)
async def test_the_value_before_is_still_accepted(text: str, before: str, values: list[str]):
    """What a secret held before its last change is accepted too, after what it holds now, each key once."""
    keys = event_keys(Service("secretsmanager", FakeSecrets(text, before), inline), VirtualClock(), "arn")
    await keys.refresh()
    assert keys.values == values


async def test_a_value_before_that_was_no_key_is_passed_over():
    """A mistake that was put right does not keep the right key from being used."""
    secrets = FakeSecrets("00ff", "s3cret!, 11ee")
    keys = signing_keys(Service("secretsmanager", secrets, inline), VirtualClock(), "arn")
    await keys.refresh()
    assert keys.values == ["00ff", "11ee"]


async def test_a_change_between_the_two_reads_hides_no_key():
    """The value in force until a change is accepted whenever the change happens."""

    class Changing(FakeSecrets):
        def get_secret_value(self, **asked: Any) -> dict[str, Any]:
            answer = super().get_secret_value(**asked)
            self.texts = {CURRENT: "new", PREVIOUS: "old"}
            return answer

    keys = event_keys(Service("secretsmanager", Changing("old", "older"), inline), VirtualClock(), "arn")
    await keys.refresh()
    assert "old" in keys.values


@pytest.mark.parametrize(
    ("text", "before", "problem"),
    [
        (AWAY, "00ff", AWAY),
        ("00ff", AWAY, AWAY),
        ("", "00ff", "the secret arn holds no key"),
        (" , ", "00ff", "the secret arn holds no key"),
        ("signkey-prod-00ff,s3cret!", "00ff", "key 2 of 2: a signing key must look like signkey-<env>-<hexadecimal>"),
    ],
)
async def test_keys_that_are_none_are_refused(text: str, before: str, problem: str):
    """Without keys there is an error that names the secret and shows no key: an open server is worse than none."""
    keys = signing_keys(Service("secretsmanager", FakeSecrets(text, before), inline), VirtualClock(), "arn")
    with pytest.raises(StoreError) as failure:
        await keys.refresh()
    assert problem in str(failure.value)
    assert "s3cret" not in str(failure.value)
    assert keys.values == []


async def test_an_event_key_may_hold_anything_that_a_path_can_carry():
    """A key with slashes is one; one that clients would take for a folder is refused where it is read."""
    keys = event_keys(Service("secretsmanager", FakeSecrets("Zm9v/YmFy+=", "a?b"), inline), VirtualClock(), "arn")
    await keys.refresh()
    assert keys.values == ["Zm9v/YmFy+=", "a?b"]
    keys = event_keys(Service("secretsmanager", FakeSecrets("a, ..", "b"), inline), VirtualClock(), "arn")
    with pytest.raises(StoreError, match=r'key 2 of 2: an event key cannot be "\.\."'):
        await keys.refresh()


class FakeInvoker:
    """Answers with its name, or never."""

    def __init__(self, name: bytes, *, never: bool = False) -> None:
        self.name = name
        self.never = never

    def body_bytes_max(self, url: str) -> int | None:
        return len(self.name)

    async def call(self, url: str, headers: Mapping[str, str], body: bytes) -> HttpReply:
        if self.never:
            await asyncio.Event().wait()
        return HttpReply(200, {}, self.name)

    async def request(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> HttpReply:
        return HttpReply(201, {}, self.name)


async def test_each_url_is_called_its_way():
    """Functions are invoked, everything else is called over HTTP."""
    invoker = ChoosingInvoker(FakeInvoker(b"lambda"), FakeInvoker(b"web"))
    for url, name in ((lambda_url("shop", "/api"), b"lambda"), ("https://shop.example/api", b"web")):
        assert (await invoker.call(url, {}, b"")).body == name
        assert (await invoker.request("PUT", url, {}, b"")).body == name
        assert invoker.body_bytes_max(url) == len(name)


async def test_a_call_that_outlasts_its_caller_has_failed():
    """A call ends as a failed one before Lambda ends its caller, and calls are begun in the first third only."""
    clock = VirtualClock()
    deadline = Deadline(clock)
    invoker = BoundedInvoker(FakeInvoker(b"never", never=True), deadline)
    assert deadline.stops_at_ms() is None
    deadline.begin(900_000)
    assert deadline.stops_at_ms() == clock.now_ms() + 300_000
    calling = asyncio.create_task(invoker.call("lambda://shop/", {}, b""))
    await clock.advance(879_999)
    assert not calling.done()
    await clock.advance(1)
    with pytest.raises(CallError, match="give it a timeout below 10 minutes"):
        await calling
    assert invoker.body_bytes_max("lambda://shop/") == 5


async def test_an_invocation_is_answered_before_it_is_killed():
    """What is still under way four seconds before the end of fifteen minutes is waited for no longer."""
    clock = VirtualClock()
    deadline = Deadline(clock)

    async def wait() -> None:
        async with deadline.alive():
            await asyncio.Event().wait()

    before = asyncio.create_task(wait())
    await clock.advance(0)
    deadline.begin(900_000)
    waiting = asyncio.create_task(wait())
    await clock.advance(895_999)
    assert not waiting.done()
    await clock.advance(1)
    with pytest.raises(TimeoutError):
        await waiting
    # What began before the invocation has all the time in the world.
    await clock.advance(900_000)
    assert before.cancel()


async def test_an_answer_in_time_leaves_nothing_behind():
    """A call that comes back in time is answered, and no alarm outlives it."""
    clock = VirtualClock()
    deadline = Deadline(clock)
    deadline.begin(900_000)
    assert (await BoundedInvoker(FakeInvoker(b"shop"), deadline).call("lambda://shop/", {}, b"")).body == b"shop"
    await clock.advance(0)
    assert clock.next_at_ms() is None


async def test_a_request_of_a_step_that_outlasts_its_caller_has_failed():
    """A request is given up before Lambda ends its caller, and the error tells neither key nor query."""
    clock = VirtualClock()
    deadline = Deadline(clock)

    class Hanging:
        async def fetch(self, request: FetchRequest) -> Fetched:
            await clock.advance(880_000)
            raise AssertionError("it never replies")

    fetcher = BoundedFetcher(Hanging(), deadline)
    deadline.begin(900_000)
    with pytest.raises(FetchError) as caught:
        await fetcher.fetch(FetchRequest("run", "step", 0, "GET", "https://api.test/x?key=secret"))
    assert str(caught.value) == "https://api.test/x did not reply while this server could wait for it"
    assert not caught.value.final


async def test_a_timeout_within_a_call_is_its_own():
    """A TimeoutError of the call itself is not taken for the end of the invocation."""

    class TimingOut(FakeInvoker):
        async def call(self, url: str, headers: Mapping[str, str], body: bytes) -> HttpReply:
            raise TimeoutError("mine")

    deadline = Deadline(VirtualClock())
    deadline.begin(900_000)
    with pytest.raises(TimeoutError, match="mine"):
        await BoundedInvoker(TimingOut(b""), deadline).call("lambda://shop/", {}, b"")


def test_a_step_that_goes_well_is_logged_for_debugging_only(caplog: pytest.LogCaptureFixture):
    """Calls and finished steps are DEBUG lines, which cost nothing by default; ends and failures are INFO."""
    with caplog.at_level(logging.DEBUG, "stepwell"):
        for kind in (NoticeKind.CALLED, NoticeKind.STEP_COMPLETED, NoticeKind.STEP_FAILED, NoticeKind.RUN_COMPLETED):
            log_notice(Notice(1, kind, "run-2", "shop-a"))
    assert [record.levelno for record in caplog.records] == [logging.DEBUG] * 2 + [logging.INFO] * 2


def test_lines_say_which_run_they_are_about(caplog: pytest.LogCaptureFixture):
    """A notice is a line with its members, whatever else is logged meanwhile has the run's, and errors are cut."""
    logger = logging.getLogger("stepwell")
    before = logger.level
    try:
        set_up_logs("INFO")
        set_up_logs("INFO")
        with about(run_id="run-1", event_id=None), about(item="item-1"):
            logger.warning("inside")
            log_notice(Notice(1, NoticeKind.STEP_FAILED, "run-2", "shop-a", "charge", attempt=1, detail="x" * 2_000))
        logger.warning("outside")
    finally:
        logger.setLevel(before)
    inside, told, outside = caplog.records
    assert (inside.run_id, inside.item, hasattr(inside, "event_id")) == ("run-1", "item-1", False)
    assert (told.getMessage(), told.run_id, told.function_id, told.subject) == (
        "step failed",
        "run-2",
        "shop-a",
        "charge",
    )
    assert (told.attempt, len(told.detail), hasattr(told, "due_at_ms")) == (1, DETAIL_CHARS_MAX, False)
    assert not hasattr(outside, "run_id")


HEAVY = {
    "queue": ("fastapi", "mangum", "starlette", "pydantic", "celpy", "aiohttp", "boto3", "botocore", "stepwell.app"),
    "sweep": ("fastapi", "mangum", "starlette", "pydantic", "celpy", "aiohttp", "boto3", "botocore", "stepwell.app"),
    "sync": ("fastapi", "mangum", "starlette", "celpy", "aiohttp", "boto3", "botocore", "stepwell.app"),
    "api": ("celpy", "aiohttp", "boto3", "botocore", "stepwell.app"),
}


@pytest.mark.parametrize("function", sorted(HEAVY))
def test_importing_a_function_is_light(function: str):
    """The import of a handler brings nothing that only some of its invocations need, or that others need."""
    loaded = loaded_by(f"import stepwell_orchestrator.entry.{function}")
    assert not {name for name in loaded if name.startswith(HEAVY[function])}
    # What a cold start pays for, as a count: the time is in the documentation.
    assert len(loaded) < (465 if function == "sync" else 440)
