"""What a run waits for, as people and REST clients see it. Pure."""

from __future__ import annotations

from typing import Any

from stepwell.wire.times import format_instant
from stepwell_orchestrator.controlling.waiting_for import WaitingFor


def waiting_body(waiting: WaitingFor | None) -> dict[str, Any] | None:
    """The limit that holds a run back, who has its slots, and when the run is looked at again at the latest."""
    if waiting is None:
        return None
    return {
        "text": waiting.text,
        "limit": waiting.limit,
        "key": waiting.key,
        "most": waiting.most,
        "holders": list(waiting.holders),
        "ahead": waiting.ahead,
        "again_at": format_instant(waiting.again_at_ms),
    }
