"""Promise 12: a debounce fires once, with its last event; a batch has each of its events once, and is full or in time.

What is offered is told as the store took it in, with the debounce or the batch that it went to.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from stepwell_orchestrator.model.event import Event
from stepwell_orchestrator.model.flow import DebounceStage, Offer
from stepwell_orchestrator.model.run import RunHeader
from tests.sim.checkers import Moment, ViolationError
from tests.sim.corpus import Member, Offers
from tests.sim.facts import EventBatched, EventDebounced, EventStored, Fact, RunCreated

Debounce = tuple[str, str]
"""Its gate, and the event that began it."""


class DebouncesFireOnce:
    """A run of a debounced function has the last event of its debounce, a period after it or at the timeout."""

    def __init__(self, members: Mapping[str, Member]) -> None:
        self._members = members
        self._offers: dict[Debounce, list[Offer]] = defaultdict(list)
        self._debounce_of: dict[tuple[str, str], Debounce] = {}
        """By the gate's function, which only its runs tell, and the event: so by the event alone."""
        self._fired: dict[Debounce, str] = {}

    def see(self, fact: Fact, _moment: Moment) -> None:
        match fact:
            case EventDebounced(gate, offer, kept) if kept.stage is DebounceStage.OPEN:
                debounce = gate, kept.first_event_id
                self._offers[debounce].append(offer)
                self._debounce_of[gate, offer.event_id] = debounce
            case RunCreated(header) if header.original_run_id is None:
                offers = self._members[header.function_id].options.offers
                if offers.period_ms:
                    self._run(header, offers)

    def _run(self, header: RunHeader, options: Offers) -> None:
        (event_id,) = header.event_ids
        debounces = [found for (_, offered), found in self._debounce_of.items() if offered == event_id]
        own = [found for found in debounces if self._last(found) == event_id and self._is_of(found, options)]
        if not own:
            raise ViolationError(12, f"runs event {event_id}, which is the last one of no debounce", header.run_id)
        if all(self._fired.get(found, header.run_id) != header.run_id for found in own):
            raise ViolationError(12, "a debounce fired twice", header.run_id)
        due = [found for found in own if header.created_at_ms >= self._due_ms(found, options)]
        if not due:
            raise ViolationError(12, "a debounce fired before it was due", header.run_id)
        self._fired[due[0]] = header.run_id

    def _is_of(self, debounce: Debounce, options: Offers) -> bool:
        return all(offer.debounce.period_ms == options.period_ms for offer in self._offers[debounce])

    def _last(self, debounce: Debounce) -> str:
        return max(self._offers[debounce], key=lambda offer: offer.order).event_id

    def _due_ms(self, debounce: Debounce, options: Offers) -> int:
        offers = self._offers[debounce]
        later = [offer for offer in offers if offer.event_id != offers[0].event_id]
        last_ms = max(offer.offered_at_ms for offer in (offers[0], *_first_of_each(later)))
        due_ms = last_ms + options.period_ms
        return min(due_ms, offers[0].offered_at_ms + options.timeout_ms) if options.timeout_ms else due_ms


@dataclass(slots=True)
class _Batch:
    events: dict[str, None] = field(default_factory=dict)
    first_at_ms: int = 0
    full: bool = False


class BatchesHoldEachOnce:
    """A run of a batched function has events of one batch, in order, and no other run has one of them."""

    def __init__(self, members: Mapping[str, Member]) -> None:
        self._members = members
        self._events: dict[str, Event] = {}
        self._batches: dict[tuple[str, str, int], _Batch] = defaultdict(_Batch)
        self._run_of: dict[tuple[str, str], str] = {}

    def see(self, fact: Fact, _moment: Moment) -> None:
        match fact:
            case EventStored(event, True):
                self._events[event.internal_id] = event
            case EventBatched(gate, event, bounds, batch):
                known = self._batches[gate, batch.batch_id, batch.first_at_ms]
                known.events[event.event_id] = None
                known.first_at_ms = batch.first_at_ms
                known.full |= batch.size >= bounds.size
                if batch.size > bounds.size or len(known.events) > bounds.size:
                    raise ViolationError(12, f"a batch of {bounds.size} took one more: {event.event_id}")
            case RunCreated(header) if header.original_run_id is None:
                offers = self._members[header.function_id].options.offers
                if offers.size:
                    self._run(header, offers)

    def _run(self, header: RunHeader, options: Offers) -> None:
        for event_id in header.event_ids:
            if self._run_of.setdefault((header.function_id, event_id), header.run_id) != header.run_id:
                raise ViolationError(12, f"event {event_id} is in two batches", header.run_id)
        received = [(self._events[event_id].received_at_ms, event_id) for event_id in header.event_ids]
        if received != sorted(received):
            raise ViolationError(12, "the events of a batch are not in order", header.run_id)
        if len({options.gate_of(self._events[event_id].data) for event_id in header.event_ids}) != 1:
            raise ViolationError(12, "a batch has events of two keys", header.run_id)
        own = [batch for batch in self._batches.values() if batch.events.keys() >= set(header.event_ids)]
        if not own:
            raise ViolationError(12, "a run has events that were in no batch together", header.run_id)
        if not any(batch.full or header.created_at_ms >= batch.first_at_ms + options.timeout_ms for batch in own):
            raise ViolationError(12, "a batch ran before it was full or in time", header.run_id)


def _first_of_each(offers: list[Offer]) -> list[Offer]:
    """The first offer of each event: a repeat of the one that is kept changes nothing."""
    return list({offer.event_id: offer for offer in reversed(offers)}.values())
