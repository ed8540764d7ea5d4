"""The map of the house in CONTRIBUTING.md is that of the import contracts, which in turn name every file and folder."""

from __future__ import annotations

import tomllib
from itertools import groupby

import pytest

from tests.tidy.pages import Block, pages
from tests.tidy.sources import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CONTRACTS = PROJECT["tool"]["importlinter"]["contracts"]
PAGE = next(page for page in pages() if page.path == "CONTRIBUTING.md")
MAPS: dict[str, Block] = dict(zip(("stepwell", "stepwell_orchestrator"), PAGE.blocks(""), strict=True))


def layers(package: str) -> list[set[str]]:
    """The names in each layer of a package's contract, from the ground up."""
    (contract,) = (found for found in CONTRACTS if found.get("containers") == [package])
    assert contract["exhaustive"], "a file or folder that is in no layer must fail"
    return [set(layer.split(" | ")) for layer in reversed(contract["layers"])]


def drawn(package: str) -> list[list[str]]:
    """The names in each line of a package's map, from the top; the rooms inside a room are left out."""
    lines = [line for line in MAPS[package].text.splitlines() if not line.startswith(" ")]
    return [line.partition("  ")[0].split() for line in lines]


@pytest.mark.parametrize("package", ["stepwell", "stepwell_orchestrator"])
def test_the_map_is_that_of_the_contracts(package: str) -> None:
    """Every room stands on the map where the contracts have it: a line for each, or one for those beside each other."""
    ground_up = layers(package)
    floors = {name: floor for floor, names in enumerate(ground_up) for name in names}
    order = [floors[name] for line in drawn(package) for name in line]
    assert [floor for floor, _ in groupby(order)] == list(range(len(ground_up)))
    assert len(order) == len(floors)


def test_the_engines_rooms_are_on_the_map() -> None:
    """The rooms of the engine stand under it in the order of their contract."""
    lines = [line.split()[0] for line in MAPS["stepwell_orchestrator"].text.splitlines() if line.startswith("  ")]
    assert [{room} for room in lines] == layers("stepwell_orchestrator.engine")
