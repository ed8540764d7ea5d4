"""The server's own settings. The only reader of the environment in the orchestrator, the command line apart."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field

from stepwell.errors import DefinitionError


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Keys that are accepted, and how much is logged. Without keys of a kind, those endpoints are open."""

    event_keys: tuple[str, ...] = field(default=(), repr=False)
    signing_keys: tuple[str, ...] = field(default=(), repr=False)
    log_level: str = "INFO"


def read_settings(environ: Mapping[str, str] = os.environ) -> ServerSettings:
    """``STEPWELL_EVENT_KEYS`` and ``STEPWELL_SIGNING_KEYS`` (several, with commas) and ``STEPWELL_LOG_LEVEL``.

    Raises DefinitionError naming the variable that cannot be understood.
    """
    level = environ.get("STEPWELL_LOG_LEVEL", "").strip().upper() or "INFO"
    if level not in logging.getLevelNamesMapping():
        raise DefinitionError(f'STEPWELL_LOG_LEVEL is "{level}"; set it to DEBUG, INFO, WARNING or ERROR')
    return ServerSettings(_list(environ, "STEPWELL_EVENT_KEYS"), _list(environ, "STEPWELL_SIGNING_KEYS"), level)


def point_apps_at(origin: str, environ: MutableMapping[str, str] = os.environ) -> None:
    """Let apps that are loaded into this process find this server: dev mode, and its address."""
    environ["STEPWELL_DEV"] = "1"
    environ["STEPWELL_BASE_URL"] = origin


def _list(environ: Mapping[str, str], name: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in environ.get(name, "").split(",") if part.strip())
