from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from stepwell_orchestrator.cli.bench import costs
from stepwell_orchestrator.cli.bench.costs import Cost, Count, Report
from stepwell_orchestrator.costing.bill import Line, Rates, Work
from stepwell_orchestrator.costing.durations import Invocation
from stepwell_orchestrator.costing.ledger import Usage
from tests.orchestrator.cli.conftest import Stepwell

WORK = Work(
    {
        ("dynamodb", "put_item"): Usage(requests=2, write_units=3, read_units=0.5),
        ("sqs", "send_message_batch"): Usage(requests=1, chunks=1),
        ("lambda", "invoke"): Usage(requests=1),
    },
    ((Invocation("queue", 10), 0.1),),
)
ASKED: list[tuple[Rates, dict[str, Any]]] = []


def a_report(rates: Rates, **asked: Any) -> Report:
    """What stands in for a minute of counting."""
    ASKED.append((rates, asked))
    lines = {Line.WRITES: 2.0, Line.LOGS: 0.79}
    return Report(
        costs=(
            Cost("sequential", "10 steps", "step", WORK, lines, 2.5),
            Cost("sleep", "a sleep", "sleep", WORK, lines, 2.79),
            Cost("run", "a run", "run", WORK, lines),
        ),
        counts=(Count("messages", "messages of a run", 3, 2, "three reasons"), Count("w", "units", 1, 1, "an entry")),
        stored_bytes=8_374.2,
        stored_dollars=1.0412,
        idle={"polling the queue": 0.263, "the dashboard": 3.0},
    )


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is counted."""
    ASKED.clear()
    monkeypatch.setattr(costs, "measure", a_report)


def test_costs_are_a_table_with_verdicts(stepwell: Stepwell):
    """Each workload has its counts, its dollars, and by how much it misses its budget; idle and assumptions follow."""
    result = stepwell("bench", "cost")
    assert result.exit_code == 0
    text = re.sub(" +", " ", result.stdout)
    for line in (
        "10 steps step 4 3 0.5 1 1 2.79 2.50 missed by 0.29",
        "a sleep sleep 4 3 0.5 1 1 2.79 2.79 met",
        "a run run 4 3 0.5 1 1 2.79",
        "10 steps: table writes 2.00, logs 0.79",
        "messages of a run 3 2 missed: three reasons",
        "units 1 1 met: an entry",
        "A run of 10 steps leaves 8,374 bytes in the table, $1.04 per million steps",
        "together 3.26",
        "app_ms=10",
    ):
        assert line in text


def test_costs_as_json(stepwell: Stepwell):
    """The same for programs, with the prices and the assumptions it was reckoned with."""
    body = json.loads(stepwell("bench", "cost", "--json").stdout)
    first = body["costs"][0]
    assert (first["key"], first["dollars"], first["budget"], first["over"]) == ("sequential", 2.79, 2.5, 0.29)
    assert first["counts"]["write_units"] == 3
    assert first["counts"]["messages"] == 1
    assert first["lines"] == {"table writes": 2.0, "logs": 0.79}
    assert [count["met"] for count in body["counts"]] == [False, True]
    assert body["idle_dollars_per_month"]["total"] == 3.263
    assert body["stored"]["bytes_per_run"] == 8_374
    assert body["prices"]["write_unit"]["dollars"] == 0.625
    assert body["assumed"]["queue_memory_mb"] == 512


def test_options_reach_the_reckoning(stepwell: Stepwell, tmp_path: Path):
    """Prices of a file, assumptions, how many wait and what is logged are what is asked for."""
    prices = tmp_path / "prices.json"
    prices.write_text('{"write_unit": 0.7}')
    arguments = ["--prices", str(prices), "--assume", "app_ms=40", "--waiting", "50", "--log-level", "WARN"]
    assert stepwell("bench", "cost", *arguments).exit_code == 0
    [(rates, asked)] = ASKED
    assert (rates.prices["write_unit"].dollars, rates.assumed.app_ms) == (0.7, 40)
    assert asked == {"waiting": 50, "log_level": "WARN"}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["speed"], "Invalid value for 'WHAT'"),
        (["cost", "--assume", "app_ms"], "app_ms is ''; write a whole number"),
        (["cost", "--assume", "app_ms=soon"], "app_ms is 'soon'; write a whole number, such as 10"),
        (["cost", "--assume", "naps=1"], '"naps" is not assumed'),
        (["cost", "--waiting", "3"], "Invalid value for '--waiting'"),
        (["cost", "--prices", "none.json"], "none.json cannot be read: No such file"),
        (["cost", "--prices", "broken.json"], "broken.json: "),
        (["cost", "--prices", "list.json"], "list.json is no JSON object; write one such as"),
        (["cost", "--prices", "other.json"], '"bread" has no price here'),
    ],
)
def test_wrong_arguments_exit_with_2(
    stepwell: Stepwell,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    complaint: str,
):
    """What is no price, no assumption or no benchmark is said in a line, and nothing is counted."""
    monkeypatch.chdir(tmp_path)
    for name, text in (("broken", "{"), ("list", "[]"), ("other", '{"bread": 1}')):
        (tmp_path / f"{name}.json").write_text(text)
    result = stepwell("bench", *arguments)
    assert result.exit_code == 2
    assert complaint in result.stderr
    assert "Traceback" not in result.stderr
    assert ASKED == []


def test_without_moto_it_says_what_to_install(stepwell: Stepwell, monkeypatch: pytest.MonkeyPatch):
    """The one package that only a rehearsal needs is named, with the command that installs it."""
    from stepwell_orchestrator.entry.rehearsal.rehearsal import rehearsing

    def measure(*_: Any, **__: Any) -> Report:
        with rehearsing({}):
            raise AssertionError("there is no moto")

    monkeypatch.setitem(sys.modules, "moto", None)
    monkeypatch.setattr(costs, "measure", measure)
    result = stepwell("bench", "cost")
    assert result.exit_code == 1
    assert 'pip install "stepwell[aws]" "moto[dynamodb,s3]"' in result.stderr
