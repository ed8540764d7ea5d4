"""What a waiting step holds in the outside world, derived from its entry: to take it, to take it again, to give it up.

A wait's entry is committed first; what makes it wakeable follows as commands. A driver that dies between the two
leaves the entry, from which the commands are derived again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, assert_never

from stepwell.wire.ids import derived_ulid
from stepwell.wire.opcodes import Op
from stepwell_orchestrator.engine.waits import items
from stepwell_orchestrator.engine.waits.matching import accepts, file_under, is_eligible
from stepwell_orchestrator.model.decision import Command, DropSignal, Emit, TakeSignal, Unwatch, Watch
from stepwell_orchestrator.model.event import Event
from stepwell_orchestrator.model.pause import Pause, PauseKey, PauseKind
from stepwell_orchestrator.model.run import Run, RunHeader
from stepwell_orchestrator.model.signal import SignalWait
from stepwell_orchestrator.model.step import StepEntry, StepStatus
from stepwell_orchestrator.model.step_kind import StepKind, kind_of

INVOKED_EVENT = "inngest/function.invoked"


def take(run: Run, entry: StepEntry) -> tuple[Command, ...]:
    """The commands that make a waiting step wakeable, its timeout included. Repeating them changes nothing."""
    assert entry.due_at_ms is not None, f"step {entry.name} waits without end"
    timer = items.timer(run.header.run_id, entry.step_id, entry.due_at_ms)
    kind = kind_of(entry.op)
    match kind:
        case StepKind.WAIT_FOR_EVENT:
            return (timer, Watch(pause_of(run, entry)))
        case StepKind.WAIT_FOR_SIGNAL:
            wait = SignalWait(entry.opts["signal"], run.header.run_id, entry.step_id, entry.due_at_ms)
            return (timer, TakeSignal(wait, entry.opts["conflict"] == "replace"))
        case StepKind.INVOKE:
            return (timer, Emit(invoked_event(run, entry)))
        case StepKind.RUN | StepKind.SLEEP | StepKind.INFER | StepKind.FETCH:
            return (timer,)
        case _:
            assert_never(kind)


def give_up(run_id: str, entry: StepEntry) -> tuple[Command, ...]:
    """The commands that follow the end of a step's wait, however it ended."""
    return _release(run_id, entry.step_id, _held_by(entry))


def left_by(entry: StepEntry) -> tuple[Mapping[str, Any], ...]:
    """What is to be remembered of an entry that gives way, so that what it waits with can be let go after a crash."""
    return (*entry.left, *_held_by(entry)) if entry.status is StepStatus.WAITING else entry.left


def let_go_again(run_id: str, entry: StepEntry) -> tuple[Command, ...]:
    """The commands that a driver may have owed which dropped a step, or had it give way, and died.

    What the step waits with by now is left alone.
    """
    held = _held_by(entry)
    gone = held if entry.status is StepStatus.DROPPED else ()
    kept = held if entry.status is StepStatus.WAITING else ()
    return _release(run_id, entry.step_id, [holding for holding in (*entry.left, *gone) if holding not in kept])


def _held_by(entry: StepEntry) -> tuple[Mapping[str, Any], ...]:
    """What a waiting step is filed under."""
    kind = kind_of(entry.op)
    match kind:
        case StepKind.WAIT_FOR_EVENT:
            return ({"event": entry.opts["event"], "index": entry.opts["index"]},)
        case StepKind.WAIT_FOR_SIGNAL:
            return ({"signal": entry.opts["signal"]},)
        case StepKind.RUN | StepKind.SLEEP | StepKind.INVOKE | StepKind.INFER | StepKind.FETCH:
            return ()
        case _:
            assert_never(kind)


def _release(run_id: str, step_id: str, holdings: Iterable[Mapping[str, Any]]) -> tuple[Command, ...]:
    commands: list[Command] = []
    for held in holdings:
        if "event" in held:
            commands.append(Unwatch((PauseKey(held["event"], held["index"], run_id, step_id),)))
        else:
            commands.append(DropSignal(SignalWait(held["signal"], run_id, step_id, 0)))
    return tuple(commands)


def pause_of(run: Run, entry: StepEntry) -> Pause:
    """The pause of a step that waits for an event."""
    assert entry.due_at_ms is not None, f"step {entry.name} waits without end"
    return Pause(
        key=PauseKey(entry.opts["event"], entry.opts["index"], run.header.run_id, entry.step_id),
        kind=PauseKind.RESUME,
        shape=entry.opts["shape"],
        expression=entry.opts.get("if"),
        trigger_event_id=run.header.event_ids[0],
        since_ms=entry.opts["since_ms"],
        expires_at_ms=entry.due_at_ms,
        excluded=tuple(entry.opts.get("excluded", ())),
    )


def awaits(run: Run, entry: StepEntry, event: Event, now_ms: int) -> bool:
    """Whether an event that was queued to end a wait is one that this wait accepts.

    What was queued for it was accepted before. Only a step that has begun anew may have waited for something else.
    """
    if entry.attempt == 0:
        return True
    pause = pause_of(run, entry)
    fits = event.name == pause.key.event_name and is_eligible(pause, event)
    return fits and accepts(pause, run.events[0].wire(), event.wire(), now_ms)


def waits_for_signal(entry: StepEntry, name: str) -> bool:
    """Whether a step waits for that signal now. It may have been filed for it by older code."""
    return entry.op is Op.WAIT_FOR_SIGNAL and entry.status is StepStatus.WAITING and entry.opts.get("signal") == name


def cancellation_pause(
    header: RunHeader, number: int, trigger: Event, *, event_name: str, expression: str | None, expires_at_ms: int
) -> Pause:
    """The pause of a run's cancellation number ``number``, counted from 0. Raises ExpressionError.

    Only what is received after the run was created counts: what cancelled a run does not cancel its rerun.
    """
    shape, index = file_under(expression, trigger.wire())
    return Pause(
        key=PauseKey(event_name, index, header.run_id, f"cancel:{number}"),
        kind=PauseKind.CANCEL,
        shape=shape,
        expression=expression,
        trigger_event_id=trigger.internal_id,
        since_ms=header.created_at_ms,
        expires_at_ms=expires_at_ms,
    )


def invoked_event(run: Run, entry: StepEntry) -> Event:
    """The event that starts the invoked function; its id follows from run and step, so it is invoked once."""
    header, payload = run.header, entry.opts["payload"]
    internal_id = derived_ulid(entry.queued_at_ms, header.run_id, entry.step_id, INVOKED_EVENT)
    internal: dict[str, Any] = {
        "fn_id": entry.opts["function_id"],
        "correlation_id": f"{header.run_id}.{entry.step_id}",
        "expire": entry.due_at_ms,
        "name": entry.name,
        "source_app_id": header.app_id,
        "source_fn_id": header.function_id,
    }
    return Event(
        internal_id=internal_id,
        name=INVOKED_EVENT,
        id=internal_id,
        ts_ms=entry.queued_at_ms,
        received_at_ms=entry.queued_at_ms,
        data={**(payload.get("data") or {}), "_inngest": internal},
        user=payload.get("user") or {},
        v=payload.get("v"),
    )
