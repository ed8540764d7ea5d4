"""Loading an app: what is found, and the one line for everything that can go wrong."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stepwell_orchestrator.entry.loading import LoadError, load_app

FILES = {
    "good_one.py": 'import stepwell\napp = stepwell.App("a", dev=True)\nsame = app\nnumber = 5\n',
    "good_two.py": 'import stepwell\na = stepwell.App("a", dev=True)\nb = stepwell.App("b", dev=True)\n',
    "good_none.py": "number = 5\n",
    "good_pack/__init__.py": "",
    "good_pack/inner.py": 'import stepwell\nclass Box:\n    app = stepwell.App("boxed", dev=True)\n',
    "bad_missing.py": "import os\nimport no_such_thing\n",
    "bad_raises.py": "def f():\n    return 1 / 0\n\n\nf()\n",
    "bad_deep.py": 'import json\n\njson.loads("{")\n',
    "bad_syntax.py": "x = 1\ny = (\n",
    "bad_exits.py": "import sys\n\nsys.exit(4)\n",
    "bad_silent.py": "raise RuntimeError\n",
    "bad_twice.py": "import stepwell\n"
    'app = stepwell.App("a", dev=True)\n\n\n'
    '@app.function(id="f", on="x")\nasync def one(ctx): ...\n\n\n'
    '@app.function(id="f", on="x")\nasync def two(ctx): ...\n',
}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder of modules; what was imported from it is forgotten afterwards."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    path = list(sys.path)
    yield tmp_path
    sys.path[:] = path
    for name in [name for name in sys.modules if name.startswith(("good_", "bad_"))]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("target", "app_id"),
    [
        ("good_one:app", "a"),
        ("good_one:same", "a"),
        ("good_one", "a"),
        ("good_two:b", "b"),
        ("good_pack.inner:Box.app", "boxed"),
    ],
)
def test_app_is_found(folder: Path, target: str, app_id: str) -> None:
    """An app is found by module and name, or by the module alone when it holds just one."""
    assert load_app(target, folder).id == app_id


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("good_one:nope", 'the module "good_one" has no "nope"; it has good_one:app'),
        ("good_one:number", '"good_one:number" is a int, not a stepwell.App; it has good_one:app'),
        ("good_two", 'the module "good_two" does not hold exactly one app; it has good_two:a, good_two:b'),
        (
            "good_none",
            'the module "good_none" does not hold exactly one app; define one with app = stepwell.App("...")',
        ),
        ("good_one.py:app", '"good_one.py:app" names a file; write the module: good_one:app'),
        ("./good_pack/inner.py", '"./good_pack/inner.py" names a file; write the module: good_pack.inner:app'),
        ("a b:app", '"a b:app" does not name a module; write it like shop.app:app, or a URL like http://...'),
        (":app", '":app" does not name a module; write it like shop.app:app, or a URL like http://...'),
        (
            "bad_missing:app",
            "importing \"bad_missing\" failed: ModuleNotFoundError: No module named 'no_such_thing' (bad_missing.py:2)",
        ),
        ("bad_raises:app", 'importing "bad_raises" failed: ZeroDivisionError: division by zero (bad_raises.py:2)'),
        ("bad_syntax:app", "importing \"bad_syntax\" failed: SyntaxError: '(' was never closed (bad_syntax.py:2)"),
        ("bad_exits:app", 'importing "bad_exits" failed: SystemExit: 4 (bad_exits.py:3)'),
        ("bad_silent:app", 'importing "bad_silent" failed: RuntimeError: no message (bad_silent.py:1)'),
    ],
)
def test_what_cannot_be_loaded(folder: Path, target: str, message: str) -> None:
    """What cannot be loaded is told in one line with the place and the fix."""
    with pytest.raises(LoadError) as failure:
        load_app(target, folder)
    assert str(failure.value) == message


@pytest.mark.parametrize("target", ["no_such_module:app", "no_such.module:app", "good_pack.nope:app"])
def test_missing_module_names_the_file_looked_for(folder: Path, target: str) -> None:
    """Of a module that is not there, the file that was looked for is named."""
    with pytest.raises(LoadError) as failure:
        load_app(target, folder)
    name = target.partition(":")[0]
    path = folder / f"{name.replace('.', '/')}.py"
    told = f'there is no module "{name}": looked for {path}; check the name, or go to the folder that holds it'
    assert str(failure.value) == told


def test_place_is_the_users_own_line(folder: Path) -> None:
    """An error inside a library names the line of the user's that led there."""
    with pytest.raises(LoadError, match=r"JSONDecodeError: .* \(bad_deep\.py:3\)$"):
        load_app("bad_deep:app", folder)


def test_bad_definition_is_told(folder: Path) -> None:
    """An app that defines a function twice is told in the definition's own words."""
    with pytest.raises(LoadError, match=r'^importing "bad_twice" failed: DefinitionError: .*\(bad_twice\.py:\d+\)$'):
        load_app("bad_twice:app", folder)
