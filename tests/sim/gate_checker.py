"""Promise 11: limits hold. Slots are counted as they are taken and given back, starts as they are let through."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from tests.sim.checkers import Bounds, Moment, ViolationError
from tests.sim.corpus import Limits, Member
from tests.sim.facts import CallMade, Fact, RunCreated, RunStarted, SlotGiven, SlotRenewed, SlotTaken, TokenTaken


class LimitsHold:
    """No gate has more holders than its limit, no call is made and no run started that was not let through."""

    def __init__(self, bounds: Bounds, members: Mapping[str, Member]) -> None:
        self._skew_max_ms = bounds.skew_max_ms
        self._limits = {slug: member.options.limits for slug, member in members.items()}
        self._slots: dict[str, dict[str, int | None]] = defaultdict(dict)
        self._starts: dict[str, dict[str, int]] = defaultdict(dict)
        self._slugs: dict[str, str] = {}

    def see(self, fact: Fact, _moment: Moment) -> None:
        match fact:
            case RunCreated(header):
                self._slugs[header.run_id] = header.function_id
            case SlotTaken():
                self._take(fact)
            case SlotRenewed(gate, holder, until_ms):
                self._slots[gate][holder] = until_ms
            case SlotGiven(gate, holder):
                self._slots[gate].pop(holder, None)
            case TokenTaken():
                self._let_through(fact)
            case CallMade(run_id=run_id):
                self._called(run_id)
            case RunStarted(run_id):
                self._started(run_id)

    def _take(self, fact: SlotTaken) -> None:
        slots = self._slots[fact.gate]
        live = {name: until_ms for name, until_ms in slots.items() if until_ms is None or until_ms > fact.now_ms}
        if fact.holder not in live and len(live) >= fact.most:
            raise ViolationError(11, f"a slot was given beyond the limit of {fact.most}", fact.holder.partition(":")[0])
        self._slots[fact.gate] = {**live, fact.holder: fact.until_ms}

    def _let_through(self, fact: TokenTaken) -> None:
        starts = self._starts[fact.gate]
        if fact.taker in starts:
            return
        starts[fact.taker] = fact.now_ms
        times = sorted(starts.values())
        interval_ms = fact.rate.period_ms / fact.rate.limit
        for first, earlier_ms in enumerate(times):
            for last, later_ms in enumerate(times[first:], first):
                span_ms = later_ms - earlier_ms + 2 * self._skew_max_ms
                if last - first + 1 > fact.rate.capacity + span_ms / interval_ms:
                    raise ViolationError(11, "more runs were started than the throttle lets through", fact.taker)

    def _called(self, run_id: str) -> None:
        held = sum(any(name.startswith(f"{run_id}:") for name in slots) for slots in self._slots.values())
        if held < self._of(run_id).calls_limits:
            raise ViolationError(11, "it was called without a slot", run_id)

    def _started(self, run_id: str) -> None:
        limits = self._of(run_id)
        if limits.runs and not any(run_id in slots for slots in self._slots.values()):
            raise ViolationError(11, "it was started without a slot", run_id)
        if limits.throttle and not any(run_id in starts for starts in self._starts.values()):
            raise ViolationError(11, "it was started past its throttle", run_id)

    def _of(self, run_id: str) -> Limits:
        return self._limits.get(self._slugs.get(run_id, ""), Limits())
