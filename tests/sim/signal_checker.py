"""Promise 6 for signals: a name has one waiter, a signal wakes one, and its sender is told the truth about it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from stepwell.wire.opcodes import Op
from stepwell_orchestrator.model import signal as model
from stepwell_orchestrator.model.step import StepStatus
from tests.sim.checkers import Bounds, Moment, ViolationError
from tests.sim.corpus import Member
from tests.sim.facts import EntryWritten, Fact, RunEnded, SignalAnswered, SignalDropped, SignalSent, SignalTaken
from tests.sim.known_runs import KnownRuns
from tests.sim.steps import SignalWait

Key = tuple[str, str]


@dataclass(slots=True)
class Waiting:
    """One wait. ``held``: it was the signal's waiter at some time; ``refused``: somebody else was when it asked."""

    step: SignalWait
    expires_at_ms: int
    held: bool = False
    refused: bool = False
    is_open: bool = True


@dataclass(slots=True)
class Sent:
    """One signal. ``missed`` is who waited for its name all the time so far since it was sent."""

    name: str
    moment: Moment
    missed: Key | None
    woke: Key | None = None


class OneWaiter:
    """At most one step waits for a name, one that does not replace others is refused, and a signal wakes one step."""

    def __init__(self, bounds: Bounds, members: Mapping[str, Member]) -> None:
        self._skew_max_ms = bounds.skew_max_ms
        self._known = KnownRuns(members)
        self._waits: dict[Key, Waiting] = {}
        self._holders: dict[str, model.SignalWait] = {}
        self._sent: dict[int, Sent] = {}
        self._denied: set[int] = set()

    def see(self, fact: Fact, moment: Moment) -> None:
        self._known.see(fact, moment)
        match fact:
            case EntryWritten(run_id, entry) if entry.op is Op.WAIT_FOR_SIGNAL:
                self._written(fact, moment)
            case SignalTaken(wait, taken):
                self._asked(wait, taken=taken, now_ms=moment.now_ms)
            case SignalDropped(wait):
                holder = self._holders.get(wait.name)
                if holder is not None and _key(holder) == _key(wait):
                    self._lose(wait.name)
            case SignalSent(token, name):
                self._sent[token] = Sent(name, moment, self._surely_waiting(name, moment.now_ms))
            case SignalAnswered(token, run_id):
                self._answered(token, run_id, moment.now_ms)
            case RunEnded(run_id):
                self._excuse({key for key in self._waits if key[0] == run_id})

    def _written(self, fact: EntryWritten, moment: Moment) -> None:
        key = (fact.run_id, fact.entry.step_id)
        wait = self._waits.get(key)
        if wait is not None and fact.entry.status is StepStatus.DROPPED:
            wait.is_open = False
            self._excuse({key})
        elif wait is None:
            self._begin(key, fact, moment)
        elif fact.entry.memoised:
            self._end(key, wait, fact, moment)

    def _begin(self, key: Key, fact: EntryWritten, moment: Moment) -> None:
        entry, step, called = fact.entry, self._known.step(*key), self._known.reported(fact)
        assert isinstance(step, SignalWait), f"{entry.name} waits for a signal and does not"
        if entry.status is not StepStatus.WAITING or called is None or entry.due_at_ms is None:
            raise ViolationError(6, f"wait {entry.name} ended before it began", fact.run_id)
        earliest_ms = called.moment.now_ms + step.timeout_ms - self._skew_max_ms
        if not earliest_ms <= entry.due_at_ms <= moment.now_ms + step.timeout_ms + self._skew_max_ms:
            raise ViolationError(6, f"wait {entry.name} does not last {step.timeout_ms} ms", fact.run_id)
        self._waits[key] = Waiting(step, entry.due_at_ms)

    def _end(self, key: Key, wait: Waiting, fact: EntryWritten, moment: Moment) -> None:
        entry, run_id = fact.entry, fact.run_id
        if not wait.is_open:
            raise ViolationError(6, f"wait {entry.name} was resolved twice", run_id)
        wait.is_open = False
        self._excuse({key})
        match entry.status:
            case StepStatus.COMPLETED:
                self._wake(key, wait, entry.memo["data"], moment)
            case StepStatus.TIMED_OUT if moment.now_ms < wait.expires_at_ms - self._skew_max_ms:
                raise ViolationError(6, f"wait {entry.name} timed out too early", run_id)
            case StepStatus.FAILED if wait.step.replaces or not wait.refused:
                raise ViolationError(6, f"wait {entry.name} failed, though it was not refused", run_id)

    def _wake(self, key: Key, wait: Waiting, data: Mapping[str, object], moment: Moment) -> None:
        token = data["data"]
        sent = self._sent.get(token) if isinstance(token, int) else None
        if sent is None or sent.name != wait.step.signal or data["signal"] != sent.name:
            raise ViolationError(6, f"wait {wait.step.name} was woken by {data}, which nobody sent", key[0])
        if sent.woke is not None:
            raise ViolationError(6, f"signal {token} woke two steps", key[0])
        if token in self._denied:
            raise ViolationError(6, f"signal {token} woke a step though its sender was told that nobody waits", key[0])
        if not wait.held or sent.moment.now_ms > wait.expires_at_ms + self._skew_max_ms:
            raise ViolationError(6, f"signal {token} woke wait {wait.step.name}, which did not wait for it", key[0])
        sent.woke = key

    def _asked(self, wait: model.SignalWait, *, taken: bool, now_ms: int) -> None:
        mine, holder = self._waits.get(_key(wait)), self._holders.get(wait.name)
        if mine is None:
            raise ViolationError(6, f"a step waits for signal {wait.name} that was never journaled", wait.run_id)
        others = holder is not None and _key(holder) != _key(wait)
        blocked = others and holder is not None and self._is_alive(holder) and not mine.step.replaces
        if taken:
            if blocked and holder is not None and holder.expires_at_ms - self._skew_max_ms > now_ms:
                raise ViolationError(6, f"signal {wait.name} was taken from its waiter", holder.run_id)
            if others:
                self._lose(wait.name)
            mine.held = True
            self._holders[wait.name] = wait
        elif not others:
            raise ViolationError(6, f"signal {wait.name} was refused, though nobody else waits for it", wait.run_id)
        else:
            mine.refused = True

    def _answered(self, token: int, run_id: str | None, now_ms: int) -> None:
        sent = self._sent[token]
        if run_id is not None and (sent.woke is None or sent.woke[0] != run_id):
            raise ViolationError(6, f"the sender of signal {token} was told of a run that it did not resume", run_id)
        if run_id in self._known.ended and self._known.ended[run_id][1].at < sent.moment.at:
            raise ViolationError(6, f"the sender of signal {token} was told of a run that was over", run_id)
        if run_id is None and sent.woke is not None:
            message = f"the sender of signal {token} was told that nobody waits, though it resumed a run"
            raise ViolationError(6, message, sent.woke[0])
        if run_id is None and sent.missed is not None and sent.missed == self._surely_waiting(sent.name, now_ms):
            message = (
                f"the sender of signal {token} was told that nobody waits for it, though a step did so all the time"
            )
            raise ViolationError(6, message, sent.missed[0])
        if run_id is None:
            self._denied.add(token)

    def _lose(self, name: str) -> None:
        """The waiter of a name is no longer its waiter."""
        self._excuse({_key(self._holders.pop(name))})

    def _excuse(self, keys: Collection[Key]) -> None:
        """These wait no more, so nobody need find them waiting."""
        for sent in self._sent.values():
            sent.missed = None if sent.missed in keys else sent.missed

    def _surely_waiting(self, name: str, now_ms: int) -> Key | None:
        holder = self._holders.get(name)
        if holder is None or not self._is_alive(holder) or holder.expires_at_ms - self._skew_max_ms <= now_ms:
            return None
        return _key(holder)

    def _is_alive(self, wait: model.SignalWait) -> bool:
        return self._waits[_key(wait)].is_open and wait.run_id not in self._known.ended


def _key(wait: model.SignalWait) -> Key:
    return (wait.run_id, wait.step_id)
