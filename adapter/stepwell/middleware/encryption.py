"""Middleware that encrypts what is stored: results of steps and functions, and chosen fields of events."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

from stepwell.errors import DefinitionError
from stepwell.middleware.base import CallInput, Middleware, Output, Scope
from stepwell.middleware.envelopes import Keyring

ALL_FIELDS: Final = "*"


class Encryption:
    """AES-256-GCM, by the package ``cryptography``: ``pip install "stepwell[encryption]"``.

    ``keys`` are 32 bytes each, or their base64url text: the first encrypts, all of them decrypt. ``event_fields`` are
    the members of ``data`` to encrypt in events that functions and the app send and invoke with; ``"*"`` among them
    stands for all. What was stored unencrypted is read as it is. Raises DefinitionError, ImportError.
    """

    def __init__(self, keys: Sequence[str | bytes], *, event_fields: Collection[str] = ()) -> None:
        if isinstance(keys, str | bytes) or isinstance(event_fields, str):
            raise DefinitionError("Encryption: keys and event_fields are lists; write Encryption([key])")
        self._keyring = Keyring(keys)
        self._event_fields = frozenset(event_fields)

    def __repr__(self) -> str:
        return f"Encryption(keys={self._keyring.ids}, event_fields={sorted(self._event_fields)})"

    def __call__(self, scope: Scope) -> Middleware:
        """The instance for one call."""
        return _Encrypted(scope, self._keyring, self._event_fields)


class _Encrypted(Middleware):
    def __init__(self, scope: Scope, keyring: Keyring, event_fields: frozenset[str]) -> None:
        super().__init__(scope)
        self._keyring = keyring
        self._event_fields = event_fields
        self._function_slug = ""

    def transform_input(self, call: CallInput) -> None:
        self._function_slug = call.function_slug
        call.events[:] = [self._keyring.opened(event, ()) for event in call.events]
        for hashed, value in call.steps.items():
            call.steps[hashed] = self._keyring.opened(value, self._step_place(hashed))

    def transform_output(self, output: Output) -> None:
        if output.error is None:
            place = ("result",) if output.step is None else self._step_place(output.step.hashed)
            output.value = self._keyring.sealed(output.value, place)

    def before_send_events(self, events: list[dict[str, Any]]) -> None:
        for event in events:
            data = event.get("data") or {}
            event["data"] = {name: self._field(name, value) for name, value in data.items()}

    def _field(self, name: str, value: Any) -> Any:
        chosen = name in self._event_fields or ALL_FIELDS in self._event_fields
        return self._keyring.sealed(value, ("field", name)) if chosen else value

    def _step_place(self, hashed: str) -> tuple[str, ...]:
        return ("step", self._function_slug, hashed)
