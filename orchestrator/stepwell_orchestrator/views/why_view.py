"""Why a run is not running, and what stands still, as people and REST clients see it. Pure."""

from __future__ import annotations

from typing import Any

from stepwell.wire.times import format_instant
from stepwell_orchestrator.controlling.halting import RunCounts
from stepwell_orchestrator.controlling.reasons import Reason
from stepwell_orchestrator.engine.flow.wording import halt_text
from stepwell_orchestrator.model.flow import Halt, HaltScope
from stepwell_orchestrator.views.run_view import instant_text
from stepwell_orchestrator.views.waiting_view import waiting_body


def reason_body(reason: Reason) -> dict[str, Any]:
    """One reason: what kind it is, in words, of which step, until when, and the limit or halt that it is."""
    return {
        "kind": reason.kind,
        "text": reason.text,
        "step": reason.step,
        "at": instant_text(reason.at_ms),
        "limit": waiting_body(reason.waiting),
        "halt": None if reason.halt is None else halt_body(*reason.halt),
    }


def halt_body(scope: HaltScope, halt: Halt | None) -> dict[str, Any]:
    """A function or an app as it stands: ``state`` is running, paused or draining."""
    if halt is None:
        nothing = {"text": f"{scope.kind} {scope.id} is running", "since": None, "by": None, "reason": None}
        return {"kind": scope.kind, "id": scope.id, "state": "running", **nothing}
    return {
        "kind": scope.kind,
        "id": scope.id,
        "state": "draining" if halt.draining else "paused",
        "text": halt_text(scope, halt),
        "since": format_instant(halt.since_ms),
        "by": halt.by,
        "reason": halt.reason,
    }


def counts_body(counts: RunCounts) -> dict[str, int]:
    """How many runs are left."""
    return {"running": counts.running, "queued": counts.queued}
