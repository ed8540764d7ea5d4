"""Who asks to go on, at limits and where a function stands still."""

from __future__ import annotations

from dataclasses import dataclass

from stepwell_orchestrator.engine.flow.gates import Gate
from stepwell_orchestrator.model.flow import Counted, Place
from stepwell_orchestrator.model.notice import Notice, NoticeKind
from stepwell_orchestrator.model.queue_item import Execute, Start


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks: ``holder`` names its slots for calls, the run its slot as a run; ``work`` goes on when it may."""

    run_id: str
    function_id: str
    holder: str
    place: Place
    work: Start | Execute
    app_id: str = ""

    def holder_at(self, gate: Gate) -> str:
        """The name of its slot at a gate."""
        return self.holder if gate.limit.counts is Counted.CALLS else self.run_id

    def waiting_notice(self, subject: str, now_ms: int) -> Notice:
        """It begins to wait."""
        return Notice(now_ms, NoticeKind.RUN_WAITING, self.run_id, self.function_id, subject)
