from __future__ import annotations

from itertools import pairwise

import pytest

from tests.tidy.circles import circles, imports_between
from tests.tidy.rooms import MODULES_IN_A_ROOM_MAX, described_rooms, small_rooms
from tests.tidy.sources import Source, package_sources, parse

A, B, C = "adapter/p/a.py", "adapter/p/b.py", "adapter/p/c.py"
PACKAGE = "adapter/p/__init__.py"


def files(**texts: str) -> list[Source]:
    """A package ``p`` of the given modules; ``__init__`` is the package's own file."""
    return [parse(text, f"adapter/p/{name}.py") for name, text in texts.items()]


def test_no_files_import_in_a_circle() -> None:
    """No file of the two packages needs, by whatever chain of imports, a file that needs it."""
    found = [" -> ".join(circle) for circle in circles(imports_between(package_sources()))]
    assert "\n".join(found) == "", "let one of them not know the other: move what both need below them"


def test_no_room_is_crowded() -> None:
    """No folder of the two packages has more modules beside each other than a newcomer can look over."""
    assert "\n".join(small_rooms(package_sources())) == ""


def test_every_room_says_what_it_is_for() -> None:
    """Each package's docstring says what is in it and what it may import."""
    assert "\n".join(described_rooms(package_sources())) == ""


@pytest.mark.parametrize(
    "text",
    [
        "import p.a",
        "from p import a",
        "from p.a import thing",
        "def later():\n    from p.a import thing",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from p.a import thing",
    ],
)
def test_a_planted_circle_is_found(text: str) -> None:
    """Two files that import each other are shown as a circle, however one of them imports the other."""
    assert list(circles(imports_between(files(a="import p.b", b=text)))) in ([(A, B, A)], [(B, A, B)])


def test_a_circle_is_shown_file_by_file() -> None:
    """Each file of a circle stands before the one it imports, and files outside it are not shown."""
    imports = imports_between(files(a="import p.b", b="import p.c", c="import p.a", d="import p.a", e=""))
    (circle,) = circles(imports)
    assert set(circle) == {A, B, C}
    assert all(imported in imports[path] for path, imported in pairwise(circle))


def test_every_circle_is_shown() -> None:
    """A second circle is not hidden by the first, whether or not they share a file."""
    apart = files(a="import p.b", b="import p.a", c="import p.d", d="import p.c")
    sharing = files(a="import p.b\nimport p.c", b="import p.a", c="import p.a")
    assert [len(list(circles(imports_between(sources)))) for sources in (apart, sharing)] == [2, 2]


def test_imports_without_a_circle_are_fine() -> None:
    """A package that gathers names from its modules is no circle, and neither is a file that names itself."""
    sources = files(__init__="from p.a import thing", a="from p.b import thing", b="import p.b")
    assert imports_between(sources) == {PACKAGE: {A}, A: {B}, B: frozenset()}
    assert list(circles(imports_between(sources))) == []


def test_a_name_taken_from_the_package_counts() -> None:
    """A module that takes a name from the package that gathers it from the module is a circle."""
    sources = files(__init__="from p.a import thing", a="from p import thing")
    assert len(list(circles(imports_between(sources)))) == 1


def test_a_crowded_room_is_found() -> None:
    """A folder is full at the bound, its package file not counted, and one more module is reported."""
    full = files(__init__="", **{f"m{number}": "" for number in range(MODULES_IN_A_ROOM_MAX)})
    assert list(small_rooms(full)) == []
    (problem,) = small_rooms([*full, *files(more="")])
    assert problem.startswith(f"adapter/p/ has {MODULES_IN_A_ROOM_MAX + 1} modules")


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ('"""What it is for.\n\nMay import the wire.\n"""', 0),
        ('"""What it is for,\nin two lines.\n\nMay import the wire, and\nthe errors.\n"""', 0),
        ('"""What it is for."""', 1),
        ('"""May import the wire."""', 1),
        ("", 1),
    ],
)
def test_a_room_that_says_nothing_is_found(text: str, problems: int) -> None:
    """A package without a docstring, or with one that lacks its purpose or its imports, is reported."""
    assert len(list(described_rooms(files(__init__=text, a='"""A module."""')))) == problems
