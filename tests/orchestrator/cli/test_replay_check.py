"""From a run on the real engine, over an exported file, to the verdict on today's code."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.orchestrator.cli.conftest import Stepwell
from tests.orchestrator.cli.fake_server import FakeServer
from tests.orchestrator.cli.replay_check.support import cut, record, write

BEFORE = """
import stepwell

app = stepwell.App("shop", dev=True)


@app.function(id="fulfil", on="shop/start")
async def fulfil(ctx: stepwell.Context) -> str:
    print("between the steps")
    await app.send(stepwell.Event(name="shop/seen"))
    user = await ctx.step.run("fetch-user", lambda: "ada")
    await ctx.step.run("charge", lambda: 7)
    return user
"""
Project = Callable[[str], None]


async def shop(ctx: Any) -> str:
    """What BEFORE has, for the recording."""
    user = await ctx.step.run("fetch-user", lambda: "ada")
    await ctx.step.run("charge", lambda: 7)
    return str(user)


@pytest.fixture(scope="module")
def journal() -> dict[str, Any]:
    """A run of the shop as it was, recorded."""
    return asyncio.run(record(shop))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """Writes the module ``checked_shop`` into the working folder; what was imported from it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    path = list(sys.path)
    yield lambda text: (tmp_path / "checked_shop.py").write_text(text) and None
    sys.path[:] = path
    sys.modules.pop("checked_shop", None)


@pytest.fixture
def file(tmp_path: Path, journal: dict[str, Any]) -> Path:
    """The journal in a folder of its own."""
    (tmp_path / "journals").mkdir()
    return write(journal, tmp_path / "journals" / "one.json")


def test_an_exported_run_is_checked(
    stepwell: Stepwell, server: FakeServer, project: Project, journal: dict[str, Any], tmp_path: Path
) -> None:
    """What ``run --export`` writes is what ``replay-check`` reads, and the code that was recorded agrees with it."""
    run_id = journal["run_id"]
    server.says(f"GET /v1/runs/{run_id}/journal", journal)
    exported = stepwell("run", run_id, "--export", str(tmp_path), "--url", server.origin)
    assert exported.stdout == f"✓ journal of {run_id}, 2 steps, is in {tmp_path}/{run_id}.json\n"
    assert json.loads((tmp_path / f"{run_id}.json").read_text()) == journal

    project(BEFORE)
    result = stepwell("replay-check", "checked_shop:app", "--journals", str(tmp_path))
    assert result.stdout == f"✓ run {run_id} of shop-fulfil: ok, 2 steps\n1 journal checked: 1 ok\n"
    assert "between the steps" in result.stderr
    assert result.exit_code == 0


def test_export_to_standard_output_and_to_a_file(
    stepwell: Stepwell, server: FakeServer, journal: dict[str, Any], tmp_path: Path
) -> None:
    """The document goes to standard output with -, to a file by its name, and nowhere when that cannot be written."""
    run_id = journal["run_id"]
    server.says(f"GET /v1/runs/{run_id}/journal", journal)
    common = ("run", run_id, "--url", server.origin)
    assert json.loads(stepwell(*common, "--export", "-").stdout) == journal

    target = tmp_path / "kept.json"
    said = json.loads(stepwell(*common, "--export", str(target), "--json").stdout)
    assert said == {"run_id": run_id, "file": str(target)}
    assert json.loads(target.read_text()) == journal

    refused = stepwell(*common, "--export", str(tmp_path / "none" / "kept.json"))
    assert refused.exit_code == 2
    assert refused.stderr.startswith(f"stepwell: cannot write {tmp_path}/none/kept.json: No such file or directory;")


def test_a_change_is_explained(stepwell: Stepwell, project: Project, file: Path, journal: dict[str, Any]) -> None:
    """A journal that differs is explained in four lines and makes the command exit with 1."""
    project(BEFORE.replace('"charge"', '"charge-card"'))
    write(cut(journal, 1), file.parent / "two.json")
    result = stepwell("replay-check", "checked_shop", "--journals", str(file.parent))
    run = f"run {journal['run_id']} of shop-fulfil"
    assert (
        result.stdout
        == f"""\
✗ {run}: diverges
  after "fetch-user" the journal has "charge" (run), the code now asks for "charge-card" (run)
  A run under way begins "charge-card" (run) here, and uses what it has of "charge" only if it is asked for later.
  → keep the id "charge", or put the new code into a function with a new id
  {file}
✓ {run}: ok, 1 step, goes on with "charge-card" (run)
2 journals checked: 1 ok, 1 not
"""
    )
    assert result.exit_code == 1


def test_json(stepwell: Stepwell, project: Project, file: Path, journal: dict[str, Any]) -> None:
    """Programs get every journal with its result and difference, and counts that add up."""
    project(BEFORE.replace('"charge"', '"charge-card"'))
    write(cut(journal, 1), file.parent / "two.json")
    result = stepwell("replay-check", "checked_shop", "--journals", str(file.parent), "--json")
    assert result.exit_code == 1
    body = json.loads(result.stdout)
    assert body["summary"] == {"checked": 2, "ok": 1, "diverges": 1, "outcome_differs": 0}

    bad, good = body["journals"]
    difference = bad.pop("difference")
    common = {"run_id": journal["run_id"], "function_id": "shop-fulfil"}
    assert bad == {**common, "file": str(file), "steps": 2, "result": "diverges", "goes_on": []}
    assert {key: difference[key] for key in ("kind", "error")} == {"kind": "step_missing", "error": None}
    assert (difference["after"]["label"], difference["recorded"]["label"]) == ("fetch-user", "charge")
    [found] = difference["found"]
    assert found.keys() == {"id", "label", "kind"}
    assert (found["label"], found["kind"]) == ("charge-card", "run")
    assert all(isinstance(difference[key], str) for key in ("message", "effect", "fix"))

    assert (good["result"], good["steps"], good["difference"]) == ("ok", 1, None)
    assert good["goes_on"] == [found]


def test_an_outcome_can_be_left_out(stepwell: Stepwell, project: Project, file: Path) -> None:
    """Another result is a result of its own kind, and none with --ignore-output."""
    project(BEFORE.replace("return user", "return user.title()"))
    args = ("replay-check", "checked_shop", "--journals", str(file))
    differs = stepwell(*args)
    assert "shop-fulfil: the outcome differs\n" in differs.stdout
    assert differs.exit_code == 1
    assert json.loads(stepwell(*args, "--json").stdout)["summary"]["outcome_differs"] == 1
    assert stepwell(*args, "--ignore-output").exit_code == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('"fulfil"', 'the app "shop" has no function "shop-fulfil", it has shop-other'),
        ('"shop"', 'the journal is of the app "shop"; the app "other" has no function "shop-fulfil", it has other-f'),
    ],
)
def test_a_function_that_is_gone(stepwell: Stepwell, project: Project, file: Path, text: str, said: str) -> None:
    """A journal whose function the app does not have differs, whichever of their ids has changed."""
    project(BEFORE.replace(text, '"other"'))
    result = stepwell("replay-check", "checked_shop", "--journals", str(file))
    assert said in result.stdout
    assert result.exit_code == 1


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{", "FILE is not JSON: Expecting property name"),
        ("[]", 'FILE is not a recorded journal: it has no "format": "stepwell.journal"; write it with `stepwell run'),
        ({"format": "other"}, 'FILE is not a recorded journal: it has no "format": "stepwell.journal"'),
        ({"version": 2}, "FILE is a journal of version 2, this stepwell reads version 1; export it again"),
        ({"run_id": None}, "FILE is damaged: run_id must be a text;"),
        ({"events": []}, "FILE is damaged: events must be a list of objects, and not empty;"),
        ({"stack": ["gone"]}, "FILE is damaged: the step gone is in the stack and has no memo;"),
        ({"stack": None}, "FILE is damaged: stack must be a list;"),
        ({"steps": ["x"]}, "FILE is damaged: "),
        ({"steps": [{"id": "x"}]}, "FILE is damaged: 'name' is missing;"),
        ({"outcome": {}}, "FILE is damaged: 'status' is missing;"),
        ({"exported_at": "soon"}, 'FILE is damaged: "soon" is not a time'),
        (None, "cannot read FILE: No such file or directory"),
    ],
)
def test_a_bad_file_is_refused(
    stepwell: Stepwell, file: Path, journal: dict[str, Any], content: Any, complaint: str
) -> None:
    """A file that is no journal of this version is refused with one line that names it, before anything is checked."""
    bad = file.with_name("bad.json")
    if isinstance(content, str):
        bad.write_text(content)
    elif content is not None:
        write({**journal, **content}, bad)
    result = stepwell("replay-check", "no_such_module", "--journals", str(file), "--journals", str(bad))
    assert result.exit_code == 2
    assert result.stderr.startswith(f"stepwell: {complaint.replace('FILE', str(bad))}")
    assert result.stderr.count("\n") == 1


def test_wrong_usage(stepwell: Stepwell, project: Project, file: Path, tmp_path: Path) -> None:
    """A folder without journals, a module that is not there, and a missing option are usage errors."""
    empty = tmp_path / "empty"
    empty.mkdir()
    nothing = stepwell("replay-check", "checked_shop", "--journals", str(empty))
    assert nothing.stderr.startswith(f"stepwell: {empty} holds no *.json file; write it with `stepwell run ID --export")
    missing = stepwell("replay-check", "checked_shop", "--journals", str(file))
    assert 'there is no module "checked_shop"' in missing.stderr
    without = stepwell("replay-check", "checked_shop")
    assert "Missing option '--journals'" in without.stderr
    assert [each.exit_code for each in (nothing, missing, without)] == [2, 2, 2]
