"""Syntax nodes to plain Python closures, checked against the variables a place offers (protocol 8.1 - 8.3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, assert_never

from stepwell_orchestrator.expr.errors import EvaluationError
from stepwell_orchestrator.expr.functions import CASTS, FUNCTIONS, METHODS, Function, matches_constant
from stepwell_orchestrator.expr.macros import MACROS, Loop, comprehension, known
from stepwell_orchestrator.expr.operators import BINARY, UNARY
from stepwell_orchestrator.expr.parse import parse
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
    Position,
    Select,
)
from stepwell_orchestrator.expr.values import (
    MISSING,
    TYPE_NAMES,
    Evaluation,
    Evaluator,
    TypeName,
    Uint,
    Unknown,
    no_overload,
    plain,
)

_CACHED = 1_024
_RESTRICTED_OPERATORS = frozenset({"!", "==", "!=", "<", "<=", ">", ">="})

Scope = Mapping[str, str]
"""Macro variables in reach: the name as written, and the slot that holds its value."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression. Immutable, and safe to evaluate from several threads at once."""

    text: str
    _evaluator: Evaluator

    def evaluate(self, bindings: Mapping[str, Any], now_ms: int) -> Any:
        """The value under ``bindings``, as plain JSON; False when the whole expression is unknown.

        ``now_ms`` is what ``now()`` means. Raises EvaluationError when the result is a CEL error or the evaluation
        costs more than its budget.
        """
        state = Evaluation(dict(bindings), now_ms)
        result = self._evaluator(state)
        if isinstance(result, Unknown):
            if result.error is None:
                return False
            raise EvaluationError(f"{self.text[:200]!r}: {result.error}")
        return plain(state, result)

    def matches(self, bindings: Mapping[str, Any], now_ms: int) -> bool:
        """Whether the value is true itself. An error, or a value that is not a bool, is no match (protocol 8.1)."""
        try:
            return self.evaluate(bindings, now_ms) is True
        except EvaluationError:
            return False


def compile_expression(text: str, *, variables: frozenset[str], restricted: bool = False) -> Expression:
    """Compile CEL text that may use ``variables``; cached.

    ``restricted`` is the policy of ``cancel.if`` (protocol 8.3): logic, comparison, indexing and the number casts only.
    Raises ExpressionError with the position of what is not CEL, not known, or not allowed.
    """
    return _compiled(text, variables, restricted)


@lru_cache(maxsize=_CACHED)
def _compiled(text: str, variables: frozenset[str], restricted: bool) -> Expression:
    return Expression(text, _Compiler(variables, restricted).compile(parse(text), {}))


class _Compiler:
    """Compiles one expression, counting nodes: a macro's round costs as many as its body has."""

    def __init__(self, variables: frozenset[str], restricted: bool) -> None:
        self._variables = variables
        self._restricted = restricted
        self._nodes = 0

    def compile(self, node: Node, scope: Scope) -> Evaluator:
        """The evaluator of a node."""
        self._nodes += 1
        match node:
            case Literal(value=value):
                return lambda state: value
            case Name():
                return self._name(node, scope)
            case Select(operand=operand):
                return self._select(node, operand, scope)
            case Index(operand=operand, key=key):
                return _index(self.compile(operand, scope), self.compile(key, scope))
            case Call():
                return self._call(node, scope)
            case Operation():
                return self._operation(node, scope)
            case Logic(operator=operator, operands=operands):
                return _first(operator == "||", tuple(self._each(operands, scope)))
            case Conditional(test=test, then=then, otherwise=otherwise):
                return _choice(*self._each((test, then, otherwise), scope))
            case ListOf(items=items):
                evaluators = tuple(self._each(items, scope))
                return lambda state: [known(evaluate(state)) for evaluate in evaluators]
            case MapOf(entries=entries):
                return _map_of([tuple(self._each(entry, scope)) for entry in entries])
            case _:
                assert_never(node)

    def _each(self, nodes: Iterable[Node], scope: Scope) -> Iterable[Evaluator]:
        return [self.compile(node, scope) for node in nodes]

    def _name(self, node: Name, scope: Scope) -> Evaluator:
        name = scope.get(node.name, node.name)
        if node.name in scope or node.name in self._variables:
            return lambda state: state.variables.get(name, MISSING)
        if node.name in TYPE_NAMES and not self._restricted:
            type_name = TypeName(node.name)
            return lambda state: type_name
        allowed = ", ".join(sorted(self._variables))
        raise node.at.error(f'there is no variable "{node.name}" here; use one of: {allowed}')

    def _select(self, node: Select, operand: Node, scope: Scope) -> Evaluator:
        """A chain of fields, read in one closure; a missing field is unknown."""
        fields = [node.field]
        while isinstance(operand, Select):
            fields.append(operand.field)
            operand = operand.operand
        path = tuple(reversed(fields))
        start = self.compile(operand, scope)

        def evaluate(state: Evaluation) -> Any:
            value = start(state)
            for field in path:
                if type(value) is not dict or field not in value:
                    return MISSING
                value = value[field]
            return value

        return evaluate

    def _operation(self, node: Operation, scope: Scope) -> Evaluator:
        if self._restricted and node.operator not in _RESTRICTED_OPERATORS:
            raise _not_allowed(node.at, f'the operator "{node.operator}"')
        if len(node.operands) == 1:
            (only,) = self._each(node.operands, scope)
            unary = UNARY[node.operator]
            return lambda state: unary(only(state))
        left, right = self._each(node.operands, scope)
        binary = BINARY[node.operator]
        return lambda state: binary(state, left(state), right(state))

    def _call(self, node: Call, scope: Scope) -> Evaluator:
        name, target, arguments = node.function, node.target, node.arguments
        if self._restricted and (target is not None or name not in CASTS):
            raise _not_allowed(node.at, f'"{name}"')
        if target is None:
            if name == "has":
                return self._has(node, scope)
            return self._function(node, FUNCTIONS.get(name), arguments, scope)
        if name in MACROS:
            return self._macro(node, target, scope)
        return self._function(node, METHODS.get(name), (target, *arguments), scope)

    def _function(self, node: Call, function: Function | None, arguments: tuple[Node, ...], scope: Scope) -> Evaluator:
        name, implicit = node.function, 0 if node.target is None else 1
        if function is None:
            known_names = [*METHODS, *MACROS] if implicit else [*FUNCTIONS, "has"]
            sort = "method" if implicit else "function"
            raise node.at.error(f'there is no {sort} "{name}"; use one of: {", ".join(sorted(known_names))}')
        if len(arguments) != function.arguments:
            wanted, found = function.arguments - implicit, len(arguments) - implicit
            raise node.at.error(f"{name}() takes {wanted} argument{'' if wanted == 1 else 's'}, not {found}")
        if name == "matches" and isinstance(arguments[1], Literal):
            function, arguments = _matcher(arguments[1]), arguments[:1]
        return _invocation(function, tuple(self._each(arguments, scope)))

    def _has(self, node: Call, scope: Scope) -> Evaluator:
        if len(node.arguments) != 1 or not isinstance(node.arguments[0], Select):
            raise node.at.error("has() takes one field, like has(event.data.user)")
        field = self.compile(node.arguments[0], scope)
        return lambda state: not isinstance(field(state), Unknown)

    def _macro(self, node: Call, target: Node, scope: Scope) -> Evaluator:
        name, (first, *bodies) = node.function, node.arguments or (None,)
        if not isinstance(first, Name) or len(bodies) not in ((1, 2) if name == "map" else (1,)):
            raise node.at.error(f"{name}() takes a variable and an expression, like items.{name}(item, item.ok)")
        over = self.compile(target, scope)
        before, slot = self._nodes, f"{first.name}#{self._nodes}"
        evaluators = tuple(self._each(bodies, {**scope, first.name: slot}))
        return comprehension(MACROS[name], Loop(over, slot, evaluators, self._nodes - before), name)


def _not_allowed(at: Position, what: str) -> Exception:
    return at.error(f"{what} is not allowed here; only logic, comparisons and int(), uint(), double() are")


def _matcher(node: Literal) -> Function:
    try:
        return matches_constant(str(node.value))
    except ValueError as error:
        raise node.at.error(f"matches: {error}") from error


def _invocation(function: Function, arguments: tuple[Evaluator, ...]) -> Evaluator:
    of, unknown = function.of, function.unknown

    def evaluate(state: Evaluation) -> Any:
        values = [argument(state) for argument in arguments]
        if any(isinstance(value, Unknown) for value in values):
            return unknown
        return of(state, *values)

    return evaluate


def _first(truthy: bool, operands: tuple[Evaluator, ...]) -> Evaluator:
    """The first operand whose truth is ``truthy``, else the last: a bool for bools, a value otherwise."""
    *heads, last = operands

    def evaluate(state: Evaluation) -> Any:
        for operand in heads:
            value = operand(state)
            if bool(value) is truthy:
                return value
        return last(state)

    return evaluate


def _choice(test: Evaluator, then: Evaluator, otherwise: Evaluator) -> Evaluator:
    return lambda state: then(state) if test(state) else otherwise(state)


def _index(operand: Evaluator, key: Evaluator) -> Evaluator:
    """``operand[key]``: a missing key or element is unknown, as a missing field is."""

    def evaluate(state: Evaluation) -> Any:
        holder, at = operand(state), key(state)
        if isinstance(holder, Unknown) or isinstance(at, Unknown):
            return MISSING
        if type(holder) is dict and type(at) is str:
            return holder.get(at, MISSING)
        if type(holder) is list and (type(at) in (int, Uint) or (type(at) is float and at.is_integer())):
            return holder[int(at)] if 0 <= at < len(holder) else MISSING
        return no_overload("[]", holder, at)

    return evaluate


def _map_of(entries: list[tuple[Evaluator, ...]]) -> Evaluator:
    def evaluate(state: Evaluation) -> Any:
        built = {}
        for key, value in entries:
            name = key(state)
            if type(name) is not str:
                return Unknown("a map key must be a string, as in JSON")
            built[name] = known(value(state))
        return built

    return evaluate
