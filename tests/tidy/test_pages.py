from __future__ import annotations

import posixpath
import re
from typing import Any

import pytest

from tests.tidy.pages import Page, Sample, pages
from tests.tidy.sources import ROOT, all_sources

PATHS = [page.path for page in pages()]
BY_PATH = {page.path: page for page in pages()}
MAKE_TARGETS = frozenset(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def cli_command(words: list[str]) -> Any:
    """The CLI's command that ``words`` name; None when there is no such command."""
    import typer.main

    from stepwell_orchestrator.cli.main import app

    group: Any = typer.main.get_command(app)
    return group.commands.get(words[1]) if len(words) > 1 else group


@pytest.mark.parametrize("path", PATHS)
def test_excerpts_are_up_to_date(path: str) -> None:
    """A block that says which file it is cut from stands in that file word for word."""
    for block in (*BY_PATH[path].blocks("python"), *BY_PATH[path].blocks("sh")):
        if block.file is not None:
            assert block.text in (ROOT / block.file).read_text(encoding="utf-8")


@pytest.mark.parametrize("path", PATHS)
def test_commands_exist(path: str) -> None:
    """Every ``make`` target, ``stepwell`` command and option that a page shows exists."""
    for words in BY_PATH[path].commands():
        shown = " ".join(words)
        if words[0] == "make":
            targets = {word for word in words[1:] if "=" not in word and not word.startswith("-")}
            assert targets <= MAKE_TARGETS, f"{shown}: no such target in the Makefile"
            continue
        command = cli_command(words)
        assert command is not None, f"{shown}: no such command"
        options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        used = {word.partition("=")[0] for word in words if word.startswith("--")} - {"--help"}
        assert used <= options, f"{shown}: no such option"


@pytest.mark.parametrize("path", PATHS)
def test_links_lead_somewhere(path: str) -> None:
    """Every link into the repository names a file that exists, and a heading that the page has."""
    for target, anchor in BY_PATH[path].links():
        full = posixpath.normpath(posixpath.join(posixpath.dirname(path), target)) if target else path
        assert (ROOT / full).exists(), f"{path} links to {target}, which does not exist"
        assert not anchor or anchor in BY_PATH[full].anchors(), f"{path} links to {target}#{anchor}: no such heading"


@pytest.mark.parametrize("path", PATHS)
def test_files_are_where_pages_say(path: str) -> None:
    """Every Python file that a page names by folder and name is there, under whatever comes before."""
    known = [f"/{source.path}" for source in all_sources()]
    gone = [file for file in BY_PATH[path].files() if not any(place.endswith(f"/{file}") for place in known)]
    assert gone == []


def test_every_docs_page_is_linked() -> None:
    """A reader who starts at the README reaches every page of the documentation."""
    reached, todo = set(), ["README.md"]
    while todo:
        path = todo.pop()
        if path in BY_PATH and path not in reached:
            reached.add(path)
            todo += [posixpath.normpath(posixpath.join(posixpath.dirname(path), to)) for to, _ in BY_PATH[path].links()]
    assert {path for path in PATHS if path.startswith("docs/")} - reached == set()


PLANTED = Page(
    "docs/page.md",
    "# A page: its *parts*\n\nRun `stepwell runs --json`, see [the other](other.md#part) and `a/b.py`.\n\n"
    "<!-- not run: needs a server -->\n\n```python\nawait x\n```\n\n"
    '<!-- event: a/b {"n": 1} fails -->\n<!-- event: c {} runs 3 -->\n\n```sh\n$ make demo  # quick\nls\n```\n',
)


def test_pages_are_read() -> None:
    """Blocks with their notes, samples, commands, links and anchors are found as a reader sees them."""
    (block,) = PLANTED.blocks("python")
    assert (block.text, block.runs, block.line) == ("await x\n", False, 8)
    assert list(PLANTED.commands()) == [["make", "demo"], ["stepwell", "runs", "--json"]]
    assert list(PLANTED.samples()) == [
        Sample("a/b", {"n": 1}, fails=True, runs=2),
        Sample("c", {}, fails=False, runs=3),
    ]
    assert list(PLANTED.files()) == ["a/b.py"]
    assert list(PLANTED.links()) == [("other.md", "part")]
    assert PLANTED.anchors() == {"a-page-its-parts"}
