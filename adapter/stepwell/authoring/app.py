"""The app: what functions belong to and events are sent through."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType
from typing import Any

from stepwell.authoring.checkpointing import Checkpointing, pace_of
from stepwell.authoring.function import (
    Defaults,
    Function,
    FunctionDecorator,
    Handler,
    define_function,
    duplicate_error,
    failure_function,
)
from stepwell.authoring.options import (
    Batch,
    CancelOn,
    Concurrency,
    Debounce,
    FunctionOptions,
    Priority,
    RateLimit,
    Singleton,
    Throttle,
    Timeouts,
)
from stepwell.authoring.triggers import On
from stepwell.client import system
from stepwell.client.sender import Sender, Transport
from stepwell.client.settings import Overrides, Settings, read_settings
from stepwell.errors import EventError
from stepwell.middleware.base import Make
from stepwell.middleware.hooks import Chain, makes_of
from stepwell.steps.signals import signal_name
from stepwell.values.checks import Field, check_id
from stepwell.values.event import Event
from stepwell.values.serializer import to_json
from stepwell.wire.ids import EventIdSeed
from stepwell.wire.registration import RETRIES_DEFAULT


class App:
    """A named set of functions, served together at one URL, and the way to send events.

    Options left out come from the environment: ``STEPWELL_BASE_URL``, ``STEPWELL_EVENT_KEY``, ``STEPWELL_SIGNING_KEY``,
    ``STEPWELL_SIGNING_KEY_FALLBACK``, ``STEPWELL_ENV`` and ``STEPWELL_DEV``. In dev mode no key is needed and nothing
    is signed. ``checkpoint`` says how the steps of a call are saved while it goes on: True, the default, False, or a
    Checkpointing (``STEPWELL_CHECKPOINT``). ``middleware`` is what calls of its functions and its own sends go through,
    outermost first: Middleware classes, or what makes instances. Raises DefinitionError for a value that cannot be
    understood.

    ``transport`` replaces the HTTP client when set: an engine in the same process takes events and signals through it.
    """

    def __init__(
        self,
        id: str,  # noqa: A002 - the public name
        *,
        base_url: str | None = None,
        event_key: str | None = None,
        signing_key: str | None = None,
        signing_key_fallback: str | None = None,
        env: str | None = None,
        dev: bool | None = None,
        checkpoint: bool | Checkpointing | None = None,
        middleware: Sequence[Make] = (),
    ) -> None:
        self.id = check_id("the app", id)
        self.overrides = Overrides(base_url, event_key, signing_key, signing_key_fallback, env, dev)
        self.settings: Settings = read_settings(self.overrides)
        self.transport: Transport | None = None
        chosen = self.settings.checkpoint if checkpoint is None else checkpoint
        pace = pace_of(Field(self.id, "checkpoint", kind="app"), chosen)
        self._middleware = Chain(self, makes_of(Field(self.id, "middleware", kind="app"), middleware))
        self._defaults = Defaults(pace, self._middleware)
        self._functions: dict[str, Function[Any]] = {}

    def __repr__(self) -> str:
        return f"App({self.id!r}, functions={list(self._functions)})"

    @property
    def functions(self) -> Mapping[str, Function[Any]]:
        """The functions defined so far by id, those derived from ``on_failure`` included. Read only."""
        return MappingProxyType(self._functions)

    def function(
        self,
        *,
        id: str | None = None,  # noqa: A002 - the public name
        name: str | None = None,
        on: On | Sequence[On] | None = None,
        retries: int = RETRIES_DEFAULT,
        cancel_on: CancelOn | Sequence[CancelOn] = (),
        on_failure: Handler | None = None,
        concurrency: int | Concurrency | Sequence[Concurrency] | None = None,
        throttle: Throttle | None = None,
        rate_limit: RateLimit | None = None,
        debounce: Debounce | None = None,
        batch: Batch | None = None,
        priority: Priority | None = None,
        singleton: Singleton | None = None,
        idempotency: str | None = None,
        timeouts: Timeouts | None = None,
        checkpoint: bool | Checkpointing | None = None,
        middleware: Sequence[Make] = (),
    ) -> FunctionDecorator:
        """Make the decorated function, ``async`` or not, a durable one that takes a Context.

        ``id`` is the function's name with dashes unless given, and must not change while runs are under way. ``on`` is
        what starts it: an event name, an Event class, ``on(...)``, ``cron(...)``, several of them, or nothing when only
        ``step.invoke`` does. ``retries`` (0 to 20) counts the attempts after the first. ``on_failure`` is called
        with a context whose event is ``inngest/function.failed`` when a run has failed for good. ``idempotency`` is an
        expression: of events with the same value one in 24 h starts a run. ``checkpoint`` is the app's unless given.
        ``middleware`` goes inside the app's. Raises DefinitionError naming the function, the field and the fix.
        """
        options = FunctionOptions(
            cancel_on=cancel_on,
            concurrency=concurrency,
            throttle=throttle,
            rate_limit=rate_limit,
            debounce=debounce,
            batch=batch,
            priority=priority,
            singleton=singleton,
            idempotency=idempotency,
            timeouts=timeouts,
        )

        def register(handler: Handler) -> Function[Any]:
            function = define_function(
                self.id,
                handler,
                function_id=id,
                name=name,
                on=on,
                retries=retries,
                options=options,
                checkpoint=checkpoint,
                middleware=middleware,
                defaults=self._defaults,
            )
            self._add(function, on_failure)
            return function

        return register

    async def send(self, events: Event | Sequence[Event]) -> list[str]:
        """Send one event or several in one request. Returns their internal ids in order.

        Raises EventError for a malformed event (nothing is sent) and when the server refuses one: those before it in
        the sequence were accepted, and the error's ``ids`` are theirs. Raises MiddlewareError for what a hook raises.
        """
        batch = [events] if isinstance(events, Event) else list(events)
        for event in batch:
            if not isinstance(event, Event):
                raise EventError(f"send takes stepwell.Event objects, got {type(event).__name__}")
        send = self._middleware.hooks(system.now_ms).sending(self.send_wire)
        return await send([event.to_wire() for event in batch], None)

    def send_sync(self, events: Event | Sequence[Event]) -> list[str]:
        """``send`` for code that is not ``async``: it blocks the calling thread until the events are accepted."""
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="stepwell-send") as executor:
            return executor.submit(lambda: asyncio.run(self.send(events))).result()

    async def send_wire(self, events: Sequence[Mapping[str, Any]], seed: EventIdSeed | None) -> list[str]:
        """``send`` for events in wire form, past the middleware; ids come from ``seed`` (a fresh one when None)."""
        if not events:
            return []
        return await self._transport_in_use().send_events(events, seed or system.fresh_seed())

    async def send_signal(self, signal: str, data: Any = None) -> str | None:
        """Resume the run that waits for ``signal``. Returns its id, or None when no run waits: the signal is then lost.

        Raises DefinitionError for a name that is none, EncodingError for data that is not JSON, WireError when the
        server refuses the signal, ConnectionError when it cannot be reached.
        """
        name = signal_name(f'app "{self.id}"', signal)
        return await self._transport_in_use().send_signal(name, to_json(data, f'signal "{name}": the data'))

    def _transport_in_use(self) -> Transport:
        return self.transport or Sender(self.settings)

    def _add(self, function: Function[Any], on_failure: Handler | None) -> None:
        """Add a function and what derives from it, or neither: a refused definition leaves the app as it was."""
        derived = [] if on_failure is None else [failure_function(self.id, function, on_failure)]
        for added in (function, *derived):
            known = self._functions.get(added.id)
            if known is not None:
                raise duplicate_error(self.id, known, added)
        self._functions |= {added.id: added for added in (function, *derived)}
