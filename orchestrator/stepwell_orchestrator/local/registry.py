"""The Registry port on SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from stepwell.wire.encoding import encode
from stepwell_orchestrator.documents import (
    app_document,
    function_document,
    halts_document,
    read_app,
    read_function,
    read_halts,
)
from stepwell_orchestrator.local.database import Database
from stepwell_orchestrator.model.flow import Halt, Halts, HaltScope
from stepwell_orchestrator.model.function import App, Function


class SqliteRegistry:
    """Apps and their functions in one database. The port says what each method promises.

    Made before the event loop runs, as the database is. Raises StoreError when it cannot be read.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._changes = 0
        self._known_halts: Halts | None = None
        with database.exclusive() as db:
            self._known_halts = _halts(db)

    async def put_app(self, app: App, functions: Sequence[Function]) -> bool:
        """Replace an app and all its functions. Returns False when the checksum is the stored one."""
        rows = [(function.slug, app.id, function_document(function)) for function in functions]
        triggers = {
            (trigger.event, function.slug)
            for function in functions
            for trigger in function.triggers
            if trigger.event is not None
        }
        async with self._database.write() as db:
            if db.execute("SELECT 1 FROM apps WHERE id = ? AND checksum = ?", (app.id, app.checksum)).fetchone():
                return False
            _forget_functions(db, app.id)
            db.execute(
                "INSERT OR REPLACE INTO apps VALUES (?, ?, ?, ?)", (app.id, app.url, app.checksum, app_document(app))
            )
            # Two apps may spell one slug ("a-b" + "c", "a" + "b-c"): the last one registered has it.
            db.executemany("DELETE FROM triggers WHERE slug = ?", [(slug,) for slug, _, _ in rows])
            db.executemany("INSERT OR REPLACE INTO functions VALUES (?, ?, ?)", rows)
            db.executemany("INSERT INTO triggers VALUES (?, ?)", sorted(triggers))
            return True

    async def remove_app(self, url: str) -> bool:
        """Forget the app served at ``url``. Returns False when there is none."""
        async with self._database.write() as db:
            app_ids = [app_id for (app_id,) in db.execute("SELECT id FROM apps WHERE url = ?", (url,))]
            for app_id in app_ids:
                _forget_functions(db, app_id)
                db.execute("DELETE FROM apps WHERE id = ?", (app_id,))
            return bool(app_ids)

    async def get_function(self, slug: str) -> Function | None:
        """One function."""
        functions = await self._functions("SELECT document FROM functions WHERE slug = ?", slug)
        return functions[0] if functions else None

    async def functions_on(self, patterns: Iterable[str]) -> list[Function]:
        """Functions with a trigger whose event is one of ``patterns``, each once, ordered by slug."""
        query = (
            "SELECT document FROM functions WHERE slug IN "
            "(SELECT slug FROM triggers WHERE event IN (SELECT value FROM json_each(?))) ORDER BY slug"
        )
        return await self._functions(query, encode(list(patterns)).decode())

    async def list_apps(self) -> list[App]:
        """All apps, ordered by id."""
        async with self._database.read() as db:
            return [read_app(document) for (document,) in db.execute("SELECT document FROM apps ORDER BY id")]

    async def list_functions(self, app_id: str | None = None) -> list[Function]:
        """Functions of one app, or of all, ordered by slug."""
        if app_id is None:
            return await self._functions("SELECT document FROM functions ORDER BY slug")
        return await self._functions("SELECT document FROM functions WHERE app_id = ? ORDER BY slug", app_id)

    async def halts(self) -> Halts:
        """What stands still. It is asked before every call, and the database has one owner: so it is read once."""
        return await self.halts_now() if self._known_halts is None else self._known_halts

    async def halts_now(self) -> Halts:
        """What stands still."""
        changes = self._changes
        async with self._database.read() as db:
            halts = _halts(db)
        if changes == self._changes:
            self._known_halts = halts
        return halts

    async def put_halt(self, scope: HaltScope, halt: Halt | None, *, instead_of: Halt | None) -> bool:
        """Bring something to a stand, or lift that."""
        try:
            async with self._database.write() as db:
                known = _halts(db)
                if known.by_scope.get(scope) != instead_of:
                    return False
                db.execute("DELETE FROM halts")
                db.execute("INSERT INTO halts VALUES (?)", (halts_document(known.changed(scope, halt)),))
        finally:
            # What is being read at the moment may be older.
            self._changes += 1
            self._known_halts = None
        return True

    async def _functions(self, query: str, *parameters: Any) -> list[Function]:
        async with self._database.read() as db:
            return [read_function(document) for (document,) in db.execute(query, parameters)]


def _halts(db: sqlite3.Connection) -> Halts:
    row = db.execute("SELECT document FROM halts").fetchone()
    return Halts() if row is None else read_halts(row[0])


def _forget_functions(db: sqlite3.Connection, app_id: str) -> None:
    db.execute("DELETE FROM triggers WHERE slug IN (SELECT slug FROM functions WHERE app_id = ?)", (app_id,))
    db.execute("DELETE FROM functions WHERE app_id = ?", (app_id,))
