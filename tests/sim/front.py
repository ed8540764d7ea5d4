"""The way in, as clients and functions see it: one of the workers answers, or nobody does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from stepwell.wire.checkpoint import Checkpoint
from stepwell.wire.ids import EventIdSeed
from tests.sim.facts import EventAnswered, SignalAnswered, SignalSent, Trouble
from tests.sim.node import InjectedError, Node

if TYPE_CHECKING:
    from tests.sim.world import World

T = TypeVar("T")


class Front:
    """Takes what is sent to a world, and tells the checkers what the senders were told."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._signals = 0

    async def send_events(self, run_id: str, events: Sequence[Mapping[str, Any]], seed: EventIdSeed) -> list[str]:
        """Send events on behalf of a run, once. Raises ConnectionError when nobody answers."""
        whom = f"{self._world.names.of(run_id)} {events[0]['data']['by']}"
        return await self._ask(run_id, whom, lambda node: self.accept(node, events, seed))

    async def send_signal(self, run_id: str, signal: str) -> str | None:
        """Send a signal on behalf of a run, once. Raises ConnectionError when nobody answers."""
        return await self._ask(
            run_id, f"{self._world.names.of(run_id)} {signal}", lambda node: self.signal(node, signal)
        )

    async def checkpoint(self, checkpoint: Checkpoint) -> int:
        """Save steps of a call that goes on, once; the HTTP status. Raises ConnectionError when nobody answers."""
        run_id = checkpoint.run_id
        whom = f"{self._world.names.of(run_id)} saves {','.join(step.title for step in checkpoint.steps)}"
        status = await self._ask(run_id, whom, lambda node: node.checkpointer.answer(checkpoint))
        self._world.trace.note("function", f"is answered {status} to {whom}", run_id)
        return status

    async def sleep_ms(self, duration_ms: int) -> None:
        """Let time pass."""
        clock = self._world.clock
        await clock.sleep_until(clock.now_ms() + duration_ms)

    async def accept(self, node: Node, events: Sequence[Mapping[str, Any]], seed: EventIdSeed) -> list[str]:
        """One worker takes events in."""
        internal_ids = await node.ingest.accept_events(list(events), seed)
        for internal_id in internal_ids:
            self._world.tell(EventAnswered(internal_id))
        return internal_ids

    async def signal(self, node: Node, name: str) -> str | None:
        """One worker takes a signal in."""
        self._signals += 1
        token = self._signals
        self._world.tell(SignalSent(token, name))
        run_id = await node.control.signal(name, token)
        self._world.tell(SignalAnswered(token, run_id))
        return run_id

    async def _ask(self, run_id: str, whom: str, act: Callable[[Node], Awaitable[T]]) -> T:
        world = self._world
        node = world.alive(whom)
        if node is None:
            world.tell(Trouble(run_id, "nobody takes what it sends"))
            raise ConnectionError("nobody answers")
        try:
            return await world.on(node, run_id, whom, act(node))
        except InjectedError as error:
            raise ConnectionError(str(error)) from error
