"""Regular expressions that run in linear time, so that no pattern or text can stall an evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

PATTERN_CHARS_MAX: Final = 500
_MEMORY_BYTES_MAX: Final = 256 * 1024
_STEPS_PER_COST: Final = 256
_CACHED = 256


@dataclass(frozen=True, slots=True)
class Pattern:
    """A compiled pattern and the number of its program's instructions."""

    size: int
    _compiled: Any

    def cost(self, text: str) -> int:
        """What searching ``text`` takes at worst: each instruction at each character."""
        return len(text) * self.size // _STEPS_PER_COST

    def found_in(self, text: str) -> bool:
        """Whether the pattern occurs anywhere in ``text``."""
        return self._compiled.search(text) is not None


@lru_cache(maxsize=_CACHED)
def compile_pattern(pattern: str) -> Pattern:
    """A pattern in RE2 syntax. Raises ValueError when it is too long, too large, or not of that syntax."""
    import re2  # type: ignore[import-untyped]  # it ships no annotations

    if len(pattern) > PATTERN_CHARS_MAX:
        raise ValueError(f"a pattern of {len(pattern)} characters is over the limit of {PATTERN_CHARS_MAX}")
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MEMORY_BYTES_MAX
    try:
        compiled = re2.compile(pattern, options)
    except (re2.error, UnicodeEncodeError) as error:
        raise ValueError(f"not a regular expression of RE2: {_reason(error)}") from error
    return Pattern(compiled.programsize, compiled)


def _reason(error: Exception) -> str:
    reason = error.args[0] if error.args else error
    return reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
