from __future__ import annotations

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
    assert not loaded & {"pydantic", "stepwell.public", "stepwell.app"}


def test_the_version_is_that_of_the_distribution() -> None:
    """The version the adapter announces is the one being released."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert stepwell.__version__ == project["version"]
