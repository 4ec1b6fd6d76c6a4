"""Shows long text at a terminal as git does: with $ROVER_PAGER, $PAGER or less, which ends at once
where everything fits on the screen."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence


def pager_of(environ: Mapping[str, str]) -> str | None:
    """The pager as a shell command; None where there is none, or the user wants none or `cat`."""
    wanted = next((environ[n] for n in ("ROVER_PAGER", "PAGER") if n in environ), "less")
    words = wanted.split()
    if not words or words == ["cat"] or not shutil.which(words[0], path=environ.get("PATH")):
        return None
    return wanted


def page(lines: Sequence[str], environ: Mapping[str, str]) -> int:
    """Show the lines."""
    text = "\n".join(lines).rstrip("\n") + "\n"
    command = pager_of(environ)
    if command is None:
        print(text, end="")
        return 0
    # As git does: leave where all fits, show colours, keep the screen.
    ended = subprocess.run(
        ["/bin/sh", "-c", command], input=text, text=True, check=False,
        env={"LESS": "FRX", "LV": "-c", **environ},
    )  # fmt: skip
    return 0 if ended.returncode in (0, -13) else 1
