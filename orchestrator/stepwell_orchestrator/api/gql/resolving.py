"""What the schema's queries and mutations do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from stepwell.errors import WireError
from stepwell.wire.encoding import decode
from stepwell.wire.ids import is_ulid
from stepwell.wire.times import parse_instant_ms
from stepwell_orchestrator.api.deps import Deps
from stepwell_orchestrator.api.functions import function_config
from stepwell_orchestrator.api.gql import objects
from stepwell_orchestrator.api.gql.objects import Object
from stepwell_orchestrator.api.words import RUN_STATUS_BY_WORD
from stepwell_orchestrator.controlling.control import find_run
from stepwell_orchestrator.controlling.rerun_start import AskedStart
from stepwell_orchestrator.errors import ApiError
from stepwell_orchestrator.model.event import Event
from stepwell_orchestrator.model.function import App, Function
from stepwell_orchestrator.model.run import Run, RunHeader, RunStatus
from stepwell_orchestrator.ports import EventFilter, RunFilter

PAGE_MAX: Final = 100
"""The longest list that one field answers with."""


class Resolver:
    """Answers the root fields. A ULID that names nothing is an error rather than a null: askers poll (protocol 7.4)."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps

    def root(self) -> dict[str, Any]:
        """The root fields by name."""
        return {
            "apps": self._apps,
            "functions": self._functions,
            "functionBySlug": self._function_by_slug,
            "event": self._event,
            "events": self._events,
            "eventV2": self._event_v2,
            "functionRun": self._function_run,
            "run": self._run,
            "runs": self._runs,
            "runTrace": self._run_trace,
            "runTrigger": self._run_trigger,
            "runTraceSpanOutputByID": self._span_output,
            "invokeFunction": self._invoke,
            "cancelRun": self._cancel,
            "rerun": self._rerun,
            "deleteApp": self._delete_app,
        }

    async def _apps(self, _info: Any) -> list[Object]:
        return [self._app_object(app) for app in await self._deps.registry.list_apps()]

    async def _functions(self, _info: Any) -> list[Object]:
        return [self._function_object(function) for function in await self._deps.registry.list_functions()]

    async def _function_by_slug(self, _info: Any, query: Mapping[str, Any]) -> Object:
        function = await self._deps.registry.get_function(query["functionSlug"])
        if function is None:
            raise ApiError(404, f"there is no function {query['functionSlug'][:100]!r}; sync its app first")
        return self._function_object(function)

    async def _event(self, _info: Any, query: Mapping[str, Any]) -> Object:
        return self._event_object(await self._find_event(query["eventId"]))

    async def _event_v2(self, _info: Any, **arguments: Any) -> Object:
        return self._event_object(await self._find_event(arguments["id"]))

    async def _events(self, _info: Any, query: Mapping[str, Any] | None = None) -> list[Object]:
        asked = query or {}
        wanted = EventFilter(name=asked.get("name"))
        events = await self._deps.journal.list_events(
            wanted, cursor=asked.get("lastEventId"), limit=_bounded(asked.get("limit"))
        )
        return [self._event_object(event) for event in events]

    async def _function_run(self, _info: Any, query: Mapping[str, Any]) -> Object:
        return self._run_object(await find_run(self._deps.journal, query["functionRunId"]))

    async def _run(self, _info: Any, **arguments: Any) -> Object:
        return self._run_object(await find_run(self._deps.journal, arguments["runID"]))

    async def _runs(self, _info: Any, first: int, after: str | None = None, **asked: Any) -> Object:
        _check_order(asked.get("orderBy") or ())
        wanted, limit = _run_filter(asked.get("filter") or {}), _bounded(first)
        headers = await self._deps.journal.list_runs(wanted, cursor=after, limit=limit + 1)
        edges = [{"node": self._run_object(header), "cursor": header.run_id} for header in headers[:limit]]
        info = {
            "hasNextPage": len(headers) > limit,
            "hasPreviousPage": after is not None,
            "startCursor": edges[0]["cursor"] if edges else None,
            "endCursor": edges[-1]["cursor"] if edges else None,
        }
        return {"edges": edges, "pageInfo": info, "totalCount": None}

    async def _run_trace(self, _info: Any, **arguments: Any) -> Object:
        return objects.trace_object(await self._existing_run(arguments["runID"]))

    async def _run_trigger(self, _info: Any, **arguments: Any) -> Object:
        return objects.trigger_object(await self._existing_run(arguments["runID"]))

    async def _span_output(self, _info: Any, **arguments: Any) -> Object:
        run_id, _, step_id = arguments["outputID"].partition(objects.SEPARATOR)
        header = await find_run(self._deps.journal, run_id)
        if not step_id:
            output = objects.run_output(header)
        else:
            entry = await self._deps.journal.get_entry(run_id, step_id)
            output = None if entry is None else objects.step_output(entry)
        if output is None:
            raise ApiError(404, f"there is no output {arguments['outputID'][:100]!r}, or not yet")
        return output

    async def _invoke(self, _info: Any, data: Any = None, user: Any = None, **arguments: Any) -> bool:
        await self._deps.control.invoke(arguments["functionSlug"], {"data": data, "user": user})
        return True

    async def _cancel(self, _info: Any, **arguments: Any) -> Object:
        run_id = arguments["runID"]
        await self._deps.control.cancel(run_id)
        return self._run_object(await find_run(self._deps.journal, run_id))

    async def _rerun(self, _info: Any, **arguments: Any) -> str:
        return await self._deps.control.rerun(arguments["runID"], _asked_start(arguments.get("fromStep")))

    async def _delete_app(self, _info: Any, **arguments: Any) -> str:
        app = await self._app(arguments["id"])
        await self._deps.register.forget(app.url)
        return app.id

    async def _find_event(self, internal_id: str) -> Event:
        event = await self._deps.journal.get_event(internal_id) if is_ulid(internal_id) else None
        if event is None:
            raise ApiError(404, f"there is no event {internal_id[:100]!r}, or not yet")
        return event

    async def _existing_run(self, run_id: str) -> Run:
        await find_run(self._deps.journal, run_id)
        run = await self._deps.journal.load(run_id)
        assert run is not None, f"run {run_id} has a header but cannot be loaded"
        return run

    async def _app(self, app_id: str) -> App:
        for app in await self._deps.registry.list_apps():
            if app.id == app_id:
                return app
        raise ApiError(404, f"there is no app {app_id[:100]!r}; sync it first")

    def _app_object(self, app: App) -> Object:
        async def functions(_info: Any) -> list[Object]:
            return [self._function_object(function) for function in await self._deps.registry.list_functions(app.id)]

        async def count(_info: Any) -> int:
            return len(await self._deps.registry.list_functions(app.id))

        return {**objects.app_object(app), "functions": functions, "functionCount": count}

    def _function_object(self, function: Function) -> Object:
        app = partial(self._app_of, function.app_id)
        return {**objects.function_object(function, function_config(function)), "app": app}

    async def _app_of(self, app_id: str, _info: Any) -> Object:
        return self._app_object(await self._app(app_id))

    def _event_object(self, event: Event) -> Object:
        async def runs(_info: Any) -> list[Object]:
            return [self._run_object(header) for header in await self._deps.journal.runs_of_event(event.internal_id)]

        return {**objects.event_object(event), "functionRuns": runs, "runs": runs}

    def _run_object(self, header: RunHeader) -> Object:
        async def function(_info: Any) -> Object | None:
            found = await self._deps.registry.get_function(header.function_id)
            return None if found is None else self._function_object(found)

        async def trace(_info: Any) -> Object:
            return objects.trace_object(await self._existing_run(header.run_id))

        app = partial(self._app_of, header.app_id)
        return {**objects.run_object(header), "app": app, "function": function, "trace": trace}


def _bounded(limit: int | None) -> int:
    return max(1, min(PAGE_MAX if limit is None else limit, PAGE_MAX))


def _check_order(order: Sequence[Mapping[str, Any]]) -> None:
    if any(term != {"field": "QUEUED_AT", "direction": "DESC"} for term in order):
        raise ApiError(400, "runs are listed by QUEUED_AT, DESC; leave orderBy out")


def _run_filter(asked: Mapping[str, Any]) -> RunFilter:
    functions, apps = asked.get("functionIDs") or [], asked.get("appIDs") or []
    if len(functions) > 1 or len(apps) > 1:
        raise ApiError(400, "runs are filtered by one function and one app at a time")
    return RunFilter(
        function_id=functions[0] if functions else None,
        app_id=apps[0] if apps else None,
        statuses=_statuses(asked.get("status") or ()),
        from_ms=_instant(asked.get("from")),
        until_ms=_instant(asked.get("until")),
    )


def _statuses(words: Sequence[str]) -> tuple[RunStatus, ...]:
    """The statuses for the words; no run is ever skipped here."""
    return tuple(RUN_STATUS_BY_WORD[word] for word in words if word in RUN_STATUS_BY_WORD)


def _instant(text: Any) -> int | None:
    if text is None:
        return None
    try:
        return parse_instant_ms(str(text))
    except WireError as error:
        raise ApiError(400, str(error)) from error


def _asked_start(raw: Mapping[str, Any] | None) -> AskedStart | None:
    """Where a rerun begins; its input is a list, or the text of one."""
    if raw is None:
        return None
    arguments = raw.get("input")
    if isinstance(arguments, str):
        try:
            arguments = decode(arguments.encode())
        except WireError as error:
            raise ApiError(400, f"fromStep.input: {error}") from error
    if arguments is not None and not isinstance(arguments, list):
        raise ApiError(400, "fromStep.input must be a list: the arguments of the step")
    return AskedStart(raw["stepID"], None if arguments is None else tuple(arguments))
