"""The registry as one process caches it: parsed once, looked up in memory. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from stepwell_orchestrator.aws.payloads.blobs import compress, decompress
from stepwell_orchestrator.documents import app_document, function_document, read_app, read_function
from stepwell_orchestrator.model.function import App, Function


@dataclass(frozen=True, slots=True)
class RegisteredApp:
    """An app at the version of the registry that registered it. ``parts`` is the number of items it is stored in."""

    app: App
    functions: tuple[Function, ...]
    version: int
    parts: int


class CachedRegistry:
    """All apps at one version of the registry. Version 0 is that of an empty one.

    Two apps may spell one slug ("a-b" + "c", "a" + "b-c"): the last one registered has it.
    """

    def __init__(self, version: int = 0, apps: Iterable[RegisteredApp] = ()) -> None:
        self.version = version
        self.apps: Mapping[str, RegisteredApp] = {held.app.id: held for held in apps}
        by_slug = {
            function.slug: function
            for held in sorted(self.apps.values(), key=lambda held: held.version)
            for function in held.functions
        }
        self.functions: Mapping[str, Function] = dict(sorted(by_slug.items()))
        self._slugs_on: dict[str, set[str]] = {}
        for function in by_slug.values():
            for trigger in function.triggers:
                if trigger.event is not None:
                    self._slugs_on.setdefault(trigger.event, set()).add(function.slug)

    def functions_on(self, patterns: Iterable[str]) -> list[Function]:
        """Functions with a trigger whose event is one of ``patterns``, ordered by slug."""
        slugs = {slug for pattern in patterns for slug in self._slugs_on.get(pattern, ())}
        return [self.functions[slug] for slug in sorted(slugs)]


def packed(app: App, functions: Sequence[Function]) -> bytes:
    """An app and its functions as one document: a line each, compressed. JSON has no line ends of its own."""
    return compress(b"\n".join([app_document(app), *map(function_document, functions)]))


def unpacked(document: bytes, version: int, parts: int) -> RegisteredApp:
    """The app in a document."""
    app, *functions = decompress(document).split(b"\n")
    return RegisteredApp(read_app(app), tuple(map(read_function, functions)), version, parts)
