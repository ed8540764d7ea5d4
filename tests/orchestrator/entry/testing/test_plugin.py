"""The plugin in pytest processes of its own, as users run them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

SUITE = {
    "test_async.py": '''
        """Whatever runs async tests."""
        import pytest, stepwell

        {mark}

        app = stepwell.App("mail", dev=True)

        @app.function(on="user/signup")
        async def remind(ctx):
            await ctx.step.sleep("nap", "3d")
            return await ctx.step.run("remind", lambda: "sent")

        @pytest.mark.parametrize("number", range(4))
        async def test_reminder(engine, number):
            engine.serve(app)
            run = await engine.send_one("user/signup")
            await engine.advance("3d")
            assert run.completed and run.output == "sent" and len(engine.runs) == 1
    ''',
    "test_sync.py": """
        from test_async import app

        def test_reminder_without_async(engine):
            engine.serve(app)
            run = engine.send_one("user/signup")
            engine.advance("3d")
            assert run.output == "sent"
    """,
}
CRASHING = """
    import pytest, stepwell
    from test_async import app

    {mark}

    @pytest.fixture
    def name():
        return "ada"

    class TestReminder:
        @pytest.mark.crash_everywhere(limit=9)
        async def test_it_bears_it(self, name, engine):
            assert name == "ada" and engine.runs == []
            engine.serve(app)
            run = await engine.send_one("user/signup")
            await engine.advance("3d")
            assert run.output == "sent"

"""
CRASHING_SYNC = """
    import pytest
    from test_async import app

    @pytest.mark.crash_everywhere
    def test_without_async(engine):
        engine.serve(app)
        run = engine.send_one("user/signup")
        engine.advance("3d")
        assert run.output == "sent"
"""
WRONG = """
    import pytest, stepwell
    from test_async import app

    sent = []

    @pytest.fixture
    def used(engine):
        engine.stub("remind", "stubbed")

    @pytest.mark.crash_everywhere
    async def test_mails_once(engine):
        sent.clear()
        engine.serve(app)
        engine.stub("remind", lambda: sent.append(1))
        await engine.send_one("user/signup")
        await engine.advance("3d")
        assert sent == [1]

    @pytest.mark.crash_everywhere
    async def test_fails_anyway(engine):
        engine.serve(app)
        run = await engine.send_one("user/signup")
        assert run.completed

    @pytest.mark.crash_everywhere
    async def test_uses_a_used_engine(engine, used): ...

    @pytest.mark.crash_everywhere
    def test_has_no_engine(): ...
"""
AUTO = ("-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function")
STRICT = ("-o", "asyncio_mode=strict", "-o", "asyncio_default_fixture_loop_scope=function")
FAILING = """
    import stepwell

    app = stepwell.App("mail", dev=True)

    @app.function(on="user/signup")
    async def remind(ctx):
        await ctx.step.sleep("nap", "3d")

    async def test_too_early(engine):
        engine.serve(app)
        engine.stub("nope", 1)
        run = await engine.send_one("user/signup")
        assert run.completed

    async def test_nothing_to_show(engine):
        assert False
"""


def run_pytest(folder: Path, *options: str) -> str:
    """What pytest prints for the tests in a folder, run as a user would with nothing but options."""
    asked = [sys.executable, "-m", "pytest", "-p", "stepwell.pytest_plugin", "-p", "no:cacheprovider", *options]
    # pytest prints more where it sees that a CI server runs it.
    environment = {name: value for name, value in os.environ.items() if name not in {"CI", "BUILD_NUMBER"}}
    done = subprocess.run(asked, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def write(folder: Path, **files: str) -> None:
    """Write files, without the indentation they have here."""
    for name, text in files.items():
        folder.joinpath(name).write_text(dedent(text))


RUNNERS = pytest.mark.parametrize(
    ("mark", "options"),
    [
        pytest.param("", AUTO, id="pytest-asyncio, auto"),
        pytest.param("pytestmark = pytest.mark.asyncio", STRICT, id="pytest-asyncio, strict"),
        pytest.param("pytestmark = pytest.mark.anyio", ("-p", "no:asyncio", "-k", "asyncio or without"), id="anyio"),
        pytest.param("", (*AUTO, "-n2"), id="xdist"),
    ],
)


@RUNNERS
def test_the_fixture_works_under(tmp_path: Path, mark: str, options: tuple[str, ...]) -> None:
    """The fixture gives async tests the engine and plain ones its sync face, whatever runs them, without a warning."""
    for name, text in SUITE.items():
        write(tmp_path, **{name: text.replace("{mark}", mark)})
    output = run_pytest(tmp_path, "-q", "-W", "error", *options)
    assert "5 passed" in output, output
    assert "warning" not in output


def test_a_failed_test_shows_its_runs(tmp_path: Path) -> None:
    """The report of a failed test has the timelines of the runs that have not completed, and no more than that."""
    write(tmp_path, **{"test_failing.py": FAILING})
    output = run_pytest(tmp_path, *AUTO)
    assert "<Run mail-remind running: nap sleeping until 2026-01-04 00:00:00>.completed" in output
    assert output.count("Stepwell runs that have not completed") == 1
    assert "○ nap sleep  ░" in output
    assert "never executed, though stubbed or told to fail: nope" in output


@RUNNERS
def test_the_marker_works_under(tmp_path: Path, mark: str, options: tuple[str, ...]) -> None:
    """A marked test is a scenario, whatever runs it: in a class, beside other fixtures, and without async."""
    suite = {"test_async.py": SUITE["test_async.py"], "test_crashing.py": CRASHING, "test_sync.py": CRASHING_SYNC}
    for name, text in suite.items():
        write(tmp_path, **{name: text.replace("{mark}", mark)})
    output = run_pytest(tmp_path, "-rP", "-W", "error", "--strict-markers", *options)
    assert "6 passed" in output, output
    assert "warning" not in output
    assert output.count("crash everywhere: 9 faults tried, a run of the scenario each; ") == 1
    assert output.count("faults tried, a run of the scenario each; nothing found") == 1


def test_a_marked_test_that_fails_says_why(tmp_path: Path) -> None:
    """A finding is told by its report alone; a test that fails anyway, or proves nothing, fails as such."""
    write(tmp_path, **{"test_async.py": SUITE["test_async.py"].replace("{mark}", ""), "test_wrong.py": WRONG})
    output = run_pytest(tmp_path, "test_wrong.py", *AUTO)
    assert "4 failed" in output, output
    assert "the scenario raised AssertionError: assert [1, 1] == [1]" in output
    assert "step bodies that ran twice, as their worker died: remind (mail-remind)" in output
    assert "@pytest.mark.crash_everywhere(only='after the call of mail-remind after step \"nap\"')" in output
    assert "where False = <Run mail-remind running: nap sleeping until 2026-01-04 00:00:00>.completed" in output
    assert output.count("Stepwell runs that have not completed") == 2, "the second shows the stub of the used engine"
    assert "this one has been used already" in output
    assert "a test marked crash_everywhere must take the fixture engine" in output
    assert output.count("faults tried, a run of the scenario each; 1 finding") == 1
    assert "CrashError" not in output


def test_a_missing_orchestrator_says_what_to_install(tmp_path: Path) -> None:
    """Where only the adapter is installed the fixture fails with what to install, and nothing else fails."""
    write(
        tmp_path,
        **{
            "conftest.py": "import sys\nsys.modules['stepwell_orchestrator.entry'] = None\n",
            "test_it.py": "def test_with(engine): ...\n\ndef test_without(): ...\n",
        },
    )
    output = run_pytest(tmp_path)
    assert "ImportError: stepwell.testing needs stepwell_orchestrator.entry, which is not installed; run: pip" in output
    assert "1 passed, 1 error" in output


def test_the_kit_has_no_other_names() -> None:
    """A name that the kit does not have is an AttributeError, and those it has are listed."""
    import stepwell.testing

    with pytest.raises(AttributeError, match="has no attribute 'Motor'"):
        _ = stepwell.testing.Motor
    assert {"Engine", "Run", "SyncEngine"} <= set(dir(stepwell.testing))
