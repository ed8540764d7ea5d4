"""A recorded journal replayed by the code as it is now, on the real adapter: no step runs, nothing is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from stepwell.authoring.app import App
from stepwell.authoring.function import Function
from stepwell.executing.execution import Runtime, carry_on
from stepwell.executing.runtime import TimeoutScope
from stepwell.replaying.replay import Replay
from stepwell.replaying.replay_rules import Recorded
from stepwell.wire.checkpoint import Checkpoint
from stepwell.wire.ids import EventIdSeed
from stepwell.wire.reply import Failed, Outcome
from stepwell_orchestrator.cli.replay_check.recording import Recording

REST_S: Final = 30.0
"""How long one replay may take; code between steps is meant to be quick."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """The replay that shows the first difference, or the whole of it; ``outcome`` is None when it did not end."""

    replay: Replay
    outcome: Outcome | None


async def replay_journal(
    app: App,
    function: Function[Any],
    recording: Recording,
    *,
    rest_s: float = REST_S,
    timeout: Callable[[float], TimeoutScope] = asyncio.timeout,  # noqa: ASYNC109 - what bounds it, not how long
) -> Replayed:
    """Replay as the orchestrator does: no memo first, then one more at a time, in the order of the stack.

    An ``async def`` function is given its memos one at a time by the adapter itself, when it has come to rest. A
    ``def`` function runs on through every memo there is. When it took them in the order of the stack, it asked for each
    with those before it; else it is replayed with none, one, two, and so on.
    """
    recorded = {step.id: Recorded(step.op, step.opts) for step in recording.steps.values()}

    async def replay_with(count: int) -> Replayed:
        replay = Replay(recording.call(count, function.retries + 1), recorded=recorded)
        # A third of the time is for a branch that is busy with something else while others have steps to report.
        runtime = Runtime(
            send=app.send_wire,
            send_signal=app.send_signal,
            now_ms=lambda: recording.exported_at_ms,
            patience_s=rest_s / 3,
        )
        try:
            async with timeout(rest_s):
                return Replayed(replay, await carry_on(function, replay, runtime))
        except TimeoutError:
            return Replayed(replay, None)

    whole = await replay_with(len(recording.stack))
    if function.is_async or tuple(whole.replay.given) == recording.stack[: len(whole.replay.given)]:
        return whole
    for count in range(len(recording.stack)):
        part = await replay_with(count)
        if _ends_here(part):
            return part
    return whole


def _ends_here(replayed: Replayed) -> bool:
    replay, outcome = replayed.replay, replayed.outcome
    raised_before = isinstance(outcome, Failed) and replay.overdue is not None
    return replay.problem is not None or outcome is None or raised_before


class Nowhere:
    """Where an app's events and signals go in a check: they are accepted, and nothing follows."""

    async def send_events(self, events: Sequence[Mapping[str, Any]], seed: EventIdSeed) -> list[str]:
        """The ids they would have."""
        return [seed.event_id(number) for number in range(1, len(events) + 1)]

    async def send_signal(self, signal: str, data: Any) -> str | None:
        """Nobody waits."""
        return None

    async def checkpoint(self, checkpoint: Checkpoint) -> int:
        """Nothing is executed in a check, so that nothing is saved."""
        return 404


@contextmanager
def disconnected(app: App) -> Generator[None]:
    """The app sends nothing meanwhile, also not what its functions send outside their steps."""
    before = app.transport
    app.transport = Nowhere()
    try:
        yield
    finally:
        app.transport = before
