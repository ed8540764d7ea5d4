"""Results as functions are given them: middleware may store the same result differently each time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from stepwell.authoring.function import Function
from stepwell.errors import MiddlewareError
from stepwell.middleware.base import CallInput
from stepwell.wire.reply import Finished
from stepwell_orchestrator.cli.replay_check.recording import Recording
from stepwell_orchestrator.cli.replay_check.replaying import Replayed

_BEFORE, _NOW = "before", "now"


async def open_results(function: Function[Any], recording: Recording, replayed: Replayed) -> tuple[Recording, Replayed]:
    """Read both results as a function that invokes this one would get them. Returns both with these results.

    Returns them as they are when there is no result to compare, or the middleware cannot read what was recorded.
    """
    before, now = recording.outcome, replayed.outcome
    if before is None or before.error is not None or not isinstance(now, Finished):
        return recording, replayed
    results = {_BEFORE: before.output, _NOW: now.result}
    given = CallInput(function.slug, recording.run_id, attempt=0, first=False, events=[], steps=results)
    try:
        await function.middleware.hooks(lambda: recording.exported_at_ms).transform_input(given)
    except MiddlewareError:
        return recording, replayed
    return (
        replace(recording, outcome=replace(before, output=given.steps[_BEFORE])),
        replace(replayed, outcome=Finished(given.steps[_NOW])),
    )
