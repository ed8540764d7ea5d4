"""Saving steps while the call that executed them goes on (protocol 9.1). Decision 13 tells why nothing is lost.

The run's driver waits for the reply of that call. The run is not loaded here, so that one of a thousand steps stays
linear: its header says whether the call is one that the driver waits for, and each entry is guarded by itself. Before
the first step of a call is saved, the driver is told to read the journal again. What may come between:

===================================  =====================================  ==========================================
who dies, or comes between           what the journal shows                 who repeats it, and how
===================================  =====================================  ==========================================
the answer to a save is lost         the entries, with the same memos       the call: it saves the same again, which
                                                                            changes nothing
  test_checkpoints.py::test_a_save_whose_answer_is_lost_may_be_repeated
the process dies after a save        the entries; a lease that expired      the next driver: its call begins after
                                                                            them
  test_checkpoints.py::test_a_crash_after_a_save_resumes_after_it
a stale call saves first             its entry; the save of the current     the driver: the current call's reply is
                                     call is refused                        void, it calls again
  test_checkpoints.py::test_a_stale_call_saves_first_and_the_current_one_is_made_again
the current call saves first         its entry; the stale save is refused   nobody: the stale call ends
  test_checkpoints.py::test_the_current_call_saves_first_and_the_stale_one_is_refused
another term has begun               another ``term`` than the call's       nobody: the call is told that it is stale
  test_checkpoints.py::test_a_stale_call_is_refused_once_another_one_is_under_way
the run's lease was given back       a free lease                           nobody: no driver waits for the call
  test_checkpoints.py::test_nothing_is_saved_once_the_lease_is_free
a cancellation                       the end                                nobody: the save is refused, the call ends
  test_checkpoints.py::test_a_cancelled_runs_next_save_is_refused
... before a deferral was stored     the end; the store may keep the        nobody: the save is refused, whoever
                                     deferral all the same                  cancelled has told the end
  test_deferring.py::test_a_deferral_that_is_stored_after_a_cancellation_is_refused
===================================  =====================================  ==========================================
"""

from __future__ import annotations

from stepwell.errors import WireError
from stepwell.wire.checkpoint import Checkpoint
from stepwell.wire.opcodes import Op
from stepwell_orchestrator.engine.calls.checkpoint import puts_of
from stepwell_orchestrator.engine.calls.notices import notices
from stepwell_orchestrator.engine.journal.call_reference import CallReference
from stepwell_orchestrator.engine.journal.memos import same
from stepwell_orchestrator.engine.opcodes.defer import aborted_id
from stepwell_orchestrator.errors import ApiError, ConflictError, LeaseLostError
from stepwell_orchestrator.limits import CHECKPOINTED_CALLS_KEPT, Limits
from stepwell_orchestrator.model.decision import Decision, PutEntry
from stepwell_orchestrator.model.notice import Observe
from stepwell_orchestrator.model.run import RunHeader
from stepwell_orchestrator.model.step import StepEntry
from stepwell_orchestrator.ports import Clock, Journal


class Checkpointer:
    """Saves checkpoints."""

    def __init__(self, journal: Journal, clock: Clock, limits: Limits, observe: Observe) -> None:
        self._journal = journal
        self._clock = clock
        self._limits = limits
        self._observe = observe
        self._offsets: dict[str, int] = {}
        """The next offset of each recent call: steps that begin within one tick of the SDK's clock keep their order."""

    async def save(self, checkpoint: Checkpoint) -> None:
        """Journal the steps of a checkpoint; of those that are journaled already, alike, nothing changes.

        All of them are saved, or none, as far as the store commits them together. Raises ApiError: 400 for a run or a
        call that there is not and for what cannot be deferred, 409 when the call is not the one that the run's driver
        waits for, when the run has ended, or when a step was saved with another result, 413 for a step too large.
        """
        reference = CallReference.decode(checkpoint.qi_id)
        if reference is None or reference.run_id != checkpoint.run_id:
            raise ApiError(400, "qi_id must be the one of the call request; only a call without a target has one")
        header = await self._journal.get_header(checkpoint.run_id)
        if header is None:
            raise ApiError(400, f"Unable to load function run: {checkpoint.run_id}")
        if _is_stale(header, reference, checkpoint):
            raise _superseded(header)
        known = await self._read_aborted(checkpoint)
        puts = self._missing(checkpoint, reference, header, known)
        self._check_sizes(puts)
        if puts and header.wanted == reference.wanted and not await self._journal.wake(header.run_id, header.term):
            raise _superseded(header)
        while puts:
            if await self._commit(header, puts):
                await self._check_deferred(header, puts)
                return
            found = await self._read_entries(header.run_id, [put.entry.step_id for put in puts])
            if found.items() <= known.items():
                raise _superseded(header)
            known |= found
            puts = self._missing(checkpoint, reference, header, known)

    async def answer(self, checkpoint: Checkpoint) -> int:
        """Save it, and say how that went as the HTTP status that an app of another process would be given."""
        try:
            await self.save(checkpoint)
        except ApiError as error:
            return error.status
        return 200

    async def _commit(self, header: RunHeader, puts: list[PutEntry]) -> bool:
        """Commit and tell. Returns False when a step has an entry already, or the run has ended."""
        try:
            await self._journal.commit(header.run_id, puts, term=header.term)
        except LeaseLostError:
            raise _superseded(header) from None
        except ConflictError:
            return False
        for notice in notices(header, Decision(tuple(puts)), self._clock.now_ms()):
            self._observe(notice)
        return True

    async def _check_deferred(self, header: RunHeader, puts: list[PutEntry]) -> None:
        """Look whether the run was cancelled before its deferrals were stored: then they may start nothing.

        The store may keep entries of a run that has ended. The canceller writes the end and then reads the entries;
        here it is the other way round, so that one of the two sees the other.
        """
        if all(put.entry.is_step for put in puts):
            return
        found = await self._journal.get_header(header.run_id)
        if found is None or found.outcome is not None:
            raise _superseded(header)

    async def _read_aborted(self, checkpoint: Checkpoint) -> dict[str, StepEntry]:
        """Read what the checkpoint aborts: an abort is written over the deferral, and changes nothing without one."""
        aborts = [opcode for opcode in checkpoint.steps if opcode.op is Op.DEFER_ABORT]
        try:
            return await self._read_entries(checkpoint.run_id, [aborted_id(opcode) for opcode in aborts])
        except WireError as error:
            raise ApiError(400, str(error)) from error

    async def _read_entries(self, run_id: str, entry_ids: list[str]) -> dict[str, StepEntry]:
        """Read those of the entries that there are."""
        entries = [await self._journal.get_entry(run_id, entry_id) for entry_id in entry_ids]
        return {entry.step_id: entry for entry in entries if entry is not None}

    def _missing(
        self, checkpoint: Checkpoint, reference: CallReference, header: RunHeader, known: dict[str, StepEntry]
    ) -> list[PutEntry]:
        """What is still to be written.

        Raises ApiError: 409 for a step that is planned, or finished otherwise, 400 for what cannot be deferred.
        """
        offset = self._offsets.get(checkpoint.qi_id, 0)
        try:
            puts = puts_of(checkpoint, reference, header, known, offset=offset, now_ms=self._clock.now_ms())
        except WireError as error:
            raise ApiError(400, str(error)) from error
        self._keep_order(checkpoint.qi_id, puts)
        missing: list[PutEntry] = []
        for put in puts:
            found = known.get(put.entry.step_id)
            if found is None or not (found.memoised or found.pending):
                missing.append(put)
            elif found.pending or not same(found.memo, put.entry.memo):
                raise _superseded(header)
        return missing

    def _keep_order(self, call: str, puts: list[PutEntry]) -> None:
        place = next((put.entry.place for put in reversed(puts) if put.entry.is_step), None)
        if place is None:
            return
        self._offsets.pop(call, None)
        self._offsets[call] = CallReference.offset(place) + 1
        if len(self._offsets) > CHECKPOINTED_CALLS_KEPT:
            del self._offsets[next(iter(self._offsets))]

    def _check_sizes(self, puts: list[PutEntry]) -> None:
        for put in puts:
            size, limit = put.entry.size_bytes, self._limits.step_bytes
            if size > limit:
                message = f'the output of step "{put.entry.name}" is {size} bytes; the limit is {limit}'
                raise ApiError(413, f"{message}; store it elsewhere and return a reference to it")
        total, limit = sum(put.entry.size_bytes for put in puts), self._limits.run_bytes
        if total > limit:
            raise ApiError(413, f"the outputs of these steps are {total} bytes together; a run's may be {limit}")


def _is_stale(header: RunHeader, reference: CallReference, checkpoint: Checkpoint) -> bool:
    """Whether nobody waits for the reply of that call any more."""
    terms = {reference.term, checkpoint.generation_id or reference.term}
    return header.outcome is not None or header.lease_until_ms is None or terms != {header.term}


def _superseded(header: RunHeader) -> ApiError:
    message = f"run {header.run_id} has ended, or goes on in another call; end this one, its answer does not count"
    return ApiError(409, message, code="call_superseded")
