"""A difference in words: what the journal has and what the code does, what follows for runs, and what to do."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from stepwell.replaying.replay import Divergence
from stepwell.replaying.replay_rules import Difference as Differs
from stepwell.wire.errors import ErrorBody
from stepwell_orchestrator.cli.replay_check.recording import RecordedOutcome
from stepwell_orchestrator.cli.replay_check.report import Difference, Kind, Step
from stepwell_orchestrator.terminal.display import error_text, one_line, value_text

_TEXT_CHARS: Final = 120
_FRAME: Final = re.compile(r'File "([^"]+)", line (\d+)')
_VERSION_IT: Final = "or put the new code into a function with a new id"


def function_gone(app_id: str, function_id: str, here: str, known: Sequence[str]) -> Difference:
    """The journal is of a function that the app does not have."""
    has = ", ".join(known) or "no functions"
    whose = f'the app "{here}"' if here == app_id else f'the journal is of the app "{app_id}"; the app "{here}"'
    return Difference(
        Kind.FUNCTION_GONE,
        f'{whose} has no function "{function_id}", it has {has}',
        "Runs under way fail: what they are to call is not there.",
        "keep the function, without its trigger (on=None), until its runs have ended",
    )


def missing(recorded: Step, after: Step | None, found: tuple[Step, ...]) -> Difference:
    """The code asks for something else where the journal has a step."""
    begun = f"A run under way begins {_listed(found)} here, and uses" if found else "A run under way uses"
    return Difference(
        Kind.STEP_MISSING,
        f"{_place(after)} the journal has {recorded}, the code now asks for {_listed(found) or 'no step'}",
        f'{begun} what it has of "{recorded.label}" only if it is asked for later.',
        f'keep the id "{recorded.label}", {_VERSION_IT}',
        after,
        recorded,
        found,
    )


def pending_missing(recorded: Step, after: Step | None, found: tuple[Step, ...]) -> Difference:
    """The code does not ask for a step that was under way when the journal was written."""
    instead = f"; it asks for {_listed(found)}" if found else ""
    return Difference(
        Kind.STEP_MISSING,
        f"{_place(after)} {recorded} is under way in the journal, the code does not ask for it any more{instead}",
        "A run under way goes on without it.",
        f'keep the id "{recorded.label}", {_VERSION_IT}',
        after,
        recorded,
        found,
    )


def reordered(recorded: Step, after: Step | None, found: tuple[Step, ...]) -> Difference:
    """The code asks for the journal's step later than it did."""
    first = f" asks for {_listed(found)} first" if found else " asks for it later"
    return Difference(
        Kind.STEP_ORDER,
        f"{_place(after)} the journal has {recorded}, the code now{first}",
        "A run under way gets the results it has in another order than they came in.",
        f"keep the order of the steps, {_VERSION_IT}",
        after,
        recorded,
        found,
    )


def ends_early(recorded: Step, after: Step | None, result: Any) -> Difference:
    """The code returns where the journal has a step."""
    return Difference(
        Kind.ENDS_EARLY,
        f"{_place(after)} the journal has {recorded}, the code now returns {_value(result)}",
        f'A run under way ends here; what it has of "{recorded.label}" is never asked for.',
        f'keep "{recorded.label}" where it was, {_VERSION_IT}',
        after,
        recorded,
    )


def changed(problem: Divergence, recorded: Step, after: Step | None, found: tuple[Step, ...]) -> Difference:
    """A step is of another kind, or is about something else."""
    kind = problem.what is Differs.KIND
    return Difference(
        Kind.STEP_KIND if kind else Kind.STEP_OPTIONS,
        f"{_place(after)} {problem.text}",
        "A run under way takes the old step's result for that of the new one."
        if kind
        else "A run that has reported the step goes on with what it was then.",
        f"keep the step as it was, {_VERSION_IT}",
        after,
        recorded,
        found,
    )


def raises(error: ErrorBody, after: Step | None, recorded: Step | None) -> Difference:
    """The code raises where the journal goes on, or at the end of a journal that knows of no such error."""
    goes_on = f"the journal has {recorded}, " if recorded else ""
    return Difference(
        Kind.RAISES,
        f"{_place(after)} {goes_on}the code now raises {_raised(error)}",
        "A run under way fails here, once its retries are used up.",
        "let the code take the recorded results as they are",
        after,
        recorded,
        error=_error(error),
    )


def stuck(after: Step | None) -> Difference:
    """The code does not come to rest."""
    return Difference(
        Kind.STUCK,
        f"{_place(after)} the code waits for something that is not a step, so that it cannot be followed further",
        "What it waits for, such as a network, has to be there at every replay.",
        "do it inside a step",
        after,
    )


def returns_otherwise(recorded: RecordedOutcome, result: Any, after: Step | None) -> Difference:
    """The function returns, and not as the run had ended."""
    return _outcome(f"{_ended(recorded)}, the code now returns {_value(result)}", after)


def raises_otherwise(recorded: Mapping[str, Any], error: ErrorBody, after: Step | None) -> Difference:
    """The function failed then and fails now, with another error."""
    said = f"the run failed with {_cut(error_text(recorded))}, the code now raises {_raised(error)}"
    return _outcome(said, after, error=_error(error))


def does_not_end(recorded: RecordedOutcome, after: Step | None, found: tuple[Step, ...]) -> Difference:
    """The function goes on where the run had ended."""
    asked = _listed(found) or "steps that were under way"
    return _outcome(f"{_place(after)} {_ended(recorded)}, the code now asks for {asked}", after, found=found)


def _outcome(
    message: str, after: Step | None, *, found: tuple[Step, ...] = (), error: Mapping[str, Any] | None = None
) -> Difference:
    return Difference(
        Kind.OUTCOME,
        message,
        "A run that has not ended yet will end in the new way.",
        "pass --ignore-output when that is what you want",
        after,
        found=found,
        error=error,
    )


def _ended(recorded: RecordedOutcome) -> str:
    if recorded.error is not None:
        return f"the run failed with {_cut(error_text(recorded.error))}"
    return f"the run returned {_value(recorded.output)}"


def _place(after: Step | None) -> str:
    return "at the beginning" if after is None else f'after "{after.label}"'


def _listed(steps: Sequence[Step]) -> str:
    return ", ".join(map(str, steps))


def _value(value: Any) -> str:
    return _cut(value_text(value))


def _cut(text: str) -> str:
    return text if len(text) <= _TEXT_CHARS else text[: _TEXT_CHARS - 2] + ".."


def _raised(error: ErrorBody) -> str:
    where = _where(error)
    return _cut(one_line(f"{error.name}: {error.message}")) + (f" ({where})" if where else "")


def _error(error: ErrorBody) -> dict[str, Any]:
    return {"name": error.name, "message": error.message, "where": _where(error)}


def _where(error: ErrorBody) -> str | None:
    """The last line of the user's own code on the way to the error."""
    frames = _FRAME.findall(error.stack or "")
    return ":".join(frames[-1]) if frames else None
