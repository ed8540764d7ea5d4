from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from infra import build

OWN_VERSION = "{}.{}".format(*sys.version_info)


def names(kind: str) -> set[str]:
    """The packages that are installed for a kind of function."""
    return {requirement.partition(">")[0] for requirement in build.requirements(kind)}


def test_functions_get_what_they_import_and_no_more():
    """The engine's functions have no terminal and no server of their own, an app's no engine, and none has boto3."""
    assert names("engine") >= {"aiohttp", "cel-python", "fastapi", "mangum", "pydantic"}
    assert names("app") >= {"aiohttp", "mangum", "pydantic"}
    assert names("app") < names("engine")
    assert names("engine").isdisjoint({"boto3", "rich", "typer", "uvicorn", "watchfiles"})


@pytest.mark.parametrize(
    ("python", "version", "interpreter"),
    [
        (sys.executable, OWN_VERSION, True),
        ("python3.99", "3.99", False),
        (f"python{OWN_VERSION}", OWN_VERSION, True),
    ],
)
def test_the_runtime_decides_the_version(
    python: str, version: str, interpreter: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """What is built is for the version that was asked for; with no interpreter of it, it is source, which is said."""
    monkeypatch.setenv("LAMBDA_PYTHON", python)
    target = build.find_target()
    assert (target.version, target.interpreter is not None) == (version, interpreter)
    assert ("shipped as source" in capsys.readouterr().err) is not interpreter


def test_an_interpreter_that_cannot_be_understood_is_refused(monkeypatch: pytest.MonkeyPatch):
    """A name that neither runs nor says its version is an error that shows what to write."""
    monkeypatch.setenv("LAMBDA_PYTHON", "my-python")
    with pytest.raises(SystemExit, match=r"my-python, which does not run; name one like python3\.13"):
        build.find_target()


def test_both_processors_are_built_for_unless_told(monkeypatch: pytest.MonkeyPatch):
    """One build fits either architecture of the stack."""
    monkeypatch.setenv("LAMBDA_PYTHON", sys.executable)
    monkeypatch.delenv("LAMBDA_ARCHITECTURES", raising=False)
    assert build.find_target().architectures == ("arm64", "x86_64")
    monkeypatch.setenv("LAMBDA_ARCHITECTURES", "arm64")
    assert build.find_target().architectures == ("arm64",)


def test_a_function_is_packages_dependencies_and_byte_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What is built holds the dependencies, the package and the example, compiled, and knows its version."""
    monkeypatch.setenv("LAMBDA_PYTHON", sys.executable)
    installed = tmp_path / "installed"
    installed.mkdir()
    (installed / "dependency.py").write_text("there = True\n")
    monkeypatch.setattr(build, "install_dependencies", lambda _kind, _target: installed)
    artifacts = tmp_path / "artifacts"
    assert build.main(["app", "hello", str(artifacts)]) == 0
    assert (artifacts / "dependency.py").exists()
    assert not (artifacts / "stepwell_orchestrator").exists()
    tag = sys.implementation.cache_tag
    for source in ("stepwell/authoring/app", "examples/hello/app"):
        folder, _, name = source.rpartition("/")
        assert (artifacts / folder / "__pycache__" / f"{name}.{tag}.pyc").exists()
    (metadata,) = artifacts.glob("stepwell-*.dist-info/METADATA")
    assert "Name: stepwell\n" in metadata.read_text()
    assert os.access(artifacts / "examples" / "__init__.py", os.R_OK)
