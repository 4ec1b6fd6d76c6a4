"""Documents lead where they say, and each is found from the index."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

import pytest

from rover_mcp.cli.parser import build_parser

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)")
PAGES = sorted(
    {*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("docs/design/*.md")}
    - {ROOT / "CHANGELOG.md"}
)


def linked(page: Path) -> set[Path]:
    """The files that a page links to; what stands in code is no link."""
    text = re.sub(r"```.*?```|`[^`]*`", "", page.read_text("utf-8"), flags=re.DOTALL)
    links = (link for link in LINK.findall(text) if "://" not in link and "mailto:" not in link)
    return {(page.parent / link).resolve() for link in links}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_between_documents_leads_somewhere(page: Path) -> None:
    assert [str(file) for file in linked(page) if not file.exists()] == []


def test_the_index_names_every_page() -> None:
    index = ROOT / "docs" / "README.md"
    assert set(ROOT.glob("docs/*.md")) - {index} <= linked(index)


def test_the_list_of_design_notes_names_every_note() -> None:
    index = ROOT / "docs" / "design" / "README.md"
    notes = set(ROOT.glob("docs/design/*.md")) - {index}
    assert notes == linked(index)
    for note in notes:
        text = note.read_text("utf-8")
        headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
        assert headings == ["Context", "Decision", "Rejected", "Consequences"], note.name
        assert re.match(rf"# {note.name[:4]}: .+\n\nStatus: ", text), note.name


def test_the_paths_that_newcomers_are_shown_are_there() -> None:
    for page in ("AGENTS.md", "docs/architecture.md"):
        text = (ROOT / page).read_text("utf-8")
        paths = re.findall(r"`((?:rover_mcp|agent_runner|tests|docs|tools)/[\w/.]*)`", text)
        assert paths
        assert [path for path in paths if not (ROOT / path).exists()] == []


CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
ROVER = re.compile(r"(?:^|[`$&|;(]\s*)rover((?: [a-z][a-z-]*)+)", re.MULTILINE)
OWN_PATH = re.compile(
    r"`((?:rover_mcp|agent_runner|tests|docs|tools|benchmarks|workflows|plugins)/[\w/.-]+)`"
)
DOTTED = re.compile(r"\b((?:rover_mcp|agent_runner|tests|tools)(?:\.[a-z]\w*)+)")
OF_OTHERS = {"tools/lib/api", "tools/lib/subcmd"}
"""Folders of the Linux repository, in an example."""


def named_in_code(page: Path, pattern: re.Pattern[str]) -> set[str]:
    """What the code of a page names, in blocks and between backquotes."""
    return {
        name for code in CODE.findall(page.read_text("utf-8")) for name in pattern.findall(code)
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_and_module_that_a_page_names_exists(page: Path) -> None:
    files = named_in_code(page, OWN_PATH) - OF_OTHERS
    modules = {name for name in named_in_code(page, DOTTED) if not is_module(name)}
    assert [name for name in sorted(files) if not (ROOT / name).exists()] == []
    assert sorted(modules) == []


def is_module(name: str) -> bool:
    """Whether a dotted name is a module, or something in one."""
    parts = name.split(".")
    return any(
        path.with_suffix(".py").exists() or path.is_dir()
        for path in (ROOT.joinpath(*parts), ROOT.joinpath(*parts[:-1]))
    )


@pytest.fixture(scope="module")
def commands() -> dict[str, set[str]]:
    """The commands of rover, each with the commands of its own."""
    return {
        name: set(subcommands(parser.whole()))
        for name, parser in subcommands(build_parser()).items()
    }


def subcommands(parser: Any) -> dict[str, Any]:
    actions = (action for action in parser._actions if action.nargs == argparse.PARSER)
    return {name: command for action in actions for name, command in action.choices.items()}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_of_rover_that_a_page_shows_exists(
    page: Path, commands: dict[str, set[str]]
) -> None:
    unknown: list[str] = []
    for line in named_in_code(page, ROVER):
        name, *rest = line.split()
        own = commands.get(name)
        if own is None or (own and rest and rest[0] not in own):
            unknown.append(f"rover {line.strip()}")
    assert unknown == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_make_target_that_a_page_names_exists(page: Path) -> None:
    targets = re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    named = named_in_code(page, re.compile(r"(?:^|`|&& )make ([a-z][a-z-]*)", re.MULTILINE))
    assert named <= set(targets)
