"""The repository's files, read and parsed once, for the rules that are held by tests."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE_ROOTS = (ROOT / "adapter", ROOT / "orchestrator")
FOLDERS = ("examples", "bench", "infra")
"""What else is written in Python."""


@dataclass(frozen=True, slots=True)
class Source:
    """One Python file: its path from the repository's root, its text and its syntax tree."""

    path: str
    text: str
    tree: ast.Module

    @property
    def functions(self) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
        """Every function and method in it, nested ones too."""
        return (node for node in ast.walk(self.tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def parse(text: str, path: str) -> Source:
    """A source that need not exist on disk; the rules' own tests plant violations with it."""
    return Source(path, text, ast.parse(text))


@cache
def package_sources() -> tuple[Source, ...]:
    """What is installed: the adapter and the orchestrator."""
    return tuple(source for root in PACKAGE_ROOTS for source in _read(root))


@cache
def sources_of_tests() -> tuple[Source, ...]:
    """The tests."""
    return tuple(_read(ROOT / "tests"))


@cache
def all_sources() -> tuple[Source, ...]:
    """Every Python file of the repository."""
    return (*package_sources(), *sources_of_tests(), *(one for folder in FOLDERS for one in _read(ROOT / folder)))


def module_name(source: Source) -> str:
    """The dotted name a package source is imported by."""
    parts = Path(source.path).with_suffix("").parts[1:]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _read(root: Path) -> Iterator[Source]:
    for path in sorted(root.rglob("*.py")):
        yield parse(path.read_text(encoding="utf-8"), path.relative_to(ROOT).as_posix())
