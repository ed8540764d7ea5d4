from __future__ import annotations

import re

import pytest

from tests.tidy.citations import cited_decisions, cited_sections, sections
from tests.tidy.pages import pages
from tests.tidy.sources import ROOT, all_sources

PAGES = {page.path: page.text for page in pages()}
PROTOCOL = PAGES["docs/reference/protocol.md"]
DECISIONS = {int(path.name[:4]) for path in (ROOT / "docs/decisions").glob("[0-9]*.md")}
CITING = {source.path: source.text for source in all_sources() if not source.path.startswith("tests/tidy/")} | PAGES


@pytest.mark.parametrize("path", sorted(path for path, text in CITING.items() if cited_sections(text)))
def test_a_cited_section_of_the_protocol_is_there(path: str) -> None:
    """Every number of a section that a file cites is a heading of the protocol page."""
    assert cited_sections(CITING[path]) - set(sections(PROTOCOL)) == set()


@pytest.mark.parametrize("path", sorted(path for path, text in CITING.items() if cited_decisions(text)))
def test_a_cited_decision_is_there(path: str) -> None:
    """Every number of a decision that a file cites is a record among the decisions."""
    assert cited_decisions(CITING[path]) - DECISIONS == set()


def test_the_sections_are_in_order() -> None:
    """The protocol page has each number once, in order, so that a reader finds it."""
    numbers = [tuple(map(int, number.split("."))) for number in sections(PROTOCOL)]
    assert numbers == sorted(set(numbers))


def test_every_decision_is_listed() -> None:
    """The index of the decisions names each record under its own number."""
    listed = re.findall(r"^(\d+)\. \[[^]]+\]\((\d{4})-", PAGES["docs/decisions/index.md"], re.MULTILINE)
    assert [int(number) for number, _ in listed] == [int(file) for _, file in listed] == sorted(DECISIONS)


@pytest.mark.parametrize(
    ("text", "cited"),
    [
        ("Sleeps (protocol 6.5).", {"6.5"}),
        ("Both ends (protocol 2, 4).", {"2", "4"}),
        ("The tables of protocol 4.3, 5.4, 9.4 and 9.5.", {"4.3", "5.4", "9.4", "9.5"}),
        ("Registrations (protocol 2.8 - 2.10).", {"2.8", "2.9", "2.10"}),
        ("# over two lines (protocol\n    # 4.10)", {"4.10"}),
        ("The protocol has 17 opcodes; the wire protocol: 4 ends.", set()),
    ],
)
def test_citations_are_found(text: str, cited: set[str]) -> None:
    """A single section, a list, a range and one broken over lines are read as a reader would."""
    assert cited_sections(text) == cited


def test_cited_decisions_are_found() -> None:
    """A decision is found by its number, at the beginning of a sentence and with leading zeros too."""
    assert cited_decisions("Decision 13 tells why (decision 0010); the decision is 4.") == {13, 10}
