"""Ways to break the ports on DynamoDB on purpose. ``python -m tests.sim.aws_mutations`` says when each is noticed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from stepwell_orchestrator.aws.table import dynamo
from stepwell_orchestrator.aws.table.dynamo import Action, Put, Table
from stepwell_orchestrator.aws.table.journal import claims, commits, events, leases
from stepwell_orchestrator.aws.table.journal.events import Events
from stepwell_orchestrator.aws.table.journal.runs import Runs
from stepwell_orchestrator.aws.table.journal.writers import new_writer
from stepwell_orchestrator.aws.table.waits import DynamoWaits
from stepwell_orchestrator.model.event import Event
from stepwell_orchestrator.model.run import Run
from tests.sim.mutations import print_rows

Patch = pytest.MonkeyPatch


def _loosen(patch: Patch, clause: str, instead: str, value: str) -> None:
    """Put something else for a clause in the conditions of writes that have the value."""
    spelled = dynamo._spelled

    def careless(table: str, action: Action) -> tuple[str, dict[str, Any]]:
        operation, parameters = spelled(table, action)
        condition = parameters.get("ConditionExpression", "")
        if value in parameters.get("ExpressionAttributeValues", {}):
            parameters["ConditionExpression"] = condition.replace(clause, instead)
        return operation, parameters

    patch.setattr(dynamo, "_spelled", careless)


def skip_guards(patch: Patch) -> None:
    """Put entries on no condition."""
    patch.setattr(commits, "guard_of", lambda _write: (None, {}))


def end_again(patch: Patch) -> None:
    """End a run that has ended."""
    _loosen(patch, " AND attribute_not_exists(d)", "", ":outcome")


def release_whatever_was_wanted(patch: Patch) -> None:
    """Release the lease without comparing ``wanted``."""
    _loosen(patch, "v = :wanted", "v >= :wanted", ":wanted")


def claim_any_attempt(patch: Patch) -> None:
    """Claim a step whatever attempt it is at."""
    _loosen(patch, "i = :attempt", "(i <= :attempt OR i > :attempt)", ":attempt")


def call_each_takeover_a_start(patch: Patch) -> None:
    """Take a lease that has run out for one that was free."""
    acquire = leases.Leases.acquire

    async def forgetful(*args: Any) -> Any:
        acquired = await acquire(*args)
        return leases.Acquired(acquired.header, takeover=False) if isinstance(acquired, leases.Acquired) else acquired

    patch.setattr(leases.Leases, "acquire", forgetful)


def not_know_its_own_writes(patch: Patch) -> None:
    """Take what a write did, whose reply was lost, for somebody else's doing."""
    for module in (claims, commits, events, leases):
        patch.setattr(module, "wrote", lambda *_: False)


def read_the_header_last(patch: Patch) -> None:
    """Read a run's entries before its header."""

    async def load(self: Runs, run_id: str) -> Run | None:
        entries = await self._entries(run_id)
        header = await self.get_header(run_id)
        return None if header is None else Run(header, tuple(await self._events(header.event_ids)), entries)

    patch.setattr(Runs, "load", load)


def record_events_afterwards(patch: Patch) -> None:
    """Store an event before the record by which it is found."""
    put_record, do = Events._put_record, Table.do

    async def put_event(self: Events, event: Event) -> bool:
        writer = new_writer(self._entropy)
        item = await self._items.event(event, writer)
        try:
            await do(self._table, Put(item, "attribute_not_exists(pk)"))
        except dynamo.ConditionFailed:
            return False
        await put_record(self, event)
        return True

    patch.setattr(Events, "put_event", put_event)


def take_a_shape_for_known(patch: Patch) -> None:
    """File pauses without their shapes."""

    async def nothing(*_: Any) -> None:
        return None

    patch.setattr(DynamoWaits, "_put_shape", nothing)


def drop_the_signal_of_others(patch: Patch) -> None:
    """Take the waiter of a signal out, whoever it is."""

    async def careless(self: DynamoWaits, wait: Any) -> None:
        await self._table.do(dynamo.Delete({"pk": {"S": f"g#{wait.name}"}, "sk": {"S": "g"}}))

    patch.setattr(DynamoWaits, "drop_signal", careless)


MUTATIONS: tuple[Callable[[Patch], None], ...] = (
    skip_guards,
    end_again,
    release_whatever_was_wanted,
    claim_any_attempt,
    call_each_takeover_a_start,
    not_know_its_own_writes,
    read_the_header_last,
    record_events_afterwards,
    take_a_shape_for_known,
    drop_the_signal_of_others,
)


if __name__ == "__main__":
    sys.exit(print_rows(MUTATIONS, "dynamodb"))
