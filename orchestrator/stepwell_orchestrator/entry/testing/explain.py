"""Why an event did not start the one run a test expected."""

from __future__ import annotations

from collections.abc import Sequence

from stepwell_orchestrator.engine.runs.route import patterns
from stepwell_orchestrator.entry.testing.run import Run
from stepwell_orchestrator.model.function import Function


def no_run(name: str, functions: Sequence[Function], chosen: str | None) -> str:
    """For an event that started nothing, or not the function it was to start."""
    wanted = "no function" if chosen is None else f"not {chosen}"
    listening = [text for function in functions if (text := _listens(function, name))]
    if listening:
        reason = f"a function listens to it, but not to this one: {'; '.join(listening)}"
        return f'"{name}" started {wanted}: {reason}; or an event with the same id came before'
    if not functions:
        return f'"{name}" started {wanted}: no app is served; call engine.serve(app) first'
    known = ", ".join(f"{function.slug} ({_triggers(function)})" for function in functions)
    return f'"{name}" started {wanted}: no function listens to it; there are {known}'


def several_runs(name: str, runs: Sequence[Run]) -> str:
    """For an event that started more than one run."""
    started = ", ".join(run.function for run in runs)
    return f'"{name}" started {len(runs)} runs: {started}; name one: send_one(..., function="{runs[0].function}")'


def _listens(function: Function, name: str) -> str:
    """What a function makes of events of a name; empty when it ignores them."""
    heard = [trigger for trigger in function.triggers if trigger.event in patterns(name)]
    return ", ".join(
        f"{function.slug} if {trigger.expression}" if trigger.expression else f"{function.slug} always"
        for trigger in heard
    )


def _triggers(function: Function) -> str:
    texts = [f"on {trigger.event}" if trigger.event else f"at {trigger.cron}" for trigger in function.triggers]
    return ", ".join(texts) or "not on events"
