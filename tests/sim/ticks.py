"""A function that is started by the clock, for worlds that have one: each of its ticks is one event and one run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from itertools import takewhile

import pytest

from stepwell.wire.registration import Trigger
from stepwell.wire.times import MINUTE_MS, SECOND_MS, parse_instant_ms
from stepwell_orchestrator.accepting.timetable import Timetable
from stepwell_orchestrator.crons.ticks import ticks_after
from stepwell_orchestrator.engine.runs.route import new_run
from stepwell_orchestrator.engine.schedules.tick import fires_at_ms, tick_event
from stepwell_orchestrator.limits import TICK_LATE_MS
from stepwell_orchestrator.model.decision import Emit
from stepwell_orchestrator.model.event import Event
from stepwell_orchestrator.model.flow import Halted
from stepwell_orchestrator.model.function import App, Function
from stepwell_orchestrator.model.queue_item import Tick
from stepwell_orchestrator.model.schedule import SCHEDULED_EVENT, Schedule, schedules_of
from stepwell_orchestrator.schedules import NoSchedules
from stepwell_orchestrator.worker import ticking
from stepwell_orchestrator.worker.ticking import Ticker
from tests.sim.chance import PROMPT_MS
from tests.sim.checkers import Moment, ViolationError
from tests.sim.corpus import APP, URL, Member
from tests.sim.facts import EventStored, Fact, HaltsLooked, RunCreated
from tests.sim.scripted import Script, ScriptedStep, Stage
from tests.sim.setting import Setting
from tests.sim.steps import Do

SLUG = f"{APP}-clock"
_TRIGGERS = (Trigger(cron="* * * * *", missed="all"), Trigger(cron="*/2 * * * *", jitter="30s", missed="all"))
_ALL_BY_THEN_MS = PROMPT_MS + TICK_LATE_MS


@dataclass(slots=True)
class Ticks:
    """A checker: no tick is two events or two runs. At the end: none is missing.

    The schedules are taken out of the registry some time after the world has healed, so that it comes to rest.
    """

    member: Member = field(
        default_factory=lambda: Member(
            Function(SLUG, APP, SLUG, URL, _TRIGGERS), Script((Stage("join", (ScriptedStep(Do("tick")),)),))
        )
    )
    events: dict[str, Event] = field(default_factory=dict)
    runs: dict[tuple[str, int], str] = field(default_factory=dict)
    halted_ms: list[int] = field(default_factory=list)
    """When somebody found that the function stands still: what ticks then is left out."""
    began_at_ms: int = 0
    stopped_at_ms: int | None = None

    def see(self, fact: Fact, moment: Moment) -> None:
        """Look at the events of ticks, and at their runs."""
        match fact:
            case HaltsLooked(halts=halts) if halts.closing(Halted.STARTS, SLUG, APP) is not None:
                self.halted_ms.append(moment.now_ms)
            case EventStored(event, True) if event.name == SCHEDULED_EVENT:
                if any(_tick_of(event) == _tick_of(other) for other in self.events.values()):
                    raise ViolationError(2, f"the tick {event.id} of {event.data['cron']} is two events")
                self.events[event.internal_id] = event
            case RunCreated(header) if header.cron is not None and header.original_run_id is None:
                tick = _tick_of(self.events[header.event_ids[0]])
                if self.runs.setdefault(tick, header.run_id) != header.run_id:
                    raise ViolationError(2, f"a tick of {header.cron} started two runs", header.run_id)

    async def begin(self, setting: Setting) -> None:
        """Have the schedules tick."""
        self.began_at_ms = setting.clock.now_ms()
        backend = setting.backend
        timetable = Timetable(NoSchedules(), backend.registry, backend.queue, setting.clock)
        await timetable.keep(schedules_of(self.member.function))

    async def stop(self, setting: Setting, app: App, functions: list[Function]) -> None:
        """Some time after the world has healed, register the function without its schedules."""
        while not setting.faults.healed:
            await setting.clock.sleep_until(setting.clock.now_ms() + 10 * SECOND_MS)
        await setting.clock.sleep_until(setting.clock.now_ms() + _ALL_BY_THEN_MS)
        without = [replace(each, triggers=()) if each.slug == SLUG else each for each in functions]
        await setting.backend.registry.put_app(replace(app, checksum="without schedules"), without)
        self.stopped_at_ms = setting.clock.now_ms()

    def check_end(self) -> None:
        """Every tick of the time up to a little before the end has its run, or came while the function stood still."""
        assert self.stopped_at_ms is not None, "the world came to rest although its schedules ticked"
        end_ms = self.stopped_at_ms - 2 * MINUTE_MS
        for schedule in schedules_of(self.member.function):
            for tick_ms in takewhile(lambda at_ms: at_ms <= end_ms, ticks_after(schedule.line, self.began_at_ms)):
                if (schedule.cron, tick_ms) not in self.runs and not self._is_halted_at(tick_ms):
                    raise ViolationError(1, f"a tick of {schedule.cron} at {tick_ms} started nothing")
        for event in self.events.values():
            schedule = next(each for each in schedules_of(self.member.function) if each.cron == event.data["cron"])
            if event.ts_ms != fires_at_ms(schedule, parse_instant_ms(event.id)):
                raise ViolationError(10, f"the tick {event.id} of {schedule.cron} fired at another time than it has")

    def _is_halted_at(self, tick_ms: int) -> bool:
        return any(tick_ms <= at_ms <= tick_ms + _ALL_BY_THEN_MS for at_ms in self.halted_ms)


def _tick_of(event: Event) -> tuple[str, int]:
    return event.data["cron"], parse_instant_ms(event.id)


Patch = pytest.MonkeyPatch


def draw_tick_ids(patch: Patch) -> None:
    """Give a tick's event another id each time it is made."""
    made: defaultdict[str, int] = defaultdict(int)

    def drawn(schedule: Schedule, tick_ms: int, now_ms: int) -> Event:
        event = tick_event(schedule, tick_ms, now_ms)
        made[event.internal_id] += 1
        return tick_event(replace(schedule, function_id=f"{SLUG}{made[event.internal_id]}"), tick_ms, now_ms)

    patch.setattr(ticking, "tick_event", drawn)


def store_before_the_next_is_queued(patch: Patch) -> None:
    """Store a tick's event first, and queue the next tick after that, unless the event was there."""

    async def tick(self: Ticker, work: Tick) -> int | None:
        function = await self.tools.registry.get_function(work.function_id)
        schedules = () if function is None else schedules_of(function)
        schedule = next((each for each in schedules if each.cron == work.cron), None)
        if function is None or schedule is None:
            return None
        now_ms, fires_ms = self.tools.clock.now_ms(), fires_at_ms(schedule, work.tick_ms)
        if now_ms < fires_ms:
            return fires_ms
        event = tick_event(schedule, work.tick_ms, now_ms)
        stored = await self.tools.journal.get_event(event.internal_id)
        await self.tools.dispatch([Emit(stored or event)])
        await self.router.start(stored or event, new_run(stored or event, function), function)
        if stored is None:
            await self._go_on(schedule, work, now_ms)
        return None

    patch.setattr(Ticker, "tick", tick)


def lose_the_next_tick(patch: Patch) -> None:
    """Queue no next tick."""
    lost: Callable[..., Awaitable[None]] = _nothing
    patch.setattr(Ticker, "_go_on", lost)


async def _nothing(*_: object) -> None:
    return None


MUTATIONS = (draw_tick_ids, store_before_the_next_is_queued, lose_the_next_tick)
