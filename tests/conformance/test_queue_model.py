"""The queue against a model of a few lines, over sequences of operations that hypothesis makes up."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from stepwell_orchestrator.model.queue_item import Drive, QueueItem
from tests.conformance.backends import OpenBackend, QueueingBackend
from tests.conformance.samples import NOW_MS

DELAYS = st.integers(min_value=0, max_value=5)
LEASE_MS = 3


@dataclass
class Queued:
    """What the model knows of an item; ``holder`` is the delivery that may settle it."""

    due_at_ms: int
    ready_at_ms: int
    deliveries: int = 0
    holder: Any = None


class QueueMachine(RuleBasedStateMachine):
    """Sends, receipts, settlements and the passing of time, in any order."""

    def __init__(self, open_backend: OpenBackend[QueueingBackend], folder: Path) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.opened = open_backend(folder)
        self.queue = self.runner.run(self.opened.__aenter__()).queue
        self.now_ms = NOW_MS
        self.model: dict[str, Queued] = {}
        self.handed_out: list[Any] = []

    def teardown(self) -> None:
        self.runner.run(self.opened.__aexit__(None, None, None))
        self.runner.close()

    @rule(delay_ms=DELAYS)
    def pass_time(self, delay_ms: int) -> None:
        self.now_ms += delay_ms

    @rule(numbers=st.lists(st.integers(min_value=0, max_value=4), max_size=3), delay_ms=DELAYS)
    def send(self, numbers: list[int], delay_ms: int) -> None:
        due_at_ms = self.now_ms + delay_ms
        self.runner.run(self.queue.send([QueueItem(str(n), Drive(str(n), "test"), due_at_ms) for n in numbers]))
        for number in numbers:
            self.model.setdefault(str(number), Queued(due_at_ms, due_at_ms))

    @rule(limit=st.integers(min_value=1, max_value=6))
    def receive(self, limit: int) -> None:
        deliveries = self.runner.run(self.queue.receive(limit, self.now_ms, self.now_ms + LEASE_MS))
        ready = {item_id for item_id, queued in self.model.items() if queued.ready_at_ms <= self.now_ms}
        assert len(deliveries) == min(limit, len(ready))
        for delivery in deliveries:
            assert delivery.item.id in ready
            queued = self.model[delivery.item.id]
            queued.deliveries += 1
            queued.ready_at_ms = self.now_ms + LEASE_MS
            queued.holder = delivery
            assert (delivery.item.due_at_ms, delivery.deliveries) == (queued.due_at_ms, queued.deliveries)
        self.handed_out += deliveries

    @precondition(lambda self: self.handed_out)
    @rule(data=st.data())
    def ack(self, data: st.DataObject) -> None:
        delivery = data.draw(st.sampled_from(self.handed_out))
        assert self.runner.run(self.queue.ack(delivery)) is self.is_current(delivery)
        if self.is_current(delivery):
            del self.model[delivery.item.id]

    @precondition(lambda self: self.handed_out)
    @rule(data=st.data(), delay_ms=DELAYS)
    def postpone(self, data: st.DataObject, delay_ms: int) -> None:
        delivery = data.draw(st.sampled_from(self.handed_out))
        due_at_ms = self.now_ms + delay_ms
        assert self.runner.run(self.queue.postpone(delivery, due_at_ms)) is self.is_current(delivery)
        if self.is_current(delivery):
            queued = self.model[delivery.item.id]
            queued.due_at_ms = queued.ready_at_ms = due_at_ms
            queued.holder = None

    @precondition(lambda self: self.handed_out)
    @rule(data=st.data(), delay_ms=DELAYS)
    def renew(self, data: st.DataObject, delay_ms: int) -> None:
        deliveries = data.draw(st.lists(st.sampled_from(self.handed_out), max_size=3))
        self.runner.run(self.queue.renew(deliveries, self.now_ms + delay_ms))
        for delivery in filter(self.is_current, deliveries):
            self.model[delivery.item.id].ready_at_ms = self.now_ms + delay_ms

    def is_current(self, delivery: Any) -> bool:
        queued = self.model.get(delivery.item.id)
        return queued is not None and queued.holder is delivery

    @invariant()
    def agree_on_what_is_next(self) -> None:
        times = [queued.ready_at_ms for queued in self.model.values()]
        assert self.runner.run(self.queue.next_at_ms()) == min(times, default=None)

    @invariant()
    def agree_on_what_is_queued(self) -> None:
        for number in range(5):
            items = self.runner.run(self.queue.items_of_run(str(number)))
            queued = self.model.get(str(number))
            assert [item.due_at_ms for item in items] == ([] if queued is None else [queued.due_at_ms])


def test_the_queue_does_what_its_model_does(open_queueing_backend: OpenBackend[QueueingBackend], tmp_path_factory: Any):
    """No sequence of operations tells the queue from a dictionary of items with times and holders."""
    run_state_machine_as_test(
        lambda: QueueMachine(open_queueing_backend, tmp_path_factory.mktemp("queue")),
        settings=settings(max_examples=30, stateful_step_count=30, deadline=None),
    )
