"""An app on the real engine and a virtual clock: what is due is done, then time passes."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import stepwell
from stepwell.wire.ids import hash_step_id
from stepwell.wire.opcodes import Op
from stepwell.wire.times import parse_duration_ms
from stepwell_orchestrator.entry.embedded import Embedded
from stepwell_orchestrator.entry.virtual_clock import VirtualClock
from stepwell_orchestrator.model.notice import Notice, NoticeKind
from stepwell_orchestrator.model.pause import Pause
from stepwell_orchestrator.model.run import Run
from stepwell_orchestrator.model.step import StepEntry
from stepwell_orchestrator.ports import RunFilter
from tests.orchestrator.world import counting_entropy


class Scene:
    """Everything happens in ``send`` and ``later``, and nothing in between."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.notices: list[Notice] = []
        self.engine = Embedded(clock=self.clock, observe=self.notices.append, entropy=counting_entropy())

    async def send(self, name: str, data: dict[str, Any] | None = None, **members: Any) -> list[str]:
        """Send an event a millisecond from now, and do what comes of it."""
        await self.clock.advance(1)
        ids = await self.engine.send(stepwell.Event(name=name, data=data or {}, **members))
        await self.settle()
        return ids

    async def settle(self) -> None:
        """Do what is due."""
        await self.engine.pump.drain()

    async def later(self, duration: str) -> None:
        """Let time pass, and do everything at its time."""
        end_ms = self.clock.now_ms() + parse_duration_ms(duration)
        while (at_ms := await self.engine.queue.next_at_ms()) is not None and at_ms <= end_ms:
            await self.clock.advance(max(at_ms - self.clock.now_ms(), 0))
            await self.settle()
        await self.clock.advance(end_ms - self.clock.now_ms())

    async def runs(self, function_id: str) -> list[Run]:
        """The runs of a function, oldest first."""
        headers = await self.engine.journal.list_runs(RunFilter(function_id=function_id), cursor=None, limit=100)
        return [run for header in reversed(headers) if (run := await self.engine.journal.load(header.run_id))]

    async def run(self, function_id: str) -> Run:
        """The only run of a function."""
        [run] = await self.runs(function_id)
        return run

    async def output(self, function_id: str) -> Any:
        """What the only run of a function returned."""
        outcome = (await self.run(function_id)).header.outcome
        assert outcome is not None, f"{function_id} has not ended"
        assert outcome.error is None, outcome.error
        return outcome.output

    async def error(self, function_id: str) -> Any:
        """The error that the only run of a function failed with."""
        outcome = (await self.run(function_id)).header.outcome
        assert outcome is not None, f"{function_id} has not ended"
        return outcome.error

    async def step(self, function_id: str, name: str) -> StepEntry:
        """A step of the only run of a function."""
        return (await self.run(function_id)).entries[hash_step_id(name)]

    async def pauses(self, function_id: str) -> list[Pause]:
        """The pauses that stand for the waits of the only run of a function."""
        run = await self.run(function_id)
        waits = [entry.opts for entry in run.entries.values() if entry.op is Op.WAIT_FOR_EVENT]
        places = {(str(opts["event"]), str(opts["shape"]), str(opts["index"])) for opts in waits}
        found = [
            await self.engine.waits.pauses(*place, after=None, limit=100)  # at most a page
            for place in sorted(places)
        ]
        return [pause for page in found for pause in page if pause.key.run_id == run.header.run_id]

    def calls(self) -> Counter[str]:
        """How often each function was called."""
        return Counter(notice.function_id for notice in self.notices if notice.kind is NoticeKind.CALLED)


@asynccontextmanager
async def played(*apps: stepwell.App) -> AsyncIterator[Scene]:
    """A scene with the apps served."""
    scene = Scene()
    try:
        for app in apps:
            await scene.engine.serve(app)
        yield scene
    finally:
        async with scene.engine:
            """Entering and leaving closes the file, and takes the apps' transports away."""
