"""A failing seed shrinks to the same broken promise with little around it, each time to the same; and the reports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import takewhile

import pytest

from tests.sim import __main__ as command
from tests.sim import mutations
from tests.sim.shrink import is_fault, shrink
from tests.sim.simulate import Lived, Report, simulate
from tests.sim.told import told

SEEDS_MAX = 40
NOTHING = Report(seeds=10)


def failing() -> Lived:
    """The world of the first seed that breaks a promise."""
    return next(lived for lived in map(simulate, range(SEEDS_MAX)) if lived.violation is not None)


def count(parts: tuple[str, ...]) -> Counter[str]:
    """The parts of a world by kind."""
    return Counter(part.partition(" ")[0] for part in parts)


@pytest.mark.parametrize(
    "mutation",
    [
        mutations.forget_what_a_cancel_owes,
        mutations.forget_the_discovery_of_a_takeover,
        mutations.share_claims,
        mutations.lose_retries,
    ],
)
def test_little_is_left(mutation: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left of a world breaks the same promise with hardly a fault or event, and needs each of its parts."""
    mutation(monkeypatch)
    whole = failing()
    shrunk = shrink(whole)
    least, left = shrunk.least, count(shrunk.least.parts)
    assert least.report.broken == whole.report.broken
    assert shrunk.minimal
    assert left < count(whole.parts)
    assert left["fault"] <= 3
    assert left["event"] <= 2
    assert left["worker"] <= 3
    for part in least.parts:
        assert simulate(least.seed, set(least.parts) - {part}).report.broken != whole.report.broken


def test_shrinking_repeats_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """A seed is shrunk to the same world in the same tries each time, and that world can be lived again."""
    mutations.forget_the_discovery_of_a_takeover(monkeypatch)
    first, second = shrink(failing()), shrink(failing())
    assert (first.tries, first.least.parts) == (second.tries, second.least.parts)
    again = simulate(first.least.seed, first.least.parts)
    assert first.least.report.digest == second.least.report.digest == again.report.digest


def test_tries_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """With no tries left the least world so far is the answer, and is not called minimal."""
    mutations.forget_the_discovery_of_a_takeover(monkeypatch)
    shrunk = shrink(failing(), tries_max=3)
    assert shrunk.tries == 3
    assert not shrunk.minimal
    assert shrunk.least.violation is not None


@pytest.mark.parametrize("seed", [1, 6, 8])
def test_everything_before_a_fault_stays(seed: int) -> None:
    """A world without one of its faults is the same up to that fault."""
    whole = simulate(seed)
    faults = [part for part in whole.parts if is_fault(part)]
    number = len(faults) // 2
    less = simulate(seed, set(whole.parts) - {faults[number]})
    before = list(takewhile(lambda line: line != whole.trace.faults()[number], whole.trace.lines()))
    assert len(before) > 10
    assert less.trace.lines()[: len(before)] == before
    assert whole.trace.faults()[number] not in less.trace.faults()


def test_all_parts_are_the_whole_world() -> None:
    """A world of which every part was named is the one in which everything joins in."""
    whole = simulate(5)
    assert len(whole.parts) > 20
    assert simulate(5, whole.parts).report.digest == whole.report.digest


def test_report_names_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """The report has the broken promise, what is left, the fault that does it, the run's trace, and both commands."""
    mutations.forget_the_discovery_of_a_takeover(monkeypatch)
    shrunk = shrink(failing())
    report, seed = told(shrunk), shrunk.whole.seed
    assert report.startswith(f"seed {seed}: promise 5: ")
    assert "to    worker 2, function sim-f" in report
    assert shrunk.least.trace.faults()
    assert all(report.count(fault) == 2 for fault in shrunk.least.trace.faults())
    assert "checker   run 1: promise 5: " in report
    assert f"make sim SEED={seed} TRACE=1" in report
    assert f"make sim SEED={seed} SHRINK=1 TRACE=1" in report


def run(monkeypatch: pytest.MonkeyPatch, reports: Iterator[Report], **settings: str) -> int:
    """``make sim`` on seeds that were simulated already."""
    for name in ("SEED", "SEEDS", "START", "TRACE", "SHRINK", "PROCESSES"):
        monkeypatch.delenv(name, raising=False)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(command, "_reports", lambda *_: reports)
    return command.main()


def test_first_failure_is_shrunk(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The first seed that breaks a promise is shrunk, others get a line, and the exit code is 1."""
    mutations.answer_before_it_is_stored(monkeypatch)
    failed = [simulate(seed).report for seed in (0, 1, 2)]
    assert [report.broken for report in failed] == [{0: 1}, {1: 1}, {2: 1}]
    assert run(monkeypatch, (report for report in failed), SEEDS="3") == 1
    output = capsys.readouterr().out
    assert output.count("shrunk in") == 1
    assert all(report.failures[0] in output for report in failed)
    assert "3 seeds, 3 violations: promise 1 in 3" in output


def test_interruption_keeps_what_was_found(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C ends with the summary of the seeds that were simulated, and the shell's exit code for it."""

    def interrupted() -> Iterator[Report]:
        yield NOTHING
        raise KeyboardInterrupt

    assert run(monkeypatch, interrupted(), SEEDS="200") == 130
    output = capsys.readouterr().out
    assert "10 seeds, 0 violations\ninterrupted: 190 seeds were not looked at" in output


def test_settings_are_checked(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A setting that is no number is refused by its name."""
    assert run(monkeypatch, iter(()), SEEDS="many") == 2
    assert "SEEDS=many" in capsys.readouterr().err
