"""Durable step functions for Python.

The public names are those of :mod:`stepwell.public`. They are imported when first used, so that the orchestrator, which
shares :mod:`stepwell.wire`, does not load what only a function author needs. Modules are attributes as well, so that
``stepwell.fastapi.serve(api, app)`` needs no import of its own and costs nothing where it is not used.

May import nothing but the version until a name is asked for.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

from stepwell.version import VERSION

if TYPE_CHECKING:
    from stepwell import ai as ai
    from stepwell import aws as aws
    from stepwell import fastapi as fastapi
    from stepwell import middleware as middleware
    from stepwell.public import *  # noqa: F403 - the list is kept in one place

__version__ = VERSION


def __getattr__(name: str) -> Any:
    if importlib.util.find_spec(f"{__name__}.{name}") is not None:
        return importlib.import_module(f"{__name__}.{name}")
    public = importlib.import_module("stepwell.public")
    if name not in (*public.__all__, "__all__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(public, name)


def __dir__() -> list[str]:
    return sorted(
        {*globals(), *importlib.import_module("stepwell.public").__all__, "ai", "aws", "fastapi", "middleware"}
    )
