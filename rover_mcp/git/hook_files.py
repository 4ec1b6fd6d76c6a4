"""Which hooks of a repository git itself would run. Rover runs none of them: whoever can write the
repository's folder would decide what runs on the host."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from rover_mcp.git.repository_view import RepositoryView
from rover_mcp.git.user_config import user_values


def active_hooks(view: RepositoryView, names: Sequence[str]) -> list[str]:
    """The hooks among `names` that exist and can be executed."""
    folder = hooks_folder(view)
    return [name for name in names if is_active(folder / name)]


def hooks_folder(view: RepositoryView) -> Path:
    """The folder in which git looks for the hooks of the repository."""
    named = view.config.get("core.hookspath", ())
    if named:
        base = view.place.top or view.place.common
        return base / Path(named[-1]).expanduser()
    own = user_values("core.hooksPath", view.conditions)
    return Path(own[-1]) if own else view.place.common / "hooks"


def is_active(hook: Path) -> bool:
    """Whether git would run the hook."""
    return hook.is_file() and os.access(hook, os.X_OK)
