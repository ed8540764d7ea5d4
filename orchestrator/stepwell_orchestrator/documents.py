"""Model objects <-> the JSON documents that stores keep. What equals its default is left out.

What a store keeps beside the document, because it looks things up by it, is not repeated in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, fields
from functools import cache
from typing import TYPE_CHECKING, Any, assert_never

from stepwell.wire.encoding import decode, encode
from stepwell.wire.opcodes import Op
from stepwell.wire.registration import Trigger
from stepwell_orchestrator.model.event import Event
from stepwell_orchestrator.model.function import App, Function
from stepwell_orchestrator.model.pause import Pause, PauseKey, PauseKind
from stepwell_orchestrator.model.queue_item import (
    Cancel,
    CancelMatching,
    Cause,
    ChildEnded,
    Deadline,
    Drive,
    EventArrived,
    Execute,
    FromStep,
    Refused,
    Rerun,
    Route,
    Settle,
    SignalArrived,
    TimerDue,
    Work,
)
from stepwell_orchestrator.model.run import Invoker, Outcome, Progress, RunHeader, RunStatus
from stepwell_orchestrator.model.step import Place, StepEntry, StepStatus

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_NONE = encode({})
_NO_PROGRESS = Progress()


def event_document(event: Event) -> bytes:
    """All of an event but its internal id, name and receipt time."""
    members = _members(event)
    del members["internal_id"], members["name"], members["received_at_ms"]
    if not event.has_own_id:
        del members["id"]
    return encode(members)


def read_event(internal_id: str, name: str, received_at_ms: int, document: bytes) -> Event:
    """The event in a document, with what is kept beside it."""
    return Event(
        internal_id=internal_id, name=name, received_at_ms=received_at_ms, **{"id": internal_id} | decode(document)
    )


def progress_document(progress: Progress) -> bytes:
    """A run's progress."""
    return encode(_members(progress))


def read_progress(document: bytes) -> Progress:
    """The progress in a document."""
    if document == _NONE:
        return _NO_PROGRESS
    body = decode(document)
    body["placed"] = {step_id: Place(*place) for step_id, place in body.get("placed", {}).items()}
    body["fences"] = {int(term): count for term, count in body.get("fences", {}).items()}
    return Progress(**body)


def outcome_document(outcome: Outcome) -> bytes:
    """How a run ended."""
    return encode(_members(outcome))


def read_outcome(document: bytes) -> Outcome:
    """The outcome in a document."""
    body = decode(document)
    return Outcome(**body | {"status": RunStatus(body["status"])})


def origin_document(header: RunHeader) -> bytes:
    """Where a run comes from and what may cancel it: fixed when it is created."""
    members = _members(header)
    return encode(
        {name: members[name] for name in ("original_run_id", "invoked_by", "cancellations") if name in members}
    )


def read_origin(document: bytes) -> dict[str, Any]:
    """The members of a header that an origin document holds."""
    if document == _NONE:
        return {}
    body: dict[str, Any] = decode(document)
    if "invoked_by" in body:
        body["invoked_by"] = Invoker(*body["invoked_by"])
    body["cancellations"] = tuple(PauseKey(*key) for key in body.get("cancellations", ()))
    return body


def pause_document(pause: Pause) -> bytes:
    """All of a pause but its key and shape."""
    members = _members(pause)
    del members["key"], members["shape"]
    return encode(members)


def read_pause(key: PauseKey, shape: str, document: bytes) -> Pause:
    """The pause in a document, with what is kept beside it."""
    body = decode(document)
    body["kind"] = PauseKind(body["kind"])
    body["excluded"] = tuple(body.get("excluded", ()))
    return Pause(key=key, shape=shape, **body)


def entry_document(entry: StepEntry) -> bytes:
    """All of an entry but its step id."""
    members = _members(entry)
    del members["step_id"]
    return encode(members)


def read_entry(step_id: str, document: bytes) -> StepEntry:
    """The entry in a document."""
    return _entry(step_id, decode(document))


def read_entries(rows: Iterable[tuple[str, bytes]]) -> dict[str, StepEntry]:
    """The entries of (step id, document) rows by step id: one parse for a whole run."""
    pairs = list(rows)
    bodies = decode(b"[" + b",".join(document for _, document in pairs) + b"]")
    return {step_id: _entry(step_id, body) for (step_id, _), body in zip(pairs, bodies, strict=True)}


def _entry(step_id: str, body: dict[str, Any]) -> StepEntry:
    body["op"] = Op(body["op"])
    body["status"] = StepStatus(body["status"])
    if "place" in body:
        body["place"] = Place(*body["place"])
    if "arguments" in body:
        body["arguments"] = tuple(body["arguments"])
    return StepEntry(step_id=step_id, **body)


def app_document(app: App) -> bytes:
    """An app, whole."""
    return encode(_members(app))


def read_app(document: bytes) -> App:
    """The app in a document."""
    return App(**decode(document))


def function_document(function: Function) -> bytes:
    """A function, whole."""
    return encode(_members(function) | {"triggers": [_members(trigger) for trigger in function.triggers]})


def read_function(document: bytes) -> Function:
    """The function in a document."""
    body = decode(document)
    return Function(**body | {"triggers": tuple(Trigger(**trigger) for trigger in body["triggers"])})


def work_document(work: Work) -> bytes:
    """A queue item's work: a list whose first member says which."""
    match work:
        case Route(event_id):
            return encode(["route", event_id])
        case Drive(run_id, reason):
            return encode(["drive", run_id, reason])
        case Execute(run_id, step_id, attempt):
            return encode(["execute", run_id, step_id, attempt])
        case TimerDue(run_id, step_id):
            return encode(["timer", run_id, step_id])
        case Cancel(run_id, requested_at_ms):
            return encode(["cancel", run_id, requested_at_ms])
        case Settle(run_id, step_id, cause):
            return encode(["settle", run_id, step_id, [_CAUSE_NAMES[type(cause)], *_members(cause).values()]])
        case Deadline(run_id, kind, limit_ms):
            return encode(["deadline", run_id, kind, limit_ms])
        case Rerun(run_id, original_run_id, requested_at_ms, from_step):
            start = [] if from_step is None else [_members(from_step)]
            return encode(["rerun", run_id, original_run_id, requested_at_ms, *start])
        case CancelMatching():
            return encode(["cancel matching", _members(work)])
    assert_never(work)


def read_work(document: bytes) -> Work:
    """The work in a document."""
    kind, *members = decode(document)
    return _WORK[kind](*members)


_WORK: Mapping[str, Callable[..., Work]] = {
    "route": Route,
    "drive": Drive,
    "execute": Execute,
    "timer": TimerDue,
    "cancel": Cancel,
    "settle": lambda run_id, step_id, cause: Settle(run_id, step_id, _CAUSES[cause[0]](*cause[1:])),
    "deadline": Deadline,
    "rerun": lambda *members: Rerun(*members[:3], *map(_from_step, members[3:])),
    "cancel matching": lambda members: CancelMatching(**members),
}


def _from_step(members: dict[str, Any]) -> FromStep:
    if "arguments" in members:
        members["arguments"] = tuple(members["arguments"])
    return FromStep(**members)


_CAUSES: Mapping[str, Callable[..., Cause]] = {
    "event": EventArrived,
    "signal": SignalArrived,
    "child": ChildEnded,
    "refused": Refused,
}
_CAUSE_NAMES = {kind: name for name, kind in _CAUSES.items()}


def _members(value: DataclassInstance) -> dict[str, Any]:
    """The members that differ from their defaults."""
    members = ((name, getattr(value, name), default) for name, default in _defaults(type(value)))
    return {name: member for name, member, default in members if member != default}


@cache
def _defaults(kind: type[DataclassInstance]) -> tuple[tuple[str, Any], ...]:
    return tuple(
        (field.name, field.default if field.default_factory is MISSING else field.default_factory())
        for field in fields(kind)
    )
