"""What became of step bodies: which ran again, and whether the journal had their results by then."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from stepwell_orchestrator.model.decision import PutEntry


class Body(NamedTuple):
    """A step of a run, under the id that its function gives it."""

    run_id: str
    label: str


class Witness:
    """Sees every body begin and every commit that was accepted.

    ``again`` are the bodies that ran although the journal had their result. ``repeated`` counts what is right to
    happen: the executions of attempts that had been begun before, by a worker that died.
    """

    def __init__(self) -> None:
        self.again: list[Body] = []
        self.repeated: Counter[Body] = Counter()
        self._journaled: set[tuple[str, str]] = set()
        self._attempts: set[tuple[str, str, int]] = set()

    def began(self, run_id: str, step_id: str, label: str, attempt: int) -> None:
        """A step's body is about to be executed."""
        body = Body(run_id, label)
        if (run_id, step_id) in self._journaled:
            self.again.append(body)
        elif (run_id, step_id, attempt) in self._attempts:
            self.repeated[body] += 1
        self._attempts.add((run_id, step_id, attempt))

    def saw(self, method: str, args: Sequence[Any]) -> None:
        """A port call has returned: what it made durable is durable."""
        if method == "commit":
            run_id, writes = args
            self._journaled |= {
                (run_id, write.entry.step_id)
                for write in writes
                if isinstance(write, PutEntry) and write.entry.memoised
            }
