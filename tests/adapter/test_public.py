from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import stepwell
from stepwell import public

PUBLIC_NAMES = {
    "App", "Batch", "CancelOn", "Checkpointing", "Concurrency", "Context", "Debounce", "DefinitionError",
    "EncodingError", "Event", "EventError", "Function", "InvokeTimeoutError", "Middleware", "MiddlewareError",
    "NonRetriableError", "Priority", "RateLimit", "Response", "RetryAfterError", "Signal", "SignatureError",
    "Singleton", "StepError", "StepOptions", "StepwellError", "StepwellWarning", "SyncContext", "Throttle",
    "Timeouts", "WireError", "asgi", "cron", "on",
}  # fmt: skip

DOORS = {
    "stepwell.ai": {"ANTHROPIC_VERSION", "Model", "anthropic", "bedrock", "gemini", "openai"},
    "stepwell.aws": {"handler"},
    "stepwell.fastapi": {"serve"},
    "stepwell.middleware": {
        "CallInput", "Encryption", "Hook", "Logging", "Make", "Middleware", "Output", "Scope", "StepInfo",
    },
    "stepwell.testing": {
        "CrashError", "CrashReport", "Engine", "ExpectationError", "Failure", "Finding", "Run", "Step", "Stub",
        "SyncEngine",
    },
}  # fmt: skip
"""The modules that users import beside the package, and what they take from each."""

LAMBDA_FUNCTIONS = ("api", "queue", "sweep", "sync")
"""The modules of ``stepwell_orchestrator.entry`` whose ``handler`` templates name."""

HEAVY = ("aiohttp", "fastapi", "starlette", "uvicorn", "celpy", "boto3", "mangum", "stepwell_orchestrator")


def loaded_by(statement: str) -> set[str]:
    """The modules a fresh interpreter has loaded after ``statement``."""
    code = f"{statement}\nimport sys\nprint('\\n'.join(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_the_public_names_are_these() -> None:
    """A public name appears or goes only together with this list."""
    assert set(public.__all__) == PUBLIC_NAMES


def test_every_public_name_is_an_attribute_of_the_package() -> None:
    """Each name resolves to the object itself, again and again, and is listed by dir()."""
    for name in PUBLIC_NAMES:
        assert getattr(stepwell, name) is getattr(stepwell, name) is getattr(public, name)
    assert set(dir(stepwell)) >= PUBLIC_NAMES | {"ai", "aws", "fastapi", "middleware", "__version__"}


@pytest.mark.parametrize("door", sorted(DOORS))
def test_the_other_doors_give_these(door: str) -> None:
    """What a module for users gives is exactly this: what it lists, or defines without an underscore."""
    module = importlib.import_module(door)
    defined = {name for name, value in vars(module).items() if getattr(value, "__module__", None) == door}
    assert set(getattr(module, "__all__", {name for name in defined if name[0] != "_"})) == DOORS[door]
    assert {name for name in DOORS[door] if not hasattr(module, name)} == set()


def test_modules_for_users_are_these() -> None:
    """Every module beside the rooms is one that users import, what the tools start, or what all may raise."""
    beside = {path.stem for path in Path(stepwell.__file__).parent.glob("*.py")} - {"__init__"}
    doors = {door.rpartition(".")[2] for door in DOORS} - {"middleware"}
    assert beside == doors | {"public", "cli", "pytest_plugin", "errors", "version"}


@pytest.mark.parametrize("name", LAMBDA_FUNCTIONS)
def test_the_lambda_functions_are_named_as_templates_name_them(name: str) -> None:
    """A template that says ``stepwell_orchestrator.entry.api.handler`` finds a handler of Lambda's there."""
    handler = importlib.import_module(f"stepwell_orchestrator.entry.{name}").handler
    inspect.signature(handler).bind({}, None)


def test_the_distribution_starts_what_it_started() -> None:
    """The command ``stepwell`` and the plugin that gives pytest the fixture ``engine`` are found by their names."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["scripts"] == {"stepwell": "stepwell.cli:main"}
    assert project["entry-points"]["pytest11"] == {"stepwell.pytest_plugin": "stepwell.pytest_plugin"}
    assert callable(importlib.import_module("stepwell.cli").main)
    assert hasattr(importlib.import_module("stepwell.pytest_plugin"), "engine")


def test_no_module_hides_a_public_name() -> None:
    """Importing any module of the package leaves its public names what they were."""
    modules = {path.stem for path in Path(stepwell.__file__).parent.iterdir()}
    assert modules & PUBLIC_NAMES == set()


def test_an_unknown_name_is_an_attribute_error() -> None:
    """A misspelt name fails like that of any module."""
    with pytest.raises(AttributeError, match="has no attribute 'Ap'"):
        _ = stepwell.Ap  # type: ignore[attr-defined]


def test_fastapi_is_reached_by_name() -> None:
    """``stepwell.fastapi.serve`` needs no import of its own."""
    assert "stepwell.fastapi" in loaded_by("import stepwell\nstepwell.fastapi.serve")


@pytest.mark.parametrize("statement", ["import stepwell", "import stepwell\nstepwell.App('a')\nstepwell.asgi"])
def test_importing_is_light(statement: str) -> None:
    """Neither the import nor defining an app loads a web framework, an HTTP client or the engine."""
    assert not {name for name in loaded_by(statement) if name.startswith(HEAVY)}


def test_the_wire_is_shared_without_the_adapter() -> None:
    """What the engine imports of this package brings neither pydantic nor the app."""
    loaded = loaded_by("import stepwell.wire.reply, stepwell.wire.signing, stepwell.wire.registration")
    assert not loaded & {"pydantic", "stepwell.public", "stepwell.authoring"}


def test_the_version_is_that_of_the_distribution() -> None:
    """The version the adapter announces is the one being released."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert stepwell.__version__ == project["version"]
