"""The test kit: the real engine in a test, on a time that the test moves.

It lives in the orchestrator, which a function author need not have installed; the names are looked up there when they
are first used. The pytest fixture ``engine`` comes with the package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stepwell_orchestrator.entry.testing import (
        CrashError,
        CrashReport,
        Engine,
        ExpectationError,
        Failure,
        Finding,
        Run,
        Step,
        Stub,
        SyncEngine,
    )

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


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from stepwell_orchestrator.entry import testing
    except ModuleNotFoundError as error:
        hint = 'pip install "stepwell[orchestrator]"'
        raise ImportError(f"stepwell.testing needs {error.name}, which is not installed; run: {hint}") from error
    return getattr(testing, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
