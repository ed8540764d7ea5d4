"""Recorded journals against the functions of an app."""

from __future__ import annotations

from collections.abc import Sequence

from stepwell.authoring.app import App
from stepwell_orchestrator.cli.replay_check.judging import function_gone, judge
from stepwell_orchestrator.cli.replay_check.opening import open_results
from stepwell_orchestrator.cli.replay_check.recording import Recording
from stepwell_orchestrator.cli.replay_check.replaying import disconnected, replay_journal
from stepwell_orchestrator.cli.replay_check.report import Report


async def check_all(app: App, recordings: Sequence[Recording], *, ignore_output: bool = False) -> list[Report]:
    """A report for each; the app sends nothing meanwhile."""
    with disconnected(app):
        return [await _check(app, recording, ignore_output=ignore_output) for recording in recordings]


async def _check(app: App, recording: Recording, *, ignore_output: bool) -> Report:
    functions = {function.slug: function for function in app.functions.values()}
    function = functions.get(recording.function_id)
    if function is None:
        return function_gone(app, recording)
    replayed = await replay_journal(app, function, recording)
    return judge(*await open_results(function, recording, replayed), ignore_output=ignore_output)
