"""The API in front of a world of scripted functions, where nothing moves until a test lets it."""

from __future__ import annotations

from typing import Any

import httpx

from stepwell_orchestrator.accepting.checkpointing import Checkpointer
from stepwell_orchestrator.accepting.ingest import Ingest
from stepwell_orchestrator.accepting.register import Register
from stepwell_orchestrator.accepting.timetable import Timetable
from stepwell_orchestrator.api.app import create_api
from stepwell_orchestrator.api.deps import Deps
from stepwell_orchestrator.controlling.control import Control
from stepwell_orchestrator.fresh_ids import FreshIds
from stepwell_orchestrator.limits import Limits
from stepwell_orchestrator.schedules import NoSchedules
from tests.orchestrator.worker.harness import World
from tests.orchestrator.world import counting_entropy


def client_of(world: World, *, looks_into_queue: bool = True, **options: Any) -> httpx.AsyncClient:
    """A client of the API in front of a world."""
    backend, clock = world.backend, world.clock
    ids = FreshIds(clock, counting_entropy())
    deps = Deps(
        ingest=Ingest(backend.journal, backend.queue, clock, ids, world.notices.append),
        register=Register(
            backend.registry,
            Timetable(NoSchedules(), backend.registry, backend.queue, clock),
            clock,
            world.notices.append,
        ),
        control=Control(
            backend.journal,
            backend.waits,
            backend.registry,
            backend.queue,
            clock,
            ids=ids,
            handle=world.worker.handle,
            observe=world.notices.append,
        ),
        checkpointer=Checkpointer(backend.journal, clock, Limits(), world.notices.append),
        journal=backend.journal,
        registry=backend.registry,
        queued=backend.queue if looks_into_queue else None,
        clock=clock,
    )
    return httpx.AsyncClient(transport=httpx.ASGITransport(create_api(deps, **options)), base_url="http://api")
