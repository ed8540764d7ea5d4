"""The workloads that budgets are set for, each rehearsed in a steady state and counted: what one of it takes.

A first round is not counted: it makes connections known, reads the keys, and parses what is registered.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

from stepwell.authoring.app import App
from stepwell.authoring.checkpointing import Checkpointing
from stepwell.steps.context import Context
from stepwell.wire.encoding import encode
from stepwell.wire.times import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from stepwell_orchestrator.costing.bill import Work
from stepwell_orchestrator.engine.waits.matching import file_under
from stepwell_orchestrator.entry.rehearsal.rehearsal import BATCH_MAX, Rehearsal, rehearsing
from stepwell_orchestrator.model.pause import Pause, PauseKey, PauseKind

STEPS: Final = 10
WIDTH: Final = 10
NAP_MS: Final = MINUTE_MS
FAR_NAP_MS: Final = 30 * DAY_MS
FEW_WAITING: Final = 10
Saving = Literal["sequential", "checkpointed", "buffered"]
"""How a run in sequence saves its steps: by the reply to each call, each by itself meanwhile, or all by one reply."""
SAVING: Final[Mapping[Saving, bool | Checkpointing]] = {
    "sequential": False,
    "checkpointed": True,
    "buffered": Checkpointing(buffered_steps=100),
}
_PAID: Final = "order/paid"
_MATCH: Final = "event.data.order == async.data.order"


def order_of_1_kb(number: int) -> dict[str, Any]:
    """Ordinary JSON of 1,024 bytes, such as a service answers: names repeat, ids and amounts do not."""
    lines = [
        {
            "sku": f"SKU-{_digest(number, line)[:10]}",
            "name": f"Reusable water bottle, {line * 250} ml",
            "quantity": line,
            "price": {"amount": 990 + 17 * line + number, "currency": "EUR"},
            "in_stock": line % 3 > 0,
        }
        for line in range(1, 7)
    ]
    order = {"id": f"ord_{_digest(number)[:20]}", "customer": f"cus_{_digest(number, 0)[:16]}", "lines": lines}
    return padded(order)


def noise_of_1_kb(number: int) -> dict[str, Any]:
    """JSON of 1,024 bytes of which compression cannot make much less: random bytes, spelled in base64."""
    noise = b"".join(hashlib.sha256(repr((number, part)).encode()).digest() for part in range(24))
    return {"data": base64.b64encode(noise).decode()[:1013]}


def padded(value: dict[str, Any]) -> dict[str, Any]:
    """The value with a note, so that it has 1,024 bytes of compact JSON."""
    missing = 1024 - len(encode({**value, "note": ""}))
    words = "to be delivered to the back door, please do not ring before nine in the morning; "
    return {**value, "note": (words * 20)[:missing]}


def an_app() -> App:
    """The functions of the workloads."""
    app = App("bench", dev=False, checkpoint=False)

    @app.function(on="bench/bare")
    async def bare(ctx: Context) -> None:
        """No step at all."""

    async def sequential(ctx: Context) -> None:
        make = noise_of_1_kb if ctx.event.data["noise"] else order_of_1_kb
        for number in range(ctx.event.data["steps"]):
            await ctx.step.run(f"step-{number}", make, number)

    for saving, checkpoint in SAVING.items():
        app.function(id=saving, on=f"bench/{saving}", checkpoint=checkpoint)(sequential)

    @app.function(on="bench/nap")
    async def nap(ctx: Context) -> None:
        await ctx.step.sleep("nap", f"{ctx.event.data['ms']}ms")

    @app.function(on="bench/wait")
    async def wait(ctx: Context) -> None:
        await ctx.step.wait_for_event("paid", event=_PAID, timeout="7d", if_=_MATCH)

    @app.function(on="bench/parallel")
    async def parallel(ctx: Context) -> None:
        width = ctx.event.data["width"]
        await asyncio.gather(*(ctx.step.run(f"side-{number}", order_of_1_kb, number) for number in range(width)))
        await ctx.step.run("after", order_of_1_kb, width)

    return app


class Workloads:
    """One workload after the other in one rehearsal.

    ``batch`` is how many messages the queue hands out at once, and ``runs``, unless told otherwise as many, are side by
    side.
    """

    def __init__(self, rehearsal: Rehearsal, batch: int = BATCH_MAX, runs: int | None = None) -> None:
        self._rehearsal = rehearsal
        self._batch = batch
        self._runs = batch if runs is None else runs
        self._orders = range(0)
        self._counted = Work({})

    def bare(self) -> Work:
        """A run without a step, its event included."""
        return self._measured("bench/bare", {})

    def sequential(self, steps: int = STEPS, *, noise: bool = False, saving: Saving = "sequential") -> Work:
        """A run of steps with outputs of 1 KB, one after the other."""
        return self._measured(f"bench/{saving}", {"steps": steps, "noise": noise})

    def sleep(self, duration_ms: int) -> Work:
        """A run that only sleeps."""
        return self._measured("bench/nap", {"ms": duration_ms}, lambda: self._sleep(duration_ms))

    def wait(self) -> Work:
        """A run that only waits for an event, and that event."""
        return self._measured("bench/wait", {}, lambda: self._send(_PAID, {}, self._orders))

    def parallel(self, width: int = WIDTH) -> Work:
        """A run of parallel steps, then one more."""
        return self._measured("bench/parallel", {"width": width})

    def unheard(self) -> Work:
        """An event that nobody waits for."""
        return self._measured("bench/unheard", {})

    def stored_bytes(self) -> float:
        """What a run of ten steps with outputs of 1 KB leaves in the table, its events included."""
        before = self._rehearsal.ledger.stored_bytes()
        self._round("bench/sequential", {"steps": STEPS, "noise": False})
        return (self._rehearsal.ledger.stored_bytes() - before) / self._runs

    def routing_among(self, waiting: int) -> Work:
        """Routing one event that one run waits for, while that many do; resuming that run is not in it."""
        rehearsal = self._rehearsal
        # By then everything is read that a process reads once.
        self.wait()
        self._send("bench/wait", {}, range(-1, 0))
        rehearsal.work(self._batch)
        asyncio.run(_file_pauses(rehearsal, waiting - 1))
        self._send(_PAID, {}, range(-1, 0))
        rehearsal.take()
        rehearsal.deliver(1)
        return rehearsal.take()

    def sweep(self) -> Work:
        """One sweep of a stack in which nothing happens."""
        self._rehearsal.sweep()
        self._rehearsal.take()
        self._rehearsal.sweep()
        return self._rehearsal.take()

    def _measured(self, event: str, data: Mapping[str, Any], then: Callable[[], None] = lambda: None) -> Work:
        """Runs, twice, of which the second time counts; ``then`` is when they wait. One of them."""
        rehearsal = self._rehearsal
        # What is done once an hour is done in the first round: the second is to be in the same hour.
        if not 20 * MINUTE_MS < rehearsal.clock.now_ms() % HOUR_MS < 40 * MINUTE_MS:
            rehearsal.advance(3 * HOUR_MS // 2 - rehearsal.clock.now_ms() % HOUR_MS, self._batch)
        for _ in range(2):
            # What was sent in this millisecond would still be looked at by who begins to wait in it.
            rehearsal.advance(SECOND_MS, self._batch)
            rehearsal.take()
            self._counted = Work({})
            self._round(event, data)
            then()
            rehearsal.work(self._batch)
        return self._counted.plus(rehearsal.take()).times(1 / self._runs)

    def _round(self, event: str, data: Mapping[str, Any]) -> None:
        self._orders = range(self._orders.stop, self._orders.stop + self._runs)
        self._send(event, data, self._orders)
        self._rehearsal.work(self._batch)

    def _sleep(self, duration_ms: int) -> None:
        """Let runs sleep and wake up. By then it is another hour, and what is done once an hour is not theirs."""
        rehearsal = self._rehearsal
        if duration_ms > HOUR_MS:
            rehearsal.advance(duration_ms - MINUTE_MS, self._batch)
            self._counted = self._counted.plus(rehearsal.take())
            self._round("bench/bare", {})
            rehearsal.take()
            duration_ms = MINUTE_MS
        rehearsal.advance(duration_ms, self._batch)

    def _send(self, name: str, data: Mapping[str, Any], orders: range) -> None:
        self._rehearsal.send([{"name": name, "data": {**data, "order": order}} for order in orders])


def routing(waiting: int) -> Work:
    """Routing one event that one run of so many waits for, in a deployment of its own."""
    with rehearsing({"bench": an_app()}) as rehearsal:
        workloads = Workloads(rehearsal, 1)
        # Once before it is counted, with somebody who waits: by then everything is read that is read once.
        workloads.wait()
        return workloads.routing_among(waiting)


async def _file_pauses(rehearsal: Rehearsal, count: int) -> None:
    """Have so many others wait for the event, each for its own order, as their drivers would file it."""
    waits = rehearsal.deployment().backend.waits
    for number in range(1, count + 1):
        shape, index = file_under(_MATCH, {"name": "bench/wait", "data": {"order": number}})
        since_ms = rehearsal.clock.now_ms()
        await waits.put_pause(
            Pause(
                key=PauseKey(_PAID, index, f"01JG{number:022}", "paid"),
                kind=PauseKind.RESUME,
                shape=shape,
                expression=_MATCH,
                trigger_event_id=f"01JG{number:022}",
                since_ms=since_ms,
                expires_at_ms=since_ms + DAY_MS,
            )
        )


def _digest(*parts: int) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()
