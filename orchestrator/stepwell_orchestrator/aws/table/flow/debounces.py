"""The Debounces port on DynamoDB: one item a gate, changed on the condition that nobody changed it since it was read.

Where many offer at once, one of them is written at a time. Whoever looks again after that, and finds a later event and
a later time, has nothing to write any more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from stepwell.wire.times import DAY_MS, SECOND_MS
from stepwell_orchestrator.aws.attribute_values import Item, Value, binary, number
from stepwell_orchestrator.aws.service import Service
from stepwell_orchestrator.aws.table import keys
from stepwell_orchestrator.aws.table.dynamo import ConditionFailed, Put, Table, key_of
from stepwell_orchestrator.aws.table.table import PK, TTL
from stepwell_orchestrator.documents import debounced_document, read_debounced
from stepwell_orchestrator.errors import StoreError
from stepwell_orchestrator.model.flow import Debounced, DebounceStage, Offer

_DOCUMENT: Final = "d"
_TRIES: Final = 20


class DynamoDebounces:
    """Debounces in one table. The port says what each method promises; they raise AwsError."""

    def __init__(self, dynamodb: Service, *, table: str) -> None:
        self._table = Table(dynamodb, table)

    async def offer(self, gate: str, offer: Offer) -> Debounced:
        """Offer an event to the gate's debounce, or begin one.

        Raises StoreError when it is another one at every look. A repeat after a lost reply finds its own event kept.
        """

        def offered(kept: Debounced | None) -> Debounced:
            return Debounced.begun(offer) if kept is None else kept.after(offer)

        changed = await self._change(gate, offered)
        assert changed is not None, "an offer leaves a debounce"
        return changed

    async def fire(self, gate: str, first_event_id: str, now_ms: int) -> Debounced | None:
        """Take the event of that debounce, if it is due. Raises StoreError when it is another one at every look."""
        fired = await self._change(gate, lambda kept: None if kept is None else _fired(kept, first_event_id, now_ms))
        is_over = fired is None or fired.first_event_id != first_event_id or fired.stage is DebounceStage.OVER
        return None if is_over else fired

    async def forget(self, gate: str, first_event_id: str) -> None:
        """End a debounce whose event is taken. Raises StoreError when it is another one at every look."""
        await self._change(gate, lambda kept: None if kept is None else _ended(kept, first_event_id))

    async def look(self, gate: str) -> Debounced | None:
        """The gate's debounce."""
        return _read(await self._table.get(key_of(keys.gate_pk(gate), keys.DEBOUNCE_SK)))

    async def _change(self, gate: str, change: Callable[[Debounced | None], Debounced | None]) -> Debounced | None:
        """Change the gate's debounce. Returns what there is then; what stays the same object is not written."""
        key = key_of(keys.gate_pk(gate), keys.DEBOUNCE_SK)
        for _ in range(_TRIES):
            kept = _read(await self._table.get(key))
            changed = change(kept)
            if changed is kept or changed is None:
                return kept
            item: dict[str, Value] = {**key, _DOCUMENT: binary(debounced_document(changed))}
            if changed.stage is DebounceStage.OVER:
                item[TTL] = number((changed.due_at_ms + DAY_MS) // SECOND_MS)
            condition, values = f"attribute_not_exists({PK})", {}
            if kept is not None:
                condition, values = f"{_DOCUMENT} = :old", {":old": binary(debounced_document(kept))}
            try:
                await self._table.do(Put(item, condition, values))
            except ConditionFailed:
                continue
            return changed
        raise StoreError(f"gate {gate}: its debounce was changed by others {_TRIES} times in a row; try again later")


def _read(item: Item | None) -> Debounced | None:
    return None if item is None else read_debounced(bytes(item[_DOCUMENT]["B"]))


def _fired(kept: Debounced, first_event_id: str, now_ms: int) -> Debounced:
    return kept.fired(now_ms) if kept.first_event_id == first_event_id else kept


def _ended(kept: Debounced, first_event_id: str) -> Debounced:
    return kept.ended() if kept.first_event_id == first_event_id else kept
