from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import pytest

import stepwell
from stepwell.testing import CrashError, Engine, ExpectationError, SyncEngine
from stepwell_orchestrator.local.journal import SqliteJournal
from stepwell_orchestrator.model.decision import PutEntry
from stepwell_orchestrator.worker.committing import Committer
from tests.orchestrator.entry.testing.apps import reminder

Body = Callable[[], Any]


def shop(body: Body, result: Body = lambda: "paid", **options: Any) -> stepwell.App:
    """One function: a step, an hour of sleep, and a result that is computed outside any step."""
    app = stepwell.App("shop", dev=True, **options)

    @app.function(on="order/paid")
    async def pay(ctx: stepwell.Context) -> Any:
        await ctx.step.run("charge", body)
        await ctx.step.sleep("nap", "1h")
        return result()

    return app


async def an_order(engine: Engine) -> None:
    """A scenario without assertions."""
    await engine.send_one("order/paid")
    await engine.advance("1h")


async def found(app: stepwell.App, scenario: Callable[[Engine], Any] = an_order, **options: Any) -> CrashError:
    """What crash_everywhere raises."""
    async with Engine() as engine:
        engine.serve(app)
        with pytest.raises(CrashError) as raised:
            await engine.crash_everywhere(scenario, **options)
    return raised.value


async def test_a_sound_flow_bears_it(engine: Engine) -> None:
    """Every boundary is tried once on an engine of its own, and the bodies that had to run again are told."""
    engine.serve(reminder())
    engines: list[Engine] = []

    async def scenario(fresh: Engine) -> Any:
        engines.append(fresh)
        run = await fresh.send_one("user/signup", {"name": "bo"})
        await fresh.advance("3d")
        assert run.completed
        assert len(fresh.sent("user/reminded")) == 1
        return run, fresh.now

    report = await engine.crash_everywhere(scenario)
    assert len(engines) == len({*map(id, engines)}) == len(report.boundaries) + 2
    assert len(set(report.boundaries)) == len(report.boundaries) > 20
    together = 'step "welcome" (completed), step "nap" (sleeping)'
    assert f"after the commit of {together} in mail-remind" in report.boundaries
    assert 'after the dispatch of the timer of step "nap" of mail-remind' in report.boundaries
    assert 'after storing the event "user/reminded"' in report.boundaries
    assert report.boundaries[-1].startswith("with every delivery")
    assert (report.findings, report.missed, report.left_out) == ([], [], 0)
    assert report.repeated == {"mail-remind": ["welcome", "remind", "tell"]}
    assert "nothing found" in str(report)
    assert "3 step bodies ran twice" in str(report)
    assert engine.runs == []


async def test_an_outcome_that_hangs_on_memory_is_found() -> None:
    """State kept outside steps differs after a crash: the report says where, shows both ends and the run."""
    receipts: list[int] = []

    async def scenario(engine: Engine) -> None:
        receipts.clear()
        await an_order(engine)

    error = await found(shop(lambda: receipts.append(1), lambda: len(receipts)), scenario)
    [finding] = error.report.findings
    assert finding.boundary == "after the first call of shop-pay"
    assert finding.problem == "the run of shop-pay ends otherwise"
    assert finding.details == ("without a crash: completed: 1", "with it:         completed: 2")
    assert "✓ nap    sleep" in finding.timeline
    assert "crash_everywhere(scenario, only='after the first call of shop-pay')" in str(error)
    assert isinstance(error, AssertionError)


async def test_one_fault_can_be_seen_alone() -> None:
    """The boundary that a report names is the only one that is tried when it is asked for."""
    receipts: list[int] = []

    async def scenario(engine: Engine) -> None:
        receipts.clear()
        await an_order(engine)

    app = shop(lambda: receipts.append(1), lambda: len(receipts))
    [finding] = (await found(app, scenario)).report.findings
    again = (await found(app, scenario, only=finding.boundary)).report
    assert (again.boundaries, again.findings) == ([finding.boundary], [finding])
    async with Engine() as engine:
        engine.serve(app)
        await engine.crash_everywhere(scenario, only="before creating shop-pay")
        with pytest.raises(ExpectationError, match='no boundary "before lunch of shop-pay"; similar ones: "before '):
            await engine.crash_everywhere(scenario, only="before lunch of shop-pay")


async def test_an_outcome_that_hangs_on_chance_is_found_without_a_crash() -> None:
    """What two runs without a crash do not agree on is told as such, and no crash is tried."""
    chance = itertools.count()
    error = await found(shop(lambda: None, lambda: next(chance)))
    [finding] = error.report.findings
    assert str(finding).startswith("without a crash: the scenario does not come to the same twice: the run of shop-pay")
    assert error.report.boundaries == []


async def test_a_branch_taken_by_chance_is_found() -> None:
    """A coin tossed outside a step is tossed again by a call that is made again, even when it repeats itself."""
    coin = itertools.cycle(["heads", "tails"])
    app = stepwell.App("bet", dev=True)

    @app.function(on="order/paid")
    async def bet(ctx: stepwell.Context) -> str:
        side = next(coin)
        await ctx.step.run("stake", lambda: 1)
        return "won" if side == "tails" else "lost"

    async def scenario(engine: Engine) -> None:
        nonlocal coin
        coin = itertools.cycle(["heads", "tails"])
        await an_order(engine)

    [first, *_] = (await found(app, scenario)).report.findings
    assert first.details == ('without a crash: completed: "lost"', 'with it:         completed: "won"')


async def test_an_event_that_is_sent_twice_is_found() -> None:
    """An event sent by a body that dies before its result is kept goes out again, unless it has an id."""
    app = stepwell.App("post", dev=True)

    async def tell(name: str, event_id: str | None) -> None:
        await app.send(stepwell.Event(name=name, id=event_id))

    @app.function(on="order/paid")
    async def announce(ctx: stepwell.Context) -> None:
        name = ctx.event.data["name"]
        await ctx.step.run("tell", tell, name, ctx.run_id if name == "told/once" else None)

    def sending(name: str) -> Callable[[Engine], Any]:
        return lambda engine: engine.send_one("order/paid", {"name": name})

    [first, *_] = (await found(app, sending("told"))).report.findings
    assert first.problem == "the event told {}"
    assert first.details == ("without a crash: sent once", "with it:         sent 2 times")
    async with Engine() as engine:
        engine.serve(app)
        await engine.crash_everywhere(sending("told/once"))


async def test_a_scenario_that_fails_after_a_crash_is_found() -> None:
    """What the scenario asserts in vain is told with its line, and with the bodies that ran twice."""
    charged: list[int] = []

    async def scenario(engine: Engine) -> None:
        charged.clear()
        await an_order(engine)
        assert charged == [1]

    [finding] = (await found(shop(lambda: charged.append(1)), scenario)).report.findings
    assert finding.problem.startswith("the scenario raised AssertionError")
    assert "assert charged == [1]" in finding.details[0]
    assert finding.details[-1] == "step bodies that ran twice, as their worker died: charge (shop-pay)"


async def test_a_scenario_s_own_failure_stays_what_it_is(engine: Engine) -> None:
    """What fails without a crash is raised as it is, before any crash is tried."""
    engine.serve(shop(lambda: None))
    lived = []

    async def scenario(fresh: Engine) -> None:
        lived.append(fresh)
        run = await fresh.send_one("order/paid")
        assert run.failed, "my own message"

    with pytest.raises(AssertionError, match="my own message") as raised:
        await engine.crash_everywhere(scenario)
    assert not isinstance(raised.value, CrashError)
    assert len(lived) == 1


async def test_a_journal_that_forgets_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit that was accepted and is lost lets a body run again after it was journaled, even without a crash."""
    commit = SqliteJournal.commit

    async def forgetful(journal: SqliteJournal, run_id: str, writes: Any, **lease: Any) -> bool:
        kept = [write for write in writes if not (isinstance(write, PutEntry) and write.entry.name == "charge")]
        return await commit(journal, run_id, kept, **lease)

    monkeypatch.setattr(SqliteJournal, "commit", forgetful)
    [first, *_] = (await found(shop(lambda: None))).report.findings
    assert str(first) == (
        'without a crash: the body of step "charge" of shop-pay ran again after its result was in the journal'
    )


async def test_a_journal_that_is_late_is_found_by_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal that makes a result durable only with what it does next loses it to the crash in between."""
    commit = SqliteJournal.commit
    late: list[Any] = []

    async def lazy(
        journal: SqliteJournal, run_id: str, writes: Any, *, term: int | None, wanted: int | None = None
    ) -> bool:
        previous, late[:] = list(late), []
        held = isinstance(writes[0], PutEntry) and writes[0].entry.name == "charge"
        if held:
            late.append((writes, term))
        freed = False
        for known, known_term in [*previous, *([] if held else [(writes, term)])]:
            if known_term == term:
                freed = await commit(journal, run_id, known, term=term, wanted=wanted)
        return freed

    async def scenario(engine: Engine) -> None:
        late.clear()
        await an_order(engine)

    monkeypatch.setattr(SqliteJournal, "commit", lazy)
    findings = (await found(shop(lambda: None, checkpoint=False), scenario)).report.findings
    boundary = 'after the commit of step "charge" (completed) in shop-pay'
    [first] = [finding for finding in findings if finding.boundary == boundary]
    assert first.problem == 'the body of step "charge" of shop-pay ran again after its result was in the journal'
    assert "charge" in first.timeline


async def test_a_run_that_does_not_end_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that does not make up for what a dead worker left undone leaves the run asleep."""
    for module in ("committing", "driving"):
        monkeypatch.setattr(f"stepwell_orchestrator.worker.{module}.recover", lambda _run, _now_ms: ())
    [first, *_] = (await found(shop(lambda: None))).report.findings
    assert first.boundary == 'after the commit of step "charge" (completed), step "nap" (sleeping) in shop-pay'
    assert first.problem == "the run of shop-pay does not end"
    assert first.details == ('without a crash: completed: "paid"', "with it:         has not ended")
    assert "○ nap    sleep" in first.timeline


async def test_an_engine_that_raises_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the engine's own is told, even when the run ends as it should."""
    take_over = Committer.take_over

    async def clumsy(committer: Committer, *args: Any) -> Any:
        await take_over(committer, *args)
        raise RuntimeError("dropped it")

    monkeypatch.setattr(Committer, "take_over", clumsy)
    findings = (await found(shop(lambda: None))).report.findings
    assert findings[0].problem == "the engine raised RuntimeError: dropped it"
    assert len(findings) == 7


async def test_everything_a_function_can_do_bears_it(engine: Engine) -> None:
    """Parallel steps, threads, retries, waits, signals, invocations, cancellation and plain functions come through."""
    app = stepwell.App("all", dev=True)

    @app.function()
    def child(ctx: stepwell.SyncContext) -> int:
        return ctx.step.run("double", lambda: ctx.event.data["n"] * 2)

    @app.function(on="doze", cancel_on=stepwell.CancelOn("stop", match=None))
    async def doze(ctx: stepwell.Context) -> None:
        await ctx.step.sleep("long", "1d")

    @app.function(on="go")
    async def everything(ctx: stepwell.Context) -> Any:
        step = ctx.step
        both = await asyncio.gather(step.run("left", str, 1), step.run("right", asyncio.sleep, 0, "2"))
        flaky = await step.run("flaky", lambda: "third")
        signal = await step.wait_for_signal("sign", signal="signed", timeout="1h")
        paid = await step.wait_for_event("paid", event="paid", match="data.n", timeout="1d")
        doubled = await step.invoke("double", function=child, data={"n": 4})
        return [both, flaky, signal, paid is not None, doubled]

    async def scenario(fresh: Engine) -> list[str]:
        fresh.fail_step("flaky", times=2)
        run = await fresh.send_one("go", {"n": 1})
        await fresh.advance("2m")
        doomed = await fresh.send_one("doze")
        await fresh.send("stop")
        await fresh.settle()
        assert run.step("flaky").attempts == 3
        assert await fresh.send_signal("signed", {"by": "ada"}) == run.id
        await fresh.send("paid", {"n": 1})
        await fresh.advance("1h")
        assert run.output[0] == ["1", "2"]
        assert run.output[3:] == [True, 8]
        assert doomed.cancelled
        return [run.status for run in fresh.runs]

    engine.serve(app)
    report = await engine.crash_everywhere(scenario, limit=60)
    assert len(report.boundaries) == 60
    assert report.repeated.keys() <= {"all-everything", "all-child"}


async def test_stubs_count_attempts(engine: Engine) -> None:
    """An attempt that is made again after a crash has the outcome it had, and is not one more call of the stub."""
    engine.serve(shop(lambda: None))

    async def scenario(fresh: Engine) -> int:
        charge = fresh.stub("charge", [TimeoutError("busy"), TimeoutError("busy"), "receipt"])
        run = await fresh.send_one("order/paid")
        await fresh.advance("2h")
        assert run.step("charge").output == "receipt"
        return len(charge.calls)

    report = await engine.crash_everywhere(scenario)
    assert report.repeated == {"shop-pay": ["charge"]}


async def test_a_long_scenario_is_sampled(engine: Engine) -> None:
    """With a limit that many faults are tried, from the first to the last, and the report tells how many were not."""
    engine.serve(reminder())

    async def scenario(fresh: Engine) -> None:
        await fresh.send_one("user/signup")
        await fresh.advance("3d")

    every = (await engine.crash_everywhere(scenario)).boundaries
    report = await engine.crash_everywhere(scenario, limit=5)
    assert report.boundaries == [every[index * len(every) // 5] for index in range(5)]
    assert report.left_out == len(every) - 5
    assert f"5 faults tried, a run of the scenario each; {len(every) - 5} more were left out" in str(report)


async def test_it_is_refused_where_it_would_prove_nothing(engine: Engine) -> None:
    """An engine that was used before, and a scenario that uses another one than it is given, are refused."""
    engine.serve(shop(lambda: None))

    async def idle(_engine: Engine) -> None:
        """Does nothing."""

    with pytest.raises(ExpectationError, match="the scenario lets its engine do nothing"):
        await engine.crash_everywhere(idle)
    engine.stub("charge", 1)
    with pytest.raises(ExpectationError, match="this one has been used already"):
        await engine.crash_everywhere(an_order)


async def test_nothing_is_left_running(engine: Engine) -> None:
    """A worker that died leaves no task behind, and the app as it was."""
    app = shop(lambda: None)
    engine.serve(app)
    transport = app.transport
    await engine.crash_everywhere(an_order)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert app.transport is transport


def test_it_works_without_async(engine: SyncEngine) -> None:
    """The plain engine takes a plain scenario, and gives it plain engines."""
    engine.serve(reminder())

    def scenario(fresh: SyncEngine) -> object:
        run = fresh.send_one("user/signup")
        fresh.advance("3d")
        return run.output

    report = engine.crash_everywhere(scenario)
    assert len(report.boundaries) > 20
    assert report.repeated == {"mail-remind": ["welcome", "remind", "tell"]}
