"""The comprehension macros: a body evaluated once per list element or map key, paid for by its size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from stepwell_orchestrator.expr.values import Evaluation, Evaluator, Unknown, no_overload


@dataclass(frozen=True, slots=True)
class Loop:
    """A compiled comprehension. ``variable`` is the slot its body reads; ``cost`` is what one round spends."""

    over: Evaluator
    variable: str
    bodies: tuple[Evaluator, ...]
    cost: int

    def rounds(self, state: Evaluation, items: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        """Each item with what the first body makes of it."""
        body = self.bodies[0]
        for item in items:
            state.spend(self.cost)
            state.variables[self.variable] = item
            yield item, body(state)


Fold = Callable[[Loop, Evaluation, Iterable[Any]], Any]


def _all(loop: Loop, state: Evaluation, items: Iterable[Any]) -> bool:
    return all(held for _, held in loop.rounds(state, items))


def _exists(loop: Loop, state: Evaluation, items: Iterable[Any]) -> bool:
    return any(held for _, held in loop.rounds(state, items))


def _exists_one(loop: Loop, state: Evaluation, items: Iterable[Any]) -> bool:
    return sum(1 for _, held in loop.rounds(state, items) if held) == 1


def _filter(loop: Loop, state: Evaluation, items: Iterable[Any]) -> list[Any]:
    return [item for item, held in loop.rounds(state, items) if held]


def _map(loop: Loop, state: Evaluation, items: Iterable[Any]) -> list[Any]:
    if len(loop.bodies) == 1:
        return [known(value) for _, value in loop.rounds(state, items)]
    transform = loop.bodies[1]
    return [known(transform(state)) for _, held in loop.rounds(state, items) if held]


def known(value: Any) -> Any:
    """A value fit to be a member of a list or map: an unknown becomes null."""
    return None if isinstance(value, Unknown) else value


MACROS: Final[dict[str, Fold]] = {
    "all": _all,
    "exists": _exists,
    "exists_one": _exists_one,
    "filter": _filter,
    "map": _map,
}


def comprehension(fold: Fold, loop: Loop, name: str) -> Evaluator:
    """The evaluator of a macro: false over an unknown range, an error over what is neither list nor map."""

    def evaluate(state: Evaluation) -> Any:
        items = loop.over(state)
        if isinstance(items, Unknown):
            return False
        if type(items) not in (list, dict):
            return no_overload(name, items)
        return fold(loop, state, items)

    return evaluate
