from __future__ import annotations

import ast
import re
from dataclasses import fields
from typing import Any

import pytest

import stepwell
from tests.tidy.pages import pages
from tests.tidy.sources import package_sources

REFERENCE = {page.path: page.text for page in pages() if page.path.startswith("docs/reference/")}
SETTINGS_FILES = (
    "adapter/stepwell/client/settings.py",
    "orchestrator/stepwell_orchestrator/entry/settings.py",
    "orchestrator/stepwell_orchestrator/entry/aws/settings.py",
)
LOG_LEVELS = {"INFO"}


def settings_read() -> set[str]:
    """The names, without prefix, that the settings files ask the environment for."""
    sources = [source for source in package_sources() if source.path in SETTINGS_FILES]
    calls = [node for source in sources for node in ast.walk(source.tree) if isinstance(node, ast.Call)]
    arguments = [argument for call in calls for argument in call.args if isinstance(argument, ast.Constant)]
    texts = [str(argument.value).removeprefix("STEPWELL_") for argument in arguments]
    return {text for text in texts if re.fullmatch(r"[A-Z]+(_[A-Z]+)*", text)} - LOG_LEVELS


def cli_commands() -> dict[str, Any]:
    """The CLI's commands by name."""
    import typer.main

    from stepwell_orchestrator.cli.main import app

    group: Any = typer.main.get_command(app)
    return dict(group.commands)


def api_endpoints() -> set[str]:
    """``METHOD /path`` of every endpoint of the HTTP API."""
    from stepwell_orchestrator.api.app import create_api

    nothing_behind_it: Any = None
    paths = create_api(nothing_behind_it).openapi()["paths"]
    return {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}


@pytest.mark.parametrize("name", sorted(stepwell.__all__))
def test_public_names_are_documented(name: str) -> None:
    """Every public name of the package stands in the Python reference."""
    assert re.search(rf"\b{name}\b", REFERENCE["docs/reference/python-api.md"])


def test_function_options_are_documented() -> None:
    """Every option of ``@app.function`` has a row in the Python reference."""
    from stepwell.authoring.options import FunctionOptions

    options = {"id", "name", "on", "retries", "on_failure", *(field.name for field in fields(FunctionOptions))}
    rows = set(re.findall(r"^\| `(\w+)` \|", REFERENCE["docs/reference/python-api.md"], re.MULTILINE))
    assert options - rows == set()


def test_settings_are_documented() -> None:
    """Every variable that is read has a place on the configuration page, and no other is named there."""
    named = set(re.findall(r"`STEPWELL_([A-Z_]+)`", REFERENCE["docs/reference/configuration.md"]))
    assert named == settings_read()


def test_endpoints_are_documented() -> None:
    """Every endpoint has a row on the HTTP page, and every row is an endpoint."""
    rows = set(re.findall(r"^\| `([A-Z]+ /\S*)`", REFERENCE["docs/reference/http-api.md"], re.MULTILINE))
    assert rows == api_endpoints() - {"POST /e", "POST /e/"}


def test_commands_are_documented() -> None:
    """Every command has a section on the command line page, and every option stands in its command's section."""
    sections = re.split(r"^## stepwell ", REFERENCE["docs/reference/cli.md"], flags=re.MULTILINE)[1:]
    documented = {section.split()[0]: section for section in sections}
    assert documented.keys() == cli_commands().keys()
    for name, command in cli_commands().items():
        options = {option for parameter in command.params for option in parameter.opts if option.startswith("--")}
        assert options - set(re.findall(r"--[a-z-]+", documented[name])) - {"--help", "--json", "--url"} == set(), name


def test_limits_are_documented() -> None:
    """The limits page shows the bounds as they are in the code."""
    from stepwell.values.expressions import EXPRESSION_MAX_CHARS
    from stepwell.wire.registration import CANCELLATIONS_MAX
    from stepwell_orchestrator import limits
    from stepwell_orchestrator.expr.parse import CALLS_MAX, NESTING_MAX
    from stepwell_orchestrator.expr.values import COST_MAX

    page = REFERENCE["docs/reference/limits.md"]
    bounds = limits.Limits()
    for row in (
        f"| steps in a run | {bounds.steps_per_run:,} |",
        f"| steps reported in one answer | {bounds.opcodes_per_reply:,} |",
        f"| result of a step | {bounds.step_bytes // limits.MEBIBYTE} MiB",
        f"| results of a run's steps together | {bounds.run_bytes // limits.MEBIBYTE} MiB",
        f"| events in a request | {limits.EVENTS_PER_REQUEST_MAX:,} |",
        f"| an event | {limits.EVENT_BYTES_MAX // limits.MEBIBYTE} MiB |",
        f"| a request of events | {limits.INGEST_BYTES_MAX // limits.MEBIBYTE} MiB |",
        f"| name of an event | {limits.EVENT_NAME_CHARS_MAX} characters |",
        f"| nesting of an event's JSON | {limits.JSON_DEPTH_MAX} levels |",
        f"| sleep | {limits.TIMEOUT_MAX_MS // 86_400_000} days |",
        f"| timeout of a wait or an invocation | {limits.TIMEOUT_MAX_MS // 86_400_000} days |",
        f"| an invocation without a timeout | {limits.INVOKE_TIMEOUT_MS // 86_400_000} days |",
        f"| name of a signal | {limits.SIGNAL_NAME_CHARS_MAX} characters |",
        f"| request that sends a signal | {limits.SIGNAL_BYTES_MAX // 1024} KiB |",
        f"| cancellations (`cancel_on`) of a function | {CANCELLATIONS_MAX} |",
        f"| an expression | {EXPRESSION_MAX_CHARS:,} characters, {NESTING_MAX} levels, {CALLS_MAX} calls |",
        f"| one evaluation of an expression | {COST_MAX:,} [units]",
        f"| one call of a function | {limits.CALL_TIMEOUT_MS // 3_600_000} hours |",
    ):
        assert row in page
