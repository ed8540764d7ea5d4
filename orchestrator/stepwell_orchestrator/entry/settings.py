"""The server's own settings. The only reader of the environment in the orchestrator, the command line apart."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field

from stepwell.client.settings import ServerKind
from stepwell.errors import DefinitionError, SignatureError
from stepwell.wire.event_key import event_path
from stepwell_orchestrator.transports.egress import allowed


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Keys that are accepted, how much is logged, and what requests on behalf of steps may reach that is not public.

    Without keys of a kind, those endpoints are open.
    """

    event_keys: tuple[str, ...] = field(default=(), repr=False)
    signing_keys: tuple[str, ...] = field(default=(), repr=False)
    log_level: str = "INFO"
    gateway_allow: tuple[str, ...] = ()


def read_settings(environ: Mapping[str, str] = os.environ) -> ServerSettings:
    """The settings: each is one variable of the environment, with commas where there may be several.

    Raises DefinitionError naming the variable that cannot be understood.
    """
    level = environ.get("STEPWELL_LOG_LEVEL", "").strip().upper() or "INFO"
    if level not in logging.getLevelNamesMapping():
        raise DefinitionError(f'STEPWELL_LOG_LEVEL is "{level}"; set it to DEBUG, INFO, WARNING or ERROR')
    return ServerSettings(
        event_keys=_event_keys(environ),
        signing_keys=words(environ, "STEPWELL_SIGNING_KEYS"),
        log_level=level,
        gateway_allow=gateway_allow(environ),
    )


def _event_keys(environ: Mapping[str, str]) -> tuple[str, ...]:
    keys = words(environ, "STEPWELL_EVENT_KEYS")
    for key in keys:
        try:
            event_path(key)
        except SignatureError as error:
            raise DefinitionError(f"STEPWELL_EVENT_KEYS: {error}") from None
    return keys


def gateway_allow(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The hosts and networks that requests on behalf of steps may reach. Raises DefinitionError."""
    entries = words(environ, "STEPWELL_GATEWAY_ALLOW")
    allowed(entries)
    return entries


def words(environ: Mapping[str, str], name: str) -> tuple[str, ...]:
    """The words of a variable, with commas between them."""
    return tuple(part.strip() for part in environ.get(name, "").split(",") if part.strip())


def server_kind(signing_keys: Sequence[str]) -> ServerKind:
    """What a local server announces to apps: with keys it is like production, and wants apps in production mode."""
    return "cloud" if signing_keys else "dev"


def point_apps_at(origin: str, environ: MutableMapping[str, str] = os.environ) -> None:
    """Let apps that are loaded into this process find this server: dev mode, and its address."""
    environ["STEPWELL_DEV"] = "1"
    environ["STEPWELL_BASE_URL"] = origin
