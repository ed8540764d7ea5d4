"""How often the steps of a call are saved while it goes on: what an author writes, checked."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, Final

from stepwell.values.checks import Duration, Field
from stepwell.wire.times import DAY_MS, SECOND_MS

BUFFERED_STEPS_MAX: Final = 1_000
RUNTIME_MAX_MS: Final = DAY_MS // 12
"""Two hours: the longest call there is (protocol B)."""


@dataclass(frozen=True, slots=True)
class Checkpointing:
    """Execute steps one after another in one call, each of them saved while the call goes on.

    ``buffered_steps`` are saved together, or what there is of them ``max_interval`` after the first; a crash repeats
    the steps that were not saved. A call begins no further step once it has taken ``max_runtime`` (1 s to 2 h).
    """

    buffered_steps: int = 1
    _: KW_ONLY
    max_interval: Duration | None = None
    max_runtime: Duration = "10s"

    def pace(self, field: Field) -> Pace:
        """When a call saves its steps, in numbers. Raises DefinitionError naming the field."""
        interval = self.max_interval
        return Pace(
            buffered_steps=field.member("buffered_steps").whole(self.buffered_steps, 1, BUFFERED_STEPS_MAX),
            max_interval_ms=None
            if interval is None
            else field.member("max_interval").duration_ms(interval, 1, RUNTIME_MAX_MS),
            max_runtime_ms=field.member("max_runtime").duration_ms(self.max_runtime, SECOND_MS, RUNTIME_MAX_MS),
        )


@dataclass(frozen=True, slots=True)
class Pace:
    """When a call saves the steps it executed, and how long it goes on."""

    buffered_steps: int
    max_interval_ms: int | None
    max_runtime_ms: int


def pace_of(field: Field, value: Any, app: Pace | None = None) -> Pace | None:
    """What ``checkpoint=value`` means. Returns None when it switches checkpoints off.

    ``app`` is what the function's app says, which counts where ``value`` says nothing else. Raises DefinitionError.
    """
    if value is None:
        return app
    if isinstance(value, bool):
        return (app or Checkpointing().pace(field)) if value else None
    if not isinstance(value, Checkpointing):
        raise field.error(f"must be True, False or a stepwell.Checkpointing(...), got {value!r}")
    return value.pace(field)
