from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.infra import templates
from tests.infra.templates import APP, ENGINE, ENGINE_FUNCTIONS, Statement, load, resources, statements

STATEMENTS = [statement for path in (ENGINE, APP) for statement in statements(path)]
ALLOWED = [statement for statement in STATEMENTS if statement.body["Effect"] == "Allow"]


def unexplained(statement: Statement, lines: list[str]) -> list[str]:
    """The lines of a statement with a ``*`` in a resource and no comment on the line above."""
    return [lines[line].strip() for line in statement.wildcards if not lines[line - 1].strip().startswith("#")]


@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda statement: statement.where)
def test_actions_are_named(statement: Statement):
    """No statement has a wildcard among its actions, or allows all but some."""
    assert statement.listed("Action")
    assert [action for action in statement.listed("Action") if "*" in action] == []
    assert statement.body.keys().isdisjoint({"NotAction", "NotResource", "NotPrincipal"})


@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda statement: statement.where)
def test_every_wildcard_has_its_reason(statement: Statement):
    """A resource with a wildcard has the reason for it on the line above, and no statement is about everything."""
    lines = templates.text(statement.where.partition(":")[0]).splitlines()
    assert unexplained(statement, lines) == []
    assert "*" not in statement.listed("Resource")


@pytest.mark.parametrize("statement", ALLOWED, ids=lambda statement: statement.where)
def test_nobody_unnamed_is_allowed_anything(statement: Statement):
    """A statement that allows names its principal, or belongs to a role, and never means everybody."""
    assert statement.body.get("Principal") not in ("*", {"AWS": "*"})


def test_a_role_is_passed_to_scheduler_alone():
    """The one role that may be passed on can be passed to the scheduler only."""
    (statement,) = [statement for statement in ALLOWED if "iam:PassRole" in statement.listed("Action")]
    assert statement.listed("Resource") == [{"Fn::GetAtt": "ScheduleRole.Arn"}]
    assert statement.body["Condition"] == {"StringEquals": {"iam:PassedToService": "scheduler.amazonaws.com"}}


def test_every_function_has_a_role_of_its_own():
    """Each function runs with a role that no other has, and the scheduler's roles are its alone."""
    functions = resources(ENGINE, "AWS::Serverless::Function")
    roles = [function["Properties"]["Role"]["Fn::GetAtt"] for function in functions.values()]
    assert sorted(roles) == sorted({name.replace("Function", "Role.Arn") for name in functions})
    for name, role in resources(ENGINE, "AWS::IAM::Role").items():
        (trust,) = role["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        service = "scheduler" if "Schedule" in name else "lambda"
        assert trust["Principal"] == {"Service": f"{service}.amazonaws.com"}


def test_no_managed_policy_of_aws_is_attached():
    """Roles have only this template's policies: those of AWS itself are about every resource."""
    own = resources(ENGINE, "AWS::IAM::ManagedPolicy").keys()
    attached = [
        policy
        for role in resources(ENGINE, "AWS::IAM::Role").values()
        for policy in role["Properties"].get("ManagedPolicyArns", [])
    ]
    plain = {policy["Fn::If"][1]["Ref"] if "Fn::If" in policy else policy["Ref"] for policy in attached}
    assert plain == set(own)


def granted(action: str) -> list[tuple[str, list[Any]]]:
    """The roles that an action is allowed to by policies of their own, and on what."""
    return [
        (name, statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]])
        for name, role in resources(ENGINE, "AWS::IAM::Role").items()
        for policy in role["Properties"].get("Policies", [])
        for statement in policy["PolicyDocument"]["Statement"]
        if action in statement["Action"]
    ]


@pytest.mark.parametrize("action", ["sqs:ReceiveMessage", "sqs:DeleteMessage"])
def test_each_queue_has_one_taker(action: str):
    """Only the function that the queue feeds may take items, and only the sweep may take dead letters."""
    assert granted(action) == [
        ("QueueRole", [{"Fn::GetAtt": "WorkQueue.Arn"}]),
        ("SweepRole", [{"Fn::GetAtt": "DeadLetterQueue.Arn"}]),
    ]


def test_a_timer_that_fails_may_be_kept():
    """The role that sends timers' items may also send them where the ones go that the queue does not take."""
    [(role, queues)] = granted("sqs:SendMessage")
    assert role == "ScheduleRole"
    assert queues == [{"Fn::GetAtt": "WorkQueue.Arn"}, {"Fn::GetAtt": "DeadLetterQueue.Arn"}]


def test_the_public_door_is_the_only_one():
    """One function has a URL, and nothing of the stack is invoked without IAM but through it."""
    doors = [
        name
        for name, function in resources(ENGINE, "AWS::Serverless::Function").items()
        if "FunctionUrlConfig" in function["Properties"]
    ]
    assert doors == ["ApiFunction"]
    assert resources(ENGINE, "AWS::Lambda::Permission") == {}
    assert {name for name in load(ENGINE)["Resources"] if name in ENGINE_FUNCTIONS} == set(ENGINE_FUNCTIONS)


def test_a_wildcard_without_a_reason_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The rule finds a wildcard that nobody explained, on whatever line and in whatever form it is written."""
    (tmp_path / "planted.yaml").write_text(
        "Statement:\n"
        "  - Effect: Allow\n"
        "    Action: s3:GetObject\n"
        "    # every object\n"
        "    Resource: !Sub ${Bucket.Arn}/*\n"
        "  - Effect: Allow\n"
        "    Action: s3:GetObject\n"
        "    Resource:\n"
        "      - !GetAtt Bucket.Arn\n"
        "      - !Sub ${Bucket.Arn}/*\n"
    )
    monkeypatch.setattr(templates, "ROOT", tmp_path)
    explained, bare = statements("planted.yaml")
    lines = templates.text("planted.yaml").splitlines()
    assert unexplained(explained, lines) == []
    assert unexplained(bare, lines) == ["- !Sub ${Bucket.Arn}/*"]
