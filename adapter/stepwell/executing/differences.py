"""Telling an author that a replay differs from the journal: with names and a place, and once a run."""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import Final

from stepwell.replaying.replay import Replay

_RUNS_REMEMBERED: Final = 1_000

_LOGGER = logging.getLogger("stepwell")


def difference_of(replay: Replay, function: str) -> str | None:
    """Returns how a replay of a function differed from the journal, for the reply to carry; None when it did not.

    Our own server keeps it with the run. Another one keeps nothing: there it is logged.
    """
    found = _text(replay)
    if found is None:
        return None
    if not replay.call.ctx.from_stepwell:
        _log_once(function, replay.call.ctx.run_id, found)
    return f'function "{function}": {found}'


def _text(replay: Replay) -> str | None:
    problem = replay.problem
    if problem is None:
        return None
    text = problem.text
    if problem.step in replay.requested:
        text = text.replace(f"step {problem.step}", f'step "{replay.requested[problem.step].label}"')
    where = next((step.where for step in problem.found if step.where), "")
    place = f" ({where})" if where else ""
    return (
        f"the replay differs from the journal: {text}{place}. Decide by the event and step results alone, and give a "
        "changed step a new id, e.g. with a version in it"
    )


@lru_cache(maxsize=_RUNS_REMEMBERED)
def _log_once(function: str, run_id: str, text: str) -> None:
    """Log a difference, unless it is among the last that this process has logged."""
    _LOGGER.warning('function "%s", run %s: %s', function, run_id, text)
