"""The documents of a run: its progress, its outcome, its origin."""

from __future__ import annotations

from typing import Any, Final

from stepwell.wire.encoding import decode, encode
from stepwell_orchestrator.documents.members import members_of
from stepwell_orchestrator.model.flow import RunFlow
from stepwell_orchestrator.model.pause import PauseKey
from stepwell_orchestrator.model.run import Invoker, Outcome, Progress, RunHeader, RunStatus
from stepwell_orchestrator.model.step import Place

_NONE: Final = encode({})
_NO_PROGRESS: Final = Progress()
_ORIGIN: Final = ("original_run_id", "invoked_by", "cancellations", "flow", "cron")


def progress_document(progress: Progress) -> bytes:
    """A run's progress."""
    return encode(members_of(progress))


def read_progress(document: bytes) -> Progress:
    """The progress in a document."""
    if document == _NONE:
        return _NO_PROGRESS
    body = decode(document)
    body["placed"] = {step_id: Place(*place) for step_id, place in body.get("placed", {}).items()}
    body["fences"] = {int(term): count for term, count in body.get("fences", {}).items()}
    body["unreported"] = tuple(body.get("unreported", ()))
    body["said"] = tuple(body.get("said", (0, 0)))
    body["warnings"] = tuple(body.get("warnings", ()))
    return Progress(**body)


def outcome_document(outcome: Outcome) -> bytes:
    """How a run ended."""
    return encode(members_of(outcome))


def read_outcome(document: bytes) -> Outcome:
    """The outcome in a document."""
    body = decode(document)
    warnings = tuple(body.get("warnings", ()))
    return Outcome(**body | {"status": RunStatus(body["status"]), "warnings": warnings})


def origin_document(header: RunHeader) -> bytes:
    """Where a run comes from, what may cancel it and what its limits are: fixed when it is created."""
    members = members_of(header)
    if "flow" in members:
        members["flow"] = members_of(header.flow)
    return encode({name: members[name] for name in _ORIGIN if name in members})


def read_origin(document: bytes) -> dict[str, Any]:
    """The members of a header that an origin document holds."""
    if document == _NONE:
        return {}
    body: dict[str, Any] = decode(document)
    if "invoked_by" in body:
        body["invoked_by"] = Invoker(*body["invoked_by"])
    if "flow" in body:
        body["flow"] = RunFlow(**body["flow"])
    body["cancellations"] = tuple(PauseKey(*key) for key in body.get("cancellations", ()))
    return body
