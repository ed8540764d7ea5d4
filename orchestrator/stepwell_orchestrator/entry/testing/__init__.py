"""What ``stepwell.testing`` gives: the engine in a test's hands. Only tests import this.

May import what ``entry`` may.
"""

from __future__ import annotations

from stepwell_orchestrator.entry.testing.blocking import SyncEngine
from stepwell_orchestrator.entry.testing.crashes.crash_report import CrashError, CrashReport, Finding
from stepwell_orchestrator.entry.testing.engine import Engine
from stepwell_orchestrator.entry.testing.expectation import ExpectationError
from stepwell_orchestrator.entry.testing.run import Failure, Run, Step
from stepwell_orchestrator.entry.testing.stubs import Stub

__all__ = [
    "CrashError",
    "CrashReport",
    "Engine",
    "ExpectationError",
    "Failure",
    "Finding",
    "Run",
    "Step",
    "Stub",
    "SyncEngine",
]
