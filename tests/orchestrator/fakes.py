"""Small stand-ins for ports, for tests of what is in front of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from stepwell_orchestrator.model.event import Event
from stepwell_orchestrator.model.function import App, Function
from stepwell_orchestrator.model.queue_item import QueueItem
from stepwell_orchestrator.model.run import RunHeader

NOW_MS = 1_800_000_000_000


@dataclass(slots=True)
class FixedClock:
    """A clock that stands still until it is set."""

    ms: int = NOW_MS

    def now_ms(self) -> int:
        return self.ms

    async def sleep_until(self, at_ms: int) -> None:
        self.ms = max(self.ms, at_ms)


@dataclass(slots=True)
class MemoryJournal:
    """Events and run headers in dictionaries; ``log`` tells the order of writes."""

    log: list[str] = field(default_factory=list)
    events: dict[str, Event] = field(default_factory=dict)
    headers: dict[str, RunHeader] = field(default_factory=dict)

    async def put_event(self, event: Event) -> bool:
        self.log.append(f"event {event.internal_id}")
        return self.events.setdefault(event.internal_id, event) is event

    async def get_header(self, run_id: str) -> RunHeader | None:
        return self.headers.get(run_id)

    async def create_run(self, header: RunHeader, *, idempotency_keys: Sequence[str], expires_at_ms: int) -> str:
        assert not idempotency_keys
        assert expires_at_ms > header.created_at_ms
        self.log.append(f"run {header.run_id}")
        self.headers[header.run_id] = header
        return header.run_id


@dataclass(slots=True)
class MemoryQueue:
    """What was sent, in order; ``fail`` makes the next send break."""

    log: list[str] = field(default_factory=list)
    items: list[QueueItem] = field(default_factory=list)
    fail: bool = False

    async def send(self, items: Sequence[QueueItem]) -> None:
        if self.fail:
            self.fail = False
            raise ConnectionError("the queue is away")
        self.log.extend(f"item {item.id}" for item in items)
        self.items.extend(items)


@dataclass(slots=True)
class MemoryRegistry:
    """Apps and functions in dictionaries."""

    apps: dict[str, App] = field(default_factory=dict)
    functions: dict[str, Function] = field(default_factory=dict)

    async def put_app(self, app: App, functions: Sequence[Function]) -> bool:
        if app.id in self.apps and self.apps[app.id].checksum == app.checksum:
            return False
        self.apps[app.id] = app
        kept = {slug: function for slug, function in self.functions.items() if function.app_id != app.id}
        self.functions = kept | {function.slug: function for function in functions}
        return True

    async def remove_app(self, url: str) -> bool:
        raise NotImplementedError

    async def get_function(self, slug: str) -> Function | None:
        return self.functions.get(slug)

    async def functions_on(self, patterns: Iterable[str]) -> list[Function]:
        raise NotImplementedError

    async def list_apps(self) -> list[App]:
        return list(self.apps.values())

    async def list_functions(self, app_id: str | None = None) -> list[Function]:
        return [function for function in self.functions.values() if app_id in (None, function.app_id)]
