"""What stands still stands still: nobody starts a run or makes a call without having found that it may."""

from __future__ import annotations

from stepwell_orchestrator.model.flow import Halted, Halts
from stepwell_orchestrator.model.run import RunHeader
from tests.sim.checkers import Moment, ViolationError
from tests.sim.facts import CallMade, Fact, HaltsLooked, RunCreated, RunStarted


class HaltsHold:
    """Before each call, and before each start, whoever makes it looked at what stands still, and found that it may.

    So no call begins of what was paused by the time of that look. Who makes one call after another looks before each.
    """

    def __init__(self) -> None:
        self._looks: dict[int, Halts] = {}
        self._headers: dict[str, RunHeader] = {}

    def see(self, fact: Fact, _moment: Moment) -> None:
        match fact:
            case RunCreated(header):
                self._headers[header.run_id] = header
            case HaltsLooked(handling, halts):
                self._looks[handling] = halts
            case RunStarted(run_id=run_id):
                self._started(run_id, self._looks.get(fact.handling))
            case CallMade(run_id=run_id):
                self._called(run_id, self._looks.pop(fact.handling, None))

    def _started(self, run_id: str, look: Halts | None) -> None:
        """One that another run waits for starts under a drain, which may be of both."""
        if look is None:
            raise ViolationError(13, "it was started without a look at what stands still", run_id)
        header = self._headers[run_id]
        exempt = header.invoked_by is not None and not self._stands_still(header, look, Halted.CALLS)
        if self._stands_still(header, look, Halted.STARTS) and not exempt:
            raise ViolationError(13, "it was started although its function stands still", run_id)

    def _called(self, run_id: str, look: Halts | None) -> None:
        if look is None:
            raise ViolationError(13, "it was called without a look at what stands still", run_id)
        if self._stands_still(self._headers[run_id], look, Halted.CALLS):
            raise ViolationError(13, "it was called although its function is paused", run_id)

    def _stands_still(self, header: RunHeader, look: Halts, halted: Halted) -> bool:
        return look.closing(halted, header.function_id, header.app_id) is not None
