"""How durations, values, marks and step kinds are spelled for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from stepwell.wire.encoding import encode
from stepwell.wire.opcodes import Op
from stepwell.wire.times import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from stepwell_orchestrator.model.step_kind import StepKind, kind_of

RUN_ID_TAIL_CHARS: Final = 6
"""How much of a run id tells runs apart at a glance: its end is random, its start is the time."""


@dataclass(frozen=True, slots=True)
class Glyphs:
    """Signs of a terminal, a cell wide each. ``busy``, ``idle`` and ``queued`` fill bars; ``gap`` cuts them."""

    done: str
    failed: str
    retry: str
    warned: str
    open: str
    started: str
    dropped: str
    event: str
    busy: str
    idle: str
    queued: str
    gap: str
    rule: str
    ellipsis: str


UNICODE: Final = Glyphs(
    done="✓",
    failed="✗",
    retry="↻",
    warned="!",
    open="○",
    started="●",
    dropped="⊘",
    event="→",
    busy="█",
    idle="░",
    queued="·",
    gap="≈",
    rule="─",
    ellipsis="…",
)
ASCII: Final = Glyphs(
    done="+",
    failed="x",
    retry="r",
    warned="!",
    open="o",
    started="*",
    dropped="-",
    event=">",
    busy="#",
    idle="-",
    queued=".",
    gap="~",
    rule="-",
    ellipsis="..",
)

KIND_WORDS: Final[Mapping[StepKind, str]] = {
    StepKind.RUN: "run",
    StepKind.SLEEP: "sleep",
    StepKind.WAIT_FOR_EVENT: "wait",
    StepKind.WAIT_FOR_SIGNAL: "signal",
    StepKind.INVOKE: "invoke",
    StepKind.INFER: "infer",
    StepKind.FETCH: "fetch",
}
"""Each kind of step in one short word."""
assert KIND_WORDS.keys() == set(StepKind), "every step kind has a word"


def glyphs_for(encoding: str) -> Glyphs:
    """The glyphs a terminal of that character encoding can show."""
    return UNICODE if encoding.lower().replace("-", "").startswith("utf") else ASCII


def op_word(op: str) -> str:
    """The word for a step's kind, from its opcode; an opcode that this version does not know stands for itself."""
    try:
        return KIND_WORDS[kind_of(Op(op))]
    except ValueError:
        return op.lower()


def duration_text(duration_ms: int) -> str:
    """A duration in two significant parts at most: ``12ms``, ``1.24s``, ``2m 05s``, ``3h 20m``, ``3d 4h``."""
    if duration_ms < SECOND_MS:
        return f"{duration_ms}ms"
    if duration_ms < 10 * SECOND_MS:
        return f"{duration_ms // 10 / 100:.2f}s"
    if duration_ms < MINUTE_MS:
        return f"{duration_ms // 100 / 10:.1f}s"
    if duration_ms < HOUR_MS:
        return f"{duration_ms // MINUTE_MS}m {duration_ms % MINUTE_MS // SECOND_MS:02d}s"
    if duration_ms < DAY_MS:
        return f"{duration_ms // HOUR_MS}h {duration_ms % HOUR_MS // MINUTE_MS:02d}m"
    return f"{duration_ms // DAY_MS}d {duration_ms % DAY_MS // HOUR_MS}h"


def value_text(value: Any) -> str:
    """A JSON value on one line."""
    return encode(value).decode()


def error_text(error: Any) -> str:
    """The name and message of an error body on one line."""
    if not isinstance(error, dict):
        return value_text(error)
    name, message = error.get("name"), error.get("message")
    text = ": ".join(str(part) for part in (name, message) if part)
    return one_line(text) or value_text(error)


def one_line(text: str) -> str:
    """The text with every run of white space, line ends too, as one space."""
    return " ".join(text.split())


def run_tail(run_id: str) -> str:
    """The end of a run id, which tells runs apart."""
    return run_id[-RUN_ID_TAIL_CHARS:]
