"""``step.fetch``: an HTTP request that the server makes, and its response as the step's result (protocol 9.5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from stepwell.errors import WireError
from stepwell.steps.calls import StepId, TypedStepCall, misuse, options_of, refuse_policy
from stepwell.values.serializer import to_json
from stepwell.wire.encoding import decode, encode
from stepwell.wire.opcodes import Op


@dataclass(frozen=True, slots=True)
class Response:
    """What ``step.fetch`` gives, whatever its status. Header names are in lower case; ``url`` is after redirects."""

    status_code: int
    headers: Mapping[str, str] = field(default_factory=dict)
    text: str = ""
    url: str = ""

    @property
    def ok(self) -> bool:
        """Whether the status says success."""
        return 200 <= self.status_code < 300

    def json(self) -> Any:
        """The body as JSON. Raises WireError when it is none."""
        return decode(self.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to fetch, as the user gave it; at most one of ``json``, any value, and ``body``, a text."""

    url: str
    method: str | None = None
    headers: Mapping[str, str] | None = None
    json: Any = None
    body: str | None = None


def fetch_call(step: StepId, request: Request) -> TypedStepCall[Response]:
    """A step that gives a Response. Raises DefinitionError naming step and argument, EncodingError for its JSON."""
    options = options_of(step)
    refuse_policy(options, "a fetch is retried as often as its function is; leave StepOptions.retries and .timeout out")
    headers = checked_headers(options.id, "fetch", request.headers)
    body = request.body
    if request.json is not None:
        if body is not None:
            raise misuse(options.id, "fetch takes json= or body=, not both")
        body = encode(to_json(request.json, f'step "{options.id}", fetch: json')).decode()
        headers = {"content-type": "application/json", **headers}
    if body is not None and not isinstance(body, str):
        raise misuse(options.id, f"fetch: body must be a text, got {type(body).__name__}; pass JSON values as json=")
    opts: dict[str, Any] = {
        "type": "step.fetch",
        "url": checked_url(options.id, "fetch", request.url),
        "method": _method(options.id, request.method, has_body=body is not None),
        "headers": headers,
    }
    return TypedStepCall(
        user_id=options.id,
        op=Op.GATEWAY,
        name=options.id,
        display_name=options.name or options.id,
        restore=partial(_restore, options.id),
        opts=opts if body is None else {**opts, "body": body},
        may_raise=True,
    )


def checked_url(step_id: str, call: str, url: Any) -> str:
    """A URL as it goes over the wire. Raises DefinitionError naming the step."""
    if not isinstance(url, str) or not url.lower().startswith(("http://", "https://")):
        raise misuse(step_id, f'{call}: the URL must be a text such as "https://example.com/x", got {url!r}')
    return url


def checked_headers(step_id: str, call: str, headers: Any) -> dict[str, str]:
    """Headers as they go over the wire, in lower case. Raises DefinitionError, which shows no value."""
    if headers is not None and not isinstance(headers, Mapping):
        raise misuse(step_id, f"{call}: headers must be a mapping of texts, got {type(headers).__name__}")
    checked: dict[str, str] = {}
    for name, value in (headers or {}).items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise misuse(step_id, f"{call}: the header {name!r} must be a text with a text for its value")
        checked[name.lower()] = value
    return checked


def _method(step_id: str, method: Any, *, has_body: bool) -> str:
    if method is None:
        return "POST" if has_body else "GET"
    if not isinstance(method, str) or not method.isascii() or not method.isalpha():
        raise misuse(step_id, f'fetch: method must be a word such as "GET", got {method!r}')
    return method.upper()


def _restore(step_id: str, value: Any) -> Response:
    if not isinstance(value, Mapping) or not isinstance(value.get("status_code"), int):
        raise WireError(f'step "{step_id}": the journal has something for it that is no response of step.fetch')
    headers, text, url = value.get("headers"), value.get("body"), value.get("url")
    return Response(value["status_code"], dict(headers or {}), str(text or ""), str(url or ""))
