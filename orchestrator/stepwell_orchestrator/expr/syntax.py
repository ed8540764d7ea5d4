"""The syntax of an expression as a closed union of nodes; every node knows where it begins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal as OneOf

from stepwell_orchestrator.expr.errors import ExpressionError

Operator = OneOf["!", "-", "+", "*", "/", "%", "==", "!=", "<", "<=", ">", ">=", "in"]
Scalar = None | bool | int | float | str


@dataclass(frozen=True, slots=True)
class Position:
    """A place in an expression's text, counted from 1."""

    line: int
    column: int

    def error(self, problem: str) -> ExpressionError:
        """The error that points here."""
        return ExpressionError(problem, line=self.line, column=self.column)


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant."""

    at: Position
    value: Scalar


@dataclass(frozen=True, slots=True)
class Name:
    """A variable, a macro's own variable, or the name of a type."""

    at: Position
    name: str


@dataclass(frozen=True, slots=True)
class Select:
    """``operand.field``, and ``operand["field"]`` alike."""

    at: Position
    operand: Node
    field: str


@dataclass(frozen=True, slots=True)
class Index:
    """``operand[key]`` with a key that is not a string constant."""

    at: Position
    operand: Node
    key: Node


@dataclass(frozen=True, slots=True)
class Call:
    """``function(arguments)``, or ``target.function(arguments)``; macros look the same."""

    at: Position
    function: str
    target: Node | None
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Operation:
    """An operator and its one or two operands; none of these operators short-circuits."""

    at: Position
    operator: Operator
    operands: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Logic:
    """A chain of two or more operands under ``&&`` or ``||``."""

    at: Position
    operator: OneOf["&&", "||"]
    operands: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Conditional:
    """``test ? then : otherwise``."""

    at: Position
    test: Node
    then: Node
    otherwise: Node


@dataclass(frozen=True, slots=True)
class ListOf:
    """``[item, ...]``."""

    at: Position
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class MapOf:
    """``{key: value, ...}``."""

    at: Position
    entries: tuple[tuple[Node, Node], ...]


Node = Literal | Name | Select | Index | Call | Operation | Logic | Conditional | ListOf | MapOf
