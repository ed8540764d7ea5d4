"""Webhooks of other services, made into events by the URL that they are sent to.

``POST /e/{key}?name=stripe/{type}&id={id}``: the event's name and id are templates, and the body is its data. A
template is text in which ``{a.b}`` stands for a field of the body, and ``{header:x-name}`` for a header of the request.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from stepwell.errors import EventError, WireError
from stepwell.wire.encoding import decode

_PARAMETERS: Final = ("name", "id")
_PLACE = re.compile(r"\{([^{}]*)\}")
_HEADER: Final = "header:"
_SHOWN_CHARS: Final = 100


@dataclass(frozen=True, slots=True)
class Webhook:
    """How bodies become events; ``id`` is None where the engine draws it."""

    name: str
    id: str | None

    def events(self, body: Any, headers: Mapping[str, str]) -> list[dict[str, Any]]:
        """The events in a body: one in an object, one for each member of an array.

        ``headers`` is asked for names in lower case. Raises EventError for what the templates do not fit.
        """
        bodies = body if isinstance(body, list) else [body]
        if len(bodies) > 1 and self.id is not None and not any(map(_is_field, _PLACE.findall(self.id))):
            raise EventError(
                f"?id={self.id[:_SHOWN_CHARS]} gives each of {len(bodies)} events the same id; take it from a field"
            )
        return [self._event(one, headers) for one in bodies]

    def _event(self, body: Any, headers: Mapping[str, str]) -> dict[str, Any]:
        if not isinstance(body, Mapping):
            raise EventError("a webhook's body must be a JSON object, or an array of them")
        own_id = {} if self.id is None else {"id": _filled("id", self.id, body, headers)}
        return {"name": _filled("name", self.name, body, headers), **own_id, "data": body}


def read_webhook(query: Iterable[tuple[str, str]]) -> Webhook | None:
    """The webhook in the parameters of a URL; None where there is no ``name`` and so none is meant.

    Raises EventError for parameters that cannot be understood.
    """
    pairs = list(query)
    templates = dict(pairs)
    if "name" not in templates:
        if "id" in templates:
            raise EventError("?id= is for webhooks and goes with ?name=, such as ?name=stripe/{type}&id={id}")
        return None
    unknown = [name for name in templates if name not in _PARAMETERS]
    if unknown or len(pairs) > len(templates):
        which = unknown[0][:_SHOWN_CHARS] if unknown else "one of them comes twice"
        raise EventError(f"a webhook's URL takes ?name= and ?id=, once each, and nothing else: {which}")
    for name, template in templates.items():
        if re.search(r"[{}]", _PLACE.sub("", template)):
            raise EventError(f"?{name}={template[:_SHOWN_CHARS]} has a brace without its partner")
    return Webhook(templates["name"], templates.get("id"))


def form_body(fields: Mapping[str, str | list[str]]) -> Any:
    """What a form holds: the JSON in its only field where that is ``payload``, as GitHub sends it; else its fields."""
    payload = fields.get("payload")
    if len(fields) != 1 or not isinstance(payload, str):
        return fields
    try:
        return decode(payload)
    except WireError:
        return fields


def _is_field(place: str) -> bool:
    return not place.startswith(_HEADER)


def _filled(parameter: str, template: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> str:
    def value(place: re.Match[str]) -> str:
        found = _field(body, place[1]) if _is_field(place[1]) else headers.get(place[1].removeprefix(_HEADER).lower())
        if isinstance(found, bool) or not isinstance(found, str | int) or found == "":
            what = f"field {place[1]!r}" if _is_field(place[1]) else f"header {place[1].removeprefix(_HEADER)!r}"
            wanted = f"?{parameter}={template[:_SHOWN_CHARS]}"
            raise EventError(f"the webhook has no {what} with a text or a whole number, which {wanted} is made from")
        return str(found)

    return _PLACE.sub(value, template)


def _field(body: Any, path: str) -> Any:
    for name in path.split("."):
        body = body.get(name) if isinstance(body, Mapping) else None
    return body
