"""The functions of a world, drawn from its seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from stepwell.wire.registration import Trigger
from stepwell.wire.times import MINUTE_MS
from stepwell_orchestrator.engine.retry import BACKOFF_MS, JITTER_MAX_MS
from stepwell_orchestrator.model.function import Function
from tests.sim.chance import Knobs, stream
from tests.sim.closures import Closure, draw_tree
from tests.sim.line import Code
from tests.sim.scripted import draw_script

EVENT_NAMES = ("sim/go", "sim/run")
FAILED_EVENT = "inngest/function.failed"
URL = "http://sim.test/api"
_REAL_ADAPTER_SHARE = 0.4
_SLACK_MS = 10 * MINUTE_MS


@dataclass(frozen=True, slots=True)
class Member:
    """A function as it is registered, and its code."""

    function: Function
    code: Code

    @property
    def longest_ms(self) -> int:
        """How long a run may take when nothing but its own steps goes wrong: naps, back-offs, and some slack."""
        backoff_ms = sum(delay_ms + JITTER_MAX_MS for delay_ms in BACKOFF_MS[: self.function.retries])
        return self.code.naps_ms + self.code.actions * backoff_ms + _SLACK_MS


def draw_corpus(seed: int, knobs: Knobs, now_ms: Callable[[], int]) -> Mapping[str, Member]:
    """The functions by slug; now and then one is started by the failure of the others."""
    chance = stream(seed, "corpus")
    members: dict[str, Member] = {}
    for number in range(knobs.functions):
        slug = f"sim-f{number}"
        retries = chance.choice((0, 1, 2, 4))
        event = chance.choice(EVENT_NAMES)
        if number and chance.random() < 0.2:
            event = FAILED_EVENT
        code: Code
        if chance.random() < _REAL_ADAPTER_SHARE:
            code = Closure(draw_tree(chance, retries + 1), slug, retries, now_ms)
        else:
            code = draw_script(chance, retries + 1)
        members[slug] = Member(Function(slug, "sim", slug, URL, (Trigger(event),), retries), code)
    return members
