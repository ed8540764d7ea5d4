from __future__ import annotations

import importlib
import json
import re
from typing import Any

import pytest

from stepwell_orchestrator.aws.payloads.blobs import PREFIX as PAYLOADS
from stepwell_orchestrator.aws.payloads.large_answers import PREFIX as HANDED_OUT
from stepwell_orchestrator.aws.table import table
from tests.infra.templates import APP, ENGINE, ENGINE_FUNCTIONS, ROOT, load, resources, text

OUTPUTS = {
    "ApiUrl",
    "EventKeySecretArn",
    "SigningKeySecretArn",
    "QueueUrl",
    "TableName",
    "SyncFunctionArn",
    "OrchestratorRoleArn",
}
VARIABLES = {
    "STEPWELL_TABLE_NAME",
    "STEPWELL_PAYLOAD_BUCKET",
    "STEPWELL_QUEUE_URL",
    "STEPWELL_QUEUE_ARN",
    "STEPWELL_DEAD_LETTER_QUEUE_URL",
    "STEPWELL_DEAD_LETTER_QUEUE_ARN",
    "STEPWELL_SCHEDULE_GROUP",
    "STEPWELL_SCHEDULE_ROLE_ARN",
    "STEPWELL_EVENT_KEY_SECRET_ARN",
    "STEPWELL_SIGNING_KEY_SECRET_ARN",
    "STEPWELL_LOG_LEVEL",
    "STEPWELL_GATEWAY_ALLOW",
    "STEPWELL_RETENTION_DAYS",
}
FUNCTIONS = resources(ENGINE, "AWS::Serverless::Function")
PAYLOAD_MARGIN_DAYS = 430
"""Decision 0010: an object lies untouched for up to 366 days of waiting and 30 more, and may be read long after."""


def properties(name: str) -> Any:
    """A resource's properties."""
    return load(ENGINE)["Resources"][name]["Properties"]


def imported(template: Any) -> set[str]:
    """The names that a template imports from the engine's stack."""
    return set(re.findall(r'"Fn::ImportValue": !Sub "\$\{Stepwell\}-(\w+)"', template))


def test_the_deployed_table_is_the_tested_one():
    """The template's table has the keys, indexes and expiry that the tests' tables have."""
    deployed = properties("Table")
    assert {member: deployed[member] for member in table.SCHEMA} == table.SCHEMA
    assert deployed["TimeToLiveSpecification"] == table.TTL_SPECIFICATION
    assert deployed["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}


def test_the_outputs_are_as_designed():
    """The stack says everything that users and tools rely on."""
    assert load(ENGINE)["Outputs"].keys() >= OUTPUTS


@pytest.mark.parametrize("name", ENGINE_FUNCTIONS)
def test_every_setting_reaches_every_function(name: str):
    """Each of the engine's functions has every variable that its settings are read from."""
    own = FUNCTIONS[name]["Properties"]["Environment"]["Variables"]
    shared = load(ENGINE)["Globals"]["Function"]["Environment"]["Variables"]
    assert own.keys() == VARIABLES
    assert shared.keys() == {"AWS_ENDPOINT_URL"}


@pytest.mark.parametrize("name", [*ENGINE_FUNCTIONS, "OrdersFunction"])
def test_every_handler_exists(name: str):
    """Each function's handler can be imported and called."""
    module, _, attribute = FUNCTIONS[name]["Properties"]["Handler"].rpartition(".")
    assert callable(getattr(importlib.import_module(module), attribute))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_is_built_and_logged(name: str):
    """Each function has a target that builds it, a log of its own as JSON, and a sample event to try it with."""
    function = FUNCTIONS[name]
    assert function["Metadata"] == {"BuildMethod": "makefile"}
    targets = {f"build-{each}" for each in ENGINE_FUNCTIONS} | set(
        re.findall(r"^(build-\w+):", text("Makefile"), re.MULTILINE)
    )
    assert f"build-{name}" in targets
    log = function["Properties"]["LoggingConfig"]["LogGroup"]["Ref"]
    assert properties(log)["RetentionInDays"] == {"Ref": "LogRetentionDays"}
    assert load(ENGINE)["Globals"]["Function"]["LoggingConfig"]["LogFormat"] == "JSON"
    event = ROOT / "infra" / "events" / f"{name.removesuffix('Function').lower()}.json"
    assert isinstance(json.loads(event.read_text(encoding="utf-8")), dict)


def test_the_makefile_builds_the_functions_of_the_template():
    """The engine's functions in the Makefile are those of the template."""
    (listed,) = re.findall(r"^ENGINE_FUNCTIONS := (.*)$", text("Makefile"), re.MULTILINE)
    assert tuple(listed.split()) == ENGINE_FUNCTIONS


def test_the_queue_outlives_its_function():
    """An item stays hidden for as long as a function may work on it, and is kept for as long as SQS can keep it."""
    timeout_s = FUNCTIONS["QueueFunction"]["Properties"]["Timeout"]
    assert properties("WorkQueue")["VisibilityTimeout"] >= timeout_s
    for queue in ("WorkQueue", "DeadLetterQueue"):
        assert properties(queue)["MessageRetentionPeriod"] == 14 * 24 * 3600
    assert properties("WorkQueue")["RedrivePolicy"]["maxReceiveCount"] >= 20


def test_items_are_reported_one_by_one():
    """The queue hands out batches of ten at once, and takes back only what failed."""
    source = properties("QueueSource")
    assert (source["BatchSize"], source.get("MaximumBatchingWindowInSeconds", 0)) == (10, 0)
    assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


def test_payloads_outlive_the_runs_that_need_them():
    """The bucket keeps a payload until the run that needs it has had its chance to renew it."""
    parameters = load(ENGINE)["Parameters"]
    least = PAYLOAD_MARGIN_DAYS + parameters["RetentionDays"]["Default"]
    assert parameters["PayloadRetentionDays"]["Default"] >= parameters["PayloadRetentionDays"]["MinValue"] >= least
    rule, answers = properties("PayloadBucket")["LifecycleConfiguration"]["Rules"]
    assert rule["ExpirationInDays"] == {"Ref": "PayloadRetentionDays"}
    assert "Prefix" not in rule
    assert (answers["Prefix"], answers["ExpirationInDays"]) == (HANDED_OUT, 1)
    assert not PAYLOADS.startswith(HANDED_OUT)


def test_what_holds_data_is_kept():
    """The table, the bucket and the keys stay when the stack goes, unless it was told otherwise."""
    assert load(ENGINE)["Parameters"]["KeepData"]["Default"] == "true"
    for name in ("Table", "PayloadBucket", "EventKeySecret", "SigningKeySecret"):
        assert load(ENGINE)["Resources"][name]["DeletionPolicy"] == {"Fn::If": ["Keep", "Retain", "Delete"]}


def test_the_bucket_is_private():
    """Nobody outside the account can be given the bucket's objects."""
    assert set(properties("PayloadBucket")["PublicAccessBlockConfiguration"].values()) == {True}
    assert "BucketEncryption" in properties("PayloadBucket")


def test_the_signing_key_is_hexadecimal():
    """What is left of the alphabet for the signing key is what the wire accepts as one."""
    generated = properties("SigningKeySecret")["GenerateSecretString"]
    excluded = set(generated["ExcludeCharacters"])
    assert {chr(code) for code in range(33, 127)} - excluded == set("0123456789abcdef")
    assert generated["PasswordLength"] % 2 == 0


def test_every_parameter_says_what_it_is_for():
    """Each parameter has a description and a default, and is used."""
    for path in (ENGINE, APP):
        for name, parameter in load(path)["Parameters"].items():
            assert parameter["Description"], name
            assert "Default" in parameter, name
            assert re.search(rf"(!Ref {name}\b|\$\{{{name}\}})", text(path)), f"{name} is not used"


def test_the_dashboard_is_readable():
    """The dashboard's body is JSON, and the metrics it shows are of resources in the template."""
    body = properties("StackDashboard")["DashboardBody"]["Fn::Sub"]
    assert len(json.loads(body)["widgets"]) == 6
    names = {name.partition(".")[0] for name in re.findall(r"\$\{(\w+(?:\.\w+)?)\}", body)}
    assert names <= load(ENGINE)["Resources"].keys()


def test_app_stacks_import_what_the_engine_exports():
    """Every value that the template for apps takes from the engine's stack is exported there."""
    exported = {name for name, output in load(ENGINE)["Outputs"].items() if "Export" in output}
    assert imported(text(APP)) <= exported
    assert imported(text(APP)) == exported


def test_alarms_tell_whoever_asked():
    """Each alarm and its end are told to the topic, when there is one."""
    alarms = resources(ENGINE, "AWS::CloudWatch::Alarm")
    watched = {name.removesuffix("Alarm") for name in alarms}
    assert watched >= {"DeadLetter", "OldestItem", "ApiErrors", "QueueErrors", "SweepErrors", "NoSweep"}
    for alarm in alarms.values():
        told = [{"Fn::If": ["HasAlarmTopic", {"Ref": "AlarmTopicArn"}, {"Ref": "AWS::NoValue"}]}]
        assert alarm["Properties"]["AlarmActions"] == alarm["Properties"]["OKActions"] == told
