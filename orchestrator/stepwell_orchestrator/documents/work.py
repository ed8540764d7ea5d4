"""The document of a queue item's work."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, assert_never

from stepwell.wire.encoding import decode, encode
from stepwell.wire.times import MINUTE_MS, parse_instant_ms
from stepwell_orchestrator.documents.members import members_of
from stepwell_orchestrator.model.queue_item import (
    Cancel,
    CancelMatching,
    Cause,
    ChildEnded,
    CloseBatch,
    Deadline,
    Drive,
    EventArrived,
    Execute,
    FireDebounce,
    FromStep,
    OpenGate,
    Rerun,
    Route,
    Settle,
    SignalArrived,
    Start,
    Tick,
    TimerDue,
    WaitRefused,
    Work,
)


def work_document(work: Work) -> bytes:
    """A queue item's work: a list whose first member says which."""
    match work:
        case Route(name) | Start(name) | OpenGate(name):
            return encode([_NAMES[type(work)], name])
        case FireDebounce() | CloseBatch():
            return encode([_NAMES[type(work)], *members_of(work).values()])
        case Drive(run_id, reason):
            return encode(["drive", run_id, reason])
        case Execute(run_id, step_id, attempt, limited):
            return encode(["execute", run_id, step_id, attempt, *([limited] if limited else [])])
        case TimerDue(run_id, step_id):
            return encode(["timer", run_id, step_id])
        case Cancel(run_id, requested_at_ms):
            return encode(["cancel", run_id, requested_at_ms])
        case Settle(run_id, step_id, cause):
            return encode(["settle", run_id, step_id, [_CAUSE_NAMES[type(cause)], *members_of(cause).values()]])
        case Deadline(run_id, kind, limit_ms):
            return encode(["deadline", run_id, kind, limit_ms])
        case Rerun(run_id, original_run_id, requested_at_ms, from_step):
            start = [] if from_step is None else [members_of(from_step)]
            return encode(["rerun", run_id, original_run_id, requested_at_ms, *start])
        case CancelMatching():
            return encode(["cancel matching", members_of(work)])
        case Tick(function_id, cron, tick_ms, recurring):
            return encode(["tick", function_id, cron, tick_ms, *([recurring] if recurring else [])])
    assert_never(work)


def read_work(document: bytes) -> Work:
    """The work in a document."""
    kind, *members = decode(document)
    return _WORK[kind](*members)


_NAMES = {Route: "route", Start: "start", OpenGate: "gate", FireDebounce: "debounce", CloseBatch: "batch"}

_WORK: Mapping[str, Callable[..., Work]] = {
    "route": Route,
    "start": Start,
    "gate": OpenGate,
    "debounce": FireDebounce,
    "batch": CloseBatch,
    "drive": Drive,
    "execute": Execute,
    "timer": TimerDue,
    "cancel": Cancel,
    "settle": lambda run_id, step_id, cause: Settle(run_id, step_id, _CAUSES[cause[0]](*cause[1:])),
    "deadline": Deadline,
    "rerun": lambda *members: Rerun(*members[:3], *map(_from_step, members[3:])),
    "cancel matching": lambda members: CancelMatching(**members),
    "tick": lambda function_id, cron, tick, *recurring: Tick(function_id, cron, _tick_ms(tick), *recurring),
}


def _tick_ms(tick: int | str) -> int:
    """A tick's time; a service that sends ticks spells it as a text, and may name any second of its minute."""
    if not isinstance(tick, str):
        return tick
    at_ms = parse_instant_ms(tick)
    return at_ms - at_ms % MINUTE_MS


def _from_step(members: dict[str, Any]) -> FromStep:
    if "arguments" in members:
        members["arguments"] = tuple(members["arguments"])
    return FromStep(**members)


_CAUSES: Mapping[str, Callable[..., Cause]] = {
    "event": EventArrived,
    "signal": SignalArrived,
    "child": ChildEnded,
    "refused": WaitRefused,
}
_CAUSE_NAMES = {kind: name for name, kind in _CAUSES.items()}
