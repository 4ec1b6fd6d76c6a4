"""`python tools/install_locked.py LOCK`: pip installs what is locked; a line says how far it is.

pip itself prints either several hundred lines or, for minutes, nothing.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import deque
from pathlib import Path

KEPT = 40
"""Lines of pip's that are shown where it fails."""


def install(lock: str) -> int:
    """Run pip; its exit status."""
    total = Path(lock).read_text("utf-8").count("==")
    argv = [sys.executable, "-m", "pip", "install", "--progress-bar", "off"]
    argv += ["--require-hashes", "-r", lock]
    kept: deque[str] = deque(maxlen=KEPT)
    count = 0
    environ = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        argv, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as pip:
        for line in pip.stdout or ():
            kept.append(line)
            if line.startswith("Collecting "):
                count += 1
                _show(f"{count} of {total}  {line.split()[1].partition('==')[0]}")
            elif line.startswith("Installing collected packages"):
                _show(f"putting {count} packages in place")
    _show("")
    if pip.returncode:
        sys.stderr.writelines(kept)
    return pip.returncode


def _show(text: str) -> None:
    """In place of what stood there, at a terminal only."""
    if sys.stdout.isatty():
        print(f"\r\x1b[K     {text}" if text else "\r\x1b[K", end="", flush=True)


if __name__ == "__main__":
    sys.exit(install(sys.argv[1]))
