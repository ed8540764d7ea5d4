"""An app of this process as an endpoint of its own: the adapter's handler in dev mode, without a socket."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from stepwell.wire.encoding import encode
from stepwell_orchestrator.engine.calls.request import steps_of
from stepwell_orchestrator.ports import Clock, Journal
from stepwell_orchestrator.transports.invoke_asgi import IN_PROCESS_ORIGIN, AsgiApp

if TYPE_CHECKING:
    from stepwell.authoring.app import App
    from stepwell.client.outbound import Fetch, OutboundRequest
    from stepwell.serving.executor import Execute
    from stepwell.wire.registration import Registration

_FRAMEWORK = "in-process"


def in_process_url(app_id: str) -> str:
    """Where an app of this process is called."""
    return f"{IN_PROCESS_ORIGIN}/{quote(app_id, safe='')}/api/stepwell"


def in_process_app(
    app: App, journal: Journal, clock: Clock, *, execute: Execute | None = None
) -> tuple[Registration, AsgiApp]:
    """An app's registration at its in-process URL, and what answers there; ``execute`` replaces how functions run."""
    from stepwell.serving.asgi_app import AsgiApp as Endpoint
    from stepwell.serving.handler import Handler
    from stepwell.serving.registration import registration_of

    handler = Handler(
        app, dev=True, framework=_FRAMEWORK, now_ms=clock.now_ms, fetch=_state_of(journal), execute=execute
    )
    url = in_process_url(app.id)
    return registration_of(app, handler.settings, url=url, framework=_FRAMEWORK), Endpoint(handler)


def _state_of(journal: Journal) -> Fetch:
    """Answers what a function asks for when its call request was too large to carry it (protocol 4.4)."""
    from stepwell.client.http import HttpResponse

    async def fetch(request: OutboundRequest) -> HttpResponse:
        *_, run_id, what = urlsplit(request.url).path.split("/")
        run = await journal.load(run_id)
        if run is None:
            return HttpResponse(410)
        state = steps_of(run) if what == "actions" else [event.wire() for event in run.events]
        return HttpResponse(200, body=encode(state))

    return fetch
