"""`rover completion`, in a real bash: what TAB would offer."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rover_mcp.cli.command_line import main
from rover_mcp.cli.completion import script
from rover_mcp.cli.parser import build_parser
from rover_mcp.cli.shell_completion import workflow_names

# What readline does at TAB, with the words that a test gives.
ASK = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 )); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
complete -p rover >/dev/null || exit 9
function=$(complete -p rover | sed -n 's/.*-F \\([^ ]*\\).*/\\1/p')
"$function" rover "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}" 2>/dev/null
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def bash_script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("completion") / "rover.bash"
    path.write_text(script(build_parser(), "bash"), "utf-8")
    return path


def offered(
    bash_script: Path, *words: str, cwd: Path | None = None, path: str | None = None
) -> set[str]:
    done = subprocess.run(
        ["bash", "--norc", "-c", ASK, "ask", str(bash_script), "rover", *words],
        capture_output=True, text=True, check=False, timeout=300, cwd=cwd,
        env={**os.environ, **({"PATH": path} if path else {})},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return {line.strip() for line in done.stdout.splitlines() if line.strip()}


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["re"], {"report", "resume", "restart", "restore", "rewind", "rebase", "review"}),
        (["auto-resume", "o"], {"on", "off"}),
        (["hooks", "d"], {"dead"}),
        (["create", "--net"], {"--network"}),
        (["create", "--network", "p"], {"providers"}),
        (["setup", "--w"], {"--write"}),
        (["setup", "cu"], {"cursor"}),
        (["completion", ""], {"bash", "zsh", "fish"}),
        (["list", "--status", "PA"], {"PAUSED"}),
        (["create", "--agent", "cl"], {"claude"}),
        (["zzz"], set()),
    ],
)
def test_tab_in_bash_offers(bash_script: Path, words: list[str], wanted: set[str]) -> None:
    assert offered(bash_script, *words) == wanted


def test_files_and_folders_are_offered_where_one_is_meant(
    bash_script: Path, tmp_path: Path
) -> None:
    (tmp_path / "flow.yaml").touch()
    (tmp_path / "folder").mkdir()
    assert offered(bash_script, "workflow", "check", "fl", cwd=tmp_path) == {"flow.yaml"}
    assert offered(bash_script, "create", "--repo", "f", cwd=tmp_path) == {"folder"}


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_get_every_command(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    said = capsys.readouterr().out
    assert {w for w in ("create", "auto-resume", "setup", "--network") if w not in said} == set()


@pytest.mark.parametrize(
    "words", [["create", "--workflow", "m"], ["workflow", "show", "m"], ["workflow", "copy", "m"]]
)
def test_tab_offers_the_workflows_of_the_project(
    bash_script: Path, tmp_path: Path, words: list[str]
) -> None:
    """C.10. The project's and the user's own beside the built-in ones, from a folder within."""
    home, below = tmp_path / "home", tmp_path / "repo" / "src"
    for path in (
        below.parent / ".git", below.parent / ".rover/workflows", home / "rover/workflows", below
    ):  # fmt: skip
        path.mkdir(parents=True)
    (below.parent / ".rover/workflows/mine.yaml").touch()
    (below.parent / ".rover/workflows/me $(touch here).yaml").touch()
    (home / "rover/workflows/my-own.yml").touch()
    program = tmp_path / "rover"
    program.write_text(
        f'#!/bin/sh\nXDG_DATA_HOME={home} exec {sys.executable} -m rover_mcp.cli.entry "$@"\n'
    )
    program.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    assert offered(bash_script, *words, cwd=below, path=path) == {"mine", "my-own", "migrate"}


def test_tab_offers_no_workflows_of_a_project_outside_of_one(tmp_path: Path) -> None:
    assert "swe" in workflow_names(str(tmp_path / "none"), str(tmp_path))


def test_tab_offers_the_tasks_of_the_project(bash_script: Path, tmp_path: Path) -> None:
    """C.10. What `rover complete-tasks` prints, which is asked when TAB is pressed."""
    program = tmp_path / "rover"
    program.write_text("#!/bin/sh\necho 12\necho 1\necho 3\n")
    program.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    assert offered(bash_script, "diff", "1", path=path) == {"12", "1"}
