"""Registering deployed apps: what CloudFormation asks and is answered, and what is asked by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

import stepwell
from stepwell.wire import headers as names
from stepwell.wire.encoding import canonical
from stepwell.wire.signing import verify_request
from stepwell_orchestrator.aws.invoke_lambda import lambda_url
from stepwell_orchestrator.entry.aws.assemble import this_process
from stepwell_orchestrator.entry.aws.custom_resource import ResourceResult, answer, physical_id
from stepwell_orchestrator.entry.aws.function import LambdaFunction
from stepwell_orchestrator.entry.sync import Registration
from stepwell_orchestrator.ports import CallError, HttpReply
from tests.orchestrator.aws.account import SIGNING_KEY, Account, an_account, context

ARN = "arn:aws:lambda:eu-west-1:123456789012:function:shop:live"
RESPONSE_URL = "https://cloudformation-custom-resource-response.example/arn%3Aaws?X-Amz-Signature=abc"


@pytest.fixture
def account() -> Iterator[Account]:
    """A deployment beside which an app is deployed, not registered yet."""
    with an_account() as one:
        one.lambdas.deploy(ARN, an_app("shop", "fulfil", "refund"))
        yield one


def an_app(app_id: str, *functions: str) -> stepwell.App:
    app = stepwell.App(app_id, dev=False)
    for function in functions:
        app.function(id=function, on=f"{app_id}/{function}")(_nothing)
    return app


async def _nothing(ctx: stepwell.Context) -> None:
    """Do nothing."""


def resource(kind: str, *, old: Any = None, **properties: Any) -> dict[str, Any]:
    """What CloudFormation asks."""
    return {
        "RequestType": kind,
        "ResponseURL": RESPONSE_URL,
        "StackId": "arn:aws:cloudformation:eu-west-1:123456789012:stack/shop/1",
        "RequestId": f"request-{kind}",
        "LogicalResourceId": "ShopSync",
        "ResourceType": "Custom::StepwellSync",
        "ResourceProperties": {"ServiceToken": "arn", "ServiceTimeout": "120", **properties},
        **({} if kind == "Create" else {"PhysicalResourceId": "physical"}),
        **({} if old is None else {"OldResourceProperties": old}),
    }


def asked(account: Account, event: Any, ms: int = 60_000) -> dict[str, Any]:
    """What a custom resource's event is answered with."""
    account.sync(event, context("sync", ms))
    url, body = account.answers.pop()
    assert (url, account.answers) == (RESPONSE_URL, [])
    assert (body["StackId"], body["RequestId"], body["LogicalResourceId"]) == (
        event["StackId"],
        event["RequestId"],
        event["LogicalResourceId"],
    )
    assert len(json.dumps(body)) <= 4096
    return body


def functions(account: Account, app_id: str = "shop") -> set[str]:
    """The registered functions of an app."""
    status, answer = account.request("GET", f"/v1/apps/{app_id}/functions")
    return {function["id"] for function in answer["data"]} if status == 200 else set()


def test_a_deployed_app_is_registered(account: Account):
    """Creation registers every function under the ARN it is invoked by, and is answered with what was registered."""
    body = asked(account, resource("Create", FunctionArn=ARN, Version="1"))
    assert (body["Status"], body["Data"]) == ("SUCCESS", {"AppId": "shop", "Functions": 2})
    assert body["PhysicalResourceId"] == physical_id(resource("Create"))
    _, answer = account.request("GET", "/v1/apps/shop/functions")
    urls = {function["config"]["steps"][0]["uri"] for function in answer["data"]}
    base = lambda_url(ARN, "/api/stepwell")
    assert urls == {f"{base}?fnId=shop-{name}&stepId=step" for name in ("fulfil", "refund")}


def test_an_update_takes_the_functions_as_they_are(account: Account):
    """A later version registers what is new, forgets what is gone, and keeps the resource's name."""
    asked(account, resource("Create", FunctionArn=ARN, Version="1"))
    account.lambdas.deploy(ARN, an_app("shop", "fulfil", "ship"))
    body = asked(account, resource("Update", FunctionArn=ARN, Version="2", old={"FunctionArn": ARN, "Version": "1"}))
    assert (body["Status"], body["PhysicalResourceId"]) == ("SUCCESS", "physical")
    assert functions(account) == {"shop-fulfil", "shop-ship"}


def test_an_update_to_another_app_forgets_the_first(account: Account):
    """A resource that stands for another app, or for a renamed one, leaves none behind that nobody serves."""
    account.lambdas.deploy("other", an_app("other", "greet"))
    asked(account, resource("Create", FunctionArn=ARN))
    asked(account, resource("Update", FunctionName="other", old={"FunctionArn": ARN}))
    assert (functions(account), functions(account, "other")) == (set(), {"other-greet"})
    account.lambdas.deploy("other", an_app("renamed", "greet"))
    asked(account, resource("Update", FunctionName="other", old={"FunctionName": "other"}))
    assert (functions(account, "other"), functions(account, "renamed")) == (set(), {"renamed-greet"})


def test_a_deletion_forgets_the_app(account: Account):
    """Deletion forgets the app, and is a success again when there is nothing to forget."""
    asked(account, resource("Create", FunctionArn=ARN))
    for _ in range(2):
        assert asked(account, resource("Delete", FunctionArn=ARN))["Status"] == "SUCCESS"
        assert functions(account) == set()


@pytest.mark.parametrize(
    "properties", [{}, {"Url": "nonsense"}, {"FunctionArn": ARN, "Path": "x"}, {"FunctionArn": {"Ref": "x"}}]
)
def test_bad_properties_are_answered_with_what_to_write(account: Account, properties: dict[str, Any]):
    """A target that cannot be understood fails creation and update with the reason, and never a deletion."""
    for kind, status in (("Create", "FAILED"), ("Update", "FAILED"), ("Delete", "SUCCESS")):
        body = asked(account, resource(kind, **properties))
        assert body["Status"] == status
        if status == "FAILED":
            assert any(
                hint in body["Reason"] for hint in ("write it like https://", "starts with a slash", "give Func")
            )


@pytest.mark.parametrize("event", [{"ResourceProperties": None}, {"ResourceProperties": "x"}, {"RequestType": "What"}])
def test_a_strange_request_is_answered(account: Account, event: dict[str, Any]):
    """Whatever CloudFormation's event holds, it is answered."""
    assert asked(account, {**resource("Create"), **event})["Status"] == "FAILED"


def test_an_app_that_is_not_there_fails_the_stack(account: Account):
    """A function that Lambda does not know fails the creation with its name, and nothing is registered."""
    body = asked(account, resource("Create", FunctionName="nobody"))
    assert (body["Status"], body["Reason"]) == (
        "FAILED",
        "nobody does not exist; deploy it and sync the app, or cancel the run",
    )


def test_an_app_with_a_broken_function_fails_the_stack(account: Account):
    """A registration that breaks a rule is refused with the rule, and what was registered stays."""
    asked(account, resource("Create", FunctionArn=ARN))
    app = an_app("shop", "fulfil")
    app.functions["fulfil"].options["cancel"] = [{"event": "x", "if": "((("}]
    account.lambdas.deploy(ARN, app)
    body = asked(account, resource("Update", FunctionArn=ARN))
    assert body["Status"] == "FAILED"
    assert "At least one function is invalid" in body["Reason"]
    assert functions(account) == {"shop-fulfil", "shop-refund"}


def test_a_slow_app_is_told_before_the_time_is_up(account: Account):
    """An app that does not answer fails the stack in time, instead of holding it up for an hour."""
    waited_ms: list[int] = []

    class Stuck:
        async def request(self, *_: Any) -> HttpReply:
            for ms in (39_999, 1):
                await account.bed.clock.advance(ms)
                waited_ms.append(ms)
            raise AssertionError("it is waited for no longer")

    sync_through(account, Stuck())
    body = asked(account, resource("Create", FunctionArn=ARN), ms=60_000)
    assert waited_ms == [39_999]
    assert (body["Status"], body["Reason"]) == (
        "FAILED",
        "the app did not answer within 40 s; is it starting slowly, or stuck?",
    )


@pytest.mark.parametrize("broken", ["settings", "keys"])
def test_a_broken_deployment_is_answered(account: Account, broken: str):
    """Even without settings or keys CloudFormation is answered, with the reason."""
    if broken == "settings":
        this_process.cache_clear()
        account.sync = LambdaFunction(lambda: Registration(this_process, account._answered).handle)
        reason = "STEPWELL_TABLE_NAME is not set"
    else:
        object.__setattr__(account.settings, "signing_key_secret", "gone")
        reason = "secretsmanager get_secret_value: ResourceNotFoundException"
    body = asked(account, resource("Create", FunctionArn=ARN))
    assert body["Status"] == "FAILED"
    assert reason in body["Reason"]


async def test_an_answer_is_tried_again():
    """An answer that does not arrive is sent again, and one that never does is no error of the function."""
    tries: list[str] = []

    def put(url: str, body: bytes) -> None:
        tries.append(url)
        if len(tries) != 2:
            raise OSError("reset")

    await answer(resource("Create"), ResourceResult({}), put)
    assert tries == [RESPONSE_URL] * 2
    await answer(resource("Create"), ResourceResult({}), put)
    assert len(tries) == 5


def sync_through(account: Account, requester: Any) -> None:
    """Put a requester in the place of the network."""
    deployment = account.deployment()
    deployment.__dict__["invoker"] = requester
    account.sync = LambdaFunction(lambda: Registration(lambda: deployment, account._answered).handle)


class Endpoint:
    """An app over HTTP that answers as it is told, and keeps what it was asked."""

    def __init__(self, reply: HttpReply | CallError) -> None:
        self.reply = reply
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []

    async def request(self, method: str, url: str, headers: dict[str, str], body: bytes) -> HttpReply:
        self.asked.append((method, url, headers, body))
        if isinstance(self.reply, CallError):
            raise self.reply
        return self.reply


URL = "https://shop.example/api/inngest"
IN_BAND = {
    "app_id": "shop",
    "sdk_language": "js",
    "sdk_version": "4.1.0",
    "framework": "nextjs",
    "env": None,
    "platform": "vercel",
    "url": URL,
    "functions": [
        {
            "id": "shop-a",
            "name": "a",
            "triggers": [{"event": "a"}],
            "steps": {
                "step": {
                    "id": "step",
                    "name": "step",
                    "runtime": {"type": "http", "url": "https://internal:3000/api/inngest?fnId=shop-a&stepId=step"},
                }
            },
        }
    ],
}


def by_hand(account: Account, **asked_for: Any) -> dict[str, Any]:
    """What is answered to a person."""
    return account.sync({"action": "sync", **asked_for}, context("sync", 60_000))


def test_an_app_over_http_is_asked_as_the_protocol_says(account: Account):
    """An app elsewhere gets a signed in-band PUT with its URL, and is registered at the URL that reached it."""
    endpoint = Endpoint(HttpReply(200, {names.SYNC_KIND: "in_band"}, canonical(IN_BAND)))
    sync_through(account, endpoint)
    assert by_hand(account, url=URL) == {"ok": True, "app_id": "shop", "url": URL, "functions": 1, "modified": True}
    assert by_hand(account, url=URL)["modified"] is False
    [(method, url, headers, body), _] = endpoint.asked
    assert (method, url, json.loads(body)) == ("PUT", URL, {"url": URL})
    assert (headers[names.SYNC_KIND], headers[names.SERVER_KIND]) == ("in_band", "cloud")
    assert verify_request(body, headers[names.SIGNATURE], [SIGNING_KEY], account.bed.clock.now_ms() // 1000)
    _, answer = account.request("GET", "/v1/apps/shop/functions")
    assert answer["data"][0]["config"]["steps"][0]["uri"] == f"{URL}?fnId=shop-a&stepId=step"


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (CallError("nothing answers at https://x"), "nothing answers at https://x"),
        (HttpReply(200, {}, b"<html>"), "answers 200, but not as an app does"),
        (HttpReply(401, {}, b'{"message":"wrong key"}'), "refused to be registered (401): wrong key"),
        (HttpReply(500, {}, b"{}"), "refused to be registered (500): no reason given"),
        (HttpReply(200, {names.SYNC_KIND: "out_of_band"}, b"{}"), "STEPWELL_ALLOW_IN_BAND_SYNC=1"),
        (HttpReply(200, {names.SYNC_KIND: "in_band"}, b"{}"), "App ID required"),
    ],
)
def test_what_an_app_answers_instead_is_told(account: Account, reply: Any, error: str):
    """Every way of not answering with functions is told by its reason."""
    sync_through(account, Endpoint(reply))
    answered = by_hand(account, url=URL)
    assert answered["ok"] is False
    assert error in answered["error"]


@pytest.mark.parametrize("event", [{}, [], None, "sync", {"action": "what"}, {"action": "sync"}])
def test_what_cannot_be_understood_is_answered(account: Account, event: Any):
    """Anything else is answered with what may be asked."""
    answered = account.sync(event, context("sync", 60_000))
    assert answered["ok"] is False
    assert "give FunctionArn" in answered["error"] or 'ask with {"action": "sync"' in answered["error"]
