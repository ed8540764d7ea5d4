"""The threads that plain step bodies run in: ones of their own, a bounded number for each function.

They are none of the event loop's: a thread cannot be stopped, and bodies that hang would take all of those, which
look-ups of host names and other functions need. A body that outlives its attempt keeps its thread until it ends, and is
not started again beside itself. All of this may be used from several event loops at once.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from stepwell.replaying.replay import Raised, Returned

BODIES_MAX: Final = 32
"""How many plain bodies of one function run at once in a process; more wait for their turn."""

Ended = Returned | Raised
"""What came of a body."""


@dataclass(frozen=True, slots=True)
class BodyKey:
    """A step of a run; ``label`` is its id as people know it."""

    function: str
    run_id: str
    step: str
    label: str

    @property
    def thread_name(self) -> str:
        """What its thread is called."""
        return f"stepwell-{self.function}-{self.label}"


@dataclass(slots=True)
class _Turns:
    """The bodies of one function: how many have their turn, and who waits for one."""

    taken: int = 0
    waiting: deque[Future[None]] = field(default_factory=deque)


class BodyThreads:
    """The threads of one app's step bodies, ``bodies_max`` at once for each function."""

    def __init__(self, bodies_max: int = BODIES_MAX) -> None:
        self._bodies_max = bodies_max
        self._lock = threading.Lock()
        self._turns: dict[str, _Turns] = {}
        self._running: dict[BodyKey, Future[Ended]] = {}

    async def ended(self, key: BodyKey) -> None:
        """Wait until no body of this step runs any more, be it one whose attempt is over."""
        while (running := self._running.get(key)) is not None:
            await asyncio.wrap_future(running)

    @asynccontextmanager
    async def turn(self, function: str) -> AsyncGenerator[Turn]:
        """Wait until a body of ``function`` may run, and keep the turn: for the context, and until the body ends."""
        await self._take_turn(function)
        turn = Turn(self)
        try:
            yield turn
        finally:
            if turn.body is None:
                self._pass_on(function)
            else:
                turn.body.add_done_callback(lambda _: self._pass_on(function))

    def start(self, key: BodyKey, body: Callable[[], Ended]) -> Future[Ended]:
        """Run ``body``, which never raises, in a thread of its own. Returns what becomes of it."""
        ended: Future[Ended] = Future()
        ended.set_running_or_notify_cancel()
        with self._lock:
            self._running[key] = ended

        def run() -> None:
            outcome = body()
            with self._lock:
                if self._running.get(key) is ended:
                    del self._running[key]
            ended.set_result(outcome)

        threading.Thread(target=run, name=key.thread_name, daemon=True).start()
        return ended

    async def _take_turn(self, function: str) -> None:
        granted: Future[None] = Future()
        with self._lock:
            turns = self._turns.setdefault(function, _Turns())
            if turns.taken < self._bodies_max:
                turns.taken += 1
                return
            turns.waiting.append(granted)
        try:
            await asyncio.wrap_future(granted)
        except asyncio.CancelledError:
            if not granted.cancel():  # it came at the same moment
                self._pass_on(function)
            raise

    def _pass_on(self, function: str) -> None:
        """Give a turn that is over to whoever has waited longest."""
        with self._lock:
            turns = self._turns[function]
            while turns.waiting:
                granted = turns.waiting.popleft()
                if granted.set_running_or_notify_cancel():
                    break
            else:
                turns.taken -= 1
                return
        granted.set_result(None)


class Turn:
    """The right to run one plain body of a function."""

    def __init__(self, threads: BodyThreads) -> None:
        self._threads = threads
        self.body: Future[Ended] | None = None

    @property
    def busy(self) -> bool:
        """Whether the body was started and has not ended."""
        return self.body is not None and not self.body.done()

    async def run(self, key: BodyKey, body: Callable[[], Ended]) -> Ended:
        """Run ``body`` in a thread. Cancelling this leaves the body to itself."""
        self.body = self._threads.start(key, body)
        return await asyncio.wrap_future(self.body)
