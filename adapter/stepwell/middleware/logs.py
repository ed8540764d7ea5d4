"""Middleware that logs what is really executed: runs, steps, how long they took, and what failed."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Final

from stepwell.middleware.base import CallInput, Middleware, Output, Scope, StepInfo

_LOGGER: Final = logging.getLogger("stepwell.middleware")


@dataclass(frozen=True, slots=True)
class Logging:
    """Logs to ``stepwell.middleware``, a line when a run or a step starts and one when it ends; nothing on replay.

    Failures are warnings, everything else has ``level``. Each record has the attributes ``function``, ``run_id``,
    ``attempt``, ``step`` and ``duration_ms``, None where there is no such thing. No event, result or message is logged
    but the name and message of an error.
    """

    level: int = logging.INFO

    def __call__(self, scope: Scope) -> Middleware:
        """The instance for one call."""
        return _Log(scope, self.level)


class _Log(Middleware):
    def __init__(self, scope: Scope, level: int) -> None:
        super().__init__(scope)
        self._level = level
        self._facts: dict[str, Any] = {"function": None, "run_id": None, "attempt": None}
        self._started_ms = 0
        self._duration_ms = 0

    def transform_input(self, call: CallInput) -> None:
        if not call.events:
            return
        self._facts = {"function": call.function_slug, "run_id": call.run_id, "attempt": call.attempt}
        if call.first:
            self._log(self._level, "run started")

    def before_execution(self, step: StepInfo) -> None:
        self._log(self._level, f'step "{step.id}" started', step=step.id)
        self._started_ms = self.now_ms()

    def after_execution(self, step: StepInfo) -> None:
        self._duration_ms = max(self.now_ms() - self._started_ms, 0)

    def transform_output(self, output: Output) -> None:
        what, step, duration_ms = "run", None, None
        if output.step is not None:
            what, step, duration_ms = f'step "{output.step.id}"', output.step.id, self._duration_ms
        if output.error is None:
            self._log(self._level, f"{what} ended", step=step, duration_ms=duration_ms)
        else:
            problem = f"{what} failed: {type(output.error).__name__}: {output.error}"
            self._log(logging.WARNING, problem, step=step, duration_ms=duration_ms)

    def _log(self, level: int, what: str, *, step: str | None = None, duration_ms: int | None = None) -> None:
        taken = "" if duration_ms is None else f" after {duration_ms} ms"
        extra = {**self._facts, "step": step, "duration_ms": duration_ms}
        _LOGGER.log(level, "%s, %s: %s%s", self._facts["function"], self._facts["run_id"], what, taken, extra=extra)
