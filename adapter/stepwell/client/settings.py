"""How an app reaches its server and is trusted by it. The only reader of the environment in the adapter.

Explicit options win over ``STEPWELL_*`` variables, which win over their ``INNGEST_*`` counterparts (protocol 1.2, 1.3).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal
from urllib.parse import urlsplit

from stepwell.client.proxies import Proxies
from stepwell.errors import DefinitionError, SignatureError
from stepwell.wire.event_key import event_path
from stepwell.wire.signing import hash_signing_key

Streaming = Literal["disable", "allow", "force"]
ServerKind = Literal["dev", "cloud"]

DEV_ORIGIN: Final = "http://127.0.0.1:8288"
DEV_EVENT_KEY: Final = "NO_EVENT_KEY_SET"

_TRUE = frozenset({"1", "true", "t", "yes", "y", "on", "allow"})
_FALSE = frozenset({"0", "false", "f", "no", "n", "off", "disable"})


@dataclass(frozen=True, slots=True)
class Overrides:
    """What code decided explicitly; None leaves a setting to the environment."""

    base_url: str | None = None
    event_key: str | None = field(default=None, repr=False)
    signing_key: str | None = field(default=None, repr=False)
    signing_key_fallback: str | None = field(default=None, repr=False)
    env: str | None = None
    dev: bool | None = None
    serve_origin: str | None = None
    serve_path: str | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """The resolved settings. Origins are None when nothing names a server; keys never show in a repr."""

    dev: bool
    api_origin: str | None
    event_origin: str | None
    event_key: str | None = field(repr=False)
    signing_key: str | None = field(repr=False)
    signing_key_fallback: str | None = field(repr=False)
    env: str | None
    serve_origin: str | None
    serve_path: str | None
    streaming: Streaming
    allow_in_band_sync: bool
    checkpoint: bool

    @property
    def kind(self) -> ServerKind:
        """The kind of server this app acts for."""
        return "dev" if self.dev else "cloud"

    @property
    def signing_keys(self) -> tuple[str, ...]:
        """The keys a signature may have been made with, the current one first."""
        return tuple(key for key in (self.signing_key, self.signing_key_fallback) if key)

    def api_url(self, path: str) -> str:
        """A URL of the server's API. Raises DefinitionError when no server is configured."""
        return _required_origin(self.api_origin, "API_BASE_URL") + path

    def event_url(self) -> str:
        """The URL events are sent to. Raises DefinitionError when no server or no event key is configured."""
        origin = _required_origin(self.event_origin, "EVENT_API_BASE_URL")
        if self.event_key is None:
            raise DefinitionError("no event key is configured, so nothing can be sent; set STEPWELL_EVENT_KEY")
        return origin + event_path(self.event_key)


def read_settings(overrides: Overrides, environ: Mapping[str, str] | None = None) -> Settings:
    """The settings in force: ``overrides`` over ``environ`` (the process's own by default).

    Raises DefinitionError naming the option or variable that cannot be understood.
    """
    variables = _Variables(os.environ if environ is None else environ)
    dev, dev_origin = _dev(overrides, variables)
    base_url = _origin("base_url", overrides.base_url)
    shared = base_url or variables.origin("BASE_URL") or dev_origin
    return Settings(
        dev=dev,
        api_origin=base_url or variables.origin("API_BASE_URL") or shared,
        event_origin=base_url or variables.origin("EVENT_API_BASE_URL") or shared,
        event_key=_key("EVENT_KEY", overrides.event_key, variables, event_path) or (DEV_EVENT_KEY if dev else None),
        signing_key=_key("SIGNING_KEY", overrides.signing_key, variables, hash_signing_key),
        signing_key_fallback=_key("SIGNING_KEY_FALLBACK", overrides.signing_key_fallback, variables, hash_signing_key),
        env=overrides.env or variables.text("ENV"),
        serve_origin=_origin("serve_origin", overrides.serve_origin) or variables.origin("SERVE_ORIGIN"),
        serve_path=_path("serve_path", overrides.serve_path or variables.text("SERVE_PATH")),
        streaming=variables.streaming(),
        allow_in_band_sync=variables.flag("ALLOW_IN_BAND_SYNC", default=True),
        checkpoint=variables.flag("CHECKPOINT", default=True),
    )


def read_proxies(environ: Mapping[str, str] | None = None) -> Proxies:
    """The proxies that the environment names, as other tools read it: ``https_proxy``, or ``HTTPS_PROXY``."""
    variables = os.environ if environ is None else environ

    def named(name: str) -> str:
        return variables.get(name, "") or variables.get(name.upper(), "")

    schemes = ("http", "https")
    return Proxies(
        {scheme: named(f"{scheme}_proxy") for scheme in schemes if named(f"{scheme}_proxy")}, named("no_proxy")
    )


@dataclass(frozen=True, slots=True)
class _Variables:
    """Environment variables under either prefix; an empty one counts as unset."""

    environ: Mapping[str, str]

    def named(self, name: str) -> tuple[str, str | None]:
        """The variable that is set, and its value."""
        for variable in (f"STEPWELL_{name}", f"INNGEST_{name}"):
            value = self.environ.get(variable, "").strip()
            if value:
                return variable, value
        return f"STEPWELL_{name}", None

    def text(self, name: str) -> str | None:
        return self.named(name)[1]

    def origin(self, name: str) -> str | None:
        return _origin(*self.named(name))

    def flag(self, name: str, *, default: bool) -> bool:
        variable, value = self.named(name)
        if value is None:
            return default
        if value.lower() not in _TRUE | _FALSE:
            raise DefinitionError(f'{variable} is "{value}", which is neither true nor false; set it to 1 or 0')
        return value.lower() in _TRUE

    def dev(self) -> bool:
        """Whether this is dev mode. The published specification takes any value of INNGEST_DEV but zero for yes."""
        variable, value = self.named("DEV")
        if variable.startswith("INNGEST_") and value is not None and value.lower() not in _FALSE:
            return True
        return self.flag("DEV", default=False)

    def streaming(self) -> Streaming:
        variable, value = self.named("STREAMING")
        word = (value or "disable").lower()
        if word == "force":
            return "force"
        if word not in _TRUE | _FALSE:
            raise DefinitionError(f'{variable} is "{value}"; set it to disable, allow or force')
        return "allow" if word in _TRUE else "disable"


def _dev(overrides: Overrides, variables: _Variables) -> tuple[bool, str | None]:
    """Whether this is dev mode, and the server it then talks to by default; a URL in DEV means both."""
    _, value = variables.named("DEV")
    url = variables.origin("DEV") if value is not None and "://" in value else None
    dev = overrides.dev
    if dev is None:
        dev = url is not None or variables.dev()
    return dev, (url or DEV_ORIGIN) if dev else None


def _origin(name: str, value: str | None) -> str | None:
    if value is None:
        return None
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
        raise DefinitionError(
            f'{name} is "{value}", which is not a URL; write it like "https://host" or "{DEV_ORIGIN}"'
        )
    return value.rstrip("/")


def _path(name: str, value: str | None) -> str | None:
    if value is not None and not value.startswith("/"):
        raise DefinitionError(f'{name} is "{value}", but a path starts with "/"; write "/{value}"')
    return value


def _key(name: str, explicit: str | None, variables: _Variables, check: Callable[[str], object]) -> str | None:
    variable, value = variables.named(name)
    key = explicit or value
    if key is None:
        return None
    try:
        check(key)
    except SignatureError as error:
        raise DefinitionError(f"{name.lower() if explicit else variable}: {error}") from None
    return key


def _required_origin(origin: str | None, name: str) -> str:
    if origin is None:
        raise DefinitionError(
            f"no server is configured; pass base_url to App, or set STEPWELL_BASE_URL (or STEPWELL_{name}), "
            "or STEPWELL_DEV=1 to use a dev server on this machine"
        )
    return origin
