"""The Rates port on SQLite: each method is one transaction, and forgets a few rates whose time is long up."""

from __future__ import annotations

from typing import Final

from stepwell.wire.encoding import decode, encode
from stepwell.wire.times import HOUR_MS
from stepwell_orchestrator.flow_ports import TAKERS_MAX
from stepwell_orchestrator.local.database import Database
from stepwell_orchestrator.model.rate import Rate

_KEPT_MS: Final = HOUR_MS
"""How long the last takers are known after their rate would forget them."""
_FORGOTTEN_AT_ONCE: Final = 4


class SqliteRates:
    """Rates in one database. The port says what each method promises."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take_token(self, gate: str, rate: Rate, taker: str, now_ms: int) -> bool:
        """Happen now, if the rate allows it."""
        async with self._database.write() as db:
            row = db.execute("SELECT tat_ms, takers, timer_ms FROM rates WHERE gate = ?", (gate,)).fetchone()
            tat_ms, takers, timer_ms = (row[0], decode(row[1]), row[2]) if row else (None, [], None)
            if taker in takers:
                return True
            if not rate.allowed(tat_ms, now_ms):
                return False
            last = [*takers, taker][-TAKERS_MAX:]
            values = (gate, rate.after_one(tat_ms, now_ms), encode(last), timer_ms)
            db.execute("INSERT OR REPLACE INTO rates VALUES (?, ?, ?, ?)", values)
            db.execute(
                "DELETE FROM rates WHERE gate IN (SELECT gate FROM rates WHERE tat_ms <= ? ORDER BY tat_ms LIMIT ?)",
                (now_ms - _KEPT_MS, _FORGOTTEN_AT_ONCE),
            )
            return True

    async def arm(self, gate: str, due_at_ms: int, now_ms: int) -> bool:
        """Note a timer, unless one is noted that comes no later. A gate without a rate has none."""
        statement = (
            "UPDATE rates SET timer_ms = ? WHERE gate = ? AND (timer_ms IS NULL OR timer_ms <= ? OR timer_ms > ?)"
        )
        async with self._database.write() as db:
            return db.execute(statement, (due_at_ms, gate, now_ms, due_at_ms)).rowcount == 1
