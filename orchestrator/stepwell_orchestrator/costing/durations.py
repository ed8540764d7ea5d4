"""How long Lambda functions run, which only Lambda could tell: assumed, from what they were seen to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final

from stepwell.errors import DefinitionError

FULL_PROCESSOR_MB: Final = 1_769
"""The memory from which on a function has a whole processor; below, it has that share of it."""
_MB_OF_GB: Final = 1_024


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What is assumed of the functions. Memory as the stack sets it. Cold starts are left out."""

    api_memory_mb: int = 1_024
    queue_memory_mb: int = 512
    sweep_memory_mb: int = 512
    app_memory_mb: int = 512
    app_ms: int = 10
    """One call of your function, billed: what its steps take is to be added."""
    call_ms: int = 5
    """One call of a service, there and back."""
    invoke_ms: int = 5
    """Invoking a function, beside what the function takes."""
    processor_ms: int = 1
    """What a call of a service takes of a whole processor."""
    handler_ms: int = 5
    """Each invocation, beside its calls."""

    def memory_mb(self, function: str) -> int:
        """The memory of ``api``, ``queue``, ``sweep`` or ``app``."""
        memory_mb: int = getattr(self, f"{function}_memory_mb")
        return memory_mb


@dataclass(frozen=True, slots=True)
class Invocation:
    """One invocation of a function, or many alike: how often, and what one did.

    ``calls`` of services, invoked functions not among them, for ``items`` that it worked on side by side. Apps saved
    steps ``saves`` times meanwhile, for which the API made ``save_calls`` calls of services.
    """

    function: str
    items: int = 1
    calls: int = 0
    app_calls: int = 0
    saves: float = 0
    save_calls: float = 0


def assume(own: Mapping[str, Any]) -> Assumptions:
    """The assumptions with one's own in their place. Raises DefinitionError naming what is none."""
    names = [field.name for field in fields(Assumptions)]
    for name, value in own.items():
        if name not in names:
            raise DefinitionError(f'"{name}" is not assumed; the names are {", ".join(names)}')
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise DefinitionError(f"{name} is {value!r}; write a whole number, such as {asdict(Assumptions())[name]}")
    return replace(Assumptions(), **own)


def billed_ms(invocation: Invocation, assumed: Assumptions) -> float:
    """How long an invocation is billed.

    The items of a batch are taken to be alike and to wait side by side, each for one call after the other; but they
    share a processor, and it may be that which takes longest. An app does nothing but its own, and waits for its saves.
    """
    saves_ms = invocation.saves * (assumed.invoke_ms + assumed.handler_ms) + invocation.save_calls * assumed.call_ms
    if invocation.function == "app":
        return assumed.app_ms + saves_ms
    apps_ms = invocation.app_calls * (assumed.invoke_ms + assumed.app_ms) + saves_ms
    waits_ms = invocation.calls * assumed.call_ms + apps_ms
    share = min(assumed.memory_mb(invocation.function) / FULL_PROCESSOR_MB, 1)
    works_ms = (invocation.calls + invocation.app_calls) * assumed.processor_ms / share
    return assumed.handler_ms + max(waits_ms / invocation.items, works_ms)


def gb_seconds(invocation: Invocation, assumed: Assumptions) -> float:
    """What Lambda charges an invocation by."""
    return assumed.memory_mb(invocation.function) / _MB_OF_GB * billed_ms(invocation, assumed) / 1_000
