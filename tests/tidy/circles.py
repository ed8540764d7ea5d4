"""Circles of imports: files that cannot be understood, or loaded, one without the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter

from tests.tidy.names import used_names
from tests.tidy.sources import Source, module_name


def imports_between(sources: Iterable[Source]) -> dict[str, frozenset[str]]:
    """Path of each file -> the paths of the others it imports itself: lazily and for its types alone, too.

    The file that a name comes from counts, and not the packages on the way to it; a package's ``__init__.py`` counts
    where a name is taken from the package.
    """
    sources = tuple(sources)
    paths = {module_name(source): source.path for source in sources}
    return {source.path: frozenset(_imported_files(source, paths)) - {source.path} for source in sources}


def circles(imports: Mapping[str, frozenset[str]]) -> Iterator[tuple[str, ...]]:
    """One circle after the other, each opened where it closes, until none is left.

    Each file in one comes before a file that it imports; the first comes once more at the end.
    """
    remaining = {path: set(others) for path, others in imports.items()}
    while circle := _circle(remaining):
        yield circle
        remaining[circle[0]].discard(circle[1])


def _circle(imports: Mapping[str, set[str]]) -> tuple[str, ...] | None:
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as found:
        first, *rest = reversed(found.args[1])
        return (first, *rest)
    return None


def _imported_files(source: Source, paths: Mapping[str, str]) -> Iterator[str]:
    for _, name in used_names(source):
        parts = name.split(".")
        longest = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
        if module := next((candidate for candidate in longest if candidate in paths), None):
            yield paths[module]
