"""Registering an app where it is served: it is asked for its functions and answers with them (protocol 2.4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from stepwell.errors import StepwellError, WireError
from stepwell.wire import headers as names
from stepwell.wire.encoding import canonical, decode
from stepwell.wire.signing import sign
from stepwell.wire.times import SECOND_MS
from stepwell_orchestrator.accepting.register import Register, normal_url
from stepwell_orchestrator.aws.invoke_lambda import is_lambda_url, lambda_url
from stepwell_orchestrator.errors import ApiError
from stepwell_orchestrator.ports import CallError, Clock, HttpReply, Registry

DEFAULT_PATH: Final = "/api/stepwell"
_REASON_CHARS_MAX: Final = 1_000


class SyncError(StepwellError):
    """An app was not registered. What was registered before stays in force."""


class Requester(Protocol):
    """What reaches an app."""

    async def request(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> HttpReply:
        """Send a request and return the reply, whatever its status. Raises CallError when there is none."""
        ...


@dataclass(frozen=True, slots=True)
class Registered:
    """An app that is registered now. ``modified`` is False when nothing changed."""

    app_id: str
    url: str
    functions: int
    modified: bool

    def encode(self) -> dict[str, Any]:
        """The JSON object."""
        return {"app_id": self.app_id, "url": self.url, "functions": self.functions, "modified": self.modified}


@dataclass(frozen=True, slots=True)
class DeployedSync:
    """Registers apps and forgets them. ``signing_keys`` sign what is asked, the first one does."""

    requester: Requester
    register: Register
    registry: Registry
    clock: Clock
    signing_keys: Sequence[str]
    server_kind: str

    async def sync(self, url: str) -> Registered:
        """Register the app that is served at ``url``, in place of one with another id that was served there before.

        Raises SyncError.
        """
        answer = await self._ask(url)
        raw = _registration(answer)
        try:
            await self._forget_another(str(raw["appName"]), url)
            synced = await self.register.accept(raw, reached_at=url)
        except ApiError as error:
            raise SyncError(f"the app at {url} was not registered: {error}") from error
        return Registered(synced.app_id, normal_url(url), len(raw["functions"]), synced.modified)

    async def forget(self, url: str) -> bool:
        """Forget the app that is served at ``url``. Returns whether there was one."""
        return await self.register.forget(url)

    async def _ask(self, url: str) -> Mapping[str, Any]:
        body = canonical({"url": _shown_to_the_app(url)})
        headers = {
            "content-type": "application/json",
            names.SERVER_KIND: self.server_kind,
            names.SYNC_KIND: names.SYNC_IN_BAND,
        }
        if self.signing_keys:
            headers[names.SIGNATURE] = sign(body, self.signing_keys[0], self.clock.now_ms() // SECOND_MS)
        try:
            reply = await self.requester.request("PUT", url, headers, body)
        except CallError as error:
            raise SyncError(str(error)) from error
        return _understood(url, reply)

    async def _forget_another(self, app_id: str, url: str) -> None:
        """An app that was renamed must not go on under its old name beside itself."""
        for app in await self.registry.list_apps():
            if app.url == normal_url(url) and app.id != app_id:
                await self.register.forget(app.url)


def target_url(target: Mapping[str, Any]) -> str:
    """The URL of what is to be registered: ``Url``, or ``FunctionArn`` or ``FunctionName`` with a ``Path``.

    Raises SyncError saying what is missing or wrong.
    """
    url, function = target.get("Url"), target.get("FunctionArn") or target.get("FunctionName")
    if url and function:
        raise SyncError("the target has both a Url and a function; give one of them")
    if url:
        if not isinstance(url, str) or not url.startswith(("http://", "https://")) or not urlsplit(url).netloc:
            raise SyncError(f"Url is {str(url)[:200]!r}; write it like https://example.com{DEFAULT_PATH}")
        return url
    if not isinstance(function, str) or not function:
        raise SyncError("the target is missing: give FunctionArn, FunctionName or Url")
    path = target.get("Path") or DEFAULT_PATH
    if not isinstance(path, str) or not path.startswith("/"):
        raise SyncError(f"Path is {str(path)[:200]!r}, but a path starts with a slash, like {DEFAULT_PATH}")
    return lambda_url(function, path)


def _shown_to_the_app(url: str) -> str:
    """A URL that an app takes for its own: of one that is invoked, only the path means anything to it."""
    return f"https://stepwell.invalid{urlsplit(url).path}" if is_lambda_url(url) else url


def _understood(url: str, reply: HttpReply) -> Mapping[str, Any]:
    try:
        answer = decode(reply.body, repair=True)
    except WireError:
        answer = None
    if not isinstance(answer, Mapping):
        raise SyncError(
            f"{url} answers {reply.status}, but not as an app does; is this where the functions are served?"
        )
    if reply.status >= 400:
        reason = str(answer.get("message") or answer.get("error") or "no reason given")[:_REASON_CHARS_MAX]
        raise SyncError(f"the app at {url} refused to be registered ({reply.status}): {reason}")
    if reply.headers.get(names.SYNC_KIND) != names.SYNC_IN_BAND:
        raise SyncError(
            f"the app at {url} does not answer with its functions; allow it to, with STEPWELL_ALLOW_IN_BAND_SYNC=1 "
            "(or INNGEST_ALLOW_IN_BAND_SYNC=1)"
        )
    return answer


def _registration(answer: Mapping[str, Any]) -> dict[str, Any]:
    """An in-band answer as the registration that the app would have sent itself (protocol 2.5)."""
    sdk = answer.get("sdk") or f"{answer.get('sdk_language') or 'unknown'}:v{answer.get('sdk_version') or '0'}"
    functions = answer.get("functions")
    return {
        "appName": answer.get("app_id") or "",
        "appVersion": answer.get("appVersion"),
        "url": answer.get("url"),
        "sdk": sdk,
        "framework": answer.get("framework"),
        "functions": functions if isinstance(functions, list) else [],
        "headers": {"env": answer.get("env"), "platform": answer.get("platform")},
    }
