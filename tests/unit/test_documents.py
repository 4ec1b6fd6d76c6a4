"""Documents lead where they say, and each is found from the index."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

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


def test_the_commands_of_the_agents_page_are_there() -> None:
    wanted = re.findall(r"^make (\w+)", (ROOT / "AGENTS.md").read_text("utf-8"), re.MULTILINE)
    for target in wanted:
        made = subprocess.run(
            ["make", "--dry-run", "--question", target], cwd=ROOT, capture_output=True, check=False
        )
        assert b"No rule to make target" not in made.stderr, target
