"""The back-off table of the protocol, with jitter that is the same each time it is asked for."""

from __future__ import annotations

import pytest

from stepwell.wire.opcodes import Op
from stepwell_orchestrator.engine.journal.retry import RetryPolicy, discovery_attempt
from tests.orchestrator.engine.builders import placed, run


@pytest.mark.parametrize(
    ("attempt", "base_s"),
    [(0, 15), (1, 30), (2, 60), (3, 120), (4, 300), (5, 600), (6, 1200), (7, 2400), (8, 3600), (9, 7200), (15, 7200)],
)
def test_the_table(attempt: int, base_s: int) -> None:
    """The delay is the table's, plus at most 30 seconds."""
    at_ms = RetryPolicy().retry_at_ms(0, attempt, None, "run", "step")
    assert base_s * 1000 <= at_ms <= base_s * 1000 + 30_000


def test_jitter_is_derived_not_random() -> None:
    """Deciding twice gives one time; another run gets another."""
    policy = RetryPolicy()
    assert policy.retry_at_ms(0, 0, None, "run", "a") == policy.retry_at_ms(0, 0, None, "run", "a")
    assert len({policy.retry_at_ms(0, 0, None, f"run-{n}") for n in range(50)}) > 40


def test_what_was_asked_for_wins() -> None:
    """Retry-After beats both the table and a fixed delay."""
    assert RetryPolicy(fixed_delay_ms=5).retry_at_ms(100, 0, 777, "run") == 777
    assert RetryPolicy(fixed_delay_ms=5).retry_at_ms(100, 3, None, "run") == 105


def test_only_an_executed_step_begins_the_count_anew() -> None:
    """A step that a checkpoint saved after the last failure does, and a wait that ended meanwhile does not."""
    failed = {"attempt": 2, "executed": 0}
    assert discovery_attempt(run(placed("saved", 1, 0), **failed)) == 0
    waits = (Op.SLEEP, Op.WAIT_FOR_EVENT, Op.WAIT_FOR_SIGNAL, Op.INVOKE_FUNCTION)
    assert [discovery_attempt(run(placed("wait", 1, 0, op=op), **failed)) for op in waits] == [2, 2, 2, 2]
