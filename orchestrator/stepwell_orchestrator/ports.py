"""What the engine needs from the outside: every method says what is atomic, what is durable, and what it refuses.

A method that returns has made its effect durable, unless it says otherwise. Reads are strongly consistent with the
writes that returned before them. Each method either takes effect as a whole or not at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from stepwell_orchestrator.flow_ports import FlowPorts
from stepwell_orchestrator.model.decision import Write
from stepwell_orchestrator.model.event import Event
from stepwell_orchestrator.model.fetch import Fetched, FetchRequest
from stepwell_orchestrator.model.flow import Halt, Halts, HaltScope
from stepwell_orchestrator.model.function import App, Function
from stepwell_orchestrator.model.pause import Pause, PauseKey
from stepwell_orchestrator.model.queue_item import QueueItem
from stepwell_orchestrator.model.run import Progress, Run, RunHeader, RunStatus
from stepwell_orchestrator.model.signal import SignalWait
from stepwell_orchestrator.model.step import StepEntry
from stepwell_orchestrator.schedules import NoSchedules, Schedules


@dataclass(frozen=True, slots=True)
class Acquired:
    """The drive lease is the caller's. ``takeover``: the holder before never released it, so it may have died."""

    header: RunHeader
    takeover: bool


@dataclass(frozen=True, slots=True)
class Busy:
    """Another worker holds it until that time, or longer; it will see the wish."""

    until_ms: int


@dataclass(frozen=True, slots=True)
class Over:
    """The run has ended and its lease is free. The driver that ended it may still be carrying out the commands."""

    header: RunHeader


@dataclass(frozen=True, slots=True)
class Unknown:
    """There is no such run or step."""


Acquisition = Acquired | Busy | Over | Unknown


@dataclass(frozen=True, slots=True)
class Claimed:
    """The step's execution is the caller's."""

    entry: StepEntry


@dataclass(frozen=True, slots=True)
class NotClaimed:
    """The step cannot be claimed at that attempt; ``entry`` is why: memoised, dropped, another attempt, or claimed."""

    entry: StepEntry


Claim = Claimed | NotClaimed | Unknown


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs to list; ``from_ms`` inclusive, ``until_ms`` exclusive, both of the creation time."""

    function_id: str | None = None
    app_id: str | None = None
    statuses: tuple[RunStatus, ...] = ()
    from_ms: int | None = None
    until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events to list; ``after_ms`` exclusive, ``before_ms`` exclusive, both of the receipt time."""

    name: str | None = None
    after_ms: int | None = None
    before_ms: int | None = None
    include_internal: bool = False
    """Whether the engine's own events (``inngest/...``) are listed too."""


class Clock(Protocol):
    """The only source of time."""

    def now_ms(self) -> int:
        """Epoch milliseconds."""
        ...

    async def sleep_until(self, at_ms: int) -> None:
        """Return once ``now_ms()`` has reached ``at_ms``."""
        ...


class Journal(Protocol):
    """Events, runs and their entries."""

    async def put_event(self, event: Event) -> bool:
        """Store an event. Returns False when its internal id exists already, and then nothing changes."""
        ...

    async def get_event(self, internal_id: str) -> Event | None:
        """One event."""
        ...

    async def events_since(self, name: str, since_ms: int, *, after: Event | None, limit: int) -> list[Event]:
        """Events of one name received at or after ``since_ms``, oldest first by receipt time, then internal id.

        ``after`` is the last event of the page before.
        """
        ...

    async def create_run(self, header: RunHeader, *, idempotency_keys: Sequence[str], expires_at_ms: int) -> str:
        """Create a run under idempotency keys (none: under its id alone) and return the run id that holds them.

        That is ``header.run_id`` when this call created it, or an earlier identical call did; another id means that
        a key is taken by another run, or by an event that is batched, until its expiry, and nothing was created. A key
        whose ``expires_at_ms`` has passed at ``header.created_at_ms`` counts as free.
        """
        ...

    async def acquire(self, run_id: str, now_ms: int, until_ms: int) -> Acquisition:
        """Ask to drive a run: bump ``wanted``, and take the lease until ``until_ms`` if it is free or has expired.

        Taking it raises ``term`` by one and sets ``started_at_ms`` if unset. Busy promises that the holder's release
        will see the new ``wanted``. A run that has ended is Over when its lease is free.
        """
        ...

    async def renew(self, run_id: str, term: int, until_ms: int) -> bool:
        """Prolong the drive lease of that term. Returns False when the term is over or was released."""
        ...

    async def release(self, run_id: str, term: int, wanted: int, progress: Progress | None) -> int | None:
        """Free the lease if ``wanted`` has not moved, and store ``progress`` with it, unless that is None.

        Returns None when the lease is free; when ``wanted`` has moved, its new value, and nothing has changed. Raises
        LeaseLostError when the term is over.
        """
        ...

    async def wake(self, run_id: str, term: int) -> bool:
        """Bump ``wanted`` for the driver of that term, so that it reads the journal again.

        Returns False, and nothing has changed, when the term is over, its lease was released, or the run has ended.
        """
        ...

    async def commit(
        self, run_id: str, writes: Sequence[Write], *, term: int | None, wanted: int | None = None
    ) -> bool:
        """Apply all writes, or none. ``term`` is None for a caller without the lease.

        PutEntry needs the entry that it replaces as it was read, by ``StepEntry.version``, and not memoised; or none,
        if it replaces none. PutProgress needs the current ``term`` and a run without an outcome. EndRun needs a run
        without an outcome and, when ``term`` is given, that it is the current one. Raises ConflictError when a guard
        fails or the run has ended, LeaseLostError when the term is over.

        Returns True when it freed the lease with the run's end. That takes an EndRun, ``term``, and ``wanted`` as it
        was when the lease was taken, with no wish since. In all other cases it returns False and the lease is held;
        also where a backend cannot tell a wish from a renewal, a takeover or a wake.

        Entries alone may be stored whatever has become of run and term: a backend may refuse them (ConflictError for a
        run that has ended, LeaseLostError for a term that is over), or keep them, where nobody looks at them (decision
        10). Entries that are all new, wait for something and have a ``term`` may be written one by one: when
        some are refused and others were written, that is a StoreError.

        StoreError, also when the store broke, leaves open what was written; the next driver's takeover mends it.
        ConflictError says that a guard did not hold, and callers rely on it: a store that merely lost a race tries
        again by itself.
        """
        ...

    async def load(self, run_id: str) -> Run | None:
        """A run with its events and all its entries."""
        ...

    async def run_of(self, header: RunHeader) -> Run:
        """The run of a header that was just read: with its events, and its entries as they are now."""
        ...

    async def get_header(self, run_id: str) -> RunHeader | None:
        """A run's header."""
        ...

    async def get_entry(self, run_id: str, step_id: str) -> StepEntry | None:
        """One entry."""
        ...

    async def claim(self, run_id: str, step_id: str, attempt: int, *, now_ms: int, until_ms: int) -> Claim:
        """Claim a planned step for execution: its entry becomes RUNNING until ``until_ms``, claimed at ``now_ms``.

        Needs a run without an outcome and an entry whose ``attempt`` is the given one and which is PLANNED or ERRORED,
        or RUNNING with an expired claim. ``started_at_ms`` is set if unset. Of a run that has ended: Unknown.
        """
        ...

    async def renew_claim(self, run_id: str, step_id: str, *, claimed_at_ms: int, until_ms: int) -> bool:
        """Prolong the claim that was made at ``claimed_at_ms``. Returns False when it is over or replaced.

        A claim is only made after the one before has run out, so no two of a step are of one time.
        """
        ...

    async def expired_leases(self, now_ms: int, limit: int) -> list[str]:
        """Runs whose drive lease has expired without a release, oldest first.

        One that was only ever taken while it was free, and neither renewed nor wished for since, may be left out: the
        queue item on which its holder took it is still there, and comes again.
        """
        ...

    async def runs_of_event(self, internal_id: str) -> list[RunHeader]:
        """The runs an event started, oldest first."""
        ...

    async def list_runs(self, wanted: RunFilter, *, cursor: str | None, limit: int) -> list[RunHeader]:
        """Runs newest first by run id; ``cursor`` is the last run id of the page before."""
        ...

    async def list_events(self, wanted: EventFilter, *, cursor: str | None, limit: int) -> list[Event]:
        """Events newest first by internal id; ``cursor`` is the last internal id of the page before."""
        ...


class Waits(Protocol):
    """What runs wait for: events, filed so that one is found among any number, and signals."""

    async def put_pause(self, pause: Pause) -> None:
        """File a pause, and its shape under its event name. Filing it again changes nothing."""
        ...

    async def drop_pauses(self, keys: Sequence[PauseKey]) -> None:
        """Take pauses out; one that is not there is ignored."""
        ...

    async def shapes(self, event_name: str) -> list[str]:
        """Every shape that pauses of an event name have, or have had."""
        ...

    async def pauses(
        self, event_name: str, shape: str, index: str, *, after: PauseKey | None, limit: int
    ) -> list[Pause]:
        """The pauses filed under one index of one shape, ordered by key; ``after`` is the last key of the page before.

        Its cost grows with what it returns, never with how many others wait.
        """
        ...

    async def take_signal(self, wait: SignalWait, *, replace: bool, now_ms: int) -> bool:
        """Become the waiter of a signal: its first, its present one again, or after one whose time is up.

        False when another step waits for it and ``replace`` is not set; then nothing changes.
        """
        ...

    async def get_signal(self, name: str) -> SignalWait | None:
        """Who waits for a signal."""
        ...

    async def drop_signal(self, wait: SignalWait) -> None:
        """Stop waiting, unless another step is the waiter by now."""
        ...


class Registry(Protocol):
    """Apps and their functions. What another process put or removed may be unknown to ``functions_on`` for a second.

    So may what another process replaced or removed to ``get_function``; one that it put is found at once. What people
    have brought to a stand is kept apart from what is registered: a registration changes nothing of it.
    """

    async def put_app(self, app: App, functions: Sequence[Function]) -> bool:
        """Replace an app and all its functions. Returns False when the checksum is the stored one: nothing changed."""
        ...

    async def remove_app(self, url: str) -> bool:
        """Forget the app served at ``url``. Returns False when there is none."""
        ...

    async def get_function(self, slug: str) -> Function | None:
        """One function."""
        ...

    async def functions_on(self, patterns: Iterable[str]) -> list[Function]:
        """Functions with a trigger whose event is one of ``patterns``, each once, ordered by slug."""
        ...

    async def list_apps(self) -> list[App]:
        """All apps, ordered by id."""
        ...

    async def list_functions(self, app_id: str | None = None) -> list[Function]:
        """Functions of one app, or of all, ordered by slug."""
        ...

    async def halts(self) -> Halts:
        """What stands still. What another process changed may be unknown for a second."""
        ...

    async def halts_now(self) -> Halts:
        """What stands still, with all that changed before this was called."""
        ...

    async def put_halt(self, scope: HaltScope, halt: Halt | None, *, instead_of: Halt | None) -> bool:
        """Bring something to a stand, registered or not; None lifts that.

        False, and nothing changes, when its halt is not ``instead_of`` (None: it has none).
        """
        ...


class Queue(Protocol):
    """The work queue. Delivers at least once, in no promised order, never before an item's time.

    An item's time is a span of its sender's clock, so a worker whose clock is behind may meet it early by its own.
    """

    async def send(self, items: Sequence[QueueItem]) -> None:
        """Queue items. An id that is queued and not yet done may be left as it is, or be delivered once more."""
        ...


@dataclass(frozen=True, slots=True)
class HttpReply:
    """What came back from a call: header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class CallError(Exception):
    """No reply came: the endpoint could not be reached, closed the connection, or took too long."""


class Invoker(Protocol):
    """Carries a call request to a function."""

    def body_bytes_max(self, url: str) -> int | None:
        """The largest body the endpoint takes; above it the function fetches the state itself. None: no bound."""
        ...

    async def call(self, url: str, headers: Mapping[str, str], body: bytes) -> HttpReply:
        """POST the body and return the reply, whatever its status. Raises CallError when there is none."""
        ...


class FetchError(Exception):
    """No complete reply came. ``final``: it would not the next time either. The text tells nothing secret."""

    def __init__(self, message: str, *, final: bool = False) -> None:
        super().__init__(message)
        self.final = final


class Fetcher(Protocol):
    """Makes HTTP requests on behalf of steps, to where that is allowed."""

    async def fetch(self, request: FetchRequest) -> Fetched:
        """Make the request, follow redirects, and return the reply, whatever its status. Raises FetchError."""
        ...


class NoFetcher:
    """The Fetcher of an engine that makes no requests on behalf of steps."""

    async def fetch(self, request: FetchRequest) -> Fetched:
        """Refuse. Raises FetchError."""
        raise FetchError("this engine makes no HTTP requests on behalf of steps", final=True)


@dataclass(frozen=True, slots=True)
class Ports:
    """Everything a worker works on."""

    journal: Journal
    waits: Waits
    registry: Registry
    queue: Queue
    invoker: Invoker
    clock: Clock
    fetcher: Fetcher = field(default_factory=NoFetcher)
    schedules: Schedules = field(default_factory=NoSchedules)
    flow: FlowPorts = field(kw_only=True)
