"""The stack is the same for every replay, whoever wrote the entries and whoever died."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from stepwell.wire.ids import hash_step_id
from stepwell_orchestrator.engine.journal.stack import arrange, fence, next_place, stack_of
from stepwell_orchestrator.model.run import Run
from stepwell_orchestrator.model.step import Place, StepStatus
from tests.orchestrator.engine.builders import NOW_MS, entry, placed, run


def ids(*names: str) -> tuple[str, ...]:
    return tuple(hash_step_id(name) for name in names)


def place_arrivals(of: Run, term: int) -> Run:
    return replace(of, header=replace(of.header, progress=arrange(of, term)))


def test_places_order_by_term_then_index() -> None:
    """Steps stand in the order of the terms they finished in, and within a term in the order they were committed."""
    of = run(placed("c", 2, 0), placed("b", 1, 1), placed("a", 1, 0), term=2)
    assert stack_of(of) == ids("a", "b", "c")


def test_unfinished_steps_are_not_on_the_stack() -> None:
    """A planned or sleeping step has no place on the stack."""
    of = run(placed("a", 1, 0), entry("b", StepStatus.PLANNED), entry("c", StepStatus.SLEEPING))
    assert stack_of(of) == ids("a")


def test_sequential_runs_need_no_rearranging() -> None:
    """When every finished step was placed by a driver, arranging returns the very progress it was given."""
    of = run(placed("a", 1, 0), placed("b", 1, 1))
    assert arrange(of, 1) is of.header.progress


def test_arrivals_follow_in_the_order_they_ended() -> None:
    """Steps without a place are put behind all placed ones, by their end and then by their id."""
    of = run(entry("late", ended_at_ms=NOW_MS), placed("a", 1, 0), entry("early", ended_at_ms=NOW_MS - 9))
    assert stack_of(place_arrivals(of, 1)) == ids("a", "early", "late")
    assert arrange(of, 1).placed[hash_step_id("early")] == Place(1, 1)


def test_an_arrival_never_moves_what_was_seen_before() -> None:
    """A step that ended earlier but was seen later stands behind the ones a function has already been shown."""
    first = place_arrivals(run(entry("seen", ended_at_ms=NOW_MS)), 1)
    late = entry("slow-write", ended_at_ms=NOW_MS - 9)
    later = place_arrivals(replace(first, entries={**first.entries, late.step_id: late}), 1)
    assert stack_of(later) == ids("seen", "slow-write")


def test_next_place_counts_within_the_term() -> None:
    """A driver's first place in a new term is index 0, whatever earlier terms hold."""
    of = run(placed("a", 1, 0), placed("b", 1, 1), term=2)
    assert next_place(of, 2) == Place(2, 0)
    assert next_place(of, 1) == Place(1, 2)


def test_a_fence_turns_a_dead_drivers_late_write_into_an_arrival() -> None:
    """What a driver wrote after its term was closed stands behind what the next driver did meanwhile."""
    taken_over = run(placed("a", 1, 0), term=2)
    fenced = replace(taken_over, header=replace(taken_over.header, progress=fence(taken_over, 2)))
    mine, stale = placed("mine", 2, 0), placed("stale", 1, 1)
    grown = replace(fenced, entries={**fenced.entries, mine.step_id: mine, stale.step_id: stale})
    assert stack_of(grown) == ids("a", "mine")
    assert stack_of(place_arrivals(grown, 2)) == ids("a", "mine", "stale")


def test_a_takeover_owes_a_discovery() -> None:
    """Closing a dead driver's term forgets how far it had got."""
    assert fence(run(term=2, discovered=3), 2).discovered is None


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 20)), unique_by=lambda pair: pair[0]))
def test_showing_steps_one_by_one_only_ever_appends(arrivals: list[tuple[str, int]]) -> None:
    """However arrivals trickle in, the stack a function has seen is a prefix of every later one."""
    of, seen = run(), ()
    for name, ended in arrivals:
        arrival = entry(name, ended_at_ms=ended)
        of = place_arrivals(replace(of, entries={**of.entries, arrival.step_id: arrival}), 1)
        assert stack_of(of)[: len(seen)] == seen
        seen = stack_of(of)
    assert set(seen) == set(of.entries)
