"""Clients that lie in wait: they send what a certain wait is waiting for at the moment that is hardest for it."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from stepwell.wire.times import MINUTE_MS, SECOND_MS
from stepwell_orchestrator.model.step import StepStatus
from tests.sim.checkers import Moment
from tests.sim.corpus import STOP_EVENT
from tests.sim.facts import CallMade, EntryWritten, Fact, RunCreated
from tests.sim.steps import EventWait, SignalWait, matching_data

if TYPE_CHECKING:
    from tests.sim.workload import Workload
    from tests.sim.world import World

Target = EventWait | SignalWait


@dataclass(slots=True)
class Aim:
    """One such client: it lets ``skip`` occasions pass and takes the next one.

    ``call``: while a function is called that has not reported the wait yet; ``wait``: once the wait is journaled;
    ``expiry``: ``delay_ms`` before its time is up; ``run``: once a run is created that an event may cancel. ``fits``:
    whether the wait, or the run, accepts what is sent.
    """

    number: int
    occasion: Literal["call", "wait", "expiry", "run"]
    skip: int
    delay_ms: int
    fits: bool
    entropy: bytes
    spent: bool = False


class Aims:
    """Sees every fact, as checkers do, and sends at the right moment."""

    def __init__(self, world: World, workload: Workload, aims: list[Aim]) -> None:
        self._world = world
        self._workload = workload
        self._aims = aims

    def see(self, fact: Fact, moment: Moment) -> None:
        """Let every client look whether its moment has come."""
        match fact:
            case CallMade(target=None):
                for aim in self._ready("call"):
                    self._during(aim, fact, moment)
            case RunCreated(header):
                rule = self._world.members[header.function_id].options.cancel
                for aim in self._ready("run") if rule is not None else ():
                    stop = EventWait("stop", STOP_EVENT, rule.narrow, 0)
                    self._fire(aim, header.run_id, stop, moment.now_ms + aim.delay_ms)
            case EntryWritten(run_id, entry) if entry.status is StepStatus.WAITING:
                wait = self._step(run_id, entry.step_id)
                for aim in self._ready("wait") if isinstance(wait, EventWait | SignalWait) else ():
                    self._fire(aim, run_id, wait, moment.now_ms + aim.delay_ms)
                for aim in self._ready("expiry") if isinstance(wait, EventWait | SignalWait) else ():
                    self._fire(aim, run_id, wait, (entry.due_at_ms or 0) - aim.delay_ms)

    def _ready(self, occasion: str) -> list[Aim]:
        return [aim for aim in self._aims if aim.occasion == occasion and not aim.spent]

    def _during(self, aim: Aim, call: CallMade, moment: Moment) -> None:
        entries = self._world.ledger.entries
        header = self._world.ledger.runs[call.run_id]
        for step_id, step in self._world.members[header.function_id].steps.items():
            if isinstance(step, EventWait | SignalWait) and (call.run_id, step_id) not in entries:
                self._fire(aim, call.run_id, step, moment.now_ms + aim.delay_ms)
                return

    def _fire(self, aim: Aim, run_id: str, wait: Target, at_ms: int) -> None:
        if aim.skip:
            aim.skip -= 1
            return
        aim.spent = True
        if isinstance(wait, SignalWait):
            self._world.spawn(self._workload.signal(f"aim {aim.number}", at_ms, wait.signal))
        elif not wait.event.startswith("inngest/"):
            data = matching_data(wait.narrow, self._trigger(run_id)) if aim.fits else {"user": 9, "n": 0}
            raw = {"name": wait.event, "data": data}
            self._world.spawn(self._workload.send(f"aim {aim.number}", at_ms, raw, aim.entropy))

    def _step(self, run_id: str, step_id: str) -> Any:
        header = self._world.ledger.runs[run_id]
        return self._world.members[header.function_id].steps.get(step_id)

    def _trigger(self, run_id: str) -> Mapping[str, Any]:
        ledger = self._world.ledger
        return ledger.events[ledger.runs[run_id].event_ids[0]].data


def draw_aim(chance: random.Random, number: int) -> Aim:
    """A random one."""
    occasion: Literal["call", "wait", "expiry", "run"] = chance.choice(
        ("call", "call", "wait", "wait", "expiry", "run")
    )
    delays_ms = {
        "call": (0, 0, 1, 20),
        "wait": (0, 0, 1, SECOND_MS, 25 * SECOND_MS, 4 * MINUTE_MS),
        "expiry": (0, 0, 1, SECOND_MS),
        "run": (0, 1, SECOND_MS, MINUTE_MS),
    }
    delay_ms = chance.choice(delays_ms[occasion])
    return Aim(number, occasion, chance.randint(0, 4), delay_ms, chance.random() < 0.85, chance.randbytes(10))
