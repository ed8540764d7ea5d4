"""The engine for tests that are not async: each call is made on an event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import datetime as dt
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

from stepwell.authoring.app import App
from stepwell.authoring.function import Function
from stepwell.values.event import Event
from stepwell_orchestrator.entry.testing.async_engine import AsyncEngine, Duration
from stepwell_orchestrator.entry.testing.crashes.crash_report import CrashReport
from stepwell_orchestrator.entry.testing.crashes.crashing import FAULTS_MAX, Crashes, refuse_used
from stepwell_orchestrator.entry.testing.crashes.faults import Faults
from stepwell_orchestrator.entry.testing.run import Run
from stepwell_orchestrator.entry.testing.stubs import Raisable, Stub

T = TypeVar("T")


class SyncEngine:
    """``Engine`` without ``await``; a context manager. Code under test may call ``app.send_sync`` as it does live."""

    def __init__(self, make: Callable[[Faults | None], AsyncEngine], faults: Faults | None = None) -> None:
        self._make = make
        self._apps: list[App] = []
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event
        self._thread = threading.Thread(target=lambda: asyncio.run(self._live()), name="stepwell-engine", daemon=True)
        self._thread.start()
        self._ready.wait()
        self._engine = self._do(_call(lambda: make(faults)))
        self._start = self.now

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the apps and end the thread. Runs and events can still be looked at."""
        if self._thread.is_alive():
            self._do(_call(self._engine.close))
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()

    @property
    def now(self) -> dt.datetime:
        """The test's time."""
        return self._engine.now

    @property
    def runs(self) -> list[Run]:
        """All runs, oldest first."""
        return self._engine.runs

    def sent(self, event: str | type[Event]) -> list[Event]:
        """The events of that name, or class, received so far, whoever sent them."""
        return self._engine.sent(event)

    def serve(self, *apps: App) -> None:
        """Call the apps' functions, and take in what they send."""
        self._apps += apps
        self._do(_call(lambda: self._engine.serve(*apps)))

    def stub(self, step: str, outcome: Any, *, function: str | Function[Any] | None = None) -> Stub:
        """Replace the body of the steps with that id by a value, an exception, a callable or a list of those."""
        return self._engine.stub(step, outcome, function=function)

    def fail_step(
        self,
        step: str,
        *,
        times: int | None = 1,
        error: Raisable | None = None,
        function: str | Function[Any] | None = None,
    ) -> None:
        """Let the next ``times`` executions of the steps with that id raise ``error``. None stands for all of them."""
        self._engine.fail_step(step, times=times, error=error, function=function)

    def send(self, event: str | Event, data: Any = None) -> str:
        """Send an event. The runs it starts or resumes go on at the next ``settle`` or ``advance``."""
        return self._do(self._engine.send(event, data))

    def send_signal(self, signal: str, data: Any = None) -> str | None:
        """Send a signal. Returns the id of the run that waits for it, which goes on at the next ``settle``, or None."""
        return self._do(self._engine.send_signal(signal, data))

    def send_one(self, event: str | Event, data: Any = None, *, function: str | Function[Any] | None = None) -> Run:
        """Send an event, settle, and return the one run it started."""
        return self._do(self._engine.send_one(event, data, function=function))

    def settle(self) -> None:
        """Do everything that can be done without time passing."""
        self._do(self._engine.settle())

    def advance(self, duration: Duration) -> None:
        """Let time pass; what is due on the way is done at its own time, in order."""
        self._do(self._engine.advance(duration))

    def advance_to(self, moment: dt.datetime) -> None:
        """Let time pass up to an aware datetime."""
        self._do(self._engine.advance_to(moment))

    def cancel(self, run: Run) -> None:
        """Cancel a run that has not ended."""
        self._do(self._engine.cancel(run))

    def crash_everywhere(
        self, scenario: Callable[[SyncEngine], Any], *, only: str | None = None, limit: int = FAULTS_MAX
    ) -> CrashReport:
        """Live through a scenario again and again, each time letting the worker die at another place."""
        __tracebackhide__ = True
        refuse_used(used=bool(self.runs or self.report() or self.now != self._start))
        crashes = Crashes(only, limit)
        for trial in crashes:
            with SyncEngine(self._make, trial.faults) as engine:
                engine.serve(*self._apps)
                with trial.living():
                    trial.returned = scenario(engine)
            crashes.judge(trial)
        return crashes.verdict()

    def report(self) -> str:
        """The timelines of the runs that have not completed, and what was stubbed in vain."""
        return self._engine.report()

    async def _live(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._ready.set()
        await self._stop.wait()

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


async def _call(act: Callable[[], T]) -> T:
    """Call ``act`` where the coroutine runs: on the engine's own thread."""
    return act()
