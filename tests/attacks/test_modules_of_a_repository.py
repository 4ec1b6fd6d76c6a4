"""Modules of a repository in which a command of Rover's is run are never imported on the host.

`python -m` looks into the working folder first, so that a `keyring.py` or `json.py` there was run
with the user's rights, and `rover login` handed it the key.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

MODULES = ("json.py", "keyring.py", "yaml.py", "sqlalchemy.py", "rover_mcp/__init__.py")


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """A repository whose modules leave a canary where they are imported."""
    for name in MODULES:
        file = tmp_path / "repository" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"open({str(tmp_path / 'canary')!r}, 'a').write('imported')\n")
    return tmp_path / "repository"


@pytest.mark.parametrize(
    "words",
    [
        ["login", "anthropic", "--stdin"],
        ["login", "--list"],
        ["backup", "copy"],
        ["service", "status"],
        ["list"],
        ["doctor"],
    ],
    ids=" ".join,
)
def test_no_module_of_the_working_folder_is_imported(
    planted: Path, tmp_path: Path, words: list[str]
) -> None:
    """U3: login, backup and doctor imported them."""
    program = Path(sys.executable).with_name("rover")
    subprocess.run(
        [program, *words],
        cwd=planted,
        env={**os.environ, "ROVER_HOME": str(tmp_path / "home"), "HOME": str(tmp_path)},
        input="sk-ant-canary\n",
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert not (tmp_path / "canary").exists()
