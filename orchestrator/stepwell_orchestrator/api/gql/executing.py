"""Carrying out a query: parse, validate, bound, resolve. The only module that needs the GraphQL library at work."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cache
from inspect import isawaitable
from typing import Any, Final

from graphql import GraphQLError, GraphQLSchema, build_schema, execute, parse, validate

from stepwell.errors import EventError
from stepwell_orchestrator.api.deps import Deps
from stepwell_orchestrator.api.gql.bounds import TOKENS_MAX, excess
from stepwell_orchestrator.api.gql.resolving import Resolver
from stepwell_orchestrator.api.gql.schema import SDL
from stepwell_orchestrator.errors import ApiError

_logger = logging.getLogger("stepwell.api")

_PUBLIC: Final = (ApiError, EventError)
_INTERNAL: Final = "internal error; the server's log has the details"


async def answer(deps: Deps, query: str, variables: Mapping[str, Any], operation: str | None) -> dict[str, Any]:
    """The body of the answer: ``data``, always an object, and ``errors`` when there are any."""
    try:
        document = parse(query, max_tokens=TOKENS_MAX)
        too_much = excess(document)
    except GraphQLError as error:
        return _refused([error])
    mistakes = validate(_schema(), document) if too_much is None else [GraphQLError(too_much)]
    if mistakes:
        return _refused(mistakes)
    executed = execute(
        _schema(), document, Resolver(deps).root(), variable_values=dict(variables), operation_name=operation
    )
    result = await executed if isawaitable(executed) else executed
    body: dict[str, Any] = {"data": result.data or {}}
    return body | {"errors": [_shown(error) for error in result.errors]} if result.errors else body


@cache
def _schema() -> GraphQLSchema:
    return build_schema(SDL)


def _refused(errors: list[GraphQLError]) -> dict[str, Any]:
    return {"data": {}, "errors": [error.formatted for error in errors]}


def _shown(error: GraphQLError) -> dict[str, Any]:
    """An error as it is told: a fault of ours only goes into the log."""
    cause = error.original_error
    shown = dict(error.formatted)
    if cause is None or isinstance(cause, GraphQLError):
        return shown
    if isinstance(cause, _PUBLIC):
        code = getattr(cause, "code", None)
        return {**shown, "extensions": {"code": code}} if code else shown
    _logger.error("a query failed at %s", error.path, exc_info=cause)
    return {**shown, "message": _INTERNAL}
