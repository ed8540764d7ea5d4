from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stepwell_orchestrator.cli.demo.order_records import RunRecord, mismatches
from stepwell_orchestrator.cli.demo.orders import FULFIL, Expectation, Order, read_orders
from tests.orchestrator.cli.conftest import Stepwell
from tests.orchestrator.cli.samples import RUN_ID

ROOT = Path(__file__).parents[3]
ORDERS = ROOT / "examples" / "orders" / "orders.jsonl"
STEPWELL = (sys.executable, "-c", "from stepwell.cli import main; main()")
MAIL = "shop-notify-customer"


def record(order_id: str = "o-1", function: str = FULFIL, retries: int = 0, **body: Any) -> RunRecord:
    members = {"function_id": function, "run_id": RUN_ID, "status": "Completed", "output": {"total": "9.50"}, **body}
    return RunRecord(order_id, members, [{"attempts": retries + 1}])


def order(**expect: Any) -> Order:
    return Order({"id": "o-1"}, Expectation(**{"status": "Completed", "retries": 0, "total": "9.50", **expect}))


@pytest.mark.parametrize(
    ("expected", "records", "lines"),
    [
        (order(runs={MAIL: 1}), [record(), record(function=MAIL)], []),
        (order(), [], [f"o-1: started 0 runs of {FULFIL}, expected 1"]),
        (order(), [record(), record()], [f"o-1: started 2 runs of {FULFIL}, expected 1"]),
        (order(retries=2), [record(retries=1)], [f"o-1: retries is 1, expected 2 (run {RUN_ID})"]),
        (order(total="9.51"), [record()], [f"o-1: total is 9.50, expected 9.51 (run {RUN_ID})"]),
        (order(points=0), [record()], [f"o-1: points is None, expected 0 (run {RUN_ID})"]),
        (order(status="Failed"), [record()], [f"o-1: status is Completed, expected Failed (run {RUN_ID})"]),
        (
            order(status="Failed", total=None, error="declined"),
            [record(status="Failed", output={"name": "E", "message": "no"})],
            ['o-1: failed with "E: no", expected "declined"'],
        ),
        (order(runs={MAIL: 1}), [record()], [f"o-1: led to the runs {{}}, expected {{'{MAIL}': 1}}"]),
        (order(), [record(), record(function=MAIL)], [f"o-1: led to the runs {{'{MAIL}': 1}}, expected {{}}"]),
        (
            order(runs={MAIL: 1}),
            [record(), record(function=MAIL, status="Running")],
            [f"o-1: {MAIL} is Running, expected Completed"],
        ),
        (order(), [record(), record("o-9")], ["o-9: has 1 runs, but is not in the file"]),
    ],
)
def test_mismatches(expected: Order, records: list[RunRecord], lines: list[str]):
    """Every way in which a run can differ from what the file says is found, and nothing else."""
    assert mismatches([expected], records) == lines


def test_the_shipped_orders_are_worth_running():
    """The file has enough orders of every kind: failing, retried, fanned out and sent twice, each order once."""
    orders = read_orders(ORDERS)
    assert len(orders) >= 240
    assert len({order.id for order in orders}) == len(orders)
    assert sum(order.expect.status == "Failed" for order in orders) >= 20
    assert sum(order.expect.retries > 0 for order in orders) >= 50
    assert sum("shop-restock" in order.expect.runs for order in orders) >= 10
    assert sum(order.sent_twice for order in orders) >= 5
    assert len({order.order["currency"] for order in orders}) >= 8


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "has no orders; it must be a file of JSON lines"),
        ("\n{oops\n", "line 2: the line: Invalid JSON"),
        ('{"order": {"id": "o-1"}}\n', "line 1: expect: Field required"),
        ('{"order": {}, "expect": {"status": "Completed", "retries": 0}}', "line 1: order.id: must be a text"),
        ('{"order": {"id": "o"}, "expect": {"status": "Completed", "retries": "x"}}', "line 1: expect.retries: Input"),
    ],
)
def test_a_bad_file_of_orders_is_refused(stepwell: Stepwell, tmp_path: Path, content: str, complaint: str):
    """A file that is not one of orders is refused in one line that names the place."""
    file = tmp_path / "orders.jsonl"
    file.write_text(content)
    result = stepwell("demo", "--orders", str(file))
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"stepwell: {file}")
    assert complaint in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_missing_file_of_orders_is_refused(stepwell: Stepwell, tmp_path: Path):
    """A file that is not there is named."""
    result = stepwell("demo", "--orders", str(tmp_path / "none.jsonl"))
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert f"cannot read {tmp_path / 'none.jsonl'}" in result.stderr


def chosen_orders(tmp_path: Path) -> tuple[Path, list[dict[str, Any]]]:
    """A few of the shipped orders, one of every kind."""
    lines = [json.loads(line) for line in ORDERS.read_text(encoding="utf-8").splitlines()]
    kinds = {
        (line["expect"]["status"], line["expect"]["retries"], *line["expect"]["runs"], line.get("sent_twice")): line
        for line in lines
    }
    chosen = list(kinds.values())
    file = tmp_path / "orders.jsonl"
    file.write_text("\n".join(json.dumps(line) for line in chosen))
    return file, chosen


def run_demo(*args: str) -> subprocess.CompletedProcess[str]:
    environment = {"COLUMNS": "100", "PYTHONIOENCODING": "utf-8"}
    command = [*STEPWELL, "demo", *args]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=ROOT)


def test_the_demo_ends_as_the_file_says(tmp_path: Path):
    """The demo runs orders of every kind to their end, shows a summary and a timeline, and exits with 0."""
    file, chosen = chosen_orders(tmp_path)
    result = run_demo("--orders", str(file))
    assert (result.returncode, result.stderr) == (0, "")
    assert f"✓ all {len(chosen)} orders ended as the file says they must" in result.stdout
    assert "✓ shop-fulfil-order  Completed in" in result.stdout
    failed = sum(line["expect"]["status"] == "Failed" for line in chosen)
    row = next(line.split() for line in result.stdout.splitlines() if line.startswith("shop-fulfil-order "))
    assert row == ["shop-fulfil-order", str(len(chosen)), str(len(chosen) - failed), str(failed)]


def test_the_demo_notices_what_is_not_as_the_file_says(tmp_path: Path):
    """A run that ends otherwise is reported and makes the exit code 1."""
    file, (first, *_) = chosen_orders(tmp_path)
    wrong = {**first, "expect": {**first["expect"], "retries": 17}}
    file.write_text(json.dumps(wrong))
    result = run_demo("--orders", str(file), "--json")
    report = json.loads(result.stdout)
    assert (result.returncode, report["orders"], len(report["mismatches"])) == (1, 1, 1)
    assert report["mismatches"][0].startswith(f"{first['order']['id']}: retries is ")
    expected_retries = first["expect"]["retries"]
    assert report["retries"] == expected_retries
    assert sum(run["count"] for run in report["runs"]) == 1 + sum(first["expect"]["runs"].values())


def test_without_a_clone_the_demo_says_so(stepwell: Stepwell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An installation without the examples says where they are to be found."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("stepwell_orchestrator.cli.demo.orders._CLONE", tmp_path)
    result = stepwell("demo")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "the demo needs examples/orders/app.py of a clone of the repository; run it from there" in result.stderr
