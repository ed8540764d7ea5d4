"""What a source refers to: the dotted names it uses and the modules it imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.tidy.sources import Source, module_name


def imported_names(source: Source) -> dict[str, str]:
    """Local name -> the dotted name it was imported as, wherever in the file the import stands."""
    names: dict[str, str] = {}
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                names[alias.asname or top] = alias.name if alias.asname else top
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names


def used_names(source: Source) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of everything imported that is used, called or not; ``from x import y`` counts as a use."""
    imported = imported_names(source)
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.Attribute) and (name := _dotted(node, imported)):
            yield node.lineno, name


def imported_modules(source: Source, known: frozenset[str]) -> frozenset[str]:
    """The modules out of ``known`` that the source imports, also by ``importlib.import_module("...")``.

    Importing ``a.b`` imports ``a`` as well.
    """
    names = {name for _, name in used_names(source)} | set(_module_texts(source))
    prefixes = {name.rsplit(".", cut)[0] for name in names for cut in range(name.count(".") + 1)}
    return frozenset(prefixes & known) - {module_name(source)}


def _dotted(node: ast.Attribute, imported: dict[str, str]) -> str | None:
    parts: list[str] = []
    value: ast.expr = node
    while isinstance(value, ast.Attribute):
        parts.append(value.attr)
        value = value.value
    if not isinstance(value, ast.Name) or value.id not in imported:
        return None
    return ".".join([imported[value.id], *reversed(parts)])


def _module_texts(source: Source) -> Iterator[str]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module") and node.args:
            argument = node.args[0]
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                yield argument.value
