"""The demo's input: a file of orders, each with what must come of it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import TypeAdapter, ValidationError

from stepwell_orchestrator.cli.errors import CommandError, usage_error

if TYPE_CHECKING:
    from stepwell.authoring.app import App

FULFIL: Final = "shop-fulfil-order"
_APP_FILE: Final = Path("examples", "orders", "app.py")
_CLONE: Final = Path(__file__).parents[4]


@dataclass(frozen=True, slots=True)
class Expectation:
    """What must come of an order: the status of its one run, the retries of its steps, and the runs it leads to.

    ``total`` and ``points`` are checked on a completed run's output; ``error`` must be part of a failed run's message.
    """

    status: str
    retries: int
    runs: Mapping[str, int] = field(default_factory=dict)
    total: str | None = None
    points: int | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """One line of the file: the order as it is sent, and ``sent_twice`` when its event arrives twice."""

    order: Mapping[str, Any]
    expect: Expectation
    sent_twice: bool = False

    @property
    def id(self) -> str:
        """The order's id, which is also its event's."""
        return str(self.order["id"])


_ORDER: Final = TypeAdapter(Order)


def clone_root() -> Path:
    """The clone that has the examples: around the current folder, or around this file. Raises CommandError."""
    for root in (Path.cwd(), _CLONE):
        if (root / _APP_FILE).is_file():
            return root
    raise CommandError(f"the demo needs {_APP_FILE} of a clone of the repository; run it from there")


def load_app(root: Path) -> App:
    """The example's app."""
    sys.path.insert(0, str(root))
    app: App = importlib.import_module("examples.orders.app").app
    return app


def read_orders(path: Path) -> list[Order]:
    """The orders of a file, one JSON object a line. Raises CommandError naming the line that is wrong."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise usage_error(f"cannot read {path}: {error}; it must be a file of JSON lines") from None
    orders = [_read_line(path, number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not orders:
        raise usage_error(f"{path} has no orders; it must be a file of JSON lines")
    return orders


def _read_line(path: Path, number: int, line: str) -> Order:
    try:
        order = _ORDER.validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "the line"
        raise usage_error(f"{path}, line {number}: {place}: {first['msg']}") from None
    if not isinstance(order.order.get("id"), str):
        raise usage_error(f"{path}, line {number}: order.id: must be a text")
    return order
