"""Expression text to syntax nodes. celpy says what is valid CEL; its untyped tree is known in this file alone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, NoReturn

from stepwell_orchestrator.expr import literals
from stepwell_orchestrator.expr.scan import NESTING_MAX, position, scan
from stepwell_orchestrator.expr.syntax import (
    Call,
    Conditional,
    Index,
    ListOf,
    Literal,
    Logic,
    MapOf,
    Name,
    Node,
    Operation,
    Operator,
    Position,
    Select,
)

CALLS_MAX: Final = 100
ITEMS_MAX: Final = 500
"""The most items one list or map may spell out."""
_CACHED = 1_024

_LOCK = threading.Lock()
"""The parser is one per process and not thread-safe."""

_BINARY: Final[dict[str, Operator]] = {
    "relation_eq": "==",
    "relation_ne": "!=",
    "relation_lt": "<",
    "relation_le": "<=",
    "relation_gt": ">",
    "relation_ge": ">=",
    "relation_in": "in",
    "addition_add": "+",
    "addition_sub": "-",
    "multiplication_mul": "*",
    "multiplication_div": "/",
    "multiplication_mod": "%",
}
_CLOSERS: Final = {"RPAR": '")"', "RSQB": '"]"', "RBRACE": '"}"', "COMMA": '","', "COLON": '":"'}


@lru_cache(maxsize=_CACHED)
def parse(text: str) -> Node:
    """The syntax of an expression. Raises ExpressionError saying where the text stops being valid CEL, and why."""
    if not text.strip():
        raise Position(1, 1).error("it is empty; leave it out instead")
    scan(text)
    return _Reader().node(_tree(text), 0)


def _tree(text: str) -> Any:
    from celpy.celparser import CELParser
    from lark.exceptions import LarkError, UnexpectedInput

    with _LOCK:
        CELParser()
        parser = CELParser.CEL_PARSER
        assert parser is not None
        try:
            return parser.parse(text)
        except UnexpectedInput as error:
            _refuse(text, error)
        except LarkError as error:
            raise Position(1, 1).error(f"it is not CEL: {str(error).splitlines()[0]}") from error


def _refuse(text: str, error: Any) -> NoReturn:
    """Put the parser's complaint in words."""
    token = getattr(error, "token", None)
    if token is None:
        offset, found, expected = error.pos_in_stream, f'"{text[error.pos_in_stream]}"', error.allowed
    elif token.type == "$END":
        offset, found, expected = len(text.rstrip()), "the end", error.expected
    else:
        # celpy's tokens for true and false have lost their place
        offset = text.find(token) if error.pos_in_stream is None else error.pos_in_stream
        found, expected = f'"{token}"', error.expected
    raise position(text, offset).error(f"expected {_words(set(expected))}, found {found}") from None


def _words(expected: set[str]) -> str:
    if "INT_LIT" in expected:
        return "a value"
    if expected == {"IDENT"}:
        return "a name"
    closers = [word for terminal, word in _CLOSERS.items() if terminal in expected]
    if len(expected) > len(closers):
        return f"an operator or {closers[0]}" if len(closers) == 1 else "an operator"
    return " or ".join(closers)


class _Reader:
    """Turns one parser tree into nodes, counting calls. One instance a tree."""

    def __init__(self) -> None:
        self._calls = 0

    def node(self, tree: Any, depth: int) -> Node:
        """The node of a subtree; the grammar's one-child levels vanish."""
        while len(tree.children) == 1 and tree.data in _LEVELS:
            tree = tree.children[0]
        if depth > NESTING_MAX:
            raise _at(tree).error(f"it is nested more than {NESTING_MAX} deep; split it")
        reader = _READERS.get(tree.data)
        if reader is None:
            raise _at(tree).error(f"{tree.data.replace('_', ' ')} is not supported here")
        return reader(self, tree, depth + 1)

    def logic(self, tree: Any, depth: int) -> Node:
        """A chain of one operator; it leans left, so it is read from its end."""
        data, operands, head = tree.data, [], tree
        while head.data == data and len(head.children) == 2:
            head, last = head.children
            operands.append(self.node(last, depth))
        operands.append(self.node(head, depth))
        return Logic(_at(tree), "||" if data == "conditionalor" else "&&", tuple(reversed(operands)))

    def binary(self, tree: Any, depth: int) -> Node:
        """A comparison or arithmetic: the left side sits inside the operator's own tree."""
        operator, right = tree.children
        left = operator.children[0]
        return Operation(_at(tree), _BINARY[operator.data], (self.node(left, depth), self.node(right, depth)))

    def unary(self, tree: Any, depth: int) -> Node:
        """``!x`` or ``-x``."""
        operator, operand = tree.children
        return Operation(_at(tree), "!" if operator.data == "unary_not" else "-", (self.node(operand, depth),))

    def conditional(self, tree: Any, depth: int) -> Node:
        """``a ? b : c``."""
        test, then, otherwise = (self.node(child, depth) for child in tree.children)
        return Conditional(_at(tree), test, then, otherwise)

    def parenthesis(self, tree: Any, depth: int) -> Node:
        """``(a)``: the node inside."""
        return self.node(tree.children[0], depth)

    def name(self, tree: Any, _: int) -> Node:
        """A bare identifier."""
        return Name(_at(tree), str(tree.children[0]))

    def select(self, tree: Any, depth: int) -> Node:
        """``a.b``."""
        operand, name = tree.children
        return Select(_at(tree), self.node(operand, depth), str(name))

    def index(self, tree: Any, depth: int) -> Node:
        """``a[b]``; a constant string key reads like a selected field."""
        operand, key = (self.node(child, depth) for child in tree.children)
        if isinstance(key, Literal) and isinstance(key.value, str):
            return Select(_at(tree), operand, key.value)
        return Index(_at(tree), operand, key)

    def call(self, tree: Any, depth: int) -> Node:
        """``f(a)``."""
        name, *arguments = tree.children
        return self._call(tree, str(name), None, arguments, depth)

    def method(self, tree: Any, depth: int) -> Node:
        """``a.f(b)``."""
        target, name, *arguments = tree.children
        return self._call(tree, str(name), self.node(target, depth), arguments, depth)

    def items(self, tree: Any, depth: int) -> Node:
        """``[a, b]``."""
        return ListOf(_at(tree), self._list(tree.children, depth))

    def entries(self, tree: Any, depth: int) -> Node:
        """``{a: b}``."""
        flat = self._list(tree.children, depth)
        return MapOf(_at(tree), tuple(zip(flat[::2], flat[1::2], strict=True)))

    def literal(self, tree: Any, _: int) -> Node:
        """A constant."""
        at, token = _at(tree), tree.children[0]
        match token.type:
            case "INT_LIT":
                return Literal(at, literals.integer(token, at))
            case "UINT_LIT":
                return Literal(at, literals.unsigned(token, at))
            case "FLOAT_LIT":
                return Literal(at, literals.double(token, at))
            case "STRING_LIT" | "MLSTRING_LIT":
                return Literal(at, literals.string(token, at))
            case "BOOL_LIT":
                return Literal(at, _BOOLS[token])
            case "NULL_LIT":
                return Literal(at, None)
            case _:
                raise at.error("bytes are not supported; JSON has none: write a string")

    def _call(self, tree: Any, name: str, target: Node | None, arguments: list[Any], depth: int) -> Node:
        self._calls += 1
        if self._calls > CALLS_MAX:
            raise _at(tree).error(f"it has more than {CALLS_MAX} calls; split it")
        return Call(_at(tree), name, target, self._list(arguments, depth))

    def _list(self, holder: list[Any], depth: int) -> tuple[Node, ...]:
        """The nodes of an optional ``exprlist`` or ``mapinits``."""
        children = holder[0].children if holder else []
        if len(children) > ITEMS_MAX:
            raise _at(holder[0]).error(f"it lists {len(children)} items; the limit is {ITEMS_MAX}")
        return tuple(self.node(child, depth) for child in children)


_BOOLS: Final = {"true": True, "false": False}
_LEVELS: Final = frozenset(
    ("expr", "conditionalor", "conditionaland", "relation", "addition", "multiplication", "unary", "member", "primary")
)
_READERS: Final[dict[str, Callable[[_Reader, Any, int], Node]]] = {
    "expr": _Reader.conditional,
    "conditionalor": _Reader.logic,
    "conditionaland": _Reader.logic,
    "relation": _Reader.binary,
    "addition": _Reader.binary,
    "multiplication": _Reader.binary,
    "unary": _Reader.unary,
    "paren_expr": _Reader.parenthesis,
    "ident": _Reader.name,
    "member_dot": _Reader.select,
    "member_index": _Reader.index,
    "ident_arg": _Reader.call,
    "member_dot_arg": _Reader.method,
    "list_lit": _Reader.items,
    "map_lit": _Reader.entries,
    "literal": _Reader.literal,
}


def _at(tree: Any) -> Position:
    """Where a tree begins; one that holds no placed token (``[]``, ``true``) reports the start of the text."""
    return Position(getattr(tree.meta, "line", 1), getattr(tree.meta, "column", 1))
