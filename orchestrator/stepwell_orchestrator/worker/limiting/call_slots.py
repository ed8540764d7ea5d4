"""The slots for calls of one drive, or of one attempt of a step: taken before the first call, given back at the end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Self

from stepwell_orchestrator.engine.flow.gates import Gate, gate_ids, gates_of
from stepwell_orchestrator.engine.waits.items import start_work
from stepwell_orchestrator.model.flow import Counted, Halted, Place
from stepwell_orchestrator.model.function import Function
from stepwell_orchestrator.model.queue_item import Execute
from stepwell_orchestrator.model.run import RunHeader
from stepwell_orchestrator.worker.limiting.asker import Asker
from stepwell_orchestrator.worker.limiting.gatekeeping import Gatekeeper

FIRST_TERM: Final = 1


@dataclass(slots=True)
class CallSlots:
    """Slots at ``gates``, of which there are none where a function has no limits.

    ``entered``: they are held. ``refused``: they were asked for last, or the function was found to stand still, and the
    asker stands in line.
    """

    keeper: Gatekeeper
    asker: Asker
    gates: list[Gate]
    old_gates: list[str] = field(default_factory=list)
    entered: bool = False
    refused: bool = False

    @classmethod
    def of_drive(cls, keeper: Gatekeeper, header: RunHeader, function: Function | None, *, entered: bool) -> Self:
        """Those of the drive whose term the header has."""
        return cls(keeper, driver(header, header.term), *_gates(header, function), entered=entered)

    @classmethod
    def of_step(cls, keeper: Gatekeeper, header: RunHeader, function: Function | None, work: Execute) -> Self:
        """Those of an attempt of a planned step, however often its item is delivered."""
        name = f"{work.run_id}:{work.step_id}:{work.attempt}"
        place = Place(header.order_ms, name)
        asker = Asker(work.run_id, header.function_id, name, place, work, header.app_id)
        return cls(keeper, asker, *_gates(header, function))

    @classmethod
    def unlimited(cls, keeper: Gatekeeper, work: Execute) -> Self:
        """None at all, of a function that does not stand still."""
        return cls(keeper, Asker(work.run_id, "", "", Place(0, work.run_id), work), [])

    async def enter(self) -> bool:
        """Take them, unless they are held. To be called before each call.

        Returns False when the function stands still or a gate refuses; the asker stands in line then.
        """
        self.refused = not await self.keeper.halting.lets(Halted.CALLS, self.asker)
        if not self.refused and not self.entered and self.gates:
            self.entered = await self.keeper.enter(self.asker, self.gates)
            self.refused = not self.entered
        return not self.refused

    async def renew(self, until_ms: int) -> None:
        """Prolong what is held."""
        if self.entered:
            await self.keeper.renew(self.asker, self.gates, until_ms)

    async def leave(self) -> None:
        """Give back what is held, and leave lines of limits that a deploy has removed since."""
        if self.entered:
            self.entered = False
            await self.keeper.leave(self.asker, self.gates)
        await self.keeper.leave_lines(self.asker.place, self.old_gates)


def driver(header: RunHeader, term: int) -> Asker:
    """A drive as it asks at gates."""
    run_id = header.run_id
    place = Place(header.order_ms, run_id)
    return Asker(run_id, header.function_id, f"{run_id}:{term}", place, start_work(header), header.app_id)


def _gates(header: RunHeader, function: Function | None) -> tuple[list[Gate], list[str]]:
    gates = gates_of(header.flow, function)
    known = {gate.id for gate in gates}
    old = [gate for gate in gate_ids(header.flow, header.function_id) if gate not in known]
    return [gate for gate in gates if gate.limit.counts is Counted.CALLS], old
