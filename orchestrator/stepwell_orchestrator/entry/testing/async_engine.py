"""The engine of a test that is ``async``: what both faces of it do."""

from __future__ import annotations

import datetime as dt
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Final, Self

from stepwell.authoring.app import App
from stepwell.authoring.function import Function
from stepwell.errors import WireError
from stepwell.values.event import Event
from stepwell.wire.times import format_instant, instant_of, parse_duration_ms
from stepwell_orchestrator.entry.testing.crashes.crash_report import CrashReport
from stepwell_orchestrator.entry.testing.crashes.crashing import FAULTS_MAX, Crashes, refuse_used
from stepwell_orchestrator.entry.testing.crashes.faults import Faults
from stepwell_orchestrator.entry.testing.expectation import ExpectationError
from stepwell_orchestrator.entry.testing.explain import no_run, several_runs
from stepwell_orchestrator.entry.testing.run import Run
from stepwell_orchestrator.entry.testing.stubs import Raisable, Stub
from stepwell_orchestrator.entry.testing.world import World

PATIENCE_S: Final = 30.0
START: Final = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)

Duration = str | dt.timedelta | float


class AsyncEngine:
    """``Engine`` without its door to the blocking one.

    ``now`` is the time it starts at, ``patience`` how many seconds of real time one stretch of work may take, and
    ``faults`` is for ``crash_everywhere``. Use it in one thread.
    """

    def __init__(self, *, now: dt.datetime = START, patience: float = PATIENCE_S, faults: Faults | None = None) -> None:
        self._world = World(_instant_ms("now", now), patience, faults)
        self._start = self.now
        self._patience = patience

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the apps. Runs and events can still be looked at."""
        self._world.close()

    @property
    def now(self) -> dt.datetime:
        """The test's time."""
        return dt.datetime.fromtimestamp(self._world.record.now_ms / 1_000, dt.UTC)

    @property
    def runs(self) -> list[Run]:
        """All runs, oldest first."""
        return self._world.record.runs

    def sent(self, event: str | type[Event]) -> list[Event]:
        """The events of that name, or class, received so far, whoever sent them: test, step, app or engine."""
        return self._world.record.events(event if isinstance(event, str) else event.event_name or "", _type_of(event))

    def serve(self, *apps: App) -> None:
        """Call the apps' functions, and take in what they send.

        A definition that the engine refuses is told by the next call that is awaited.
        """
        for app in apps:
            self._world.serve(app)

    def stub(self, step: str, outcome: Any, *, function: str | Function[Any] | None = None) -> Stub:
        """Replace the body of the steps with that id, of one function or of all, from now on.

        ``outcome`` is a value to return, an exception to raise, a callable that is called as the body would be, or a
        list of outcomes, one for each execution. What comes of it is treated as the body's own result.
        """
        return self._world.stubs.stub(step, outcome, _slug(function))

    def fail_step(
        self,
        step: str,
        *,
        times: int | None = 1,
        error: Raisable | None = None,
        function: str | Function[Any] | None = None,
    ) -> None:
        """Let the next ``times`` executions of the steps with that id raise ``error``. None stands for all of them."""
        self._world.stubs.fail(step, times, error, _slug(function))

    async def send(self, event: str | Event, data: Any = None) -> str:
        """Send an event, and return its internal id. A millisecond passes first, so that no two come at one time.

        The runs it starts or resumes go on at the next ``settle`` or ``advance``. Raises EventError.
        """
        wire = _event(event, data).to_wire()
        return await self._world.send_from_outside(wire)

    async def send_signal(self, signal: str, data: Any = None) -> str | None:
        """Send a signal. Returns the id of the run that waits for it, which goes on at the next ``settle``, or None."""
        return await self._world.send_signal(signal, data)

    async def send_one(
        self, event: str | Event, data: Any = None, *, function: str | Function[Any] | None = None
    ) -> Run:
        """Send an event, settle, and return the run it started, of ``function`` when there may be several.

        Raises ExpectationError, which names the functions that could have, when that is not exactly one.
        """
        event_id = await self.send(event, data)
        await self._world.settle()
        name, chosen = _event(event, data).name, _slug(function)
        headers = await self._world.journal.runs_of_event(event_id)
        runs = [await self._world.record.run(header.run_id) for header in headers]
        if chosen is not None:
            runs = [run for run in runs if chosen in (run.function, run.function.removeprefix(f"{run.app}-"))]
        if not runs:
            raise ExpectationError(no_run(name, await self._world.registry.list_functions(), chosen))
        if len(runs) > 1:
            raise ExpectationError(several_runs(name, runs))
        return runs[0]

    async def settle(self) -> None:
        """Do everything that can be done without time passing. Raises ExpectationError when it does not end."""
        await self._world.settle()

    async def advance(self, duration: Duration) -> None:
        """Let time pass: ``"3d"``, a timedelta or seconds. What is due on the way is done at its own time, in order."""
        await self._world.move_to(self._world.clock.now_ms() + _duration_ms(duration))

    async def advance_to(self, moment: dt.datetime) -> None:
        """Let time pass up to an aware datetime."""
        at_ms = _instant_ms("advance_to", moment)
        if at_ms < self._world.clock.now_ms():
            now = format_instant(self._world.clock.now_ms())
            raise ExpectationError(f"advance_to({moment.isoformat()}) lies in the past: it is {now} here")
        await self._world.move_to(at_ms)

    async def cancel(self, run: Run) -> None:
        """Cancel a run that has not ended, as ``stepwell cancel`` does."""
        await self._world.cancel(run.id)

    async def crash_everywhere(
        self, scenario: Callable[[Self], Awaitable[Any]], *, only: str | None = None, limit: int = FAULTS_MAX
    ) -> CrashReport:
        """Live through a scenario again and again, each time letting the worker die at another place.

        ``scenario`` is given a new engine each time, that serves the apps this one serves. The worker dies once, right
        before or after a port call that has an effect or a call of a function; another one takes over at once. Twice
        every delivery is made two times instead. Every run has to come to what it comes to without a fault: how
        runs end, the events that are sent, what the scenario returns, and that it does not raise.

        ``only`` names the one fault to try, as a report does; ``limit`` is how many are tried, spread evenly. Raises
        CrashError with a report on what was found, and what the scenario raises without a fault.
        """
        __tracebackhide__ = True
        refuse_used(used=bool(self.runs or self.report() or self.now != self._start))
        crashes = Crashes(only, limit)
        for trial in crashes:
            async with type(self)(now=self._start, patience=self._patience, faults=trial.faults) as engine:
                engine.serve(*self._world.apps)
                with trial.living():
                    trial.returned = await scenario(engine)
            crashes.judge(trial)
        return crashes.verdict()

    def report(self) -> str:
        """Draw the timelines of the runs that have not completed, and name what was stubbed in vain.

        Returns an empty text when all is well.
        """
        open_runs = [run.timeline() for run in self.runs if not run.completed]
        unused = self._world.stubs.unused()
        never = [f"never executed, though stubbed or told to fail: {', '.join(unused)}"] if unused else []
        return "\n\n".join([*open_runs, *never])


def _event(event: str | Event, data: Any) -> Event:
    if isinstance(event, Event):
        if data is not None:
            raise ExpectationError(f'the event "{event.name}" has its data already: send it alone')
        return event
    return Event(name=event, data=data)


def _type_of(event: str | type[Event]) -> type[Event]:
    return Event if isinstance(event, str) else event


def _slug(function: str | Function[Any] | None) -> str | None:
    return function.slug if isinstance(function, Function) else function


def _duration_ms(duration: Duration) -> int:
    if isinstance(duration, str):
        try:
            length_ms = parse_duration_ms(duration)
        except WireError as error:
            raise ExpectationError(f"advance: {error}") from None
    else:
        length = duration if isinstance(duration, dt.timedelta) else dt.timedelta(seconds=duration)
        length_ms = -(-length // dt.timedelta(milliseconds=1))
    if length_ms < 0:
        raise ExpectationError(f"advance({duration!r}): time does not run backwards")
    return length_ms


def _instant_ms(what: str, moment: dt.datetime) -> int:
    try:
        return instant_of(moment)
    except ValueError as error:
        raise ExpectationError(f"{what}: {error}") from None
