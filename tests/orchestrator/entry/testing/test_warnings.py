"""What a run's calls told its author, as a test sees it."""

from __future__ import annotations

from typing import Any

import pytest

import stepwell
from stepwell.testing import Engine, SyncEngine
from tests.orchestrator.entry.testing.apps import reminder


def forgetful() -> stepwell.App:
    """A function that forgets to await a step."""
    app = stepwell.App("shop", dev=True)

    @app.function(on="go")
    async def forgets(ctx: stepwell.Context) -> str:
        await ctx.step.run("first", lambda: 1)
        ctx.step.run("mail", lambda: 1)
        return "done"

    return app


def changing(*ids: str) -> stepwell.App:
    """A function with these steps, one after the other, and then a long sleep and a short one."""
    app = stepwell.App("shop", dev=True)

    @app.function(on="go")
    async def changes(ctx: stepwell.Context) -> str:
        for step_id in ids:
            await ctx.step.run(step_id, lambda: 1)
        await ctx.step.sleep("nap", "1h")
        await ctx.step.sleep("nap again", "1h")
        return "done"

    return app


async def test_a_step_that_was_never_awaited_is_told(engine: Engine) -> None:
    """The call that ends the run says it, also where it saves its steps by itself."""
    engine.serve(forgetful())
    with pytest.warns(stepwell.StepwellWarning):
        run = await engine.send_one("go")
    (warning,) = run.warnings
    assert warning.startswith('function "shop-forgets": step "mail" was never awaited')
    assert f"({__file__}:" in warning
    assert run.completed


async def test_changed_code_is_told_by_name_and_once_a_run(engine: Engine) -> None:
    """Three calls of the new code meet the same difference, and the old step's name is the journal's."""
    engine.serve(changing("charge"))
    run = await engine.send_one("go")
    assert run.warnings == []
    engine.serve(changing("pay"))
    await engine.advance("1h")
    await engine.advance("1h")
    assert run.completed
    (warning,) = run.warnings
    assert 'the journal has step "charge" here, this replay asked for "pay" instead' in warning
    assert f"({__file__}:" in warning


async def test_a_run_without_warnings_has_none(engine: Engine) -> None:
    """Code that is in order is told nothing."""
    engine.serve(reminder())
    run = await engine.send_one("user/signup")
    await engine.advance("3d")
    assert run.warnings == []


def test_a_plain_test_sees_them_as_well(engine: SyncEngine) -> None:
    """The blocking face has the same property."""
    engine.serve(forgetful())
    with pytest.warns(stepwell.StepwellWarning):
        run = engine.send_one("go")
    assert ["never awaited" in warning for warning in run.warnings] == [True]


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"rate_limit": stepwell.RateLimit(1, "1h")}, "rateLimit"),
        ({"singleton": stepwell.Singleton("skip")}, "singleton"),
    ],
)
async def test_an_option_that_is_not_applied_yet_is_told(engine: Engine, options: dict[str, Any], name: str) -> None:
    """A test that serves a function with such an option is told its name, and that events start runs all the same."""
    app = stepwell.App("shop", dev=True)

    @app.function(on="go", **options)
    async def limited(ctx: stepwell.Context) -> str:
        return "done"

    engine.serve(app)
    with pytest.warns(stepwell.StepwellWarning, match=f"^shop-limited: {name} is checked and stored, and not applied"):
        await engine.send("go")
    await engine.send("go")
    await engine.settle()
    assert [run.status for run in engine.runs] == ["completed"] * 2
