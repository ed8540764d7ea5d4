"""What holds for every test: the same examples each time, and no setting of the person or machine that runs them."""

from __future__ import annotations

import os

import hypothesis
import pytest

# The plugin of this tree, whatever the installed metadata says.
pytest_plugins = ["stepwell.pytest_plugin"]

# A change fails for what it changed, not for an example that came up today; new examples are looked for with
# `pytest --hypothesis-profile=search`.
hypothesis.settings.register_profile("steady", derandomize=True, deadline=None)
hypothesis.settings.register_profile("search", deadline=None, max_examples=2_000)
hypothesis.settings.load_profile("steady")

# Here and not in a fixture: an app reads its settings when it is defined, which may be while tests are collected.
for name in [name for name in os.environ if name.startswith(("STEPWELL_", "INNGEST_"))]:
    del os.environ[name]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say aloud what was not tried, and why: a skipped test looks too much like one that passed."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = {str(report.longrepr[2]) for report in skipped if isinstance(report.longrepr, tuple)}
    for reason in sorted(reason for reason in reasons if "NOT TRIED: " in reason):
        terminalreporter.write_line(reason.removeprefix("Skipped: "), yellow=True, bold=True)
