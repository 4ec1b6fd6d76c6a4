"""What a command imports: its start-up time is a budget (B.9). Times are in docs/performance.md."""

from __future__ import annotations

import subprocess
import sys

import pytest

from rover_mcp.assistants.assistant_names import CLIENT_NAMES
from rover_mcp.assistants.known import CLIENTS

HELP = "from rover_mcp.cli.command_line import main\nmain(['--help'])"
LIST = "import rover_mcp.cli.command_line, rover_mcp.cli.tool_commands, rover_mcp.launcher.daemon_client"
SLOW = {
    "asyncio", "ast", "bz2", "dataclasses", "email", "importlib.metadata", "inspect", "lzma",
    "pydantic", "shutil", "sqlite3", "subprocess", "threading", "yaml",
}  # fmt: skip
SLOW_FOR_HELP = SLOW | {"datetime", "json", "pathlib", "socket", "typing", "urllib.parse"}


@pytest.mark.parametrize(
    ("program", "slow"), [(HELP, SLOW_FOR_HELP), (LIST, SLOW)], ids=["--help", "list"]
)
def test_what_is_not_needed_is_not_imported(program: str, slow: set[str]) -> None:
    told = f"try:\n    {program.replace(chr(10), chr(10) + '    ')}\nfinally:\n"
    told += "    import sys\n    print('\\n'.join(sys.modules), file=sys.stderr)\n"
    # -S: what an installation of Python loads by itself is not rover's.
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}\n{told}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert slow & set(done.stderr.split()) == set()


def test_the_names_of_assistants_are_those_that_are_known() -> None:
    assert tuple(CLIENTS) == CLIENT_NAMES
