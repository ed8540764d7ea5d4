"""The house rules a linter does not know. A rule takes a source and yields what is wrong, where, and what to do."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.tidy.names import used_names
from tests.tidy.sources import Source

Rule = Callable[[Source], Iterator[str]]

FUNCTION_LINES_MAX = 60
POSITIONAL_PARAMETERS_MAX = 5
FILE_LINES_MAX = 400


@dataclass(frozen=True, slots=True)
class Ban:
    """Names that only some places may use. A place is a path from the repository's root; a folder ends in a slash."""

    names: tuple[str, ...]
    instead: str
    allowed: tuple[str, ...]

    def covers(self, name: str) -> bool:
        """Whether ``name`` is one of the names or lies under one that is a whole module."""
        return any(name == banned or name.startswith(f"{banned}.") for banned in self.names)

    def allows(self, path: str) -> bool:
        """Whether a file may use the names."""
        return any(path.startswith(place) if place.endswith("/") else path == place for place in self.allowed)


ENTRY = "orchestrator/stepwell_orchestrator/entry/"
LOCAL_CLOCK = "orchestrator/stepwell_orchestrator/local/clock.py"
ADAPTER_SYSTEM = "adapter/stepwell/client/system.py"

BANS = (
    Ban(
        names=(
            *(f"time.{name}" for name in ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter")),
            *(f"datetime.datetime.{name}" for name in ("now", "utcnow", "today")),
            "datetime.date.today",
            "time.perf_counter_ns",
        ),
        instead="time is injected: take now_ms, a Clock or a callable as a parameter",
        allowed=(LOCAL_CLOCK, ADAPTER_SYSTEM, ENTRY),
    ),
    Ban(
        names=("time.sleep", "asyncio.sleep"),
        instead="waiting is injected: use Clock.sleep_until, or take the sleep as a parameter",
        allowed=(LOCAL_CLOCK, ADAPTER_SYSTEM, ENTRY),
    ),
    Ban(
        names=("random", "secrets", "uuid.uuid1", "uuid.uuid4", "os.urandom"),
        instead="entropy is injected, so that a run can be replayed from a seed: take it as a parameter",
        allowed=(ADAPTER_SYSTEM, ENTRY),
    ),
    Ban(
        names=("os.environ", "os.getenv", "os.environb", "os.putenv"),
        instead="the environment is read in one place a package: add a setting to settings.py",
        allowed=("adapter/stepwell/client/settings.py", "orchestrator/stepwell_orchestrator/cli/settings.py", ENTRY),
    ),
    Ban(
        names=("boto3", "botocore"),
        instead="AWS is named only behind the ports: put it into aws/",
        allowed=("orchestrator/stepwell_orchestrator/aws/",),
    ),
)

PRINTING = ("orchestrator/stepwell_orchestrator/cli/", "orchestrator/stepwell_orchestrator/terminal/console.py")

_BARE_IGNORE = re.compile(r"#\s*(?:type|pyright):\s*ignore(?!\[)|#\s*noqa(?!:\s*[A-Z]+\d)", re.IGNORECASE)
_LEFTOVER = re.compile(r"\b(?:T[O]DO|FIX[M]E|X[X]X)\b")
_SENTENCE_END = re.compile(r"(?<!e\.g)(?<!i\.e)[.!?]\s+[A-Z]")


def short_functions(source: Source) -> Iterator[str]:
    """A function fits on a screen."""
    for function in source.functions:
        lines = (function.end_lineno or function.lineno) - function.lineno + 1
        if lines > FUNCTION_LINES_MAX:
            where = f"{source.path}:{function.lineno}"
            yield f"{where} {function.name} has {lines} lines; split it, the bound is {FUNCTION_LINES_MAX}"


def few_positional_parameters(source: Source) -> Iterator[str]:
    """A call can be read without looking up the order of its arguments."""
    for function in source.functions:
        names = [parameter.arg for parameter in (*function.args.posonlyargs, *function.args.args)]
        count = len(names) - (names[:1] in (["self"], ["cls"]))
        if count > POSITIONAL_PARAMETERS_MAX:
            yield (
                f"{source.path}:{function.lineno} {function.name} takes {count} positional parameters; "
                f"make some keyword-only with *, or give them a dataclass; the bound is {POSITIONAL_PARAMETERS_MAX}"
            )


def short_files(source: Source) -> Iterator[str]:
    """A file holds one idea."""
    lines = source.text.count("\n")
    if lines > FILE_LINES_MAX:
        yield f"{source.path} has {lines} lines; one idea a file, the bound is {FILE_LINES_MAX}"


def no_banned_names(source: Source) -> Iterator[str]:
    """Time, waiting, entropy, the environment and AWS are reached only where they are injected from."""
    for line, name in used_names(source):
        for ban in BANS:
            if ban.covers(name) and not ban.allows(source.path):
                yield f"{source.path}:{line} uses {name}; {ban.instead}"


def no_printing(source: Source) -> Iterator[str]:
    """Only what a person started talks to the terminal."""
    if source.path.startswith(PRINTING):
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            yield f"{source.path}:{node.lineno} prints; log it, return it, or do it in cli/"


def narrow_ignores(source: Source) -> Iterator[str]:
    """Whatever silences a checker names what it silences."""
    for number, line in enumerate(source.text.splitlines(), start=1):
        if _BARE_IGNORE.search(line):
            yield f"{source.path}:{number} silences every check; name the code, as in type: ignore[arg-type]"


def no_leftovers(source: Source) -> Iterator[str]:
    """What is unfinished is an issue, not a comment."""
    for number, line in enumerate(source.text.splitlines(), start=1):
        if found := _LEFTOVER.search(line):
            yield f"{source.path}:{number} has a {found[0]}; do it, or open an issue for it"


def described_tests(source: Source) -> Iterator[str]:
    """A test opens with one sentence saying what holds."""
    for function in source.functions:
        if function.name.startswith("test_"):
            sentence = " ".join((ast.get_docstring(function) or "").split())
            if not sentence.endswith(".") or _SENTENCE_END.search(sentence):
                yield f"{source.path}:{function.lineno} {function.name}: say in a docstring of one sentence what holds"
