"""`make demo` and `make install` say how far they are (B.7)."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "tools" / "install_locked.py"
PIP = """\
import sys
print("Collecting one==1 (from -r lock (line 1))")
print("  Downloading one-1.whl")
print("Collecting two==2 (from -r lock (line 2))")
print("Installing collected packages: one, two")
print("ERROR: no room", file=sys.stderr)
sys.exit({status})
"""


def _everything(master: int) -> str:
    """All that was written to a terminal whose other side is closed."""
    shown = b""
    with contextlib.suppress(OSError):
        while chunk := os.read(master, 10_000):
            shown += chunk
    os.close(master)
    return shown.decode()


@pytest.mark.parametrize("status", [0, 1])
def test_a_terminal_sees_how_far_it_is_and_why_it_failed(tmp_path: Path, status: int) -> None:
    """B.7: a line that changes; what pip said only where it failed."""
    (tmp_path / "pip").mkdir()
    (tmp_path / "pip" / "__init__.py").touch()
    (tmp_path / "pip" / "__main__.py").write_text(PIP.format(status=status))
    (tmp_path / "lock").write_text("one==1 \\\n    --hash=x\ntwo==2\nthree==3 ; on windows\n")
    master, slave = pty.openpty()
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(tmp_path / "lock")], stdout=slave,
        stderr=subprocess.PIPE, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    os.close(slave)
    shown = _everything(master)
    assert done.returncode == status
    steps = ("1 of 3  one", "2 of 3  two", "putting 2 packages in place")
    assert [step for step in steps if step not in shown] == []
    assert ("ERROR: no room" in done.stderr) is (status != 0)
    assert "Downloading" not in shown
