"""Which gates a run goes through, and what they are called."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from stepwell_orchestrator.engine.flow.options import flow_options
from stepwell_orchestrator.model.flow import Counted, Limit, RunFlow, Scope
from stepwell_orchestrator.model.function import Function

_ID_CHARS: Final = 32


@dataclass(frozen=True, slots=True)
class Gate:
    """A limit with one value of its key. ``id`` is what stores know it by."""

    id: str
    limit: Limit
    key: str


def gates_of(flow: RunFlow, function: Function | None, *counted: Counted) -> list[Gate]:
    """The gates of a run, in the order in which they are taken.

    Their numbers are those of the function as it is now. A limit that was added since the run was scheduled does not
    concern it, since it has no key; one that was removed holds nothing back any more.
    """
    if function is None or not flow.keys:
        return []
    return [
        Gate(gate_id(function.slug, limit.id, flow.keys[limit.id]), limit, flow.keys[limit.id])
        for limit in flow_options(function).limits
        if limit.id in flow.keys and (not counted or limit.counts in counted)
    ]


def gate_ids(flow: RunFlow, function_id: str) -> list[str]:
    """The gates that a run may hold or wait at, whatever has become of its function."""
    return [gate_id(function_id, limit_id, key) for limit_id, key in flow.keys.items()]


def limit_of(function: Function | None, limit_id: str) -> Limit | None:
    """The limit of that id as the function has it now, if it has it."""
    limits = () if function is None else flow_options(function).limits
    return next((limit for limit in limits if limit.id == limit_id), None)


def gate_id(function_id: str, limit_id: str, key: str) -> str:
    """The id of a gate.

    A function's own gates are told apart by the limit's key expression too. What is shared by scope is shared by the
    key's value alone, so that functions whose events differ can share it.
    """
    counts, scope = limit_id.split(" ")[:2]
    owner = (counts, scope, function_id, limit_id) if scope == Scope.FUNCTION else (counts, scope)
    return named_gate(*owner, key)


def named_gate(*parts: str) -> str:
    """An id made of parts of any length. For gates that are no limits: of debounces, batches, singletons."""
    text = "\x00".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_ID_CHARS]
