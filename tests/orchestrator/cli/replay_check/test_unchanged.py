"""Code that has not changed agrees with whatever it recorded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.adapter.executing.corpus import ORDERLY, RACES
from tests.orchestrator.cli.replay_check.support import checked, cut, record

every_function = pytest.mark.parametrize("handler", ORDERLY + RACES, ids=lambda handler: handler.__name__)


@every_function
async def test_the_code_that_was_recorded_agrees(handler: Callable[[Any], Any], tmp_path: Path) -> None:
    """A function of any shape agrees with its whole journal and with every beginning of it."""
    journal = await record(handler)
    assert journal["status"] == "Completed"
    for count in range(len(journal["stack"]) + 1):
        report = await checked(handler, cut(journal, count), tmp_path)
        assert report.difference is None
        assert report.steps == count
    assert (await checked(handler, journal, tmp_path)).difference is None
