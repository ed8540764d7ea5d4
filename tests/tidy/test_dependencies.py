from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable

import pytest

from tests.tidy.names import used_names
from tests.tidy.sources import ROOT, package_sources

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PINS = (ROOT / "constraints.txt").read_text(encoding="utf-8")

OWN = {"stepwell", "stepwell_orchestrator"}
ASKED_FOR_WHEN_NEEDED = {"moto"}
READ_BY_ZONEINFO = {"tzdata"}
NOT_INSTALLED = {"_typeshed"}
IMPORTED_AS = {"python_ulid": "ulid", "cel_python": "celpy", "graphql_core": "graphql"}
BROUGHT_BY = {
    "pydantic_core": "pydantic",
    "starlette": "fastapi",
    "lark": "cel_python",
    "re2": "cel_python",
    "click": "typer",
    "botocore": "boto3",
    "yarl": "aiohttp",
}


def packages(requirements: Iterable[str]) -> set[str]:
    """The names of what is required, spelled as modules are."""
    names = (re.split(r"[\[<>=]", requirement)[0] for requirement in requirements)
    return {name.replace("-", "_") for name in names} - OWN


def imported_by(folder: str) -> set[str]:
    """The packages, neither our own nor Python's, that the sources of a folder import."""
    names = {name for source in package_sources() if source.path.startswith(folder) for _, name in used_names(source)}
    tops = {name.partition(".")[0] for name in names} - OWN - NOT_INSTALLED - set(sys.stdlib_module_names)
    as_required = {imported: required for required, imported in IMPORTED_AS.items()}
    return {as_required.get(top, BROUGHT_BY.get(top, top)) for top in tops}


def test_every_import_is_required() -> None:
    """What the engine imports is required by the distribution, its orchestrator extra or what that takes in AWS."""
    extras = PROJECT["optional-dependencies"]
    required = packages([*PROJECT["dependencies"], *extras["orchestrator"], *extras["lambda"], *extras["aws"]])
    assert imported_by("orchestrator/") - ASKED_FOR_WHEN_NEEDED <= required


def test_the_adapter_needs_only_what_it_installs() -> None:
    """What the adapter imports is a dependency of its own, but for its extras and what tests it."""
    extras = PROJECT["optional-dependencies"]
    others = {"fastapi", "pytest", *packages([*extras["lambda"], *extras["encryption"]])}
    assert imported_by("adapter/") <= packages(PROJECT["dependencies"]) | others


def test_nothing_is_required_in_vain() -> None:
    """Every package that the distribution or its orchestrator extra requires is imported."""
    required = packages([*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["orchestrator"]])
    assert required - imported_by("adapter/") - imported_by("orchestrator/") - READ_BY_ZONEINFO == set()


@pytest.mark.parametrize("extra", ["orchestrator", "dev"])
def test_every_requirement_is_pinned(extra: str) -> None:
    """Each package that is required has an exact version in the constraints."""
    required = packages([*PROJECT["dependencies"], *PROJECT["optional-dependencies"][extra]])
    pinned = {name.replace("-", "_") for name in re.findall(r"^([a-z0-9-]+)==\S+$", PINS, re.MULTILINE)}
    assert required - pinned == set()
