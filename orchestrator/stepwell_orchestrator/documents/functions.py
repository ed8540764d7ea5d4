"""The documents of an app and of a function."""

from __future__ import annotations

from stepwell.wire.encoding import decode, encode
from stepwell.wire.registration import Trigger
from stepwell_orchestrator.documents.members import members_of
from stepwell_orchestrator.model.function import App, Function


def app_document(app: App) -> bytes:
    """An app, whole."""
    return encode(members_of(app))


def read_app(document: bytes) -> App:
    """The app in a document."""
    return App(**decode(document))


def function_document(function: Function) -> bytes:
    """A function, whole."""
    return encode(members_of(function) | {"triggers": [members_of(trigger) for trigger in function.triggers]})


def read_function(document: bytes) -> Function:
    """The function in a document."""
    body = decode(document)
    return Function(**body | {"triggers": tuple(Trigger(**trigger) for trigger in body["triggers"])})
