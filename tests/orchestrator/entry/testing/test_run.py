from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import stepwell
from stepwell.testing import Engine, ExpectationError, Run
from tests.orchestrator.entry.testing.apps import reminder

DETAIL = "welcome run   "


async def test_a_run_tells_where_it_stands(engine: Engine) -> None:
    """A run's repr is one line with its status and what it waits for, or its error."""
    engine.serve(reminder())
    engine.fail_step("remind", error=ValueError("mail\nserver down"))
    run = await engine.send_one("user/signup")
    assert repr(run) == "<Run mail-remind running: nap sleeping until 2026-01-04 00:00:00>"
    await engine.advance("3d")
    assert repr(run).startswith("<Run mail-remind running: remind errored until 2026-01-04 00:00:")
    assert repr(run).endswith("(ValueError: mail server down)>")
    assert repr(run.step("remind")).startswith("<Step remind errored until 2026-01-04")
    await engine.advance("1m")
    assert repr(run) == "<Run mail-remind completed, 4 steps>"
    assert repr(run.step("remind")) == '<Step remind completed ({"mail":1})>'


async def test_a_repr_stays_short(engine: Engine) -> None:
    """Of many open steps a run's repr names four, and long errors are cut."""
    app = stepwell.App("wide", dev=True)

    @app.function(on="go", retries=0)
    async def wide(ctx: stepwell.Context) -> None:
        if ctx.event.data["fail"]:
            raise ValueError("x" * 100)
        for pending in [ctx.step.sleep(f"nap-{number}", "1h") for number in range(6)]:
            await pending

    engine.serve(app)
    run = await engine.send_one("go", {"fail": False})
    assert repr(run).endswith("nap-3 sleeping until 2026-01-01 01:00:00, 2 more>")
    failed = await engine.send_one("go", {"fail": True})
    assert repr(failed) == f"<Run wide-wide failed: ValueError: {'x' * 47}…>"


async def test_no_output_before_the_end(engine: Engine) -> None:
    """The output of a run that has not completed is an error with its status, and the timeline."""
    engine.serve(reminder())
    run = await engine.send_one("user/signup")
    with pytest.raises(ExpectationError) as unmet:
        _ = run.output
    first, _, *rest = str(unmet.value).splitlines()
    assert first == "the run of mail-remind has no output: it is running: nap sleeping until 2026-01-04 00:00:00"
    assert "\n".join(rest) == run.timeline()
    assert DETAIL in run.timeline()
    assert isinstance(unmet.value, AssertionError)


async def test_no_output_of_a_failed_run(engine: Engine) -> None:
    """The output of a failed run is an error that tells what it failed with."""
    engine.serve(reminder())
    engine.stub("welcome", stepwell.NonRetriableError("no such user"))
    run = await engine.send_one("user/signup")
    assert run.failed
    with pytest.raises(ExpectationError, match="it is failed: NonRetriableError: no such user"):
        _ = run.output
    assert run.step("welcome").error is not None
    assert run.step("welcome").error.name == "NonRetriableError"
    with pytest.raises(ExpectationError, match='step "welcome" has no output: it is failed'):
        _ = run.step("welcome").output


async def test_a_test_that_forgot_to_settle_is_told_so(engine: Engine) -> None:
    """When something was sent since the engine came to rest, the error says what to call."""
    engine.serve(reminder())
    run = await engine.send_one("user/signup")
    await engine.send("user/signup")
    with pytest.raises(ExpectationError, match=r"since the engine last settled: call settle\(\) first"):
        _ = run.output
    await engine.settle()
    with pytest.raises(ExpectationError) as unmet:
        _ = run.output
    assert "settle" not in str(unmet.value)


async def test_an_unknown_step_names_those_there_are(engine: Engine) -> None:
    """A step the run does not have is an error with the names of those it has."""
    engine.serve(reminder())
    run = await engine.send_one("user/signup")
    with pytest.raises(ExpectationError, match='has no step "welcome:1"; its steps so far: "welcome", "nap"'):
        run.step("welcome", 1)


async def test_repeated_ids_are_counted(engine: Engine) -> None:
    """The steps of a loop that share an id are told apart by number, from 0."""
    app = stepwell.App("loop", dev=True)

    @app.function(on="go")
    async def loop(ctx: stepwell.Context) -> None:
        for number in range(3):
            await ctx.step.run("lap", lambda number=number: number * 10)

    engine.serve(app)
    run = await engine.send_one("go")
    assert [run.step("lap").output, run.step("lap", 1).output, run.step("lap", 2).output] == [0, 10, 20]


async def test_a_step_is_known_by_its_id_and_shown_by_its_name(engine: Engine) -> None:
    """A step with a display name is found under its id."""
    app = stepwell.App("named", dev=True)

    @app.function(on="go")
    async def named(ctx: stepwell.Context) -> None:
        await ctx.step.run(stepwell.StepOptions("charge", name="Charge the card"), lambda: 1)

    engine.serve(app)
    run = await engine.send_one("go")
    assert run.step("charge").name == "Charge the card"


async def test_values_are_those_of_the_journal(engine: Engine) -> None:
    """Outputs have been through JSON, and the event is the one that was sent."""
    app = stepwell.App("json", dev=True)

    @app.function(on="go")
    async def values(ctx: stepwell.Context) -> Any:
        return await ctx.step.run("pair", lambda: (1, {"two": (3,)}))

    engine.serve(app)
    run = await engine.send_one("go", {"n": 1})
    assert run.output == [1, {"two": [3]}]
    assert (run.event.name, run.event.data, run.app, run.function) == ("go", {"n": 1}, "json", "json-values")
    assert run.error is None
    assert run.step("pair").error is None
    assert run.step("pair").due_at is None


async def test_a_run_can_be_looked_at_when_the_engine_is_closed(engine: Engine) -> None:
    """Runs and events outlive the engine they came from."""
    async with Engine() as closed:
        closed.serve(reminder())
        run: Run = await closed.send_one("user/signup")
        await closed.advance("3d")
    look: list[Callable[[], object]] = [lambda: run.output, run.timeline, lambda: closed.runs, closed.report]
    assert all(act() is not None for act in look)
    assert len(closed.sent("user/reminded")) == 1


async def test_a_report_has_what_is_not_completed(engine: Engine) -> None:
    """The report shows the runs that failed or go on, and steps that were stubbed in vain."""
    engine.serve(reminder())
    assert engine.report() == ""
    engine.stub("remnid", 1)
    run = await engine.send_one("user/signup")
    assert engine.report() == f"{run.timeline()}\n\nnever executed, though stubbed or told to fail: remnid"
    await engine.advance("3d")
    engine.stub("welcome", ValueError("no"))
    await engine.send("user/signup")
    await engine.advance("1h")
    assert "mail-remind  Failed in" in engine.report()
    assert run.id not in engine.report()
