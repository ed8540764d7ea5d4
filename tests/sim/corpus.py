"""The functions of a world, drawn from its seed."""

from __future__ import annotations

import datetime as dt
import itertools
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from stepwell.authoring.checkpointing import Checkpointing
from stepwell.authoring.options import CancelOn, FunctionOptions, Timeouts
from stepwell.wire.ids import hash_step_id
from stepwell.wire.registration import Trigger
from stepwell.wire.times import HOUR_MS, MINUTE_MS, SECOND_MS
from stepwell_orchestrator.engine.journal.retry import BACKOFF_MS, JITTER_MAX_MS
from stepwell_orchestrator.model.function import Function
from tests.sim.chance import Knobs, stream
from tests.sim.closures import Closure, Outside, Seq, draw_tree
from tests.sim.deferring import DEFERRED_EVENT, deferred_script, draw_deferring
from tests.sim.drawing import Drawing, Reach
from tests.sim.line import Code
from tests.sim.scripted import Script, draw_script
from tests.sim.steps import WAIT_EVENTS, Do, Narrow, Step, labels

EVENT_NAMES = ("sim/go", "sim/run")
MORE_EVENT = "sim/more"
STOP_EVENT = "sim/stop"
FAILED_EVENT = "inngest/function.failed"
INVOKED_EVENT = "inngest/function.invoked"
APP = "sim"
DEFERRED_SLUG = f"{APP}-later"
URL = "http://sim.test/api"
_REAL_ADAPTER_SHARE = 0.5
_SLACK_MS = 10 * MINUTE_MS
_UNLIMITED_SHARE = 0.6


@dataclass(frozen=True, slots=True)
class CancelRule:
    """A run is cancelled by STOP_EVENT, if the condition holds, up to ``timeout_ms`` after the run was created."""

    narrow: Narrow
    timeout_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """How many calls and runs of a function there are at a time, for each user or in all, and how many starts."""

    calls: int = 0
    calls_of_user: int = 0
    runs: int = 0
    throttle: bool = False
    priority: bool = False

    @property
    def any(self) -> bool:
        """Whether there is a limit at all."""
        return bool(self.calls or self.calls_of_user or self.runs or self.throttle)

    @property
    def calls_limits(self) -> int:
        """How many slots a call needs."""
        return bool(self.calls) + bool(self.calls_of_user)

    def encode(self) -> dict[str, Any]:
        """The options on the wire."""
        options: dict[str, Any] = {}
        calls = [{"limit": self.calls}, {"limit": self.calls_of_user, "key": "event.data.user"}]
        if self.calls or self.calls_of_user or self.runs:
            options["concurrency"] = {"step": calls, "fn": [{"limit": self.runs}]}
        if self.throttle:
            options["throttle"] = {"limit": 1, "period": "2m"}
        if self.priority:
            options["priority"] = {"run": "event.data.user * 60"}
        return options


@dataclass(frozen=True, slots=True)
class Offers:
    """Whether the events of a function are debounced or batched, for each user or in all; 0 is neither."""

    period_ms: int = 0
    timeout_ms: int = 0
    size: int = 0
    of_user: bool = False

    @property
    def waits_ms(self) -> int:
        """How long an event may wait. A debounce without a timeout is quiet once nothing is sent any more."""
        return max(self.period_ms, self.timeout_ms)

    def gate_of(self, data: Mapping[str, Any]) -> Any:
        """What events with the same one are put together by."""
        return data.get("user", False) if self.of_user else None

    def encode(self) -> dict[str, Any]:
        """The options on the wire."""
        key = {"key": "event.data.user"} if self.of_user else {}
        if self.size:
            return {"batchEvents": {"maxSize": self.size, "timeout": f"{self.timeout_ms}ms", **key}}
        timeout = {"timeout": f"{self.timeout_ms}ms"} if self.timeout_ms else {}
        return {"debounce": {"period": f"{self.period_ms}ms", **timeout, **key}} if self.period_ms else {}


@dataclass(frozen=True, slots=True)
class Options:
    """What a function is given besides its code. ``one_per_user``: one run a day for each user."""

    cancel: CancelRule | None = None
    start_ms: int | None = None
    finish_ms: int | None = None
    one_per_user: bool = False
    limits: Limits = field(default_factory=Limits)
    offers: Offers = field(default_factory=Offers)

    def encode(self, slug: str) -> Mapping[str, Any]:
        """The options on the wire."""
        rules = [] if self.cancel is None else [_cancel_on(self.cancel)]
        limited = self.start_ms is not None or self.finish_ms is not None
        options = FunctionOptions(
            cancel_on=rules,
            timeouts=Timeouts(start=_span(self.start_ms), finish=_span(self.finish_ms)) if limited else None,
            idempotency="event.data.user" if self.one_per_user else None,
        )
        return {**options.encode(slug), **self.limits.encode(), **self.offers.encode()}


@dataclass(frozen=True, slots=True)
class Member:
    """A function as it is registered, and its code."""

    function: Function
    code: Code
    options: Options = field(default_factory=Options)

    @property
    def steps(self) -> Mapping[str, Step]:
        """Its steps by hashed id."""
        return {hash_step_id(label): step for step in self.code.steps for label in labels(step)}

    @property
    def longest_ms(self) -> int:
        """How long a run may take when nothing but its own steps goes wrong: naps, back-offs, and some slack."""
        backoff_ms = sum(delay_ms + JITTER_MAX_MS for delay_ms in BACKOFF_MS[: self.function.retries])
        return self.options.offers.waits_ms + self.code.naps_ms + self.code.actions * backoff_ms + _SLACK_MS


_SAVING: Final = (False, True, Checkpointing(3), Checkpointing(max_runtime="1h"))
"""Whether and how a function saves its steps while a call goes on."""


def draw_corpus(seed: int, knobs: Knobs, now_ms: Callable[[], int], outside: Outside) -> Mapping[str, Member]:
    """The functions by slug.

    Now and then one is started by the failure of the others, or by an event that the steps of others send. A function
    invokes later ones only, and what a step may start does not start anything in turn: so every world comes to rest.
    """
    chance = stream(seed, "corpus")
    slugs = [f"{APP}-f{number}" for number in range(knobs.functions)]
    first_more = chance.randint(1, knobs.functions)
    members: dict[str, Member] = {}
    for number, slug in enumerate(slugs):
        retries = chance.choice((0, 1, 2, 4))
        event = _draw_event(chance, number, is_more=number >= first_more)
        reach = Reach(slugs[number + 1 :], WAIT_EVENTS if number >= first_more else (*WAIT_EVENTS, MORE_EVENT))
        drawing = Drawing(chance, retries + 1, Reach() if event == FAILED_EVENT else reach, itertools.count())
        options = replace(_draw_options(chance), limits=_draw_limits(stream(seed, f"limits of {slug}")))
        options = _with_offers(options, stream(seed, f"offers of {slug}"))
        code: Code
        if chance.random() < _REAL_ADAPTER_SHARE:
            code = _with_saving(seed, slug, Closure(draw_tree(drawing), slug, retries, now_ms, outside))
        else:
            code = draw_script(drawing)
        function = Function(slug, APP, slug, URL, (Trigger(event),), retries, options.encode(slug))
        members[slug] = Member(function, code, options)
    return _with_deferring(seed, members)


def _with_deferring(seed: int, members: Mapping[str, Member]) -> Mapping[str, Member]:
    """The same functions; in some worlds scripts defer one more function."""
    chance = stream(seed, "deferring")
    scripts = {slug: member.code for slug, member in members.items() if isinstance(member.code, Script)}
    if not scripts or chance.random() > 0.4:
        return members
    codes = {slug: draw_deferring(chance, script, DEFERRED_SLUG) for slug, script in scripts.items()}
    changed = {slug: replace(members[slug], code=code) for slug, code in codes.items()}
    trigger = Trigger(DEFERRED_EVENT, f"event.data._inngest.fn_slug == '{DEFERRED_SLUG}'")
    function = Function(DEFERRED_SLUG, APP, DEFERRED_SLUG, URL, (trigger,), 4, Options().encode(DEFERRED_SLUG))
    return {**members, **changed, DEFERRED_SLUG: Member(function, deferred_script())}


def _with_saving(seed: int, slug: str, code: Closure) -> Closure:
    """The same function as it saves its steps; one that does may begin with steps in a row that take their time."""
    chance = stream(seed, f"checkpoints of {slug}")
    saving = chance.choice(_SAVING)
    if saving is False or chance.random() < 0.3:
        return code.saving(saving, code.tree)
    row = Do("row", times=chance.randint(2, 6))
    return code.saving(saving, Seq((row, code.tree)), body_ms=chance.choice((0, 5 * SECOND_MS, 40 * SECOND_MS)))


def _draw_event(chance: random.Random, number: int, *, is_more: bool) -> str:
    event = chance.choice((*EVENT_NAMES, MORE_EVENT) if is_more else EVENT_NAMES)
    return FAILED_EVENT if number and chance.random() < 0.15 else event


def _draw_options(chance: random.Random) -> Options:
    def maybe(odds: float, choices: Sequence[Any]) -> Any:
        chosen = chance.choice(choices)
        return chosen if chance.random() < odds else None

    narrow = maybe(0.3, (Narrow.ALL, Narrow.SAME_USER, Narrow.SAME_USER, Narrow.LARGER))
    timeout_ms = maybe(0.3, (30 * SECOND_MS, 10 * MINUTE_MS))
    return Options(
        cancel=None if narrow is None else CancelRule(narrow, timeout_ms),
        start_ms=maybe(0.07, (SECOND_MS, 30 * SECOND_MS)),
        finish_ms=maybe(0.15, (20 * SECOND_MS, 5 * MINUTE_MS, HOUR_MS)),
        one_per_user=chance.random() < 0.15,
    )


def _draw_limits(chance: random.Random) -> Limits:
    if chance.random() < _UNLIMITED_SHARE:
        return Limits()
    return Limits(
        calls=chance.choice((0, 1, 1, 2)),
        calls_of_user=chance.choice((0, 0, 1)),
        runs=chance.choice((0, 0, 0, 1, 2)),
        throttle=chance.random() < 0.3,
        priority=chance.random() < 0.3,
    )


def _with_offers(options: Options, chance: random.Random) -> Options:
    """The same options, and now and then a debounce, or a batch and none of the options that exclude it."""
    kind = chance.choice(("", "", "debounce", "batch"))
    timeout_ms = chance.choice((5 * SECOND_MS, 20 * SECOND_MS, MINUTE_MS))
    of_user = chance.random() < 0.3
    if kind == "batch":
        limits = replace(options.limits, priority=False)
        offers = Offers(timeout_ms=timeout_ms, size=chance.choice((2, 2, 3, 5)), of_user=of_user)
        return replace(options, cancel=None, one_per_user=False, limits=limits, offers=offers)
    if kind == "debounce":
        period_ms = chance.choice((SECOND_MS, 10 * SECOND_MS, 30 * SECOND_MS))
        return replace(options, offers=Offers(period_ms, chance.choice((0, 0, timeout_ms)), of_user=of_user))
    return options


def _cancel_on(rule: CancelRule) -> CancelOn:
    by_path = rule.narrow is Narrow.SAME_USER
    expression = None if by_path else rule.narrow.value or None
    return CancelOn(STOP_EVENT, match="data.user" if by_path else None, if_=expression, timeout=_span(rule.timeout_ms))


def _span(length_ms: int | None) -> dt.timedelta | None:
    return None if length_ms is None else dt.timedelta(milliseconds=length_ms)
