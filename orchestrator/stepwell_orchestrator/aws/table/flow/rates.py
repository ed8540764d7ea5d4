"""The Rates port on DynamoDB: one item a gate, changed on the condition that nobody changed it since it was read."""

from __future__ import annotations

from typing import Final

from stepwell.wire.times import DAY_MS, SECOND_MS
from stepwell_orchestrator.aws.attribute_values import Value, integer, number, text
from stepwell_orchestrator.aws.service import Service
from stepwell_orchestrator.aws.table import keys
from stepwell_orchestrator.aws.table.dynamo import ConditionFailed, Table, Update, key_of
from stepwell_orchestrator.aws.table.flow.gates import TAKERS, TAT, takers_of
from stepwell_orchestrator.aws.table.table import PK, TTL
from stepwell_orchestrator.errors import StoreError
from stepwell_orchestrator.flow_ports import TAKERS_MAX
from stepwell_orchestrator.model.rate import Rate

_TIMER: Final = "u"
_TRIES: Final = 20


class DynamoRates:
    """Rates in one table. The port says what each method promises; they raise AwsError."""

    def __init__(self, dynamodb: Service, *, table: str) -> None:
        self._table = Table(dynamodb, table)

    async def take_token(self, gate: str, rate: Rate, taker: str, now_ms: int) -> bool:
        """Happen now, if the rate allows it. Raises StoreError when it is another one at every look.

        A repeat after a lost reply finds itself among the takers.
        """
        key = key_of(keys.gate_pk(gate), keys.RATE_SK)
        for _ in range(_TRIES):
            item = await self._table.get(key) or {}
            tat_ms, takers = integer(item, TAT), takers_of(item)
            if taker in takers:
                return True
            if not rate.allowed(tat_ms, now_ms):
                return False
            after_ms = rate.after_one(tat_ms, now_ms)
            values: dict[str, Value] = {
                ":tat": number(after_ms),
                ":takers": {"L": [text(name) for name in [*takers, taker][-TAKERS_MAX:]]},
                ":ttl": number((after_ms + DAY_MS) // SECOND_MS),
            }
            condition = f"attribute_not_exists({PK})"
            if tat_ms is not None:
                condition, values[":old"] = f"{TAT} = :old", number(tat_ms)
            try:
                change = f"SET {TAT} = :tat, {TAKERS} = :takers, {TTL} = :ttl"
                await self._table.do(Update(key, change, condition, values))
            except ConditionFailed:
                continue
            return True
        raise StoreError(f"gate {gate}: its rate was changed by others {_TRIES} times in a row; try again later")

    async def arm(self, gate: str, due_at_ms: int, now_ms: int) -> bool:
        """Note a timer, unless one is noted that comes no later. A gate without a rate has none."""
        noted = f"attribute_not_exists({_TIMER}) OR {_TIMER} <= :now OR {_TIMER} > :due"
        values = {":due": number(due_at_ms), ":now": number(now_ms)}
        key = key_of(keys.gate_pk(gate), keys.RATE_SK)
        try:
            await self._table.do(Update(key, f"SET {_TIMER} = :due", f"attribute_exists({PK}) AND ({noted})", values))
        except ConditionFailed:
            return False
        return True
