"""One dev server, from its socket to its end: the engine, the API on uvicorn, and the apps it serves or syncs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import uvicorn

from stepwell.wire.times import SECOND_MS
from stepwell_orchestrator.api.app import create_api
from stepwell_orchestrator.api.deps import Deps
from stepwell_orchestrator.entry.embedded import Embedded
from stepwell_orchestrator.entry.in_process import in_process_url
from stepwell_orchestrator.entry.loading import LoadError, load_app
from stepwell_orchestrator.entry.settings import ServerSettings, point_apps_at, server_kind
from stepwell_orchestrator.entry.syncing import SYNC_TIMEOUT_MS, Say, Syncer
from stepwell_orchestrator.model.notice import Notice, NoticeKind, Observe
from stepwell_orchestrator.transports.egress import LOOPBACK
from stepwell_orchestrator.transports.invoke_asgi import IN_PROCESS_ORIGIN
from stepwell_orchestrator.transports.invoke_http import HttpInvoker

if TYPE_CHECKING:
    from stepwell.authoring.app import App

MEMORY: Final = ":memory:"
DEFAULT_DATABASE: Final = ".stepwell/dev.db"
DEFAULT_PORT: Final = 8288
GRACE_MS: Final = 3 * SECOND_MS
"""How long a stopping dev server waits for calls under way; what is cut off runs again."""


@dataclass(frozen=True, slots=True)
class DevOptions:
    """What to serve and where. ``targets`` are ``module:app``, ``module``, or URLs; ``folder`` is where modules are.

    ``database`` is a path, or ``:memory:``. ``reload`` restarts on a change of a Python file, for module targets.
    ``retry_delay_ms`` replaces the back-off table by a fixed delay.
    """

    targets: tuple[str, ...] = ()
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    database: str = DEFAULT_DATABASE
    reload: bool = True
    retry_delay_ms: int | None = None
    folder: Path = Path()

    @property
    def modules(self) -> tuple[str, ...]:
        """The targets that are loaded into this process."""
        return tuple(target for target in self.targets if not is_url(target))

    @property
    def urls(self) -> tuple[str, ...]:
        """The targets that are served elsewhere."""
        return tuple(target for target in self.targets if is_url(target))


def is_url(target: str) -> bool:
    """Whether a target is served elsewhere."""
    return target.startswith(("http://", "https://"))


def own_origin(listener: socket.socket) -> str:
    """The URL at which this machine reaches the server."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        host = "127.0.0.1"
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


async def serve(
    options: DevOptions,
    listener: socket.socket,
    settings: ServerSettings,
    *,
    observe: Observe,
    say: Say,
    stopping: asyncio.Event,
) -> None:
    """Serve until ``stopping`` is set. Raises LoadError for a module, StoreError for the database; then nothing ran."""
    origin = own_origin(listener)
    point_apps_at(origin)
    apps = _load(options)
    engine = Embedded(
        _database(options),
        observe=observe,
        retry_delay_ms=options.retry_delay_ms,
        signing_keys=settings.signing_keys,
        grace_ms=GRACE_MS,
        gateway_allow=(*LOOPBACK, *settings.gateway_allow),
    )
    async with engine:
        say(f"listening at {origin}, journal in {options.database}")
        await _forget_others(engine, {in_process_url(app.id) for app in apps}, say)
        for app in apps:
            synced = await engine.serve(app)
            if not synced.modified:
                observe(_known(app, engine.clock.now_ms()))
        http = HttpInvoker(timeout_ms=SYNC_TIMEOUT_MS)
        syncers = [
            Syncer(url, http, engine.clock, say, own_origin=origin, signing_keys=settings.signing_keys)
            for url in options.urls
        ]
        server = _server(engine, syncers, settings)
        try:
            await _run(server, listener, syncers, stopping)
        finally:
            await http.close()


def _load(options: DevOptions) -> list[App]:
    apps = [load_app(target, options.folder.resolve()) for target in options.modules]
    ids = [app.id for app in apps]
    for app_id in ids:
        if ids.count(app_id) > 1:
            raise LoadError(f'two of the targets are apps with the id "{app_id}"; give each app its own id')
    return apps


async def _forget_others(engine: Embedded, urls: set[str], say: Say) -> None:
    """Apps that an earlier server loaded and this one does not must start no more runs: nothing could call them."""
    for app in await engine.registry.list_apps():
        if app.url.startswith(IN_PROCESS_ORIGIN) and app.url not in urls:
            await engine.register.forget(app.url)
            say(f"the app {app.id} is in the journal and not among the targets: its functions are forgotten")


def _known(app: App, now_ms: int) -> Notice:
    """A restart serves what the journal knows already; whoever watches this process does not."""
    return Notice(now_ms, NoticeKind.APP_SYNCED, subject=app.id, detail=", ".join(app.functions) or "no functions")


def _database(options: DevOptions) -> Path | None:
    if options.database == MEMORY:
        return None
    path = options.folder / options.database
    if options.database == DEFAULT_DATABASE:
        with contextlib.suppress(OSError):
            path.parent.mkdir(exist_ok=True)
            (path.parent / ".gitignore").write_text("*\n")
    return path


def _server(engine: Embedded, syncers: Sequence[Syncer], settings: ServerSettings) -> uvicorn.Server:
    registered: dict[str, Callable[[], str]] = {syncer.deploy_id: syncer.registered for syncer in syncers}

    def reached_at(deploy_id: str) -> str | None:
        return registered[deploy_id]() if deploy_id in registered else None

    deps = Deps(
        ingest=engine.ingest,
        register=engine.register,
        control=engine.control,
        checkpointer=engine.checkpointer,
        journal=engine.journal,
        registry=engine.registry,
        queued=engine.queue,
        clock=engine.clock,
        reached_at=reached_at,
        changed_limits=engine.changed_limits,
        waits_of_runs=engine.waits_of_runs,
        waits_of_events=engine.waits_of_events,
    )
    kind = server_kind(settings.signing_keys)
    api = create_api(deps, kind=kind, event_keys=settings.event_keys, signing_keys=settings.signing_keys)
    config = uvicorn.Config(
        api,
        log_config=None,
        log_level=logging.WARNING,
        access_log=False,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=GRACE_MS // SECOND_MS,
    )
    return _Server(config)


class _Server(uvicorn.Server):
    """Leaves signals to whoever runs it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


async def _run(
    server: uvicorn.Server, listener: socket.socket, syncers: Sequence[Syncer], stopping: asyncio.Event
) -> None:
    """Serve and sync until ``stopping`` is set; raises what broke any of it."""
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    others = [asyncio.create_task(stopping.wait()), *(asyncio.create_task(syncer.run()) for syncer in syncers)]
    try:
        await asyncio.wait([serving, *others], return_when=asyncio.FIRST_COMPLETED)
    finally:
        server.should_exit = True
        for task in others:
            task.cancel()
        results = await asyncio.gather(serving, *others, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result
