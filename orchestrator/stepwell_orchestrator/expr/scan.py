"""A linear look at an expression before the parser sees it: bounds its length and nesting, and closes its strings.

The grammar's string patterns backtrack exponentially on a string that is never closed, so none may reach them.
"""

from __future__ import annotations

from typing import Final

from stepwell_orchestrator.expr.syntax import Position

TEXT_CHARS_MAX: Final = 4_096
NESTING_MAX: Final = 50

_CLOSING = {"(": ")", "[": "]", "{": "}"}


def position(text: str, offset: int) -> Position:
    """The line and column of a character offset."""
    return Position(text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset))


def scan(text: str) -> None:
    """Refuse a text that is too long, too deeply bracketed, or has a bracket or string left open.

    Raises ExpressionError pointing at the bracket or string.
    """
    if len(text) > TEXT_CHARS_MAX:
        raise Position(1, 1).error(f"it has {len(text)} characters; the limit is {TEXT_CHARS_MAX}: compare less")
    open_brackets: list[int] = []
    offset = 0
    while offset < len(text):
        character = text[offset]
        if character in "\"'":
            offset = _after_string(text, offset)
            continue
        if text.startswith("//", offset):
            end = text.find("\n", offset)
            offset = len(text) if end < 0 else end
            continue
        if character in "([{":
            open_brackets.append(offset)
            if len(open_brackets) > NESTING_MAX:
                raise position(text, offset).error(f"it is nested more than {NESTING_MAX} deep; split it")
        elif character in ")]}":
            _close(text, offset, open_brackets)
        offset += 1
    if open_brackets:
        offset = open_brackets[-1]
        raise position(text, offset).error(f'this "{text[offset]}" is never closed; add "{_CLOSING[text[offset]]}"')


def _close(text: str, offset: int, open_brackets: list[int]) -> None:
    if not open_brackets:
        raise position(text, offset).error(f'this "{text[offset]}" closes nothing; remove it')
    opened = open_brackets.pop()
    expected = _CLOSING[text[opened]]
    if text[offset] != expected:
        raise position(text, offset).error(f'expected "{expected}", found "{text[offset]}"')


def _after_string(text: str, start: int) -> int:
    """The offset after the string that opens at ``start``."""
    quote = text[start] * 3 if text.startswith(text[start] * 3, start) else text[start]
    offset = start + len(quote)
    while offset < len(text) and not text.startswith(quote, offset):
        if text[offset] == "\n" and len(quote) == 1:
            break
        offset += 2 if text[offset] == "\\" and text[offset + 1 : offset + 2] != "\n" else 1
    if not text.startswith(quote, offset):
        raise position(text, start).error(f"this string is never closed; add {quote}")
    return offset + len(quote)
