"""What a function has taken from the functions around it."""

from __future__ import annotations

from typing import Any


def closed_over(function: Any) -> dict[str, Any]:
    """The variables of enclosing functions that ``function`` uses, by name. Those not assigned yet are left out."""
    names = getattr(getattr(function, "__code__", None), "co_freevars", ())
    cells = getattr(function, "__closure__", None) or ()
    found = {}
    for name, cell in zip(names, cells, strict=False):
        try:
            found[name] = cell.cell_contents
        except ValueError:
            continue
    return found
