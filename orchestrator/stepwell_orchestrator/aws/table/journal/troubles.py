"""What is wrong with a run that its own journal does not tell: its queue items fail."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from stepwell_orchestrator.aws.attribute_values import text
from stepwell_orchestrator.aws.table import keys
from stepwell_orchestrator.aws.table.dynamo import ConditionFailed, Table, Update
from stepwell_orchestrator.aws.table.items import STATUS, TROUBLE
from stepwell_orchestrator.aws.table.table import PK

CHARS_MAX: Final = 1_000


class Troubles:
    """A text on the header, which nothing but people reads."""

    def __init__(self, table: Table) -> None:
        self._table = table

    async def note_trouble(self, run_id: str, trouble: str) -> None:
        """Note it over what was noted before. A run that has ended, or does not exist, is left as it is."""
        condition = f"attribute_exists({PK}) AND attribute_not_exists({STATUS})"
        values = {":trouble": text(trouble[:CHARS_MAX])}
        with suppress(ConditionFailed):
            await self._table.do(Update(keys.header_key(run_id), f"SET {TROUBLE} = :trouble", condition, values))
