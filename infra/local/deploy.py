"""``make aws-local``: deploy the stack to an emulated AWS, run the demo there, deploy an app beside it, delete all.

What runs is what runs in AWS: ``sam build``, ``sam deploy``, the functions out of their zips, with the permissions of
their roles alone, ``sam delete``. Where the emulator differs from AWS is in docs/guides/deploy.md.
"""

from __future__ import annotations

import json
import platform
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from infra.local.emulator import Emulator, emulator
from infra.local.tools import (
    ROOT,
    STATE,
    FailedError,
    environment,
    run,
    runtime_python,
    say,
    spare_proxies,
    step,
    tail,
    tool,
)

STACK = "stepwell-local"
APP_STACK = "hello-local"
ORDERS = ROOT / "examples" / "orders" / "orders.jsonl"
ORDERS_OF_A_KIND = 1
WARM = 5
"""Processes of each busy function that are started before anybody who is less patient needs them."""
EVENTS = ROOT / "infra" / "events"
STEPWELL = Path(sys.executable).with_name("stepwell")

MACHINE = "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64"

BUILD_S, DEPLOY_S, DEMO_S, DELETE_S = 900, 600, 600, 400


@dataclass(frozen=True, slots=True)
class Sam:
    """The SAM CLI, towards one emulator."""

    command: Path
    env: Mapping[str, str]

    def build(self) -> None:
        """Everything that template.yaml has."""
        run([self.command, "build"], self.env, timeout_s=BUILD_S)

    def deploy(self, stack: str, parameters: Mapping[str, str], template: Path | None = None) -> None:
        """One stack, new or changed."""
        # Options for a template of its own: samconfig.toml is that of template.yaml.
        own = ["--resolve-s3", "--capabilities", "CAPABILITY_IAM", "--template-file"]
        chosen = [] if template is None else [*own, template]
        overrides = [f"{name}={value}" for name, value in parameters.items()]
        options = ["--stack-name", stack, "--no-confirm-changeset", "--no-progressbar", "--no-fail-on-empty-changeset"]
        command = [self.command, "deploy", *chosen, *options, "--parameter-overrides", *overrides]
        run(command, self.env, timeout_s=DEPLOY_S)

    def delete(self, stack: str) -> None:
        """One stack, with what was uploaded for it."""
        run([self.command, "delete", "--stack-name", stack, "--no-prompts"], self.env, timeout_s=DELETE_S)


def main() -> int:
    """All of it; 0 when all of it worked."""
    started = time.monotonic()
    spare_proxies()
    python = runtime_python()
    with ExitStack() as stack:
        sam_command = tool("sam") / "sam"
        with step("starting the emulator"):
            up = stack.enter_context(emulator(python))
        sam = Sam(sam_command, environment(AWS_ENDPOINT_URL=up.url, LAMBDA_PYTHON=python, LAMBDA_ARCHITECTURES=MACHINE))
        try:
            _round_trip(sam, up)
        except (FailedError, BotoCoreError, ClientError) as error:
            say(f"\nFAILED: {error}")
            _show_logs(up)
            return 1
    say(f"\naws-local passed in {time.monotonic() - started:.0f} s")
    return 0


def _round_trip(sam: Sam, up: Emulator) -> None:
    parameters = {
        "Architecture": MACHINE,
        "KeepData": "false",
        "QueueConcurrency": "0",  # the emulator cannot compare a bound that comes from a parameter
        "EndpointUrl": up.url,
    }
    with step("sam build"):
        sam.build()
    with step("sam deploy: a new stack"):
        sam.deploy(STACK, parameters)
    url = up.function_url(_outputs(up, STACK)["ApiUrl"])
    with step("sam deploy: the same with another parameter"):
        sam.deploy(STACK, {**parameters, "PublicUrl": url})
        _allow_what_only_emulators_ask_for(up)
    keys = _keys(up)
    with step(f"starting {WARM} processes of each function that the demo needs"):
        _warm_up(up)
    with step(f"the demo, by the deployed function URL {url}"):
        say(_demo(url, keys))
    with step("sam deploy: an app in a stack of its own"):
        sam.deploy(APP_STACK, {"Stepwell": STACK, "BaseUrl": url, "EndpointUrl": up.url}, _app_stack(sam))
        _greet(url, keys)
    with step("sam delete: both stacks"):
        _allow_what_only_emulators_ask_for(up, withdrawn=True)
        sam.delete(APP_STACK)
        sam.delete(STACK)
        if left := list(_left(up)):
            raise FailedError("sam delete left behind:\n  " + "\n  ".join(left))


def _outputs(up: Emulator, stack: str) -> dict[str, str]:
    (described,) = up.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in described["Outputs"]}


def _keys(up: Emulator) -> dict[str, str]:
    """The environment of a client of the stack."""
    outputs, secrets = _outputs(up, STACK), up.client("secretsmanager")
    return {
        f"STEPWELL_{name}_KEY": secrets.get_secret_value(SecretId=outputs[f"{word}KeySecretArn"])["SecretString"]
        for name, word in (("EVENT", "Event"), ("SIGNING", "Signing"))
    }


def _allow_what_only_emulators_ask_for(up: Emulator, *, withdrawn: bool = False) -> None:
    """Permissions that AWS does not have: there, who may send a message may send a batch of them."""
    iam, name = up.client("iam"), "emulator"
    actions = ["sqs:SendMessageBatch", "sqs:ChangeMessageVisibilityBatch"]
    statement = {"Effect": "Allow", "Action": actions, "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    for role in iam.list_roles()["Roles"]:
        if not role["RoleName"].startswith(STACK):
            continue
        if withdrawn:
            iam.delete_role_policy(RoleName=role["RoleName"], PolicyName=name)
        else:
            iam.put_role_policy(RoleName=role["RoleName"], PolicyName=name, PolicyDocument=document)


def _warm_up(up: Emulator) -> None:
    """Start processes with nobody waiting: many at once take longer on a small machine than a client waits."""
    events: Mapping[str, Any] = {
        "ApiFunction": _sample("api", "GET", "/health"),
        "QueueFunction": {"Records": []},
        "OrdersFunction": _sample("orders", "GET", "/api/stepwell"),
    }
    resources = up.client("cloudformation").list_stack_resources(StackName=STACK)["StackResourceSummaries"]
    names = {resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in resources}
    functions = up.client("lambda", read_timeout_s=DEPLOY_S)

    def invoke(logical_id: str) -> None:
        payload = json.dumps(events[logical_id]).encode()
        answer = functions.invoke(FunctionName=names[logical_id], Payload=payload)
        if "FunctionError" in answer:
            raise FailedError(f"{logical_id} does not start: {answer['Payload'].read().decode(errors='replace')}")

    with ThreadPoolExecutor(WARM) as threads:
        for logical_id in events:
            list(threads.map(invoke, [logical_id] * WARM))


def _sample(name: str, method: str, path: str) -> dict[str, Any]:
    """A sample event, as a request of another kind."""
    event: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text(encoding="utf-8"))
    event["requestContext"]["http"] |= {"method": method, "path": path}
    return event | {"rawPath": path, "body": ""}


def _demo(url: str, keys: Mapping[str, str]) -> str:
    """Orders of every kind whose retries do not take minutes, each checked."""
    chosen = list(_some_orders())
    file = STATE / "orders.jsonl"
    file.write_text("\n".join(chosen), encoding="utf-8")
    env = environment(COLUMNS="110", **keys)
    return run([STEPWELL, "demo", "--url", url, "--orders", file], env, timeout_s=DEMO_S)


def _some_orders() -> Iterator[str]:
    taken: dict[Any, int] = {}
    for line in ORDERS.read_text(encoding="utf-8").splitlines():
        order = json.loads(line)
        trouble, expected = order["order"].get("trouble", {}), order["expect"]
        if trouble.get("gateway_timeouts", 0) + trouble.get("loyalty_down", False) > 1:
            continue  # two back-offs, one after the other, take more than a minute
        kind = (expected["status"], expected["retries"], *expected["runs"], order.get("sent_twice", False))
        taken[kind] = taken.get(kind, 0) + 1
        if taken[kind] <= ORDERS_OF_A_KIND:
            yield line


def _app_stack(sam: Sam) -> Path:
    """infra/app-template.yaml as a user has it: copied, with an app beside it. ``sam deploy`` takes it as it is."""
    folder = STATE / "app-stack"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "app").mkdir(parents=True)
    run([sys.executable, ROOT / "infra" / "build.py", "app", "hello", folder / "app"], sam.env, timeout_s=BUILD_S)
    main_module = "import stepwell.aws\nfrom examples.hello.app import app\n\nhandler = stepwell.aws.handler(app)\n"
    (folder / "app" / "main.py").write_text(main_module, encoding="utf-8")
    return Path(shutil.copy2(ROOT / "infra" / "app-template.yaml", folder))


def _greet(url: str, keys: Mapping[str, str]) -> None:
    """One run of the app's function, which sleeps on the way."""
    words = ["send", "hello/requested", '{"name": "ada"}', "--wait", "--timeout", "3m", "--json", "--url", url]
    (ran,) = json.loads(run([STEPWELL, *words], environment(**keys), timeout_s=240))["runs"]
    if (ran["status"], ran["output"]) != ("Completed", "Hello, Ada!"):
        raise FailedError(f"the app's function did not greet: {ran}")


def _left(up: Emulator) -> Iterator[str]:
    """What is still there of the stacks."""
    asked = (
        ("cloudformation", "describe_stacks", "Stacks", "StackName"),
        ("dynamodb", "list_tables", "TableNames", None),
        ("s3", "list_buckets", "Buckets", "Name"),
        ("sqs", "list_queues", "QueueUrls", None),
        ("lambda", "list_functions", "Functions", "FunctionName"),
        ("lambda", "list_event_source_mappings", "EventSourceMappings", "EventSourceArn"),
        ("scheduler", "list_schedules", "Schedules", "Name"),
        ("scheduler", "list_schedule_groups", "ScheduleGroups", "Name"),
        ("secretsmanager", "list_secrets", "SecretList", "Name"),
        ("iam", "list_roles", "Roles", "RoleName"),
        ("logs", "describe_log_groups", "logGroups", "logGroupName"),
        ("cloudwatch", "describe_alarms", "MetricAlarms", "AlarmName"),
    )
    for service, operation, member, name in asked:
        for found in getattr(up.client(service), operation)().get(member, []):
            shown = found if name is None else found[name]
            if STACK in shown or APP_STACK in shown:
                yield f"{service}: {shown}"


def _show_logs(up: Emulator) -> None:
    """The end of what each function logged, and of the emulator's own log."""
    logs = up.client("logs")
    for group in logs.describe_log_groups().get("logGroups", []):
        events = logs.filter_log_events(logGroupName=group["logGroupName"]).get("events", [])
        say(f"\n-- {group['logGroupName']}")
        say("\n".join(event["message"].rstrip()[:2000] for event in events[-30:]) or "(nothing)")
    say(f"\n-- {up.log}\n{tail(up.log.read_bytes(), 40)}")


if __name__ == "__main__":
    sys.exit(main())
