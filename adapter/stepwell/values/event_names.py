"""Events by name or by class: what an author may write where an event is meant."""

from __future__ import annotations

from typing import Any

from stepwell.values.checks import Field
from stepwell.values.event import Event
from stepwell.values.known_events import meant_instead, trigger_meant
from stepwell.wire.registration import NAME_MAX_CHARS

EventName = str | type[Event]


def event_name(field: Field, event: Any, *, wildcard: bool = False) -> str:
    """The name of an event given by name or class. Raises DefinitionError when it names none.

    ``wildcard``: it is a trigger's. A name that is nearly that of an Event class, or of an event of the engine's, is
    warned of at the author's line.
    """
    name = _class_event_name(field, event) if isinstance(event, type) else event
    if not isinstance(name, str) or not name.strip():
        raise field.error(f'must name an event such as "order/created", or be an Event class, got {event!r}')
    if len(name) > NAME_MAX_CHARS:
        raise field.error(f"the event name is {len(name)} characters; the limit is {NAME_MAX_CHARS}")
    exact = name[:-2] if wildcard and name.endswith(("/*", ".*")) else name
    if "*" in exact or not exact:
        rule = 'a wildcard is a final "/*" or ".*", as in "order/*"' if wildcard else "give the exact event name here"
        raise field.error(f'"{name}" has a "*" where none is allowed; {rule}')
    if isinstance(event, str) and exact == name:
        _tell_misspelt(field, name, trigger_meant(name) if wildcard else meant_instead(name))
    return name


def _tell_misspelt(field: Field, name: str, meant: str | None) -> None:
    if meant is not None:
        field.tell(f'nothing declares an event "{name}"; did you mean "{meant}"? If not, declare an Event class for it')


def _class_event_name(field: Field, event_class: type[Any]) -> str:
    if not issubclass(event_class, Event):
        raise field.error(f"{event_class.__name__} is not an Event class; subclass stepwell.Event")
    name = event_class.event_name
    if name is None:
        raise field.error(
            f"{event_class.__name__} has no event name; "
            f'declare it as class {event_class.__name__}(stepwell.Event, name="order/created")'
        )
    return name
