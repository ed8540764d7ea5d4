"""Expressions as an author writes them: what is wrong with one is told where it stands, before a server reads it."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any, Final

EXPRESSION_MAX_CHARS: Final = 4096

_STRING = re.compile(r"""[rRbB]{0,2}(?:"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')""")
_MACRO = re.compile(r"\.\s*(?:all|exists|exists_one|map|filter)\s*\(")
_SPACED_DOT = re.compile(r"\s*\.\s*")
_FREE_NAME = re.compile(r"(?<![\w.])[A-Za-z_]\w*(?!\s*\(|\w)")
_UNQUOTED = re.compile(r"(?<![\w.])\d+[A-Za-z_][\w-]*")
_NUMBER = re.compile(r"0[xX][0-9a-fA-F]+[uU]?(?:-.*)?|\d+(?:[eE]-?\d+)?[uU]?(?:-.*)?")
_ANYTHING: Final = ("true",)
_CLOSING = {")": "(", "]": "[", "}": "{"}
_CEL_WORDS = frozenset(
    {"true", "false", "null", "in", "int", "uint", "double", "string", "bytes", "bool", "list", "map", "type"}
)


def check_expression(text: Any, variables: Collection[str]) -> str:
    """``text`` as an expression over ``variables``. Raises ValueError that says what is wrong with it.

    This finds what is surely wrong. The server compiles the expression in full when the app registers.
    """
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f'must be an expression such as "event.data.amount > 100", got {text!r}')
    if len(text) > EXPRESSION_MAX_CHARS:
        raise ValueError(f"is {len(text)} characters; the limit is {EXPRESSION_MAX_CHARS}")
    code = _code_of(text)
    if '"' in code or "'" in code:
        raise ValueError(f"has a string that is never closed: {text}")
    _check_brackets(text, code)
    _check_quotes(text, code)
    if not _MACRO.search(code):
        _check_names(text, code, variables)
    return text


def depends_on(text: str, variable: str) -> bool:
    """Whether a checked expression uses ``variable``, or says by ``true`` that anything will do."""
    return text.strip() in _ANYTHING or variable in _FREE_NAME.findall(_code_of(text))


def _code_of(text: str) -> str:
    """The expression without what is inside its strings."""
    return _SPACED_DOT.sub(".", _STRING.sub("0", text))


def _check_quotes(text: str, code: str) -> None:
    """An id that is put into an expression as it is has to be a string there."""
    for word in _UNQUOTED.findall(code):
        if not _NUMBER.fullmatch(word):
            raise ValueError(f"has {word}, which is neither a number nor a name; if it is a text, quote it: {text}")


def _check_brackets(text: str, code: str) -> None:
    opened: list[str] = []
    for character in code:
        if character in _CLOSING.values():
            opened.append(character)
        elif character in _CLOSING and (not opened or opened.pop() != _CLOSING[character]):
            raise ValueError(f'has a "{character}" that closes nothing: {text}')
    if opened:
        raise ValueError(f'has a "{opened[-1]}" that is never closed: {text}')


def _check_names(text: str, code: str, variables: Collection[str]) -> None:
    """A macro binds names of its own, so this looks only at expressions without one."""
    known = " and ".join(variables)
    for name in _FREE_NAME.findall(code):
        if name not in _CEL_WORDS and name not in variables:
            raise ValueError(f'uses "{name}", but only {known} can be used here{_instead(name)}: {text}')


def _instead(name: str) -> str:
    if name == "async":
        return ", where no second event arrives; the one there is, is event"
    return f', e.g. "event.data.{name}"; if it is a text, quote it'
