"""Rebasing a task's branch in the user's repository: what it would become, and the bundle that
brings it to the hub.

The branch itself is moved by move_branch.py, from the commit that was looked at.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agent_runner.models import Snapshot
from rover_mcp.git.base_packs import quoted
from rover_mcp.git.bundle import BundleHeader, render_header
from rover_mcp.git.git_errors import checked, no_room
from rover_mcp.git.git_process import GitResult
from rover_mcp.git.replay import Git
from rover_mcp.git.repository_view import RepositoryView


@contextmanager
def writing(view: RepositoryView, *, keep: bool) -> Generator[Git]:
    """Git for the view. Unless they are to `keep`, new objects go to a folder that is removed
    afterwards: what only looks leaves no trace in the user's repository."""
    if keep:
        yield view.run
        return
    with tempfile.TemporaryDirectory(prefix="rover-objects-") as folder:
        own: Mapping[str, str] = {
            "GIT_OBJECT_DIRECTORY": folder,
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": quoted(view.place.common / "objects"),
        }

        def run(argv: Sequence[str], **options: Any) -> GitResult:
            extra: Mapping[str, str] = options.pop("extra_env", None) or {}
            return view.run(argv, extra_env={**own, **extra}, **options)

        yield run


def bundle_rebased(
    view: RepositoryView, base: str, branch: str, snapshot: Snapshot, old: str, target: Path
) -> None:
    """Write a bundle that carries the rebased branch, and where it was before (`old`), to a hub
    which has what `base` reaches.

    Raises:
        EnvironmentFault: something that it needs is missing ("hub_failed"), or the bundle cannot
            be written.
    """
    names = {
        f"refs/rover/snapshots/{snapshot.sequence}": snapshot.commit,
        f"refs/heads/{branch}": snapshot.head,
    }
    wanted = f"{snapshot.commit}\n{snapshot.head}\n{old}\n^{base}\n".encode()
    new = target.with_name(f".{target.name}.new")
    argv = ["pack-objects", "-q", "--stdout", "--revs", "--thin", "--delta-base-offset"]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with new.open("wb") as out:
            out.write(render_header(BundleHeader([base], names)))
            out.flush()
            packed = view.run(argv, stdin=wanted, stdout=out.fileno())
            checked(packed, f"the rebased {branch} cannot be packed", target.parent)
            os.fsync(out.fileno())
        new.replace(target)
    except OSError as error:
        raise no_room(target.parent, error) from error
    finally:
        new.unlink(missing_ok=True)


def named_commit(view: RepositoryView, name: str) -> tuple[str, bool] | None:
    """The commit of a branch, or of one of a remote's as it was fetched last, and whether it is a
    local one; None: there is neither."""
    for prefix in ("refs/heads/", "refs/remotes/"):
        resolved = view.run(["rev-parse", "--verify", "-q", f"{prefix}{name}^{{commit}}"])
        if resolved.code == 0:
            return resolved.text, prefix == "refs/heads/"
    return None
