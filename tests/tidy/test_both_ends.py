"""What one place is taught, the others must be: places that took a new thing in silence when one was tried."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

import stepwell
from stepwell.authoring.options import FunctionOptions
from stepwell.steps.step import Step
from stepwell.steps.sync_step import SyncStep
from stepwell_orchestrator.accepting.option_rules import NOT_APPLIED
from tests.tidy.pages import pages

ACTED_UPON = {
    "batchEvents",
    "cancel",
    "concurrency",
    "debounce",
    "idempotency",
    "priority",
    "throttle",
    "timeouts",
}
PYTHON_API = next(page.text for page in pages() if page.path == "docs/reference/python-api.md")
SAMPLES: dict[str, Any] = {
    "cancel_on": stepwell.CancelOn("a/b", match="data.id"),
    "concurrency": 1,
    "throttle": stepwell.Throttle(1, "1m"),
    "rate_limit": stepwell.RateLimit(1, "1m"),
    "debounce": stepwell.Debounce("1m"),
    "batch": stepwell.Batch(2, "1m"),
    "priority": stepwell.Priority("1"),
    "singleton": stepwell.Singleton("skip"),
    "idempotency": "event.data.id",
    "timeouts": stepwell.Timeouts(start="1m"),
}


def public(owner: type) -> set[str]:
    """What a class offers by name."""
    return {name for name in dir(owner) if not name.startswith("_")}


def test_every_option_has_a_sample() -> None:
    """The samples below are of all the options that a function has."""
    assert SAMPLES.keys() == {field.name for field in fields(FunctionOptions)}


@pytest.mark.parametrize("option", sorted(SAMPLES))
def test_the_server_knows_every_option(option: str) -> None:
    """What an app sends for an option, the server checks, and acts upon or says that it does not."""
    (name,) = FunctionOptions(**{option: SAMPLES[option]}).encode("fn")
    assert name in NOT_APPLIED | ACTED_UPON


def test_both_faces_have_the_same_steps() -> None:
    """A step of ``async def`` functions is one of plain functions too; what they have beside runs branches."""
    assert public(SyncStep) - public(Step) == {"parallel"}
    assert public(Step) - public(SyncStep) == set()


@pytest.mark.parametrize("step", sorted(public(Step)))
def test_every_step_is_documented(step: str) -> None:
    """Each step stands in the Python reference as an author calls it."""
    assert f"step.{step}" in PYTHON_API
