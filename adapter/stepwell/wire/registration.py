"""What an app tells the orchestrator about itself and its functions (protocol 2.5, 2.6)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from stepwell.errors import WireError
from stepwell.wire.lenient import text_or_empty

RETRIES_DEFAULT: Final = 4
RETRIES_MAX: Final = 20
TRIGGERS_MAX: Final = 10
CANCELLATIONS_MAX: Final = 5
BATCH_EVENTS_MAX: Final = 100
NAME_MAX_CHARS: Final = 255

_OWN_SDK: Final = "stepwell-py"
"""What ``stepwell.version.SDK`` starts with, of which this room knows nothing."""
MISSED_TICKS: Final = ("skip", "last", "all")
"""What may become of ticks that were missed; the first is the default."""
_TRIGGER_MEMBERS: Final = ("event", "expression", "cron", "jitter", "missed")
_KNOWN = ("id", "name", "triggers", "steps", "retries")


@dataclass(frozen=True, slots=True)
class Trigger:
    """What starts a function: an event name (exact, or with a ``/*`` or ``.*`` tail) or a cron text, never both.

    ``missed`` is what becomes of a cron's ticks that nobody was there for; servers that do not know it skip them.
    """

    event: str | None = None
    expression: str | None = None
    cron: str | None = None
    jitter: str | None = None
    missed: str | None = None

    def encode(self) -> dict[str, Any]:
        """The wire object."""
        members = {name: getattr(self, name) for name in _TRIGGER_MEMBERS}
        return {name: value for name, value in members.items() if value is not None}


@dataclass(frozen=True, slots=True)
class FunctionConfig:
    """One function: ``id`` is the composite slug, ``url`` where it is called, ``retries`` counts after the first try.

    ``options`` holds the other wire members (``concurrency``, ``cancel``, ``throttle``, ...) as sent, nulls removed.
    """

    id: str
    name: str
    url: str
    triggers: tuple[Trigger, ...] = ()
    retries: int = RETRIES_DEFAULT
    options: Mapping[str, Any] = field(default_factory=dict)

    def encode(self) -> dict[str, Any]:
        """The wire object."""
        runtime = {"type": "ws" if self.url.startswith("ws") else "http", "url": self.url}
        step = {"id": "step", "name": "step", "runtime": runtime, "retries": {"attempts": self.retries}}
        return {
            "id": self.id,
            "name": self.name,
            "triggers": [trigger.encode() for trigger in self.triggers],
            "steps": {"step": step},
            **self.options,
        }


@dataclass(frozen=True, slots=True)
class Registration:
    """A whole registration: the app, its serve URL, and every function it has now."""

    app_id: str
    url: str
    functions: tuple[FunctionConfig, ...]
    sdk: str
    framework: str = ""
    app_version: str = ""
    env: str = ""
    platform: str = ""

    def encode(self) -> dict[str, Any]:
        """The body of ``POST /fn/register``."""
        origin = {key: value for key, value in (("env", self.env), ("platform", self.platform)) if value}
        return {
            "url": self.url,
            "deployType": "ping",
            "appName": self.app_id,
            **({"appVersion": self.app_version} if self.app_version else {}),
            "sdk": self.sdk,
            "v": "0.1",
            "framework": self.framework,
            "functions": [function.encode() for function in self.functions],
            "capabilities": {"in_band_sync": "v1", "trust_probe": "v1"},
            "headers": origin,
        }


def is_own_sdk(sdk: str) -> bool:
    """Whether what a registration names as its SDK, as ``name:vVERSION``, is this package, of whatever version."""
    return sdk.partition(":")[0] == _OWN_SDK


def decode_registration(raw: Any) -> Registration:
    """A registration from a JSON value: keys in any case and with or without underscores, nulls as if absent.

    Raises WireError; its message is what the caller is shown.
    """
    body = _folded(_object(raw, "Invalid request: the body"))
    app_id = body.get("appname")
    if not isinstance(app_id, str) or not app_id.strip():
        raise WireError("App ID required")
    functions = body.get("functions") or []
    if not isinstance(functions, list):
        raise WireError("Invalid request: functions must be a list")
    headers = body.get("headers")
    origin = headers if isinstance(headers, Mapping) else {}
    return Registration(
        app_id=app_id,
        url=text_or_empty(body.get("url")),
        functions=tuple(decode_function(item) for item in functions),
        sdk=text_or_empty(body.get("sdk")),
        framework=text_or_empty(body.get("framework")),
        app_version=text_or_empty(body.get("appversion")),
        env=text_or_empty(origin.get("env")),
        platform=text_or_empty(origin.get("platform")),
    )


def decode_function(raw: Any) -> FunctionConfig:
    """One function config from its JSON value. Raises WireError naming function and field."""
    config = {key: value for key, value in _object(raw, "a function").items() if value is not None}
    slug = text_or_empty(config.get("id"))
    if not slug:
        raise WireError("a function has no id")
    step = _single_step(slug, config.get("steps"))
    return FunctionConfig(
        id=slug,
        name=text_or_empty(config.get("name")) or slug,
        url=_step_url(slug, step),
        triggers=_triggers(slug, config.get("triggers") or []),
        retries=_retries(slug, step, config.get("retries")),
        options={key: value for key, value in config.items() if key not in _KNOWN},
    )


def _single_step(slug: str, steps: Any) -> Mapping[str, Any]:
    if not isinstance(steps, Mapping) or len(steps) != 1:
        raise WireError(f"function {slug}: steps must have exactly one entry")
    return _object(next(iter(steps.values())), f"function {slug}: steps entry")


def _step_url(slug: str, step: Mapping[str, Any]) -> str:
    runtime = step.get("runtime")
    url = runtime.get("url") if isinstance(runtime, Mapping) else None
    if not isinstance(url, str) or not url.startswith(("http://", "https://", "ws://", "wss://")):
        raise WireError(f"function {slug}: steps.step.runtime.url must be an http, https, ws or wss URL")
    return url


def _retries(slug: str, step: Mapping[str, Any], top_level: Any) -> int:
    nested = step.get("retries")
    value = nested.get("attempts") if isinstance(nested, Mapping) else None
    value = top_level if value is None else value
    if value is None:
        return RETRIES_DEFAULT
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= RETRIES_MAX:
        raise WireError(f"function {slug}: retries must be a whole number from 0 to {RETRIES_MAX}, got {value!r}")
    return value


def _triggers(slug: str, value: Any) -> tuple[Trigger, ...]:
    if not isinstance(value, list):
        raise WireError(f"function {slug}: triggers must be a list")
    return tuple(_decode_trigger(slug, item) for item in value)


def _decode_trigger(slug: str, raw: Any) -> Trigger:
    trigger = _object(raw, f"function {slug}: a trigger")
    members = {name: text_or_empty(trigger.get(name)) or None for name in _TRIGGER_MEMBERS}
    if (members["event"] is None) == (members["cron"] is None):
        raise WireError(f"function {slug}: a trigger needs either an event or a cron")
    return Trigger(**members)


def _folded(body: Mapping[str, Any]) -> dict[str, Any]:
    return {key.lower().replace("_", ""): value for key, value in body.items()}


def _object(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise WireError(f"{where} must be an object")
    return value
