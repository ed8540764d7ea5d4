"""What the API's endpoints work with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol, cast

from fastapi import Depends, Request

from stepwell_orchestrator.accepting.checkpointing import Checkpointer
from stepwell_orchestrator.accepting.ingest import Ingest
from stepwell_orchestrator.accepting.register import Register
from stepwell_orchestrator.controlling.control import Control
from stepwell_orchestrator.controlling.waiting_for import WaitsOfRuns
from stepwell_orchestrator.controlling.waits_of_events import WaitsOfEvents
from stepwell_orchestrator.limits import ChangedLimits
from stepwell_orchestrator.model.queue_item import QueueItem
from stepwell_orchestrator.ports import Clock, Journal, Registry

ServerKind = Literal["dev", "cloud"]


class QueuedItems(Protocol):
    """A queue that can be looked into."""

    async def items_of_run(self, run_id: str) -> Sequence[QueueItem]:
        """The queued items of a run, the earliest first."""
        ...

    async def holds(self, item_id: str) -> bool:
        """Whether an item of that id is queued and not yet done."""
        ...


def _never_asked(deploy_id: str) -> str | None:
    return None


@dataclass(frozen=True, slots=True)
class Deps:
    """The parts behind the API.

    ``queued`` is None where the queue cannot be looked into, as a message queue in the cloud. ``reached_at`` maps the
    ``deployId`` this server put into a sync request to the URL it reached the app at. ``changed_limits`` is None where
    tests have no business, ``waits_of_runs`` and ``waits_of_events`` where nobody asks.
    """

    ingest: Ingest
    register: Register
    control: Control
    checkpointer: Checkpointer
    journal: Journal
    registry: Registry
    queued: QueuedItems | None
    clock: Clock
    reached_at: Callable[[str], str | None] = _never_asked
    changed_limits: ChangedLimits | None = None
    waits_of_runs: WaitsOfRuns | None = None
    waits_of_events: WaitsOfEvents | None = None


@dataclass(frozen=True, slots=True)
class Access:
    """What kind of server this is, and the keys it knows: with none of a kind, those endpoints are open in dev."""

    kind: ServerKind
    event_keys: tuple[str, ...]
    signing_keys: tuple[str, ...]


async def _deps(request: Request) -> Deps:
    return cast("Deps", request.app.state.deps)


async def _access(request: Request) -> Access:
    return cast("Access", request.app.state.access)


WithDeps = Annotated[Deps, Depends(_deps)]
WithAccess = Annotated[Access, Depends(_access)]
