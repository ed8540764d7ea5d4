from __future__ import annotations

import datetime as dt
import threading

import pytest

import stepwell
from stepwell.testing import Engine, ExpectationError, SyncEngine
from tests.orchestrator.entry.testing.apps import fan, reminder


def test_the_same_calls_without_await(engine: SyncEngine) -> None:
    """In a plain test every call of the engine gives its result directly."""
    app = reminder()
    engine.serve(app)
    stub = engine.stub("welcome", "hi")
    engine.fail_step("remind")
    run = engine.send_one("user/signup", {"name": "ada"})
    assert stub.calls == [(("ada",), {})]
    engine.advance("3d")
    assert run.step("remind").status == "errored"
    engine.advance_to(dt.datetime(2026, 1, 5, tzinfo=dt.UTC))
    assert run.output == {"mail": 1}
    assert len(engine.sent("user/reminded")) == 1
    assert engine.now == dt.datetime(2026, 1, 5, tzinfo=dt.UTC)
    engine.send("user/signup")
    engine.settle()
    _, open_run = engine.runs
    engine.cancel(open_run)
    assert open_run.cancelled
    assert "Cancelled" in engine.report()


def test_code_under_test_sends_as_it_does_live(engine: SyncEngine) -> None:
    """``app.send_sync`` works in a plain test, as it does in the code that is tested."""
    app = fan()
    engine.serve(app)
    [event_id] = app.send_sync(stepwell.Event(name="order/paid", data={"total": 1}))
    engine.settle()
    [run] = engine.runs
    assert run.output == "sent"
    assert event_id


def test_plain_functions_and_threads(engine: SyncEngine) -> None:
    """A ``def`` function with blocking bodies runs as it does live, and may send from its thread."""
    app = stepwell.App("plain", dev=True)

    @app.function(on="go")
    def go(ctx: stepwell.SyncContext) -> str:
        ctx.step.run("tell", app.send_sync, stepwell.Event(name="told"))
        return ctx.step.run("name", lambda: threading.current_thread().name)

    engine.serve(app)
    run = engine.send_one("go")
    assert run.output == "stepwell-plain-go-name"
    assert len(engine.sent("told")) == 1


def test_errors_come_through(engine: SyncEngine) -> None:
    """What the engine refuses is raised in the test."""
    engine.serve(fan())
    with pytest.raises(ExpectationError, match="no function listens to it"):
        engine.send_one("order/shipped")


def test_it_is_a_context_manager() -> None:
    """Leaving the block ends its thread and gives the app back; leaving it twice changes nothing."""
    app = fan()
    before = set(threading.enumerate())
    with Engine.sync() as engine:
        engine.serve(app)
        assert engine.send_one("order/paid", {"total": 1}).completed
    engine.close()
    assert app.transport is None
    # What other tests left behind may end meanwhile.
    assert set(threading.enumerate()) <= before
    assert [run.output for run in engine.runs] == ["sent"]


async def test_it_also_works_within_a_running_loop() -> None:
    """An async test may use the plain engine too: it has a loop and a thread of its own."""
    with Engine.sync(now=dt.datetime(2027, 1, 1, tzinfo=dt.UTC), patience=5) as engine:
        engine.serve(fan())
        assert engine.now.year == 2027
        assert engine.send_one("order/paid", {"total": 1}).output == "sent"
