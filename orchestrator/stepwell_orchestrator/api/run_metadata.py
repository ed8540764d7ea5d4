"""What authors note about their runs: taking it in, and looking at it (protocol 7.2)."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter, Depends, Request, Response

from stepwell_orchestrator.accepting.metadata import read_metadata
from stepwell_orchestrator.api.auth import require_bearer
from stepwell_orchestrator.api.deps import Deps, WithDeps
from stepwell_orchestrator.api.envelope import read_object, success
from stepwell_orchestrator.controlling.control import find_run
from stepwell_orchestrator.errors import ApiError
from stepwell_orchestrator.limits import METADATA_BYTES_MAX, METADATA_UPDATES_MAX
from stepwell_orchestrator.model.event import Event
from stepwell_orchestrator.model.metadata import Metadata, metadata_event
from stepwell_orchestrator.model.run import RunHeader
from stepwell_orchestrator.views.run_metadata import metadata_body, metadata_of

router = APIRouter(dependencies=[Depends(require_bearer)])


@router.post("/v1/runs/{run_id}/metadata")
async def update_metadata(run_id: str, request: Request, deps: WithDeps) -> Response:
    """Keep metadata of a run, also of one that has ended; SDKs only look at the status."""
    header = await find_run(deps.journal, run_id)
    event = read_metadata(await read_object(request, METADATA_BYTES_MAX), run_id, deps.clock.now_ms())
    # Two at once may each find the last place free: the bound is against endless growth, not exact.
    if len(await _updates(header, deps)) >= METADATA_UPDATES_MAX:
        message = f"run {run_id} has {METADATA_UPDATES_MAX} updates of its metadata, the most that are kept"
        raise ApiError(409, f"{message}; note less often, or put what grows into a store of your own")
    await deps.journal.put_event(event)
    return Response(status_code=200)


@router.get("/v1/runs/{run_id}/metadata")
async def get_metadata(run_id: str, deps: WithDeps) -> Response:
    """What was noted about a run and its steps."""
    found = await metadata_of_run(await find_run(deps.journal, run_id), deps)
    return success([metadata_body(metadata) for metadata in found], deps.clock.now_ms())


async def metadata_of_run(header: RunHeader, deps: Deps) -> list[Metadata]:
    """What was noted about a run and its steps, for its spans."""
    return metadata_of(await _updates(header, deps))


async def _updates(header: RunHeader, deps: Deps) -> Sequence[Event]:
    name = metadata_event(header.run_id)
    return await deps.journal.events_since(name, header.created_at_ms, after=None, limit=METADATA_UPDATES_MAX)
