"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report; ``fix`` is what to do, empty when all is well."""

    level: Level
    subject: str
    detail: str
    fix: str = ""


def ok(subject: str, detail: str) -> Finding:
    """All is well."""
    return Finding(Level.OK, subject, detail)


def warn(subject: str, detail: str, fix: str) -> Finding:
    """It works, but not as it should."""
    return Finding(Level.WARN, subject, detail, fix)


def fail(subject: str, detail: str, fix: str) -> Finding:
    """It does not work."""
    return Finding(Level.FAIL, subject, detail, fix)
