"""The rooms of the house: how many modules stand beside each other in one, and what its ``__init__.py`` says of it."""

from __future__ import annotations

import ast
import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

from tests.tidy.sources import Source

MODULES_IN_A_ROOM_MAX = 16

_PURPOSE_AND_IMPORTS = re.compile(r".*\S\n\nMay import\b.*\.\s*", re.DOTALL)


def small_rooms(sources: Iterable[Source]) -> Iterator[str]:
    """A newcomer who opens a folder sees all of it at a glance; its ``__init__.py`` is not counted."""
    rooms: defaultdict[str, int] = defaultdict(int)
    for source in sources:
        folder, name = posixpath.split(source.path)
        rooms[folder] += name != "__init__.py"
    for folder, modules in sorted(rooms.items()):
        if modules > MODULES_IN_A_ROOM_MAX:
            yield (
                f"{folder}/ has {modules} modules beside each other; "
                f"make a room of what belongs together, the bound is {MODULES_IN_A_ROOM_MAX}"
            )


def described_rooms(sources: Iterable[Source]) -> Iterator[str]:
    """A room says in its first lines what it is for, and then what it may import."""
    for source in sources:
        if posixpath.basename(source.path) == "__init__.py":
            docstring = ast.get_docstring(source.tree) or ""
            if not _PURPOSE_AND_IMPORTS.fullmatch(docstring):
                yield (
                    f"{source.path}: say in the docstring what the room is for, then, after an empty line, what it "
                    "may import: May import ..."
                )
