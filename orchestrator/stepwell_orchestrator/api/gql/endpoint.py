"""``POST /v0/gql``."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import APIRouter, Depends, Request, Response

from stepwell_orchestrator.api.auth import require_bearer
from stepwell_orchestrator.api.deps import WithDeps
from stepwell_orchestrator.api.envelope import json_response, read_object
from stepwell_orchestrator.errors import ApiError
from stepwell_orchestrator.limits import GRAPHQL_BYTES_MAX, GRAPHQL_QUERY_CHARS_MAX

router = APIRouter(dependencies=[Depends(require_bearer)])


@router.post("/v0/gql")
async def graphql(request: Request, deps: WithDeps) -> Response:
    """Answer a query. What goes wrong with it is told in ``errors``, with status 200."""
    body = await read_object(request, GRAPHQL_BYTES_MAX)
    query, variables, operation = body.get("query"), body.get("variables") or {}, body.get("operationName")
    if not isinstance(query, str) or not query.strip():
        raise ApiError(400, 'the body must be like {"query": "query { apps { id } }", "variables": {}}')
    if len(query) > GRAPHQL_QUERY_CHARS_MAX:
        raise ApiError(413, f"the query has {len(query)} characters; the limit is {GRAPHQL_QUERY_CHARS_MAX}")
    if not isinstance(variables, Mapping):
        raise ApiError(400, "variables must be an object")
    from stepwell_orchestrator.api.gql.executing import answer  # who asks no queries does not pay for the import

    return json_response(await answer(deps, query, variables, operation if isinstance(operation, str) else None))
