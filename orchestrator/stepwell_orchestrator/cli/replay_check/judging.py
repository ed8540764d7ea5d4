"""What a replay says of the code: the first difference from the journal, or none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from stepwell.authoring.app import App
from stepwell.replaying.replay import Divergence, RequestedStep
from stepwell.replaying.replay_rules import Difference as Differs
from stepwell.values.failures import RAISED_CODES
from stepwell.wire.errors import ErrorBody
from stepwell.wire.reply import Failed, Finished
from stepwell_orchestrator.cli.replay_check import wording
from stepwell_orchestrator.cli.replay_check.recording import Recording
from stepwell_orchestrator.cli.replay_check.replaying import Replayed
from stepwell_orchestrator.cli.replay_check.report import Difference, Report, Step
from stepwell_orchestrator.terminal.display import op_word


def function_gone(app: App, recording: Recording) -> Report:
    """The app has no such function any more."""
    known = sorted(function.slug for function in app.functions.values())
    return _report(recording, wording.function_gone(recording.app_id, recording.function_id, app.id, known))


def judge(recording: Recording, replayed: Replayed, *, ignore_output: bool) -> Report:
    """The report of one journal; ``ignore_output``: how the function ends may differ, as long as it does not raise."""
    goes_on = _new_steps(recording, replayed) if recording.outcome is None else ()
    return _report(recording, _difference(recording, replayed, ignore_output=ignore_output), goes_on)


def _report(recording: Recording, difference: Difference | None, goes_on: tuple[Step, ...] = ()) -> Report:
    return Report(
        file=recording.file,
        run_id=recording.run_id,
        function_id=recording.function_id,
        steps=len(recording.stack),
        difference=difference,
        goes_on=() if difference else goes_on,
    )


def _difference(recording: Recording, replayed: Replayed, *, ignore_output: bool) -> Difference | None:
    replay, outcome = replayed.replay, replayed.outcome
    if replay.problem is not None:
        return _diverged(recording, replayed, replay.problem)
    after = _recorded(recording, replay.last_given)
    if isinstance(outcome, Failed):
        return _failed(recording, replayed, outcome, after, ignore_output=ignore_output)
    if outcome is None or (replay.overdue is not None and not isinstance(outcome, Finished)):
        return wording.stuck(after)
    missing = _pending_never_asked_for(recording, replayed)
    if missing is not None:
        return wording.pending_missing(missing, after, _new_steps(recording, replayed))
    return None if ignore_output else _ending(recording, replayed, after)


def _diverged(recording: Recording, replayed: Replayed, problem: Divergence) -> Difference:
    """What the adapter noted, in the journal's own words."""
    recorded, after = _recorded(recording, problem.step), _recorded(recording, problem.after)
    found = _steps(problem.found)
    assert recorded is not None, "a replay differs at a step of the journal"
    match problem.what:
        case Differs.KIND | Differs.OPTIONS:
            return wording.changed(problem, recorded, after, found)
        case Differs.ORDER if problem.step in replayed.replay.requested:
            return wording.reordered(recorded, after, found)
        case Differs.ORDER if isinstance(replayed.outcome, Finished) and not found:
            return wording.ends_early(recorded, after, replayed.outcome.result)
        case _:
            return wording.missing(recorded, after, found)


def _failed(
    recording: Recording, replayed: Replayed, failed: Failed, after: Step | None, *, ignore_output: bool
) -> Difference | None:
    """The code raises: as it did when the journal was recorded, otherwise than it did, or where it did not."""
    replay, outcome = replayed.replay, recording.outcome
    if replay.overdue is not None:
        return wording.raises(failed.error, after, _recorded(recording, replay.overdue))
    if outcome is not None and outcome.error is not None:
        if _same_error(outcome.error, failed.error):
            return None
        if outcome.code in RAISED_CODES:
            return None if ignore_output else wording.raises_otherwise(outcome.error, failed.error, after)
    return wording.raises(failed.error, after, _pending_never_asked_for(recording, replayed))


def _ending(recording: Recording, replayed: Replayed, after: Step | None) -> Difference | None:
    """How the function ends, for a run that ended by what the function itself did."""
    outcome = recording.outcome
    if outcome is None or outcome.status not in ("Completed", "Failed"):
        return None
    if outcome.error is not None and outcome.code not in RAISED_CODES:
        return None
    if isinstance(replayed.outcome, Finished):
        if outcome.error is None and replayed.outcome.result == outcome.output:
            return None
        return wording.returns_otherwise(outcome, replayed.outcome.result, after)
    return wording.does_not_end(outcome, after, _new_steps(recording, replayed))


def _pending_never_asked_for(recording: Recording, replayed: Replayed) -> Step | None:
    """A step that was under way when the journal was written: the code must still ask for it."""
    asked, finished = replayed.replay.requested, set(recording.stack)
    pending = (step for step in recording.steps.values() if not step.dropped and step.id not in finished)
    return next((_recorded(recording, step.id) for step in pending if step.id not in asked), None)


def _new_steps(recording: Recording, replayed: Replayed) -> tuple[Step, ...]:
    """What the code asks for that the journal does not have at all."""
    return _steps(step for step in replayed.replay.new_steps if step.hashed not in recording.steps)


def _recorded(recording: Recording, step_id: str | None) -> Step | None:
    if step_id is None:
        return None
    return Step(step_id, recording.label(step_id), op_word(recording.steps[step_id].op))


def _steps(requested: Iterable[RequestedStep]) -> tuple[Step, ...]:
    return tuple(Step(step.hashed, step.label, op_word(step.call.op)) for step in requested)


def _same_error(recorded: Mapping[str, Any], found: ErrorBody) -> bool:
    return (recorded.get("name"), recorded.get("message")) == (found.name, found.message)
