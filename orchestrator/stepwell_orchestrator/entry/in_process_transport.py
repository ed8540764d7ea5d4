"""Where an app of this process sends its events, signals and checkpoints: straight into the engine."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from stepwell.errors import EventError, StepwellError
from stepwell.wire.checkpoint import Checkpoint
from stepwell.wire.ids import EventIdSeed
from stepwell_orchestrator.accepting.checkpointing import Checkpointer
from stepwell_orchestrator.accepting.ingest import Ingest
from stepwell_orchestrator.controlling.control import Control

T = TypeVar("T")

_HAND_OVER_S: Final = 30
_NO_ANSWER: Final = (
    f"the engine did not answer within {_HAND_OVER_S} s; "
    "in an async function use `await app.{}(...)`, which does not block the loop the engine runs on"
)


@dataclass(frozen=True, slots=True)
class InProcessTransport:
    """An app's transport; ``loop`` is the one the engine runs on."""

    ingest: Ingest
    control: Control
    checkpointer: Checkpointer
    loop: asyncio.AbstractEventLoop

    async def send_events(self, events: Sequence[Mapping[str, Any]], seed: EventIdSeed) -> list[str]:
        """Take events in. Raises EventError."""
        try:
            return await self._hand_over(self.ingest.accept_events(events, seed))
        except TimeoutError:
            raise EventError(f"send_sync: {_NO_ANSWER.format('send')}") from None

    async def send_signal(self, signal: str, data: Any) -> str | None:
        """Resume the run that waits for a signal. Returns its id, or None when none waits. Raises ConnectionError."""
        try:
            return await self._hand_over(self.control.signal(signal, data))
        except TimeoutError:
            raise ConnectionError(f'signal "{signal}": {_NO_ANSWER.format("send_signal")}') from None

    async def checkpoint(self, checkpoint: Checkpoint) -> int:
        """Journal the steps of a call that goes on: the HTTP status a server would answer. Raises ConnectionError."""
        try:
            return await self._hand_over(self.checkpointer.answer(checkpoint))
        except (StepwellError, TimeoutError) as error:
            raise ConnectionError(f"the steps of run {checkpoint.run_id} could not be saved: {error}") from error

    async def _hand_over(self, accepting: Coroutine[Any, Any, T]) -> T:
        """Await something on the engine's loop, from that thread or from the loop of another, and there not forever."""
        if asyncio.get_running_loop() is self.loop:
            return await accepting
        async with asyncio.timeout(_HAND_OVER_S):
            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(accepting, self.loop))
