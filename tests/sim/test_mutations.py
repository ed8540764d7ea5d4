"""The simulator notices an engine that is broken on purpose; the whole list is run by hand, see mutations.py."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.sim import flow_mutations, mutations, wait_mutations

QUICKLY_NOTICED = (
    mutations.forget_what_a_cancel_owes,
    mutations.lose_sends,
    mutations.never_look_for_the_end,
    mutations.draw_run_ids,
    mutations.draw_event_ids,
    mutations.forget_what_is_deferred,
    mutations.draw_deferred_ids,
    mutations.let_a_deferral_cost_a_result,
    mutations.reorder_the_stack,
    mutations.save_in_silence,
    mutations.wake_early,
    mutations.never_count_attempts,
    mutations.answer_before_it_is_stored,
    *flow_mutations.MUTATIONS,
    wait_mutations.dispatch_before_commit,
    wait_mutations.acknowledge_before_the_pause,
    wait_mutations.double_the_timer,
    wait_mutations.ring_late,
    wait_mutations.take_any_event,
    wait_mutations.take_an_event_again,
    wait_mutations.keep_settled_pauses,
    wait_mutations.invoke_again,
    wait_mutations.lose_reruns,
)


@pytest.mark.parametrize("mutation", QUICKLY_NOTICED)
def test_mutation_is_noticed(mutation: Callable[[pytest.MonkeyPatch], None]) -> None:
    """One of a few seeds breaks a promise when the engine is broken in this way."""
    assert mutations.caught_by(mutation, 20) is not None
