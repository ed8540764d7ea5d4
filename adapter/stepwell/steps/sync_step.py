"""The step calls of a ``def`` function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from stepwell.steps.sync_step_kinds import SyncStepKinds


class SyncStep(SyncStepKinds):
    """Durable steps of a ``def`` function: the same calls as Step, each giving its result directly."""

    def parallel(self, *branches: Callable[[], Any] | Sequence[Callable[[], Any]]) -> list[Any]:
        """Run branches side by side; gives their results in order.

        ``a, b = step.parallel(lambda: step.run("a", fa), lambda: step.run("b", fb))``, or one sequence of branches.
        A branch may hold any number of steps. When branches raise, the exception of the first of them in order is
        raised once every branch has ended.
        """
        return self._host.parallel([branch for item in branches for branch in _flat(item)])


def _flat(item: Callable[[], Any] | Sequence[Callable[[], Any]]) -> Sequence[Callable[[], Any]]:
    return [item] if callable(item) else item
