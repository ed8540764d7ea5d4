"""What a port call does, in words: a crash report names the place of a crash by it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, assert_never
from urllib.parse import parse_qs, urlsplit

from stepwell.wire import headers as names
from stepwell.wire.call import DISCOVERY_STEP_ID
from stepwell_orchestrator.model.decision import EndRun, PutEntry, PutProgress, Write
from stepwell_orchestrator.model.event import Event
from stepwell_orchestrator.model.pause import Pause, PauseKey, PauseKind
from stepwell_orchestrator.model.queue_item import (
    Cancel,
    CancelMatching,
    CloseBatch,
    Deadline,
    Drive,
    Execute,
    FireDebounce,
    OpenGate,
    QueueItem,
    Rerun,
    Route,
    Settle,
    Start,
    Tick,
    TimerDue,
    Work,
)
from stepwell_orchestrator.model.run import RunHeader
from stepwell_orchestrator.model.signal import SignalWait


class Words:
    """Spells the port calls that have an effect. It learns the names of runs, steps and events from the calls.

    The same scenario gets the same words each time, so that a place can be found again in another run of it.
    """

    def __init__(self) -> None:
        self._runs: dict[str, str] = {}
        self._runs_of: Counter[str] = Counter()
        self._steps: dict[str, str] = {}
        self._events: dict[str, str] = {}
        self._last_step: dict[str, str] = {}
        self._spelled: Final[Mapping[str, Callable[..., str]]] = {
            "put_event": self._put_event,
            "create_run": self._create_run,
            "acquire": lambda run_id, *_: f"taking the lease of {self._run(run_id)}",
            "release": lambda run_id, *_: f"releasing the lease of {self._run(run_id)}",
            "commit": self._commit,
            "claim": lambda run_id, step_id, *_: f"claiming {self._step(run_id, step_id)}",
            "put_pause": self._put_pause,
            "drop_pauses": self._drop_pauses,
            "take_signal": lambda wait: f"taking the signal {self._signal(wait)}",
            "drop_signal": lambda wait: f"giving up the signal {self._signal(wait)}",
            "send": self._send,
            "call": self._call,
            "fetch": lambda request: f"the request of {self._step(request.run_id, request.step_id)}",
        }

    def of(self, method: str, args: Sequence[Any]) -> str:
        """What a call does; empty for one that has no effect, or that no worker makes between two calls."""
        spell = self._spelled.get(method)
        return "" if spell is None else spell(*args)

    def name_step(self, step_id: str, label: str) -> None:
        """Learn how the function calls a step."""
        self._steps[step_id] = label

    def _run(self, run_id: str) -> str:
        return self._runs.get(run_id, "a run")

    def _step(self, run_id: str, step_id: str) -> str:
        return f'step "{self._steps.get(step_id, step_id)}" of {self._run(run_id)}'

    def _signal(self, wait: SignalWait) -> str:
        return f'"{wait.name}" for {self._step(wait.run_id, wait.step_id)}'

    def _put_event(self, event: Event) -> str:
        self._events[event.internal_id] = event.name
        return f'storing the event "{event.name}"'

    def _create_run(self, header: RunHeader) -> str:
        if header.run_id not in self._runs:
            self._runs_of[header.function_id] += 1
            nth = self._runs_of[header.function_id]
            self._runs[header.run_id] = header.function_id if nth == 1 else f"{header.function_id}, run {nth}"
        return f"creating {self._run(header.run_id)}"

    def _commit(self, run_id: str, writes: Sequence[Write]) -> str:
        return f"the commit of {', '.join(self._write(run_id, write) for write in writes)} in {self._run(run_id)}"

    def _write(self, run_id: str, write: Write) -> str:
        match write:
            case PutEntry(entry):
                label = self._steps.setdefault(entry.step_id, entry.name)
                if entry.memoised:
                    self._last_step[run_id] = label
                return f'step "{label}" ({entry.status.replace("_", " ")})'
            case EndRun(outcome):
                return f"the end ({outcome.status})"
            case PutProgress():
                return "the progress"
            case _:
                assert_never(write)

    def _put_pause(self, pause: Pause) -> str:
        key = pause.key
        if pause.kind is PauseKind.CANCEL:
            return f'filing that "{key.event_name}" cancels {self._run(key.run_id)}'
        return f"filing the wait for {self._step(key.run_id, key.pause_id)}"

    def _drop_pauses(self, keys: Sequence[PauseKey]) -> str:
        return f"removing the waits of {self._run(keys[0].run_id)}" if keys else ""

    def _send(self, items: Sequence[QueueItem]) -> str:
        return f"the dispatch of {', '.join(self._work(item.work) for item in items)}" if items else ""

    def _work(self, work: Work) -> str:
        match work:
            case Route(event_id):
                return f'the event "{self._events.get(event_id, event_id)}"'
            case Start(run_id=name) | OpenGate(gate=name):
                return f"the start of {self._run(name)}"
            case Drive(run_id, reason):
                return f"{self._run(run_id)} ({reason})"
            case Execute(run_id, step_id, attempt):
                return f"{self._step(run_id, step_id)}{f' (attempt {attempt + 1})' if attempt else ''}"
            case TimerDue(run_id, step_id):
                return f"the timer of {self._step(run_id, step_id)}"
            case Settle(run_id, step_id):
                return f"the end of {self._step(run_id, step_id)}"
            case Cancel(run_id):
                return f"the cancellation of {self._run(run_id)}"
            case Deadline(run_id):
                return f"the deadline of {self._run(run_id)}"
            case Rerun(original_run_id=original):
                return f"a rerun of {self._run(original)}"
            case CancelMatching() | Tick() | FireDebounce() | CloseBatch():
                return _work_of_function(work)
            case _:
                assert_never(work)

    def _call(self, url: str, headers: Mapping[str, str], _body: bytes) -> str:
        run_id, target = headers[names.RUN_ID], headers[names.STEP_ID]
        if target != DISCOVERY_STEP_ID:
            return f"the call for {self._step(run_id, target)}"
        self._runs.setdefault(run_id, parse_qs(urlsplit(url).query)["fnId"][0])
        last = self._last_step.get(run_id)
        return (
            f"the first call of {self._run(run_id)}"
            if last is None
            else f'the call of {self._run(run_id)} after step "{last}"'
        )


def _work_of_function(work: CancelMatching | Tick | FireDebounce | CloseBatch) -> str:
    match work:
        case CancelMatching(function_id=function_id):
            return f"the cancellation of runs of {function_id}"
        case Tick(function_id, cron):
            return f'the tick "{cron}" of {function_id}'
        case FireDebounce(function_id=function_id):
            return f"the timer of a debounce of {function_id}"
        case CloseBatch(function_id=function_id):
            return f"the timer of a batch of {function_id}"
        case _:
            assert_never(work)
