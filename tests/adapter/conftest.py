from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests see no setting of the machine they run on."""
    for name in os.environ:
        if name.startswith(("STEPWELL_", "INNGEST_")):
            monkeypatch.delenv(name)
