"""CloudFormation templates as the tests read them: intrinsics written out, and the lines of what is in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
ENGINE = "template.yaml"
APP = "infra/app-template.yaml"
ENGINE_FUNCTIONS = ("ApiFunction", "QueueFunction", "SweepFunction", "SyncFunction")


class _Loader(yaml.SafeLoader):
    """Reads ``!Ref x`` as ``{"Ref": "x"}`` and ``!Sub x`` as ``{"Fn::Sub": "x"}``."""


def _intrinsic(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _intrinsic)


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a policy, where it stands, and the lines of its text that have a ``*`` in a resource."""

    where: str
    body: dict[str, Any]
    wildcards: tuple[int, ...]

    def listed(self, member: str) -> list[Any]:
        """A member that may be one thing or a list of them, as a list."""
        value = self.body.get(member, [])
        return value if isinstance(value, list) else [value]


def text(path: str) -> str:
    """A template's text."""
    return (ROOT / path).read_text(encoding="utf-8")


@cache
def load(path: str) -> Any:
    """A template."""
    return yaml.load(text(path), _Loader)


def resources(path: str, kind: str) -> dict[str, Any]:
    """A template's resources of one type."""
    found = load(path)["Resources"]
    return {name: resource for name, resource in found.items() if resource["Type"] == kind}


def statements(path: str) -> Iterator[Statement]:
    """Every statement of every policy document of a template, trust policies too."""
    root = yaml.compose(text(path), _Loader)
    for parents, node in _mappings(root, ()):
        names = [key.value for key, _ in node.value]
        if "Effect" in names:
            loader = _Loader("")
            body = loader.construct_mapping(node, deep=True)
            lines = [line for key, value in node.value if key.value == "Resource" for line in _wildcards(value)]
            yield Statement(f"{path}:{node.start_mark.line + 1} {'/'.join(parents[1:2])}", body, tuple(lines))


def _mappings(node: Any, parents: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(node, yaml.MappingNode):
        yield parents, node
        for key, value in node.value:
            yield from _mappings(value, (*parents, str(key.value)))
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _mappings(value, parents)


def _wildcards(node: Any) -> Iterator[int]:
    if isinstance(node, yaml.ScalarNode):
        if "*" in node.value:
            yield node.start_mark.line
    else:
        for child in node.value:
            for each in child if isinstance(child, tuple) else (child,):
                yield from _wildcards(each)
