"""``stepwell sync --stack``: a deployed stack registers an app, asked with one's own credentials."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError, NoCredentialsError, NoRegionError

from tests.orchestrator.cli.conftest import Stepwell

SYNC_ARN = "arn:aws:lambda:eu-west-1:123456789012:function:stepwell-sync"
REGISTERED = {"ok": True, "app_id": "shop", "url": "lambda://shop/api/stepwell", "functions": 2, "modified": True}


class FakeAws:
    """CloudFormation and Lambda, under botocore's clients; ``answers`` are given or raised, by operation."""

    def __init__(self) -> None:
        outputs = [{"OutputKey": "SyncFunctionArn", "OutputValue": SYNC_ARN}]
        self.answers: dict[str, Any] = {"DescribeStacks": {"Stacks": [{"Outputs": outputs}]}, "Invoke": REGISTERED}
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def call(self, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        self.asked.append((operation, parameters))
        answer = self.answers[operation]
        if isinstance(answer, Exception):
            raise answer
        return {"Payload": io.BytesIO(json.dumps(answer).encode())} if operation == "Invoke" else answer


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> FakeAws:
    """AWS in this process, with a region."""
    fake = FakeAws()
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setattr(
        "botocore.client.BaseClient._make_api_call", lambda _, operation, parameters: fake.call(operation, parameters)
    )
    return fake


def refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "because"}}, "Operation")


@pytest.mark.parametrize(
    ("args", "asked"),
    [
        (["shop"], {"action": "sync", "function": "shop"}),
        (["shop", "--path", "/api/x"], {"action": "sync", "function": "shop", "path": "/api/x"}),
        (["https://shop.example/api"], {"action": "sync", "url": "https://shop.example/api"}),
    ],
)
def test_the_stack_is_asked(stepwell: Stepwell, aws: FakeAws, args: list[str], asked: dict[str, Any]):
    """The stack's sync function is found by its output and asked to register the target."""
    result = stepwell("sync", *args, "--stack", "mine")
    assert (result.exit_code, result.stdout) == (0, f"✓ the app at {args[0]} is registered\n")
    (_, described), (_, invoked) = aws.asked
    assert (described["StackName"], invoked["FunctionName"]) == ("mine", SYNC_ARN)
    assert json.loads(invoked["Payload"]) == asked
    assert json.loads(stepwell("sync", *args, "--stack", "mine", "--json").stdout) == REGISTERED


@pytest.mark.parametrize(
    ("operation", "answer", "complaint"),
    [
        ("DescribeStacks", refused("ValidationError"), "there is no such stack in this account and region"),
        ("DescribeStacks", refused("ExpiredToken"), "your credentials have expired; log in again"),
        ("DescribeStacks", NoCredentialsError(), "there are no AWS credentials here; set AWS_PROFILE"),
        ("DescribeStacks", refused("Odd"), "cannot be reached: cloudformation describe_stacks: Odd: because"),
        ("DescribeStacks", {"Stacks": [{}]}, "has no output SyncFunctionArn; is it one of Stepwell's template.yaml?"),
        ("Invoke", refused("AccessDeniedException"), "it takes lambda:InvokeFunction on the sync function"),
        ("Invoke", {"ok": False, "error": "shop does not exist"}, "did not register it: shop does not exist"),
        ("Invoke", {"errorMessage": "Task timed out"}, "did not register it: Task timed out"),
        ("Invoke", None, "did not register it: it gave no reason; its log has the details"),
    ],
)
def test_every_failure_is_one_line(stepwell: Stepwell, aws: FakeAws, operation: str, answer: Any, complaint: str):
    """Whatever goes wrong on the way becomes one line with its fix, and exit code 1."""
    aws.answers[operation] = answer
    result = stepwell("sync", "shop", "--stack", "mine")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("stepwell: the stack mine ")
    assert complaint in result.stderr
    assert result.stderr.count("\n") == 1


def test_no_region_is_told(stepwell: Stepwell, aws: FakeAws, monkeypatch: pytest.MonkeyPatch):
    """Without a region the line says where to set one."""
    monkeypatch.setattr("botocore.session.Session.create_client", _no_region)
    result = stepwell("sync", "shop", "--stack", "mine")
    assert (result.exit_code, "set AWS_REGION" in result.stderr) == (1, True)


def _no_region(*_: Any, **__: Any) -> None:
    raise NoRegionError


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (["shop"], "`stepwell sync shop --stack NAME` registers a Lambda function of that name"),
        (["shop", "--path", "/x"], "--path is for Lambda functions, which are registered with --stack"),
        (["https://x.example/a", "--stack", "mine", "--path", "/x"], "a URL has its path in it"),
    ],
)
def test_wrong_usage_exits_with_2(stepwell: Stepwell, args: list[str], complaint: str):
    """What does not go together is told as that."""
    result = stepwell("sync", *args)
    assert (result.exit_code, complaint in result.stderr) == (2, True)
