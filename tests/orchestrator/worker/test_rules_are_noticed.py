"""Rules about changed and given-up steps, each taken out: a named test then fails."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from stepwell_orchestrator.engine.opcodes import change, sleep
from stepwell_orchestrator.engine.waits import waiting
from stepwell_orchestrator.local import commit
from stepwell_orchestrator.model.step import StepEntry
from stepwell_orchestrator.worker import executing
from tests.orchestrator.worker import test_replaced_entries as replaced
from tests.orchestrator.worker.test_crash_everywhere import changing, check_crashes, giving_up

Patch = pytest.MonkeyPatch


def write_over_what_came_between(patch: Patch) -> None:
    """Write over any entry that is not memoised, whatever it has become since it was read."""

    def careless(stored: StepEntry | None, _replaced: StepEntry | None) -> bool:
        return stored is None or not stored.memoised

    patch.setattr(commit, "_may_replace", careless)


def keep_what_gave_way(patch: Patch) -> None:
    """Let a step become a sleep, and leave filed what it waited with."""
    patch.setattr(sleep, "letting_go", lambda *_: ())


def forget_what_gave_way(patch: Patch) -> None:
    """Remember nothing of what an entry waited with that gave way."""
    patch.setattr(change, "left_by", lambda _entry: ())


def forget_what_was_dropped(patch: Patch) -> None:
    """Take a dead driver's run over without letting go of what it had dropped."""
    patch.setattr("stepwell_orchestrator.engine.calls.recover.let_go_again", lambda *_: ())


def leave_what_a_claimant_owed(patch: Patch) -> None:
    """Leave a step whose claimant died after it had committed that it is another kind now."""
    patch.setattr(executing, "recover", lambda *_: ())


def release_nothing(patch: Patch) -> None:
    """Give up no pause and no signal at all."""
    patch.setattr(waiting, "_release", lambda *_: ())


ROWS: list[tuple[Callable[[Patch], None], Callable[[], Awaitable[None]]]] = [
    (write_over_what_came_between, replaced.test_a_driver_does_not_write_over_a_claim_that_it_did_not_see),
    (write_over_what_came_between, replaced.test_a_result_does_not_end_what_the_step_has_become),
    (write_over_what_came_between, replaced.test_of_two_claimants_the_later_one_is_heard),
    (keep_what_gave_way, lambda: check_crashes(lambda: changing("event", "sleep"))),
    (forget_what_gave_way, lambda: check_crashes(lambda: changing("signal", "sleep"))),
    (forget_what_was_dropped, replaced.test_what_a_dead_driver_dropped_is_let_go_by_the_next_one),
    (leave_what_a_claimant_owed, lambda: check_crashes(lambda: changing("run", "event"))),
    (release_nothing, lambda: check_crashes(lambda: giving_up("signal"))),
]


@pytest.mark.parametrize(("mutation", "check"), ROWS)
async def test_a_missing_rule_is_noticed(
    monkeypatch: Patch, mutation: Callable[[Patch], None], check: Callable[[], Awaitable[None]]
) -> None:
    """The test that is named for a rule fails without it."""
    mutation(monkeypatch)
    with pytest.raises(AssertionError):
        await check()
