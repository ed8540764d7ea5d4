"""What flow control needs from a store: slots, lines, rates, debounces, batches and singletons.

As with the other ports, a method that returns has made its effect durable and took effect as a whole; reads are
strongly consistent. ``gate`` is an id of at most 64 characters (``engine/flow/gates.py``). What is not held and not
waited for costs nothing: a store forgets it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from stepwell_orchestrator.model.flow import (
    BatchBounds,
    BatchEvent,
    ClosedBatch,
    Debounced,
    GateState,
    Offer,
    OpenBatch,
    Place,
    Waiter,
)
from stepwell_orchestrator.model.rate import Rate

TAKERS_MAX: Final = 16
"""How many of the last takers a rate knows again."""


class Gates(Protocol):
    """Slots and lines: what is counted at a time, and who waits for it.

    Who frees a slot frees it first and looks second; who is refused joins the line first and looks second. So one of
    them at least sees the other, and no slot stays free while somebody waits.
    """

    async def take_slot(self, gate: str, most: int, holder: str, *, now_ms: int, until_ms: int | None) -> bool:
        """Hold one of ``most`` slots until ``until_ms`` (None: until it is given back). The line is not looked at.

        True for one who holds it already, and then its time is the new one. False when ``most`` others hold it whose
        time is not up at ``now_ms``, and then nothing changes. Two at once are never both given the last slot. After
        ``most`` was lowered, those who hold more than that go on until they give back.
        """
        ...

    async def renew_slot(self, gate: str, holder: str, until_ms: int) -> bool:
        """Prolong a slot. False, and nothing changes, when it is not the holder's any more."""
        ...

    async def give_slot(self, gate: str, holder: str) -> None:
        """Give a slot back; one that is not the holder's is left alone."""
        ...

    async def join_line(self, gate: str, waiter: Waiter) -> None:
        """Stand in line. One that stands at that place already keeps its time, and its work is replaced.

        Its turn counts how often it joined; the one that the caller gives does not matter.
        """
        ...

    async def leave_line(self, gate: str, place: Place, limit_id: str | None = None) -> None:
        """Leave the line; who is not there, or waits for another limit than ``limit_id`` by now, is ignored."""
        ...

    async def look(self, gate: str, now_ms: int, *, waiters: int) -> GateState:
        """The holders at ``now_ms``, and up to ``waiters`` of the line in its order.

        Not one moment: what returned before this was called is in it, what comes meanwhile may be.
        """
        ...

    async def count_ahead(self, gate: str, place: Place, most: int) -> int:
        """How many stand before that place, ``most`` at most."""
        ...

    async def gates_waited_at(self, *, cursor: str | None, limit: int) -> tuple[list[str], str | None]:
        """Some ``limit`` gates with a line, and the cursor of the next page (None: there is none). For the sweep.

        A gate that somebody began to wait at within the last seconds may be left out; one whose line is empty may be
        named, until ``forget_line``.
        """
        ...

    async def forget_line(self, gate: str) -> None:
        """Name the gate no more among those that are waited at, unless somebody stands there. Look after it."""
        ...


class Rates(Protocol):
    """GCRA: how often something may happen at a gate."""

    async def take_token(self, gate: str, rate: Rate, taker: str, now_ms: int) -> bool:
        """Happen now, if ``rate`` allows it. False, and nothing changes, when it does not.

        One of the last TAKERS_MAX takers takes nothing again and is told True: a redelivery costs nobody's turn.
        """
        ...

    async def arm(self, gate: str, due_at_ms: int, now_ms: int) -> bool:
        """Note that the gate's timer is set for ``due_at_ms``. Its setter queues it when this returns True.

        False, and nothing changes, when one is noted for a time after ``now_ms`` and not after ``due_at_ms``: that one
        will come. A gate through which nobody went lately has no timer: it lets through whoever asks.
        """
        ...


class Debounces(Protocol):
    """The one event that each debounce keeps; ``Debounced`` says what an offer makes of it."""

    async def offer(self, gate: str, offer: Offer) -> Debounced:
        """Offer an event to the gate's debounce, or begin one. Returns what there is then (``Debounced.after``).

        One that is over is known for a day, so that no redelivery begins it anew.
        """
        ...

    async def fire(self, gate: str, first_event_id: str, now_ms: int) -> Debounced | None:
        """Take the event of the debounce that began with that one, if it is due (``Debounced.fired``).

        Returns what there is then: the same again for one that is taken. None when that debounce is over, or unknown.
        """
        ...

    async def forget(self, gate: str, first_event_id: str) -> None:
        """End a debounce whose event is taken and whose run exists by now. Any other is left alone."""
        ...

    async def look(self, gate: str) -> Debounced | None:
        """The gate's debounce, if it has one."""
        ...


class Batches(Protocol):
    """Events that wait to be run together. A gate has one open batch at most."""

    async def append(self, gate: str, event: BatchEvent, bounds: BatchBounds, now_ms: int) -> OpenBatch:
        """Add an event to the gate's open batch; without one, open one that is named by the event.

        The event that makes it reach its bounds closes it. An event that is in a batch which is not forgotten is added
        to none, and is told of that one. A closed batch is told as closed, so that its events' redeliveries see to
        its run.
        """
        ...

    async def reserve(self, key: str, event_id: str, *, now_ms: int, expires_at_ms: int) -> bool:
        """Keep an idempotency key of ``create_run`` for an event that is to be batched. Returns whether it has it.

        An event that has it is told so again. One that another event or a run has is free again after its expiry.
        """
        ...

    async def close(self, gate: str, batch_id: str, now_ms: int) -> ClosedBatch | None:
        """Close a batch, if it is open. Again: the same, with the first time. None when it is forgotten."""
        ...

    async def forget(self, gate: str, batch_id: str) -> None:
        """Forget a closed batch, whose run exists by now."""
        ...

    async def look(self, gate: str, event_id: str) -> OpenBatch | None:
        """The batch of the gate that an event is in, open or closed; None when it is in none."""
        ...


class Singletons(Protocol):
    """Which run is the one of its key."""

    async def take(self, gate: str, run_id: str, instead_of: str | None = None) -> str:
        """Become the run of a key, if it has none, or has ``instead_of``. Returns the run it has then."""
        ...

    async def give(self, gate: str, run_id: str) -> None:
        """Stop being it; nothing changes when another run is."""
        ...


@dataclass(frozen=True, slots=True)
class FlowPorts:
    """Flow control's part of the ports. Each port becomes a member when both backends have it."""

    gates: Gates
    rates: Rates
    debounces: Debounces
    batches: Batches
