"""What is wrong with a run that its own journal does not tell: its queue items fail."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from stepwell_orchestrator.aws.attribute_values import text
from stepwell_orchestrator.aws.table import keys
from stepwell_orchestrator.aws.table.dynamo import Refused, Update
from stepwell_orchestrator.aws.table.items import STATUS, TROUBLE
from stepwell_orchestrator.aws.table.journal.journal_part import Part
from stepwell_orchestrator.aws.table.table import PK

CHARS_MAX: Final = 1_000


class Troubles(Part):
    """A text on the header, which nothing but people reads."""

    async def note_trouble(self, run_id: str, trouble: str) -> None:
        """Note it, in place of what was noted before; not on a run that has ended, or that there is not."""
        condition = f"attribute_exists({PK}) AND attribute_not_exists({STATUS})"
        values = {":trouble": text(trouble[:CHARS_MAX])}
        with suppress(Refused):
            await self._table.do(Update(keys.header_key(run_id), f"SET {TROUBLE} = :trouble", condition, values))
