from __future__ import annotations

import sys
from types import ModuleType

import pytest

from stepwell.cli import main


def test_the_command_runs_the_orchestrators(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the orchestrator is installed its command line takes over."""
    ran: list[bool] = []
    command = ModuleType("stepwell_orchestrator.cli.main")
    command.main = lambda: ran.append(True)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "stepwell_orchestrator.cli", ModuleType("stepwell_orchestrator.cli"))
    monkeypatch.setitem(sys.modules, command.__name__, command)
    main()
    assert ran == [True]


def test_without_the_orchestrator_the_fix_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """When it is not installed the command exits with 2 and says what to install."""
    monkeypatch.setitem(sys.modules, "stepwell_orchestrator.cli", ModuleType("stepwell_orchestrator.cli"))
    monkeypatch.setitem(sys.modules, "stepwell_orchestrator.cli.main", None)
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert 'pip install "stepwell[orchestrator]"' in error
