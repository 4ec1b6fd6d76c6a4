"""`python -m bundle [FOLDER]` makes FOLDER/rover-mcp.mcpb (by default dist/), the same bytes from
the same sources: the wheel, which uvx installs at the first start, a manifest and the icon.

A manifest's own words stand in manifest.json; the version, the description and the tools come from
the code. A key that is not given has an empty default there: a client leaves the placeholder
itself in the environment of one that has none.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rover_mcp.server.tools import TOOLS

ROOT = Path(__file__).parents[1]
NAME = "rover-mcp.mcpb"
ICON = ROOT / "plugins" / "rover" / ".claude-plugin" / "icon.png"
EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip can say."""


def build(folder: Path) -> Path:
    """Make the bundle.

    Raises:
        RuntimeError: the wheel cannot be built.
        OSError: it cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix="rover-bundle-") as made:
        command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", made]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"the wheel cannot be built: {done.stderr}")
        (wheel,) = Path(made).glob("*.whl")
        files = {
            "manifest.json": _text(manifest(wheel.name)),
            "icon.png": ICON.read_bytes(),
            f"server/{wheel.name}": wheel.read_bytes(),
        }
    folder.mkdir(parents=True, exist_ok=True)
    return _pack(folder / NAME, files)


def manifest(wheel: str) -> dict[str, Any]:
    """The manifest of a bundle that holds a wheel of this name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    template = (ROOT / "bundle" / "manifest.json").read_text("utf-8")
    said: dict[str, Any] = json.loads(template.replace("{wheel}", wheel))
    tools = [{"name": name, "description": TOOLS[name].tool.description} for name in sorted(TOOLS)]
    known = {"version": project["version"], "description": project["description"]}
    return {**said, **known, "tools": tools}


def _text(value: object) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def _pack(path: Path, files: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, files[name])
    return path


if __name__ == "__main__":
    print(build(Path(sys.argv[1] if len(sys.argv) > 1 else "dist")))
