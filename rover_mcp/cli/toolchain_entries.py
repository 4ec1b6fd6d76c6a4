"""Finds toolchains in the user's HOME, as entries for `toolchains` in config.yaml."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from rover_mcp.config.load_settings import load_settings
from rover_mcp.domain.errors import RoverError

# The narrowest folder that works: ~/.cargo and ~/go hold more than programs, logins among it.
_VERSIONED = (
    ".nvm/versions/node",
    ".volta/tools/image/node",
    ".pyenv/versions",
    ".rbenv/versions",
    ".rustup/toolchains",
    ".asdf/installs/*",
    ".local/share/mise/installs/*",
    ".local/share/uv/python",
)
_SINGLE = ("go/bin", ".local/go", ".bun/bin", ".deno/bin", ".cargo/bin")
_GO = re.compile(r"go[0-9.]+")


def toolchains_in(home: Path) -> list[str]:
    """The newest toolchain of each kind, as config.yaml names them."""
    return [f"~/{folder.relative_to(home)}" for folder in _tool_folders(home)]


def toolchains_to_name(data: Path, home: Path) -> list[str]:
    """The same; empty where the user's config.yaml names some already, or cannot be read."""
    try:
        named = load_settings(data).toolchains
    except RoverError:
        return []
    return toolchains_in(home) if named is None else []


def _tool_folders(home: Path) -> Iterator[Path]:
    for pattern in _VERSIONED:
        for kind in sorted(home.glob(pattern)):
            # `current`, `latest` and the like are links to one of them.
            versions = [f for f in _folders(kind) if not f.is_symlink() and _programs(f / "bin")]
            if versions:
                yield max(versions, key=_version)
    if own := [f for f in _folders(home / "sdk") if _GO.fullmatch(f.name) and _programs(f / "bin")]:
        yield max(own, key=_version)
    for name in _SINGLE:
        folder = home / name
        if _programs(folder / "bin") or _programs(folder):
            yield folder
    if (home / ".local/bin/uv").is_file():
        yield home / ".local/bin"


def _folders(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if path.is_dir()]
    except OSError:
        return []


def _programs(folder: Path) -> bool:
    try:
        return any(path.is_file() and path.stat().st_mode & 0o111 for path in folder.iterdir())
    except OSError:
        return False


def _version(folder: Path) -> list[int]:
    return [int(number) for number in re.findall(r"[0-9]+", folder.name)[:4]]
