"""Equality keys of an expression, so that an arriving event is compared with the waits it can match, not with all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from stepwell_orchestrator.expr.parse import parse
from stepwell_orchestrator.expr.syntax import Literal, Logic, Name, Node, Operation, Select

ARRIVING: Final = "async"
TRIGGER: Final = "event"

Path = tuple[str, ...]
Key = bool | int | float | str

_EXACT_NUMBER: Final = 2**53


def index_equalities(text: str, event: Mapping[str, Any]) -> tuple[dict[Path, Key], bool]:
    """The conjuncts ``async.<path> == <constant or event.<path>>`` of an expression, and whether anything is left.

    The keys are paths into the arriving event; the values are the constants, or what ``event`` (the trigger) holds.
    Whenever the expression matches, each equality holds: the converse is true only if nothing is left. Numbers equal
    by value must be filed alike (5 and 5.0), bools apart from numbers; those beyond 2**53 and whatever is null,
    missing or not a scalar are left to the full expression. Raises ExpressionError when the text is not CEL.
    """
    equalities: dict[Path, Key] = {}
    left = False
    for conjunct in _conjuncts(parse(text)):
        found = _equality(conjunct, event)
        if found is None or found[0] in equalities:
            left = True
        else:
            equalities[found[0]] = found[1]
    return equalities, left


def _conjuncts(node: Node) -> Iterator[Node]:
    """Only a conjunction may be taken apart: under ``||`` or ``!`` no operand has to hold."""
    if isinstance(node, Logic) and node.operator == "&&":
        for operand in node.operands:
            yield from _conjuncts(operand)
    else:
        yield node


def _equality(node: Node, event: Mapping[str, Any]) -> tuple[Path, Key] | None:
    if not isinstance(node, Operation) or node.operator != "==":
        return None
    for one, other in (node.operands, node.operands[::-1]):
        path = _path(one, ARRIVING)
        value = _constant(other, event)
        if path and _indexable(value):
            return path, value
    return None


def _path(node: Node, root: str) -> Path | None:
    """Returns the fields that lead from the variable ``root`` to a node, or None when it is anything else."""
    fields: list[str] = []
    while isinstance(node, Select):
        fields.append(node.field)
        node = node.operand
    return tuple(reversed(fields)) if isinstance(node, Name) and node.name == root else None


def _constant(node: Node, event: Mapping[str, Any]) -> Any:
    if isinstance(node, Literal):
        return node.value
    value: Any = event
    for field in _path(node, TRIGGER) or ():
        if not isinstance(value, Mapping):
            return None
        value = value.get(field)
    return value


def _indexable(value: Any) -> bool:
    return isinstance(value, bool | str) or (isinstance(value, int | float) and abs(value) <= _EXACT_NUMBER)
