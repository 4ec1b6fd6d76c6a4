"""Finds what a repository's files ask for and a sandbox lacks that uses this machine's own
programs."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import lru_cache
from pathlib import Path

from rover_mcp.config.project_asks import CommittedFiles
from rover_mcp.project.required_programs import FILES, MAX_BYTES, lacking, wants

_SECONDS = 5.0


# Found out now by a look at file names; found out by the agent it costs a model's time and money.
def lacking_programs(files: CommittedFiles, path: str) -> list[str]:
    """One warning, or none. `path` is where the sandbox finds programs. Only programs of this
    machine are asked for their version, never the repository's."""
    there = files.at(FILES)
    texts = {name: _text(files, name) for name in there}
    missing = lacking(wants(texts), lambda name: shutil.which(name, path=path), _version)
    if not missing:
        return []
    return [
        f"the sandbox lacks what the project's files ask for: {'; '.join(missing)}. Install it on "
        "this machine, name its folder under `toolchains` in config.yaml (rover init finds those "
        "in your HOME), or use an engine with images"
    ]


def _text(files: CommittedFiles, name: str) -> str:
    data = files.read(name, MAX_BYTES) if name in _NEED_CONTENT else b""
    return (data or b"").decode("utf-8", "replace")


_NEED_CONTENT = frozenset(
    {
        "package.json",
        "pyproject.toml",
        ".tool-versions",
        ".nvmrc",
        ".node-version",
        ".python-version",
    }
)


def _version(path: str) -> str | None:
    try:
        return _ask(path, Path(path).stat().st_mtime_ns)
    except OSError:
        return None


@lru_cache(maxsize=64)
def _ask(path: str, _changed: int) -> str | None:
    """What a program prints as its version; it runs once for each content of the file."""
    try:
        done = subprocess.run(
            [path, "--version"], stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS,
            text=True, errors="replace", cwd="/", env={"PATH": os.defpath}, check=False,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return (done.stdout or done.stderr)[:200]
