"""What comments cite: sections of the protocol page, as in "(protocol 4.2, 4.5 - 4.9)", and decisions."""

from __future__ import annotations

import re

_SECTION = r"\d+(?:\.\d+)?"
_SECTIONS = re.compile(rf"\bprotocol,? ({_SECTION}(?:(?:, | and | - ){_SECTION})*)", re.IGNORECASE)
_DECISION = re.compile(r"\bdecision (\d+)", re.IGNORECASE)
_RANGE = re.compile(r"(\d+)\.(\d+) - \1\.(\d+)")
_HEADING = re.compile(rf"^#{{2,3}} ({_SECTION}) \S", re.MULTILINE)


def cited_sections(text: str) -> set[str]:
    """The numbers of the protocol's sections that a text names; of a range, all that lie between."""
    found: set[str] = set()
    for (listed,) in (match.groups() for match in _SECTIONS.finditer(_one_line(text))):
        found |= set(re.findall(_SECTION, listed))
        for chapter, first, last in _RANGE.findall(listed):
            found |= {f"{chapter}.{number}" for number in range(int(first), int(last) + 1)}
    return found


def cited_decisions(text: str) -> set[int]:
    """The numbers of the decisions that a text names."""
    return {int(number) for number in _DECISION.findall(_one_line(text))}


def sections(page: str) -> list[str]:
    """The numbers of a page's headings, in order."""
    return _HEADING.findall(page)


def _one_line(text: str) -> str:
    """A citation may be broken over two lines, of a comment as well."""
    return re.sub(r"\s*\n\s*(?:#\s*)?", " ", text)
