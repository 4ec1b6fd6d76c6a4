"""Man pages: one for each command, that a reader of man pages takes (C.10)."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from rover_mcp.cli.parser import build_parser
from tools.docs.man_pages import pages
from tools.docs.man_texts import COMMANDS

MACRO = re.compile(r"\.(TH|SH|SS|PP|TP|br|nf|fi|nh|ad l)\b")


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    return pages()


def test_every_command_has_a_page_and_a_text(made: dict[str, str]) -> None:
    """C.10. Its aliases are named where all commands are."""
    names = set(COMMANDS)
    assert {*made} == {"rover.1", *(f"rover-{name}.1" for name in names)}
    assert "(also \\fBls\\fR, \\fBps\\fR)" in made["rover.1"]
    usage = build_parser().format_help()
    assert [name for name in names if not re.search(rf"^ +{name}\b", usage, re.MULTILINE)] == []


def test_every_option_is_on_its_page(made: dict[str, str]) -> None:
    page = made["rover-create.1"].replace("\\-", "-")
    for option in ("--workflow", "--budget-usd", "--watch", "--wait", "--dry-run", "--input"):
        assert f"\\fB{option}\\fR" in page
    assert "docker, podman" in page.replace("\\fB", "").replace("\\fR", "").replace("|", ", ")
    actions = made["rover-workflow.1"].replace("\\-", "-")
    for action in ("check", "schema", "show", "new", "copy"):
        assert f".SS rover workflow {action}\n" in actions


def test_no_line_of_a_page_is_taken_for_a_request(made: dict[str, str]) -> None:
    for name, text in made.items():
        for line in text.splitlines():
            assert line, f"{name}: an empty line"
            assert not line.startswith("'"), line
            assert MACRO.match(line) or not line.startswith("."), line


def test_groff_reads_each_page_without_a_warning(made: dict[str, str], tmp_path: Path) -> None:
    """C.10, where there is groff; what it would warn of is looked for above too."""
    program = shutil.which("groff")
    for name, text in made.items() if program else ():
        path = tmp_path / name
        path.write_text(text)
        said = subprocess.run(
            [str(program), "-man", "-Tutf8", "-ww", "-P-c", str(path)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert said.stderr == "", name
        assert "EXIT STATUS" in re.sub(r".\x08", "", said.stdout)
