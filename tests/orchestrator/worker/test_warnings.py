"""What calls tell a function's author reaches the run: once, whoever dies, and no more than a person reads."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from stepwell.wire import headers as names
from stepwell.wire.call import DISCOVERY_STEP_ID, CallRequest
from stepwell.wire.ids import hash_step_id
from stepwell.wire.reply import WARNING_CHARS_MAX
from stepwell_orchestrator.engine.calls.warnings import WARNINGS_PER_RUN_MAX, warnings_of
from stepwell_orchestrator.model.notice import NoticeKind
from stepwell_orchestrator.model.run import RunStatus
from tests.orchestrator.engine.builders import entry, run
from tests.orchestrator.worker.harness import Script, World

Says = Callable[[CallRequest, str], Sequence[str]]


@dataclass
class Speaker(Script):
    """A script whose replies carry warnings."""

    says: Says = lambda request, target: ["odd"]

    def headers(self, request: CallRequest, target: str) -> dict[str, str]:
        return {names.WARNINGS: json.dumps(self.says(request, target))}


class Dying:
    """A journal before or after whose method, once, its worker dies."""

    def __init__(self, journal: Any, method: str) -> None:
        self._journal = journal
        self._method: str | None = method

    def __getattr__(self, name: str) -> Any:
        if name != self._method:
            return getattr(self._journal, name)
        self._method = None
        return self._die

    async def _die(self, *args: Any, **members: Any) -> None:
        raise RuntimeError("the worker dies")


async def started(stages: Sequence[Sequence[str]], says: Says = lambda request, target: ["odd"]) -> World:
    """A world with one run that is about to be driven."""
    world = World(Speaker(stages, says=says))
    await world.register()
    await world.send()
    return world


def told(world: World) -> list[str]:
    return [notice.detail for notice in world.notices if notice.kind is NoticeKind.WARNED]


async def test_a_warning_is_told_once_however_many_calls_say_it() -> None:
    """Four calls, two of them of planned steps, say the same."""
    world = await started([["a", "b"], ["sleep:10s"]])
    await world.run_to_end(copies=2)
    assert len(world.script.calls) >= 4
    assert told(world) == ["odd"]
    assert (await world.run()).header.warnings == ("odd",)


async def test_what_a_planned_step_says_is_kept() -> None:
    """Its call holds no drive lease: the warning comes with the step's entry, and outlives it in the run."""
    world = await started(
        [["a", "b"], ["sleep:10s"]], lambda _, target: [f"of {target}"] * (target != DISCOVERY_STEP_ID)
    )
    await world.settle()
    said = {f"of {hash_step_id(name)}" for name in "ab"}
    assert set(told(world)) == said
    assert set(warnings_of(await world.run())) == said
    await world.run_to_end()
    assert sorted(told(world)) == sorted(said)


async def test_the_last_call_of_a_run_is_heard() -> None:
    """A warning of the call that ended a run is on the run, and told before its end."""
    world = await started([["a"]], lambda request, _: ["late"] if request.steps else [])
    await world.run_to_end()
    ended = (await world.run()).header
    assert (ended.status, ended.warnings) == (RunStatus.COMPLETED, ("late",))
    assert [notice.kind for notice in world.notices[-2:]] == [NoticeKind.WARNED, NoticeKind.RUN_COMPLETED]


async def test_what_a_driver_that_died_had_kept_is_not_told_again() -> None:
    """The driver dies between its commit and the release of its lease: its successor's call says the same."""
    world = await started([["sleep:1h"]])
    with pytest.raises(RuntimeError):
        await world.settle(worker=world.new_worker(Dying(world.backend.journal, "release"), world.backend.queue))
    assert told(world) == ["odd"]
    await world.run_to_end()
    assert len(world.script.calls) >= 2
    assert told(world) == ["odd"]
    assert (await world.run()).header.warnings == ("odd",)


async def test_what_was_not_committed_is_said_by_the_next_call() -> None:
    """The driver dies before its commit: nothing was told, and the next one tells it."""
    world = await started([["sleep:1h"]])
    with pytest.raises(RuntimeError):
        await world.settle(worker=world.new_worker(Dying(world.backend.journal, "commit"), world.backend.queue))
    assert told(world) == []
    await world.run_to_end()
    assert told(world) == ["odd"]
    assert (await world.run()).header.warnings == ("odd",)


async def test_a_run_keeps_so_many_and_no_more() -> None:
    """Five a call, each as long as may be, of twelve calls: the first twenty stay."""

    def says(request: CallRequest, target: str) -> list[str]:
        return [f"{len(request.steps):02d}.{number}" + "x" * WARNING_CHARS_MAX for number in range(5)]

    world = await started([[f"s{number}"] for number in range(12)], says)
    await world.run_to_end()
    kept = (await world.run()).header.warnings
    assert len(kept) == WARNINGS_PER_RUN_MAX
    assert {len(text) for text in kept} == {WARNING_CHARS_MAX}
    assert told(world) == list(kept)


async def test_a_step_is_called_by_its_name_where_the_function_knows_its_hash_alone() -> None:
    """What the journal has of a step is more than what a call is sent."""
    gone, unknown = hash_step_id("a"), hash_step_id("never")
    text = f"the journal has step {gone} here, not step {unknown}"
    world = await started([["a"]], lambda request, _: [text] if request.steps else [])
    await world.run_to_end()
    assert told(world) == [f'the journal has step "a" here, not step {unknown}']


def test_what_two_calls_said_is_shown_once() -> None:
    """A warning that is with the run and with one of its steps is one warning."""
    step = replace(entry("a"), warnings=("odd", "even"))
    assert warnings_of(run(step, warnings=("odd",))) == ("odd", "even")
