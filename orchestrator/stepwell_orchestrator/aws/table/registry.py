"""The Registry port on DynamoDB: an app is a document, and a counter tells every process whether any has changed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Final

from stepwell.wire.times import SECOND_MS
from stepwell_orchestrator.aws.attribute_values import Item, Key, binary, integer, number, text
from stepwell_orchestrator.aws.service import Service
from stepwell_orchestrator.aws.table.dynamo import Action, ConditionFailed, Delete, Put, Range, Table, Update, key_of
from stepwell_orchestrator.aws.table.registry_cache import CachedRegistry, RegisteredApp, packed, unpacked
from stepwell_orchestrator.aws.table.table import PK, SK
from stepwell_orchestrator.documents import halts_document, read_halts
from stepwell_orchestrator.errors import StoreError
from stepwell_orchestrator.fresh_ids import Entropy
from stepwell_orchestrator.model.flow import Halt, Halts, HaltScope
from stepwell_orchestrator.model.function import App, Function
from stepwell_orchestrator.ports import Clock

_PARTITION: Final = "a"
_APPS: Final = "a#"
_VERSION_KEY: Final = key_of(_PARTITION, "v")
_VERSION: Final = "v"
_HALTS: Final = "h"
"""Beside the counter, so that who looks at that has read them too."""
_DOCUMENT: Final = "d"
_PARTS: Final = "k"
_PART_BYTES: Final = 350_000
"""An item takes 400 KB."""
_PARTS_MAX: Final = 11
"""A transaction takes 4 MB."""
_TRIES: Final = 10
_KNOWN_MS: Final = SECOND_MS
"""How long what was read may serve. Every event and every drive looks, and one item takes 3,000 looks a second."""
_TOKEN_BYTES: Final = 16


class DynamoRegistry:
    """Apps and their functions in one table. The port says what each method promises.

    A process reads the counter when it last did so a second ago or more. It reads and parses the apps again only when
    the counter has moved. So a change by another process is seen within a second, and a function that
    is not known is looked for again at once. A change needs the counter where it was when the apps were read, and
    raises it. All methods raise StoreError when the table cannot be reached. ``entropy`` names each change, so that one
    that is repeated after a lost reply finds itself done, and the same one of another process does not.
    """

    def __init__(self, dynamodb: Service, clock: Clock, *, table: str, entropy: Entropy) -> None:
        self._table = Table(dynamodb, table)
        self._clock = clock
        self._entropy = entropy
        self._known = CachedRegistry()
        self._halts = b""
        self._read_at_ms: int | None = None

    async def put_app(self, app: App, functions: Sequence[Function]) -> bool:
        """Replace an app and all its functions. Returns False when the checksum is the stored one."""
        document = packed(app, functions)
        parts = [document[start : start + _PART_BYTES] for start in range(0, len(document), _PART_BYTES)]
        if len(parts) > _PARTS_MAX:
            raise StoreError(
                f'app "{app.id}" takes {len(document)} bytes to register, more than {_PARTS_MAX * _PART_BYTES}: '
                "split it into several apps"
            )
        for _ in range(_TRIES):
            known = await self._current()
            held = known.apps.get(app.id)
            if held is not None and held.app.checksum == app.checksum:
                return False
            put = [Put(_part(app.id, number, known.version + 1, parts)) for number in range(len(parts))]
            if await self._change(known, [*put, *_removal(held, len(put))]):
                return True
        raise _overtaken()

    async def remove_app(self, url: str) -> bool:
        """Forget the app served at ``url``. Returns False when there is none."""
        for _ in range(_TRIES):
            known = await self._current()
            removals = [removal for held in known.apps.values() if held.app.url == url for removal in _removal(held)]
            if not removals:
                return False
            if await self._change(known, removals):
                return True
        raise _overtaken()

    async def get_function(self, slug: str) -> Function | None:
        """One function."""
        function = (await self._recent()).functions.get(slug)
        return function or (await self._current()).functions.get(slug)

    async def functions_on(self, patterns: Iterable[str]) -> list[Function]:
        """Functions with a trigger whose event is one of ``patterns``, each once, ordered by slug."""
        return (await self._recent()).functions_on(patterns)

    async def list_apps(self) -> list[App]:
        """All apps, ordered by id."""
        return [held.app for _, held in sorted((await self._current()).apps.items())]

    async def list_functions(self, app_id: str | None = None) -> list[Function]:
        """Functions of one app, or of all, ordered by slug."""
        functions = (await self._current()).functions.values()
        return [function for function in functions if app_id in (None, function.app_id)]

    async def halts(self) -> Halts:
        """What stood still within the last second."""
        await self._recent()
        return _read_halts(self._halts)

    async def halts_now(self) -> Halts:
        """What stands still."""
        await self._version()
        return _read_halts(self._halts)

    async def put_halt(self, scope: HaltScope, halt: Halt | None, *, instead_of: Halt | None) -> bool:
        """Bring something to a stand, or lift that. All halts are one document: when another one is put, try again.

        One that is repeated after a lost reply finds itself done.
        """
        tried = False
        for _ in range(_TRIES):
            await self._version()
            before = self._halts
            known = _read_halts(before)
            if known.by_scope.get(scope) != instead_of:
                return tried and known.by_scope.get(scope) == halt
            if await self._change_halts(before, halts_document(known.changed(scope, halt))):
                return True
            tried = True
        raise _overtaken()

    async def _change_halts(self, before: bytes, after: bytes) -> bool:
        """Returns False, and nothing changes, when others have changed them."""
        condition, values = f"attribute_not_exists({_HALTS})", {":next": binary(after)}
        if before:
            condition, values = f"{_HALTS} = :known", values | {":known": binary(before)}
        try:
            await self._table.do(Update(_VERSION_KEY, f"SET {_HALTS} = :next", condition, values))
        except ConditionFailed:
            return False
        self._halts = after
        return True

    async def _recent(self) -> CachedRegistry:
        """What was registered within the last second, and is now as far as this process has changed it."""
        if self._read_at_ms is not None and 0 <= self._clock.now_ms() - self._read_at_ms < _KNOWN_MS:
            return self._known
        return await self._current()

    async def _current(self) -> CachedRegistry:
        """What is registered now.

        The counter is read before the apps: a change in between leaves the older count with the newer apps, and the
        next call reads again.
        """
        known, now_ms = self._known, self._clock.now_ms()
        version = await self._version()
        for _ in range(_TRIES):
            if known.version == version:
                self._known, self._read_at_ms = known, now_ms
                return known
            rows = Range(f"{PK} = :pk AND begins_with({SK}, :sk)", {":pk": text(_PARTITION), ":sk": text(_APPS)})
            apps = _whole_apps([item async for item in self._table.items(rows)])
            if apps is not None:
                known = CachedRegistry(version, apps)
            else:
                version = await self._version()
        raise _overtaken()

    async def _version(self) -> int:
        item = await self._table.get(_VERSION_KEY) or {}
        self._halts = bytes(item[_HALTS]["B"]) if _HALTS in item else b""
        return integer(item, _VERSION) or 0

    async def _change(self, known: CachedRegistry, actions: Sequence[Action]) -> bool:
        """Write, and raise the counter. Returns False, and nothing changes, when the counter is not where it was."""
        raised = Update(
            _VERSION_KEY,
            f"SET {_VERSION} = :next",
            f"{_VERSION} = :known" if known.version else f"attribute_not_exists({_VERSION})",
            {":next": number(known.version + 1)} | ({":known": number(known.version)} if known.version else {}),
        )
        try:
            await self._table.transact([raised, *actions], self._entropy(_TOKEN_BYTES).hex())
        except ConditionFailed:
            return False
        self._read_at_ms = None
        return True


def _part_key(app_id: str, part: int) -> Key:
    return key_of(_PARTITION, f"{_APPS}{hashlib.sha256(app_id.encode()).hexdigest()}#{part:02}")


def _part(app_id: str, part: int, version: int, parts: Sequence[bytes]) -> Item:
    return {
        **_part_key(app_id, part),
        _VERSION: number(version),
        _PARTS: number(len(parts)),
        _DOCUMENT: binary(parts[part]),
    }


def _removal(held: RegisteredApp | None, start: int = 0) -> list[Action]:
    """What takes an app's parts out, from the ``start``-th on."""
    return [] if held is None else [Delete(_part_key(held.app.id, part)) for part in range(start, held.parts)]


def _whole_apps(items: Sequence[Item]) -> list[RegisteredApp] | None:
    """Put the apps together from their parts. Returns None when some parts were replaced while they were read."""
    parts_of: dict[str, list[Item]] = {}
    for item in items:
        parts_of.setdefault(item[SK]["S"].rpartition("#")[0], []).append(item)
    apps = []
    for parts in parts_of.values():
        versions = {integer(part, _VERSION) or 0 for part in parts}
        if len(versions) > 1 or any(integer(part, _PARTS) != len(parts) for part in parts):
            return None
        document = b"".join(bytes(part[_DOCUMENT]["B"]) for part in parts)
        apps.append(unpacked(document, versions.pop(), len(parts)))
    return apps


def _read_halts(document: bytes) -> Halts:
    return read_halts(document) if document else Halts()


def _overtaken() -> StoreError:
    return StoreError(f"the registry was changed by others {_TRIES} times in a row; try again")
