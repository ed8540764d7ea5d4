"""Whatever a function answers, the engine decides, and the run goes on or ends."""

from __future__ import annotations

from typing import Final

import pytest

from tests.fuzz.play import Game

GAMES: Final = 3_000
PARTS: Final = 8


@pytest.mark.parametrize("part", range(PARTS))
def test_no_reply_stops_a_run_or_the_engine(part: int) -> None:
    """Drawn replies to drawn journals raise nothing, write what can be read, and leave no run without a way on."""
    for seed in range(part, GAMES, PARTS):
        Game(seed).play()
