"""Pauses and signals against dictionaries, over sequences of operations that hypothesis makes up."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from stepwell_orchestrator.model.pause import Pause, PauseKey
from stepwell_orchestrator.model.signal import SignalWait
from tests.conformance.backends import Backend, OpenBackend, Traits
from tests.conformance.samples import NOW_MS, a_pause, a_signal_wait

SHAPES = ("", '[["data","id"]]')
NAMES = ("a", "b")


def _a_pause(number: int, slot: int) -> Pause:
    """What run ``number`` waits for with its step ``slot``: like any step's pause, never filed in two ways."""
    shape = SHAPES[number % 2]
    return a_pause(number, NAMES[slot % 2], f"i{slot % 2}" if shape else "", f"step-{slot}", shape=shape)


pauses = st.builds(_a_pause, st.integers(1, 4), st.integers(0, 3))
signals = st.builds(
    lambda number, name, late_ms: a_signal_wait(number, name, expires_at_ms=NOW_MS + late_ms),
    st.integers(1, 3),
    st.sampled_from(NAMES),
    st.integers(1, 6),
)


class WaitsMachine(RuleBasedStateMachine):
    """Pauses filed and dropped, signals taken and given up, and the passing of time, in any order."""

    def __init__(self, open_backend: OpenBackend[Backend], folder: Path) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.opened = open_backend(folder)
        self.waits = self.answer(self.opened.__aenter__()).waits
        self.now_ms = NOW_MS
        self.pauses: dict[PauseKey, Pause] = {}
        self.shapes: set[tuple[str, str]] = set()
        self.signals: dict[str, SignalWait] = {}

    def teardown(self) -> None:
        self.answer(self.opened.__aexit__(None, None, None))
        self.runner.close()

    def answer(self, call: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(call)

    @rule(delay_ms=st.integers(0, 4))
    def pass_time(self, delay_ms: int) -> None:
        self.now_ms += delay_ms

    @rule(pause=pauses)
    def file(self, pause: Pause) -> None:
        self.answer(self.waits.put_pause(pause))
        self.pauses[pause.key] = pause
        self.shapes.add((pause.key.event_name, pause.shape))

    @rule(dropped=st.lists(pauses, max_size=3))
    def drop(self, dropped: list[Pause]) -> None:
        self.answer(self.waits.drop_pauses([pause.key for pause in dropped]))
        for pause in dropped:
            self.pauses.pop(pause.key, None)

    @rule(wait=signals, replace=st.booleans())
    def take(self, wait: SignalWait, replace: bool) -> None:
        holder = self.signals.get(wait.name)
        free = holder is None or holder.expires_at_ms <= self.now_ms or holder.run_id == wait.run_id
        answer = self.answer(self.waits.take_signal(wait, replace=replace, now_ms=self.now_ms))
        assert answer is (free or replace)
        if answer:
            self.signals[wait.name] = wait

    @rule(wait=signals)
    def give_up(self, wait: SignalWait) -> None:
        self.answer(self.waits.drop_signal(wait))
        holder = self.signals.get(wait.name)
        if holder is not None and holder.run_id == wait.run_id:
            del self.signals[wait.name]

    @invariant()
    def agree_on_the_pauses(self) -> None:
        for name, shape, index in ((n, s, i) for n in NAMES for s in SHAPES for i in ("", "i0", "i1")):
            filed = sorted(
                (pause for pause in self.pauses.values() if pause.key[:2] == (name, index) and pause.shape == shape),
                key=lambda pause: pause.key,
            )
            first = self.answer(self.waits.pauses(name, shape, index, after=None, limit=2))
            assert first == filed[:2]
            if first:
                assert self.answer(self.waits.pauses(name, shape, index, after=first[-1].key, limit=99)) == filed[2:]

    @invariant()
    def agree_on_the_shapes(self) -> None:
        for name in NAMES:
            shapes = self.answer(self.waits.shapes(name))
            live = {pause.shape for pause in self.pauses.values() if pause.key.event_name == name}
            assert live <= set(shapes) <= {shape for of, shape in self.shapes if of == name}
            assert len(shapes) == len(set(shapes))

    @invariant()
    def agree_on_the_signals(self) -> None:
        for name in NAMES:
            assert self.answer(self.waits.get_signal(name)) == self.signals.get(name)


def test_waits_do_what_their_model_does(open_backend: OpenBackend[Backend], traits: Traits, tmp_path_factory: Any):
    """No sequence of operations tells pauses and signals from two dictionaries."""
    run_state_machine_as_test(
        lambda: WaitsMachine(open_backend, tmp_path_factory.mktemp("waits")),
        settings=settings(max_examples=min(25, traits.examples), stateful_step_count=25, deadline=None),
    )
