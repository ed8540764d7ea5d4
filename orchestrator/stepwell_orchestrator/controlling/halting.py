"""Pausing, draining and resuming functions and whole apps (decision 20)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from stepwell_orchestrator.engine.flow.halting import halt_gate
from stepwell_orchestrator.errors import ApiError
from stepwell_orchestrator.fresh_ids import FreshIds
from stepwell_orchestrator.model.flow import Halt, Halted, HaltScope
from stepwell_orchestrator.model.queue_item import OpenGate, QueueItem
from stepwell_orchestrator.model.run import RunStatus
from stepwell_orchestrator.ports import Clock, Journal, Queue, Registry, RunFilter

HALTS_MAX: Final = 200
"""What may stand still at a time: whoever works reads all of it every second."""
COUNTED_MAX: Final = 1_000
"""Of more runs nobody is told the number."""
_NAMES_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class RunCounts:
    """How many runs have started and not ended, and how many wait for their start; COUNTED_MAX at most each."""

    running: int
    queued: int


@dataclass(frozen=True, slots=True)
class HaltControl:
    """Brings functions and apps to a stand, and lets them go on.

    All methods raise ApiError 404, with the nearest names, for what is neither registered nor stands still.
    """

    journal: Journal
    registry: Registry
    queue: Queue
    clock: Clock
    ids: FreshIds

    async def pause(self, scope: HaltScope, *, by: str | None = None, reason: str | None = None) -> Halt:
        """From now on no run starts, and no call is made: a call under way ends, a run stays where it is after that.

        What is paused stays as it is. Raises ApiError 409 when too much stands still.
        """
        while True:
            known = await self._find(scope)
            if known is not None and not known.draining:
                return known
            starts_id = self.ids.draw() if known is None else known.starts_id
            halt = Halt(starts_id, self.ids.draw(), self.clock.now_ms(), by, reason)
            if await self._put(scope, halt, known):
                return halt

    async def drain(self, scope: HaltScope, *, by: str | None = None, reason: str | None = None) -> Halt:
        """From now on no run starts; what has started goes on to its end, also where it was paused.

        What drains stays as it is. Raises ApiError 409 when too much stands still.
        """
        while True:
            known = await self._find(scope)
            if known is not None and known.draining:
                return known
            starts_id = self.ids.draw() if known is None else known.starts_id
            halt = Halt(starts_id, None, self.clock.now_ms(), by, reason)
            if await self._put(scope, halt, known):
                if known is not None:
                    await self._open(scope, known, [Halted.CALLS])
                return halt

    async def resume(self, scope: HaltScope) -> Halt | None:
        """Let everything go on; returns the halt that is over, None when there was none.

        Lifted first, then the lines are opened: who waits is sent for page by page. Where this dies in between, the
        sweep finds the lines.
        """
        while True:
            known = await self._find(scope)
            if known is None:
                return None
            if await self.registry.put_halt(scope, None, instead_of=known):
                await self._open(scope, known, list(Halted))
                return known

    async def app_of(self, function_id: str) -> str:
        """The app of a function."""
        function = await self.registry.get_function(function_id)
        if function is None:
            scope = HaltScope("function", function_id)
            raise ApiError(404, _unknown(scope, await self._names(scope)), code="function_not_found")
        return function.app_id

    async def counts(self, scope: HaltScope) -> RunCounts:
        """What is left of a function or an app."""
        return RunCounts(await self._count(scope, RunStatus.RUNNING), await self._count(scope, RunStatus.QUEUED))

    async def _put(self, scope: HaltScope, halt: Halt, known: Halt | None) -> bool:
        if known is None and len((await self.registry.halts_now()).by_scope) >= HALTS_MAX:
            message = f"{HALTS_MAX} functions and apps stand still already; resume some, or pause their app as one"
            raise ApiError(409, message, code="too_many_halts")
        return await self.registry.put_halt(scope, halt, instead_of=known)

    async def _find(self, scope: HaltScope) -> Halt | None:
        """The halt of what is known, None if it does not stand still."""
        halt = (await self.registry.halts_now()).by_scope.get(scope)
        if halt is None:
            names = await self._names(scope)
            if scope.id not in names:
                raise ApiError(404, _unknown(scope, names), code=f"{scope.kind}_not_found")
        return halt

    async def _names(self, scope: HaltScope) -> list[str]:
        if scope.kind == "app":
            return [app.id for app in await self.registry.list_apps()]
        return [function.slug for function in await self.registry.list_functions()]

    async def _open(self, scope: HaltScope, over: Halt, gates: Iterable[Halted]) -> None:
        """Have the lines of what stood still looked at, now that it does not."""
        function_ids = [scope.id]
        if scope.kind == "app":
            function_ids = [function.slug for function in await self.registry.list_functions(scope.id)]
        now_ms = self.clock.now_ms()
        opened = [
            (halt_gate(halted, function_id), over.closing(halted)) for function_id in function_ids for halted in gates
        ]
        await self.queue.send(
            [QueueItem(f"{gate}:open:{closing}", OpenGate(gate), now_ms) for gate, closing in opened if closing]
        )

    async def _count(self, scope: HaltScope, status: RunStatus) -> int:
        of_function = scope.kind == "function"
        wanted = RunFilter(
            function_id=scope.id if of_function else None,
            app_id=None if of_function else scope.id,
            statuses=(status,),
        )
        return len(await self.journal.list_runs(wanted, cursor=None, limit=COUNTED_MAX))


def _unknown(scope: HaltScope, names: list[str]) -> str:
    near = get_close_matches(scope.id, names, n=_NAMES_SHOWN, cutoff=0.3)
    near = near or [name for name in names if scope.id in name][:_NAMES_SHOWN]
    hint = f"; did you mean {' or '.join(near)}?" if near else "; serve its app and sync it"
    return f"there is no {scope.kind} {scope.id[:200]!r}{hint}"
