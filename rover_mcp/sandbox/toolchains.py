"""Folders of programs that the user keeps in HOME (nvm, pyenv, cargo, go and the like), and that a
sandbox of bubblewrap sees only where the user's `toolchains` setting names them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rover_mcp.domain.errors import EnvironmentFault


def mounted(toolchains: Sequence[Path]) -> list[Path]:
    """The folders to mount read-only, each at its own path.

    Raises:
        EnvironmentFault: one is not there ("toolchain_missing").
    """
    for folder in toolchains:
        if not folder.is_dir():
            raise EnvironmentFault(
                f"the folder {folder}, which `toolchains` in config.yaml names, is not there",
                hint="correct the setting, or install what was in it",
                code="toolchain_missing",
            )
    return list(toolchains)


def search_path(toolchains: Sequence[Path]) -> list[str]:
    """Where their programs are: in the folder's `bin`, if it has one, else in the folder."""
    return [str(folder / "bin" if (folder / "bin").is_dir() else folder) for folder in toolchains]
