"""The Markdown pages: their code blocks, commands, links and headings."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from tests.tidy.sources import ROOT

_FENCE = re.compile(
    r"(?:<!-- (?P<note>[^\n]*?) -->\n+)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
_INLINE = re.compile(r"`((?:stepwell|make) [^`]+)`")
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_FILE = re.compile(r"`([\w.-]+/[\w./-]+\.py)`")
_EVENT = re.compile(
    r"^<!-- event: (?P<name>\S+) (?P<data>\{.*\})(?P<fails> fails)?(?: runs (?P<runs>\d+))? -->$", re.MULTILINE
)
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """A code block. ``note`` is the HTML comment right above it: ``not run: why`` or ``file: path`` it is cut from."""

    language: str
    text: str
    note: str
    line: int

    @property
    def runs(self) -> bool:
        """Whether the block can be executed as it stands."""
        return not self.note.startswith("not run: ")

    @property
    def file(self) -> str | None:
        """The file of the repository the block is an excerpt of."""
        return self.note.removeprefix("file: ") if self.note.startswith("file: ") else None


@dataclass(frozen=True, slots=True)
class Sample:
    """An event that a page is tried with; ``fails`` when a run it starts is not to complete.

    ``runs`` is how many runs end on its account: one, or two when one fails, unless the page says otherwise.
    """

    name: str
    data: dict[str, Any]
    fails: bool
    runs: int


@dataclass(frozen=True, slots=True)
class Page:
    """One Markdown file."""

    path: str
    text: str

    def blocks(self, language: str) -> Iterator[Block]:
        """Its code blocks in one language, in order."""
        for found in _FENCE.finditer(self.text):
            if found["language"] == language:
                line = self.text.count("\n", 0, found.start("text")) + 1
                yield Block(language, found["text"], found["note"] or "", line)

    def samples(self) -> Iterator[Sample]:
        """The events in its HTML comments: ``event: order/created {...}``, then ``fails`` and ``runs 3`` if so."""
        for found in _EVENT.finditer(self.text):
            fails = found["fails"] is not None
            runs = int(found["runs"]) if found["runs"] else 2 if fails else 1
            yield Sample(found["name"], json.loads(found["data"]), fails=fails, runs=runs)

    @property
    def prose(self) -> str:
        """The text without its code blocks."""
        return _FENCE.sub("", self.text)

    def commands(self) -> Iterator[list[str]]:
        """The ``stepwell`` and ``make`` commands it shows, each split into words."""
        lines = [line for block in self.blocks("sh") for line in block.text.splitlines()]
        for text in (*lines, *_INLINE.findall(self.prose)):
            words = shlex.split(text.removeprefix("$ "), comments=True)
            if words and words[0] in ("stepwell", "make"):
                yield words

    def files(self) -> Iterator[str]:
        """The Python files of the repository that it names in its text, by the end of their paths."""
        yield from _FILE.findall(self.prose)

    def links(self) -> Iterator[tuple[str, str]]:
        """(path, anchor) of its links into the repository; the path is empty for a link into the page itself."""
        for target in _LINK.findall(self.prose):
            if "://" not in target and not target.startswith("mailto:"):
                path, _, anchor = target.partition("#")
                yield path, anchor

    def anchors(self) -> frozenset[str]:
        """The anchors its headings have where the pages are shown."""
        return frozenset(
            re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in _HEADING.findall(self.prose)
        )


@cache
def pages() -> tuple[Page, ...]:
    """Every page of the repository, by path."""
    paths = (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md"))
    return tuple(Page(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")) for path in sorted(paths))
