from __future__ import annotations

import inspect
import pydoc
from pathlib import Path
from typing import Any

import pytest
from infra.sync_steps import SOURCE, TARGET, sync_source

from stepwell.steps.step import Step, StepAI
from stepwell.steps.sync_step import SyncStep
from stepwell.steps.sync_step_kinds import SyncStepAI

TYPED_STEPS = (Path(__file__).parents[1] / "typed_steps.py").read_text(encoding="utf-8")


def kinds_of(face: type[Any]) -> list[str]:
    """The names of the step calls of a face."""
    return [name for name, _ in inspect.getmembers(face, inspect.isfunction) if not name.startswith("_")]


def parameters(method: Any) -> str:
    """What a method takes, as it is shown to people."""
    return str(inspect.signature(method)).rpartition(" -> ")[0]


def test_the_sync_face_is_what_the_async_face_generates() -> None:
    """``make format`` would change nothing in the generated step kinds."""
    assert TARGET.read_text(encoding="utf-8") == sync_source(SOURCE.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("source", "generated"),
    [
        ("def f() -> Pending[dict[str, int]]: ...", "def f() -> dict[str, int]: ...\n"),
        ("def f(host: AsyncHost) -> StepAI: ...", "def f(host: SyncHost) -> SyncStepAI: ...\n"),
        ("from a import AsyncHost, Unused\nhost: AsyncHost", "from a import SyncHost\n\nhost: SyncHost\n"),
    ],
)
def test_only_what_is_awaited_differs(source: str, generated: str) -> None:
    """Generating takes the wait off each result, and names what belongs to the sync face."""
    assert sync_source(f'"""Doc."""\n{source}').partition('"""\n\n')[2].lstrip() == generated


@pytest.mark.parametrize(("face", "sync_face"), [(Step, SyncStep), (StepAI, SyncStepAI)])
def test_both_faces_have_the_same_step_kinds(face: type[Any], sync_face: type[Any]) -> None:
    """A plain function has each step kind, with the parameters and the help of the async one, and ``parallel``."""
    assert set(kinds_of(sync_face)) - {"parallel"} == set(kinds_of(face))
    for kind in kinds_of(face):
        method, sync_method = getattr(face, kind), getattr(sync_face, kind)
        assert parameters(method) == parameters(sync_method)
        assert inspect.getdoc(method) == inspect.getdoc(sync_method)


@pytest.mark.parametrize("kind", [*kinds_of(SyncStep), *(f"ai.{kind}" for kind in kinds_of(StepAI))])
def test_every_step_kind_is_checked_by_type_checkers(kind: str) -> None:
    """typed_steps.py says of each step kind what it gives on both faces; ``parallel`` is on one alone."""
    assert f"assert_type(step.{kind}(" in TYPED_STEPS
    assert kind == "parallel" or f"assert_type(await step.{kind}(" in TYPED_STEPS


@pytest.mark.parametrize("face", [Step, SyncStep])
def test_help_shows_how_a_step_is_called(face: type[Any]) -> None:
    """``help(ctx.step.run)`` shows the call as it is written, and what it does."""
    shown = pydoc.plain(pydoc.render_doc(face(None, "run", None).run))
    assert "run(step: 'StepId', fn: 'Callable[..., Any]', /, *args: 'Any', **kwargs: 'Any')" in shown
    assert "Execute ``fn(*args, **kwargs)`` once and keep its result." in shown
