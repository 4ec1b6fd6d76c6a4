"""`rover completion`, in a real bash: what TAB would offer."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from rover_mcp.cli.completion import script
from rover_mcp.cli.main import build_parser, main

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


def offered(bash_script: Path, *words: str, cwd: Path | None = None) -> set[str]:
    done = subprocess.run(
        ["bash", "--norc", "-c", ASK, "ask", str(bash_script), "rover", *words],
        capture_output=True, text=True, check=False, timeout=20, cwd=cwd,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return {line.strip() for line in done.stdout.splitlines() if line.strip()}


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["re"], {"resume", "restart", "restore"}),
        (["auto-resume", "o"], {"on", "off"}),
        (["hooks", "d"], {"dead"}),
        (["create", "--net"], {"--network"}),
        (["create", "--network", "p"], {"providers"}),
        (["setup", "--w"], {"--write"}),
        (["setup", "cu"], {"cursor"}),
        (["completion", ""], {"bash", "zsh", "fish"}),
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
