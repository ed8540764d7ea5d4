"""``make fuzz``: plays COUNT games from seed START, and names the first seed that finds something."""

from __future__ import annotations

import os
import sys

from tests.fuzz.play import Game

if __name__ == "__main__":
    count, start = int(os.environ.get("COUNT") or 100_000), int(os.environ.get("START") or 0)
    for seed in range(start, start + count):
        try:
            Game(seed).play()
        except Exception:
            sys.stderr.write(f"seed {seed} found this; again: make fuzz START={seed} COUNT=1\n")
            raise
    sys.stdout.write(f"{count} games from seed {start}: nothing found\n")
