"""Registration: an app tells which functions it has; all of them are taken, or none (protocol 2.3 - 2.10)."""

from __future__ import annotations

import hashlib
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

from stepwell.errors import WireError
from stepwell.wire.encoding import canonical
from stepwell.wire.registration import FunctionConfig, Registration, decode_registration
from stepwell_orchestrator.accepting.cancel_warnings import cancel_warnings
from stepwell_orchestrator.accepting.function_rules import broken_rules
from stepwell_orchestrator.accepting.option_rules import not_applied
from stepwell_orchestrator.accepting.timetable import Timetable, gone
from stepwell_orchestrator.errors import ApiError
from stepwell_orchestrator.model.function import App, Function
from stepwell_orchestrator.model.notice import Notice, NoticeKind, Observe
from stepwell_orchestrator.model.schedule import schedules_of
from stepwell_orchestrator.ports import Clock, Registry

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
_INVALID: Final = "At least one function is invalid"
_BODY_PROBLEMS = ("App ID required", "Invalid request")


class InvalidFunctionsError(ApiError):
    """A registration was refused because of its functions; ``details`` has a line for every broken rule."""

    def __init__(self, details: Sequence[str]) -> None:
        super().__init__(400, f"{_INVALID}: {details[0]}", code="config_invalid")
        self.details = tuple(details)


@dataclass(frozen=True, slots=True)
class Synced:
    """The answer to a registration. ``modified`` is False when the registry held exactly that already."""

    app_id: str
    modified: bool
    checksum: str

    def encode(self) -> dict[str, Any]:
        """The wire object. Its ids follow from the app and its functions, so a repeat answers the same."""
        app_uuid = uuid.uuid5(uuid.NAMESPACE_URL, f"app:{self.app_id}")
        return {
            "ok": True,
            "modified": self.modified,
            "sync_id": str(uuid.uuid5(app_uuid, self.checksum)),
            "app_id": str(app_uuid),
        }


class Register:
    """Takes registrations, and takes them back."""

    def __init__(self, registry: Registry, timetable: Timetable, clock: Clock, observe: Observe) -> None:
        self._registry = registry
        self._timetable = timetable
        self._clock = clock
        self._observe = observe

    async def accept(self, raw: Any, *, reached_at: str | None = None) -> Synced:
        """Store what an app registers, in place of what it registered before.

        ``reached_at`` is the URL this server has just reached the app at, when it asked for the registration: calls
        go there, whatever the app believes its own address to be. Raises ApiError 400, and then nothing has changed.
        """
        registration = _decode(raw)
        problems = _problems(registration.functions)
        if problems:
            raise InvalidFunctionsError(problems)
        reached = urlsplit(reached_at) if reached_at else None
        functions = [_function(registration, config, reached) for config in registration.functions]
        app = self._app(registration, functions, reached_at)
        before = await self._timetable.registered(app.id)
        modified = await self._registry.put_app(app, functions)
        schedules = [schedule for function in functions for schedule in schedules_of(function)]
        await self._timetable.keep(schedules)
        await self._timetable.drop(gone(before, schedules))
        if modified:
            detail = _summary(registration.functions)
            self._observe(Notice(app.synced_at_ms, NoticeKind.APP_SYNCED, subject=app.id, detail=detail))
            for slug, warning in cancel_warnings(registration):
                self._observe(Notice(app.synced_at_ms, NoticeKind.WARNED, function_id=slug, detail=warning))
        return Synced(app.id, modified, app.checksum)

    async def forget(self, url: str) -> bool:
        """Forget the app served at ``url``, and have its schedules tick no more. Returns False when there is none."""
        url = normal_url(url)
        app_ids = [app.id for app in await self._registry.list_apps() if app.url == url]
        schedules = [each for app_id in app_ids for each in await self._timetable.registered(app_id)]
        removed = await self._registry.remove_app(url)
        await self._timetable.drop(schedules)
        return removed

    def _app(self, registration: Registration, functions: Sequence[Function], reached_at: str | None) -> App:
        url = normal_url(reached_at or registration.url)
        configs = [
            replace(config, url=function.url)
            for config, function in zip(registration.functions, functions, strict=True)
        ]
        content = replace(registration, url=url, functions=tuple(configs)).encode()
        return App(
            id=registration.app_id,
            url=url,
            sdk=registration.sdk,
            framework=registration.framework,
            checksum=hashlib.sha256(canonical(content)).hexdigest(),
            synced_at_ms=self._clock.now_ms(),
        )


def normal_url(url: str) -> str:
    """The one spelling of an app's URL (protocol 2.5): loopback is ``localhost``, no ``deployId``, no last slash."""
    parts = urlsplit(url)
    # The name of a Lambda function is no host: it tells A from a.
    netloc = parts.netloc if parts.scheme == "lambda" else _normal_netloc(parts)
    query = _without_deploy_id(parts.query)
    return parts._replace(netloc=netloc, path=parts.path.rstrip("/"), query=query, fragment="").geturl()


def _normal_netloc(parts: SplitResult) -> str:
    host, colon, port = parts.netloc.rpartition(":") if parts.port is not None else (parts.netloc, "", "")
    return ("localhost" if host.lower() in _LOOPBACK else host.lower()) + colon + port


def _without_deploy_id(query: str) -> str:
    """JavaScript apps repeat the query of the sync that asked them, which is never the same twice."""
    return urlencode([pair for pair in parse_qsl(query, keep_blank_values=True) if pair[0] != "deployId"])


def _decode(raw: Any) -> Registration:
    try:
        return decode_registration(raw)
    except WireError as error:
        if str(error).startswith(_BODY_PROBLEMS):
            raise ApiError(400, str(error)) from error
        raise InvalidFunctionsError([str(error)]) from error


def _problems(functions: Sequence[FunctionConfig]) -> list[str]:
    counts = Counter(config.id for config in functions)
    twice = [
        f"function {slug}: is defined {count} times; give each its own id"
        for slug, count in counts.items()
        if count > 1
    ]
    return twice + [problem for config in functions for problem in broken_rules(config)]


def _function(registration: Registration, config: FunctionConfig, reached: SplitResult | None) -> Function:
    return Function(
        slug=config.id,
        app_id=registration.app_id,
        name=config.name,
        url=_reachable(config.url, reached),
        triggers=config.triggers,
        retries=config.retries,
        options=config.options,
        sdk=registration.sdk,
    )


def _reachable(url: str, reached: SplitResult | None) -> str:
    """A function's URL: what its app was reached at, if it was, with the query in which the app names the function.

    The app's own word for the path does not hold then: a proxy in front of it may have taken the path's start away.
    """
    parts = urlsplit(url)
    own = _without_deploy_id(parts.query)
    if reached is None:
        return parts._replace(query=own).geturl()
    said = {name for name, _ in parse_qsl(own, keep_blank_values=True)}
    given = parse_qsl(_without_deploy_id(reached.query), keep_blank_values=True)
    query = "&".join(filter(None, (urlencode([pair for pair in given if pair[0] not in said]), own)))
    return reached._replace(query=query, fragment="").geturl()


def _summary(functions: Sequence[FunctionConfig]) -> str:
    """How many functions there are, and which of their options wait for a later version."""
    count = f"{len(functions)} function{'' if len(functions) == 1 else 's'}"
    waiting = {name for config in functions for name in not_applied(config.options)}
    return f"{count}; not applied yet: {', '.join(sorted(waiting))}" if waiting else count
