"""The Lambda function of the one-minute schedule: what nobody else looks after any more is queued again."""

from __future__ import annotations

import logging
from typing import Any, Final

from stepwell.errors import StepwellError
from stepwell.wire.times import MINUTE_MS
from stepwell_orchestrator.controlling.lines import Lines
from stepwell_orchestrator.controlling.sweep import Sweep
from stepwell_orchestrator.entry.aws.assemble import Deployment, this_process
from stepwell_orchestrator.entry.aws.function import LambdaFunction, Serve
from stepwell_orchestrator.limits import SWEEP_MS

LOOK_MS: Final = 15 * MINUTE_MS
"""How often dead letters and schedules are looked after: each look is a request, which an idle stack pays for."""

_log = logging.getLogger("stepwell.sweep")


class Sweeping:
    """One process that sweeps, whatever the event is; it answers how many runs and dead letters it queued again."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        backend, clock = deployment.backend, deployment.clock
        lines = Lines(backend.flow, backend.journal, backend.registry, backend.queue, clock)
        self._sweep = Sweep(backend.journal, backend.queue, clock, lines)
        self._swept_at_ms = deployment.clock.now_ms() - SWEEP_MS

    async def handle(self, _event: Any, _context: Any) -> dict[str, Any]:
        """Sweep once, and look after dead letters and schedules if a quarter of an hour began since the last."""
        before_ms, self._swept_at_ms = self._swept_at_ms, self._deployment.clock.now_ms()
        runs = await self._sweep.run()
        looks = before_ms // LOOK_MS != self._swept_at_ms // LOOK_MS
        if looks:
            await self._keep_schedules()
        return {"runs": runs, "redriven": await self._redrive() if looks else 0}

    async def _redrive(self) -> int:
        try:
            return await self._deployment.dead_letters.redrive()
        except StepwellError:
            _log.warning("dead letters are left to the next look", exc_info=True)
            return 0

    async def _keep_schedules(self) -> None:
        """A schedule may have lost its next tick, or have been deleted by hand."""
        try:
            await self._deployment.timetable.keep_all()
        except StepwellError:
            _log.warning("schedules are left to the next look", exc_info=True)


def sweeping(deployment: Deployment) -> Serve:
    """The function of one process."""
    return Sweeping(deployment).handle


handler = LambdaFunction(lambda: sweeping(this_process()))
