"""Claims of planned steps: those methods of the Journal port on DynamoDB."""

from __future__ import annotations

from stepwell_orchestrator.aws.attribute_values import binary, number
from stepwell_orchestrator.aws.table import keys
from stepwell_orchestrator.aws.table.dynamo import ConditionFailed, Table, Update
from stepwell_orchestrator.aws.table.items import CLAIMABLE, CLAIMED, DOCUMENT, STARTED, WRITER, Items
from stepwell_orchestrator.aws.table.journal.writers import new_writer, wrote
from stepwell_orchestrator.aws.table.table import LEASE_UNTIL
from stepwell_orchestrator.fresh_ids import Entropy
from stepwell_orchestrator.ports import Claim, Claimed, NotClaimed, Unknown


class Claims:
    """Who executes a step."""

    def __init__(self, table: Table, items: Items, entropy: Entropy) -> None:
        self._table = table
        self._items = items
        self._entropy = entropy

    async def claim(self, run_id: str, step_id: str, attempt: int, *, now_ms: int, until_ms: int) -> Claim:
        """Claim a planned step for execution until ``until_ms``.

        A run that ends between the look at its header and the claim is noticed by the worker, which reads the run
        before it calls.
        """
        header = await self._table.get(keys.header_key(run_id))
        if header is None or DOCUMENT in header:
            return Unknown()
        writer = new_writer(self._entropy)
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
        except ConditionFailed as failed:
            if failed.old is None:
                return Unknown()
            entry = await self._items.read_entry(failed.old)
            return Claimed(entry) if wrote(failed.old, writer) else NotClaimed(entry)
        return Claimed(await self._items.read_entry(claimed))

    async def renew_claim(self, run_id: str, step_id: str, *, claimed_at_ms: int, until_ms: int) -> bool:
        """Prolong a claim. Returns False when it is over, or when another claim was made since."""
        values = {":until": number(until_ms), ":claimed": number(claimed_at_ms)}
        condition = f"{CLAIMED} = :claimed"
        update = Update(keys.entry_key(run_id, step_id), f"SET {LEASE_UNTIL} = :until", condition, values)
        try:
            await self._table.do(update)
        except ConditionFailed:
            return False
        return True
