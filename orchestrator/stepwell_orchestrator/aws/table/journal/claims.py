"""Claims of planned steps: those methods of the Journal port on DynamoDB."""

from __future__ import annotations

from stepwell_orchestrator.aws.attribute_values import binary, number
from stepwell_orchestrator.aws.table import keys
from stepwell_orchestrator.aws.table.dynamo import Refused, Update
from stepwell_orchestrator.aws.table.items import CLAIMABLE, CLAIMED, DOCUMENT, STARTED, WRITER
from stepwell_orchestrator.aws.table.journal.journal_part import Part, wrote
from stepwell_orchestrator.aws.table.table import LEASE_UNTIL
from stepwell_orchestrator.ports import Claim, Claimed, Unknown
from stepwell_orchestrator.ports import Refused as NotClaimed


class Claims(Part):
    """Who executes a step."""

    async def claim(self, run_id: str, step_id: str, attempt: int, *, now_ms: int, until_ms: int) -> Claim:
        """Claim a planned step for execution until ``until_ms``.

        A run that ends between the look at its header and the claim is noticed by the worker, which reads the run
        before it calls.
        """
        header = await self._table.get(keys.header_key(run_id))
        if header is None or DOCUMENT in header:
            return Unknown()
        writer = self._writer()
        change = (
            f"SET {LEASE_UNTIL} = :until, {CLAIMED} = :now, {STARTED} = if_not_exists({STARTED}, :now), "
            f"{WRITER} = :writer"
        )
        condition = f"{CLAIMABLE} = :attempt AND (attribute_not_exists({LEASE_UNTIL}) OR {LEASE_UNTIL} <= :now)"
        values = {
            ":attempt": number(attempt),
            ":now": number(now_ms),
            ":until": number(until_ms),
            ":writer": binary(writer),
        }
        try:
            claimed = await self._table.do(
                Update(keys.entry_key(run_id, step_id), change, condition, values), "ALL_NEW"
            )
        except Refused as refused:
            if refused.old is None:
                return Unknown()
            entry = await self._items.read_entry(refused.old)
            return Claimed(entry) if wrote(refused.old, writer) else NotClaimed(entry)
        return Claimed(await self._items.read_entry(claimed))

    async def renew_claim(self, run_id: str, step_id: str, *, claimed_at_ms: int, until_ms: int) -> bool:
        """Prolong a claim; False when it is over or another one took its place."""
        values = {":until": number(until_ms), ":claimed": number(claimed_at_ms)}
        condition = f"{CLAIMED} = :claimed"
        update = Update(keys.entry_key(run_id, step_id), f"SET {LEASE_UNTIL} = :until", condition, values)
        try:
            await self._table.do(update)
        except Refused:
            return False
        return True
