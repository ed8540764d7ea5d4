"""Recorded journals, read from files: the document that ``journal_export`` writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from stepwell.errors import WireError
from stepwell.wire.call import CallContext, CallRequest
from stepwell.wire.encoding import decode
from stepwell.wire.ids import hash_step_id
from stepwell.wire.opcodes import Op
from stepwell.wire.times import parse_instant_ms
from stepwell_orchestrator.cli.errors import usage_error
from stepwell_orchestrator.views.journal_export import JOURNAL_FORMAT, JOURNAL_VERSION

_DROPPED: Final = "Cancelled"
_EXPORT: Final = "write it with `stepwell run ID --export FILE`"


@dataclass(frozen=True, slots=True)
class RecordedStep:
    """A step as it was recorded. ``memo`` counts for steps in the stack alone; ``dropped``: the code had lost it."""

    id: str
    name: str
    op: Op
    opts: Mapping[str, Any]
    memo: Any
    dropped: bool


@dataclass(frozen=True, slots=True)
class RecordedOutcome:
    """How the run had ended. ``code`` is that of the error body a failed call was answered with."""

    status: str
    output: Any
    error: Mapping[str, Any] | None

    @property
    def code(self) -> str | None:
        """The error's code, when it has one."""
        code = self.output.get("code") if isinstance(self.output, Mapping) else None
        return code if isinstance(code, str) else None


@dataclass(frozen=True, slots=True)
class Recording:
    """One journal. ``stack`` has the ids of the finished steps in the order in which replays are given their memos."""

    file: Path
    run_id: str
    app_id: str
    function_id: str
    exported_at_ms: int
    events: Sequence[Mapping[str, Any]]
    stack: tuple[str, ...]
    steps: Mapping[str, RecordedStep]
    outcome: RecordedOutcome | None

    def call(self, count: int, max_attempts: int) -> CallRequest:
        """The discovery call that the first ``count`` memos make; it lets nothing run in place."""
        given = self.stack[:count]
        ctx = CallContext(
            run_id=self.run_id,
            max_attempts=max_attempts,
            stack=given,
            stack_current=count,
            disable_immediate_execution=True,
        )
        steps = {step_id: self.steps[step_id].memo for step_id in given}
        return CallRequest(event=self.events[0], events=self.events, steps=steps, ctx=ctx)

    def label(self, step_id: str) -> str:
        """The id of a step as its author counts it, or, when its name is for people alone, that with the hash."""
        name = self.steps[step_id].name
        counted = (name, *(f"{name}:{number}" for number in range(1, len(self.steps))))
        found = next((label for label in counted if hash_step_id(label) == step_id), None)
        return found or f"{name} ({step_id[:8]})"


def find_files(places: Sequence[Path]) -> list[Path]:
    """The files among ``places``, and the ``*.json`` of its folders. Raises CommandError for a folder with none."""
    found: list[Path] = []
    for place in places:
        if place.is_dir():
            inside = sorted(place.glob("*.json"))
            if not inside:
                raise usage_error(f"{place} holds no *.json file; {_EXPORT.replace('FILE', str(place))}")
            found += inside
        else:
            found.append(place)
    return list(dict.fromkeys(found))


def read_recording(path: Path) -> Recording:
    """The journal in a file. Raises CommandError naming the file and what is wrong with it."""
    try:
        raw = decode(path.read_bytes())
    except OSError as error:
        raise usage_error(f"cannot read {path}: {error.strerror}") from None
    except WireError as error:
        raise usage_error(f"{path} is not JSON: {str(error).removeprefix('malformed JSON: ')}; {_EXPORT}") from None
    if not isinstance(raw, Mapping) or raw.get("format") != JOURNAL_FORMAT:
        raise usage_error(f'{path} is not a recorded journal: it has no "format": "{JOURNAL_FORMAT}"; {_EXPORT}')
    if raw.get("version") != JOURNAL_VERSION:
        shown = str(raw.get("version"))[:20]
        raise usage_error(
            f"{path} is a journal of version {shown}, this stepwell reads version {JOURNAL_VERSION}; "
            "export it again with the stepwell that is to read it"
        )
    try:
        return _recording(path, raw)
    except (KeyError, TypeError, ValueError, WireError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise usage_error(f"{path} is damaged: {reason}; {_EXPORT}") from None


def _recording(path: Path, raw: Mapping[str, Any]) -> Recording:
    steps = {step.id: step for step in map(_step, _list(raw, "steps"))}
    finished = {body["id"] for body in raw["steps"] if "memo" in body}
    stack = tuple(_list(raw, "stack"))
    lost = [step_id for step_id in stack if step_id not in finished]
    if lost:
        raise ValueError(f"the step {lost[0]} is in the stack and has no memo")
    events = _list(raw, "events")
    if not events or not all(isinstance(event, Mapping) for event in events):
        raise ValueError("events must be a list of objects, and not empty")
    return Recording(
        file=path,
        run_id=_text(raw, "run_id"),
        app_id=_text(raw, "app_id"),
        function_id=_text(raw, "function_id"),
        exported_at_ms=parse_instant_ms(_text(raw, "exported_at")),
        events=events,
        stack=stack,
        steps=steps,
        outcome=None if raw["outcome"] is None else _outcome(raw["outcome"]),
    )


def _step(raw: Mapping[str, Any]) -> RecordedStep:
    return RecordedStep(
        id=_text(raw, "id"),
        name=_text(raw, "name"),
        op=Op(raw["op"]),
        opts=dict(raw["opts"]),
        memo=raw.get("memo"),
        dropped=raw["status"] == _DROPPED,
    )


def _outcome(raw: Mapping[str, Any]) -> RecordedOutcome:
    return RecordedOutcome(_text(raw, "status"), raw["output"], raw["error"])


def _text(raw: Mapping[str, Any], member: str) -> str:
    if not isinstance(raw[member], str):
        raise TypeError(f"{member} must be a text")
    return str(raw[member])


def _list(raw: Mapping[str, Any], member: str) -> list[Any]:
    if not isinstance(raw[member], list):
        raise TypeError(f"{member} must be a list")
    return list(raw[member])
