"""Loading an app from ``module:app``. Everything that can go wrong is one line that says where and what to do."""

from __future__ import annotations

import importlib
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from stepwell.errors import StepwellError

if TYPE_CHECKING:
    from stepwell.authoring.app import App


class LoadError(StepwellError):
    """An app cannot be loaded. Saying it again is useless until a file has changed."""


def load_app(target: str, folder: Path) -> App:
    """The app that ``module:attribute`` names, or the only one in ``module``; ``folder`` goes on the import path.

    Raises LoadError.
    """
    module_name, _, attribute = target.partition(":")
    if module_name.endswith(".py"):
        raise LoadError(f'"{target}" names a file; write the module: {_dotted(module_name)}:{attribute or "app"}')
    if not all(part.isidentifier() for part in module_name.split(".")):
        raise LoadError(f'"{target}" does not name a module; write it like shop.app:app, or a URL like http://...')
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    module = _import(module_name, folder)
    return _named(module, attribute) if attribute else _only(module)


def _import(name: str, folder: Path) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            path = folder / Path(*name.split("."))
            raise LoadError(
                f'there is no module "{name}": looked for {path}.py; check the name, or go to the folder that holds it'
            ) from error
        raise _failed_import(name, error, folder) from error
    except (Exception, SystemExit) as error:
        raise _failed_import(name, error, folder) from error


def _failed_import(name: str, error: BaseException, folder: Path) -> LoadError:
    said = error.msg if isinstance(error, SyntaxError) else str(error)
    reason = " ".join(said.split()) or "no message"
    return LoadError(f'importing "{name}" failed: {type(error).__name__}: {reason}{_place(error, folder)}')


def _place(error: BaseException, folder: Path) -> str:
    """The last line of the user's own code on the way to the error."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({_shown(error.filename, folder)}:{error.lineno})"
    frames = traceback.extract_tb(error.__traceback__)
    own = [
        frame
        for frame in frames
        if Path(frame.filename).is_relative_to(folder) and "site-packages" not in frame.filename
    ]
    return f" ({_shown(own[-1].filename, folder)}:{own[-1].lineno})" if own else ""


def _shown(filename: str, folder: Path) -> str:
    path = Path(filename)
    return str(path.relative_to(folder) if path.is_relative_to(folder) else path)


def _named(module: ModuleType, attribute: str) -> App:
    from stepwell.authoring.app import App

    value: object = module
    for part in attribute.split("."):
        if not hasattr(value, part):
            raise LoadError(f'the module "{module.__name__}" has no "{attribute}"; {_apps_in(module)}')
        value = getattr(value, part)
    if not isinstance(value, App):
        kind = type(value).__name__
        raise LoadError(f'"{module.__name__}:{attribute}" is a {kind}, not a stepwell.App; {_apps_in(module)}')
    return value


def _only(module: ModuleType) -> App:
    found = _apps(module)
    if len(found) != 1:
        raise LoadError(f'the module "{module.__name__}" does not hold exactly one app; {_apps_in(module)}')
    return next(iter(found.values()))


def _apps(module: ModuleType) -> dict[str, App]:
    """The apps of a module by the first name each is bound to."""
    from stepwell.authoring.app import App

    found: dict[int, tuple[str, App]] = {}
    for name, value in vars(module).items():
        if isinstance(value, App):
            found.setdefault(id(value), (name, value))
    return dict(found.values())


def _apps_in(module: ModuleType) -> str:
    names = [f"{module.__name__}:{name}" for name in _apps(module)]
    return f"it has {', '.join(names)}" if names else 'define one with app = stepwell.App("...")'


def _dotted(filename: str) -> str:
    return ".".join(part for part in Path(filename).with_suffix("").parts if part not in ("/", ".."))
