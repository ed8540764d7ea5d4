"""The Lambda function of the one-minute schedule: what nobody else looks after any more is queued again."""

from __future__ import annotations

from typing import Any

from stepwell_orchestrator.entry.aws.assemble import Deployment, this_process
from stepwell_orchestrator.entry.aws.function import LambdaFunction, Serve
from stepwell_orchestrator.sweep import Sweep


def sweeping(deployment: Deployment) -> Serve:
    """Sweeps, whatever the event is; the answer says how many runs were queued again."""
    sweep = Sweep(deployment.backend.journal, deployment.backend.queue, deployment.clock)

    async def serve(_event: Any, _context: Any) -> dict[str, Any]:
        return {"runs": await sweep.run()}

    return serve


handler = LambdaFunction(lambda: sweeping(this_process()))
