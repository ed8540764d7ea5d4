"""The simulator notices an engine that is broken on purpose; the whole list is run by hand, see mutations.py."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.sim import mutations

QUICKLY_NOTICED = (
    mutations.forget_what_a_cancel_owes,
    mutations.lose_sends,
    mutations.lose_retries,
    mutations.never_look_for_the_end,
    mutations.draw_run_ids,
    mutations.draw_event_ids,
    mutations.reorder_the_stack,
    mutations.wake_early,
    mutations.never_count_attempts,
    mutations.answer_before_it_is_stored,
)


@pytest.mark.parametrize("mutation", QUICKLY_NOTICED)
def test_mutation_is_noticed(mutation: Callable[[pytest.MonkeyPatch], None]) -> None:
    """One of a few seeds breaks a promise when the engine is broken in this way."""
    assert mutations.caught_by(mutation, 10) is not None
