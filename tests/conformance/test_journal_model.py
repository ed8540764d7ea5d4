"""One run in the journal against a model of a few lines, over sequences of operations that hypothesis makes up."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from stepwell_orchestrator.errors import ConflictError, LeaseLostError, StoreError
from stepwell_orchestrator.model.decision import EndRun, PutEntry, PutProgress, Write
from stepwell_orchestrator.model.run import Progress, Run
from stepwell_orchestrator.model.step import StepEntry, StepStatus
from stepwell_orchestrator.ports import Acquired, Busy, Claimed, NotClaimed, Over, Unknown
from tests.conformance.backends import Backend, OpenBackend, Traits
from tests.conformance.samples import NOW_MS, a_header, a_result, an_end, an_entry, create, run_id

LEASE_MS = 3
NAMES = ("a", "b")


@dataclass(frozen=True)
class Replacement:
    """An entry that is to take the place of the one that was read last."""

    entry: StepEntry


entries = st.builds(
    lambda name, entry, attempt: replace(entry, step_id=an_entry(name).step_id, name=name, attempt=attempt),
    st.sampled_from(NAMES),
    st.sampled_from(
        [an_entry(), an_entry(status=StepStatus.ERRORED), an_entry(status=StepStatus.SLEEPING), a_result()]
    ),
    st.integers(min_value=0, max_value=1),
)
writes = st.one_of(
    st.builds(PutEntry, entries),
    st.builds(Replacement, entries),
    st.builds(PutProgress, st.builds(Progress, attempt=st.integers(min_value=0, max_value=3))),
    st.just(an_end()),
)
terms = st.none() | st.integers(min_value=1, max_value=3)
delays = st.integers(min_value=0, max_value=4)


class JournalMachine(RuleBasedStateMachine):
    """Driving, committing, claiming and the passing of time, in any order, on one run."""

    def __init__(self, open_backend: OpenBackend[Backend], traits: Traits, folder: Path) -> None:
        super().__init__()
        self.traits = traits
        self.runner = asyncio.Runner()
        self.opened = open_backend(folder)
        self.journal = self.runner.run(self.opened.__aenter__()).journal
        self.runner.run(create(self.journal))
        self.now_ms = NOW_MS
        self.header = a_header()
        self.entries: dict[str, StepEntry] = {}
        self.is_fresh = True
        """Whether nobody has renewed the lease, taken it over or wished for it."""
        self.taken_at = 0
        """What ``wanted`` was when the lease was taken."""
        self.read: dict[str, StepEntry] = {}
        """The entries as a writer has read them, perhaps long ago."""

    def teardown(self) -> None:
        self.runner.run(self.opened.__aexit__(None, None, None))
        self.runner.close()

    def answer(self, call: Coroutine[Any, Any, Any]) -> Any:
        """What a call returns, or the type of what it raises."""
        try:
            return self.runner.run(call)
        except (ConflictError, LeaseLostError, StoreError) as error:
            return type(error)

    @rule(delay_ms=delays)
    def pass_time(self, delay_ms: int) -> None:
        self.now_ms += delay_ms

    @rule()
    def acquire(self) -> None:
        until_ms = self.now_ms + LEASE_MS
        answer = self.answer(self.journal.acquire(run_id(1), self.now_ms, until_ms))
        lease_until_ms = self.header.lease_until_ms
        if lease_until_ms is None and self.header.outcome is not None:
            # Whether an ended run counts wishes is the backend's own affair.
            assert isinstance(answer, Over)
            self.header = replace(self.header, wanted=answer.header.wanted)
            return
        self.header = replace(self.header, wanted=self.header.wanted + 1)
        if lease_until_ms is not None and lease_until_ms > self.now_ms:
            assert answer == Busy(lease_until_ms)
            self.is_fresh = False
            return
        started_at_ms = self.now_ms if self.header.started_at_ms is None else self.header.started_at_ms
        taken = {"term": self.header.term + 1, "lease_until_ms": until_ms, "started_at_ms": started_at_ms}
        self.header = replace(self.header, **taken)
        self.is_fresh, self.taken_at = lease_until_ms is None, self.header.wanted
        assert answer == Acquired(self.header, takeover=lease_until_ms is not None)

    @rule(term=st.integers(min_value=0, max_value=3), delay_ms=delays)
    def renew(self, term: int, delay_ms: int) -> None:
        until_ms = self.now_ms + delay_ms
        assert self.answer(self.journal.renew(run_id(1), term, until_ms)) is self.holds(term)
        if self.holds(term):
            self.header = replace(self.header, lease_until_ms=until_ms)
            self.is_fresh = False

    @rule(term=st.integers(min_value=0, max_value=3), behind=st.integers(min_value=0, max_value=1))
    def release(self, term: int, behind: int) -> None:
        progress = Progress(discovered=term)
        answer = self.answer(self.journal.release(run_id(1), term, self.header.wanted - behind, progress))
        if not self.holds(term):
            assert answer is LeaseLostError
        elif behind:
            assert answer == self.header.wanted
        else:
            assert answer is None
            self.header = replace(self.header, lease_until_ms=None, progress=progress)

    @rule()
    def read_entries(self) -> None:
        self.read = dict(self.entries)

    @rule(drafts=st.lists(writes, min_size=1, max_size=2), term=terms)
    def commit(self, drafts: list[Write | Replacement], term: int | None) -> None:
        by_target = {getattr(getattr(draft, "entry", None), "step_id", type(draft)): draft for draft in drafts}
        batch = [self.write_of(draft) for draft in by_target.values()]
        answer = self.answer(self.journal.commit(run_id(1), batch, term=term, wanted=self.taken_at))
        fenced = not self.traits.keeps_late_entries or not all(isinstance(write, PutEntry) for write in batch)
        if fenced and term is not None and not self.holds(term):
            assert answer is LeaseLostError
        elif (fenced and self.header.outcome is not None) or not any(self.allows(write, term) for write in batch):
            assert answer is ConflictError
        elif not all(self.allows(write, term) for write in batch):
            apart = self.traits.puts_new_steps_apart and term is not None and all(map(may_stand_alone, batch))
            assert answer is (StoreError if apart else ConflictError)
            for write in batch:
                if apart and self.allows(write, term):
                    self.apply(write)
        else:
            for write in batch:
                self.apply(write)
            ends = any(isinstance(write, EndRun) for write in batch)
            may_free = ends and term is not None and self.header.wanted == self.taken_at
            assert answer in ({True} if may_free and self.is_fresh else {may_free, False})
            if answer:
                self.header = replace(self.header, lease_until_ms=None)

    @rule(name=st.sampled_from(NAMES), attempt=st.integers(min_value=0, max_value=1))
    def claim(self, name: str, attempt: int) -> None:
        step_id, until_ms = an_entry(name).step_id, self.now_ms + LEASE_MS
        answer = self.answer(self.journal.claim(run_id(1), step_id, attempt, now_ms=self.now_ms, until_ms=until_ms))
        entry = self.entries.get(step_id)
        if entry is None or self.header.outcome is not None:
            assert answer == Unknown()
        elif entry.attempt != attempt or not self.claimable(entry):
            assert answer == NotClaimed(entry)
        else:
            started_at_ms = self.now_ms if entry.started_at_ms is None else entry.started_at_ms
            self.entries[step_id] = replace(
                entry,
                status=StepStatus.RUNNING,
                claim_until_ms=until_ms,
                claimed_at_ms=self.now_ms,
                started_at_ms=started_at_ms,
            )
            assert answer == Claimed(self.entries[step_id])

    @rule(name=st.sampled_from(NAMES), lost=st.booleans(), delay_ms=delays)
    def renew_claim(self, name: str, lost: bool, delay_ms: int) -> None:
        step_id, until_ms = an_entry(name).step_id, self.now_ms + delay_ms
        entry = self.entries.get(step_id)
        current_ms = None if entry is None else entry.claimed_at_ms
        claimed_at_ms = -1 if lost or current_ms is None else current_ms
        holds = entry is not None and entry.status is StepStatus.RUNNING and claimed_at_ms == current_ms
        renewal = self.journal.renew_claim(run_id(1), step_id, claimed_at_ms=claimed_at_ms, until_ms=until_ms)
        assert self.answer(renewal) is holds
        if entry is not None and holds:
            self.entries[step_id] = replace(entry, claim_until_ms=until_ms)

    def holds(self, term: int) -> bool:
        return term == self.header.term and self.header.lease_until_ms is not None

    def allows(self, write: Write, term: int | None) -> bool:
        if isinstance(write, PutProgress):
            return term is not None
        if isinstance(write, EndRun):
            return True
        stored, replaced = self.entries.get(write.entry.step_id), write.replaced
        if stored is None or replaced is None:
            return stored is replaced
        return not stored.memoised and stored.version == replaced.version

    def write_of(self, draft: Write | Replacement) -> Write:
        if isinstance(draft, Replacement):
            return PutEntry(draft.entry, self.read.get(draft.entry.step_id))
        return draft

    def apply(self, write: Write) -> None:
        if isinstance(write, PutProgress):
            self.header = replace(self.header, progress=write.progress)
        elif isinstance(write, EndRun):
            self.header = replace(self.header, outcome=write.outcome)
        else:
            self.entries[write.entry.step_id] = write.entry

    def claimable(self, entry: StepEntry) -> bool:
        if entry.status is StepStatus.RUNNING:
            return entry.claim_until_ms is not None and entry.claim_until_ms <= self.now_ms
        return entry.status in (StepStatus.PLANNED, StepStatus.ERRORED)

    @invariant()
    def agree_on_the_run(self) -> None:
        assert self.runner.run(self.journal.load(run_id(1))) == Run(self.header, (), self.entries)

    @invariant()
    def agree_on_expired_leases(self) -> None:
        lease_until_ms = self.header.lease_until_ms
        expired = lease_until_ms is not None and lease_until_ms <= self.now_ms
        found = self.runner.run(self.journal.expired_leases(self.now_ms, 9))
        assert found == [run_id(1)] * expired or (self.is_fresh and found == [])


def may_stand_alone(write: Write) -> bool:
    """Whether a write makes a new entry that waits for something."""
    return isinstance(write, PutEntry) and write.replaced is None and not write.entry.memoised


def test_a_run_does_what_its_model_does(open_backend: OpenBackend[Backend], traits: Traits, tmp_path_factory: Any):
    """No sequence of operations tells a run in the journal from a header and a dictionary of entries."""
    run_state_machine_as_test(
        lambda: JournalMachine(open_backend, traits, tmp_path_factory.mktemp("journal")),
        settings=settings(max_examples=traits.examples, stateful_step_count=30, deadline=None),
    )
