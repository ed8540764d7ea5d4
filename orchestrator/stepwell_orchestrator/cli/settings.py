"""Which server a command talks to. The only reader of the environment in the command line."""

from __future__ import annotations

from dataclasses import dataclass, field

from stepwell.client.proxies import Proxies
from stepwell.client.settings import DEV_EVENT_KEY, DEV_ORIGIN, Overrides, read_proxies, read_settings
from stepwell.errors import DefinitionError
from stepwell.wire.event_key import event_path
from stepwell.wire.signing import hash_signing_key
from stepwell_orchestrator.cli.errors import usage_error


@dataclass(frozen=True, slots=True)
class Server:
    """A server's addresses, the way to it, and what it is shown as credentials; no ``bearer`` without a signing key."""

    api_origin: str
    event_url: str = field(repr=False)
    bearer: str | None = field(repr=False)
    proxies: Proxies = field(repr=False)


def read_server(url: str | None) -> Server:
    """The server at ``url``, else the one the environment names, else the dev server on this machine.

    Raises CommandError naming the option or variable that cannot be understood.
    """
    try:
        settings = read_settings(Overrides(base_url=url))
    except DefinitionError as error:
        raise usage_error(str(error).replace("base_url", "--url", 1)) from None
    event_key = settings.event_key or DEV_EVENT_KEY
    return Server(
        api_origin=settings.api_origin or DEV_ORIGIN,
        event_url=(settings.event_origin or settings.api_origin or DEV_ORIGIN) + event_path(event_key),
        bearer=None if settings.signing_key is None else hash_signing_key(settings.signing_key),
        proxies=read_proxies(),
    )
