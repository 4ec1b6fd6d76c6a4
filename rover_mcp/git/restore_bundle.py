"""The bundle from which a new sandbox rebuilds a task's work tree."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from agent_runner.models import Snapshot
from rover_mcp.git.bundle import BundleHeader, render_header
from rover_mcp.git.git_errors import checked, no_room
from rover_mcp.git.git_process import run_git

RESTORE_SNAPSHOT_REF = "refs/rover/restore/snapshot"
RESTORE_HEAD_REF = "refs/rover/restore/head"


def write_restore_bundle(
    hub: Path, own: Mapping[str, str], snapshot: Snapshot, base_commit: str, dest: Path
) -> None:
    """Write a bundle on top of `base_commit` with RESTORE_SNAPSHOT_REF and RESTORE_HEAD_REF.
    `own` is the environment in which git finds the task's objects.

    Raises:
        EnvironmentFault: the objects cannot be packed, or the file not written.
    """
    references = {RESTORE_SNAPSHOT_REF: snapshot.commit, RESTORE_HEAD_REF: snapshot.head}
    _write(hub, own, snapshot, base_commit, dest, references)


def write_first_bundle(
    hub: Path, own: Mapping[str, str], snapshot: Snapshot, base_commit: str, dest: Path
) -> None:
    """Write a bundle that is another task's first snapshot, as if its runner had made it. Raises
    alike."""
    # Without the branch, whose name is not known before the other task has its number.
    references = {"refs/rover/snapshots/1": snapshot.commit}
    _write(hub, own, snapshot, base_commit, dest, references)


def _write(
    hub: Path,
    own: Mapping[str, str],
    snapshot: Snapshot,
    base_commit: str,
    dest: Path,
    references: Mapping[str, str],
) -> None:
    header = render_header(BundleHeader([base_commit], references))
    wanted = f"{snapshot.commit}\n{snapshot.head}\n^{base_commit}\n".encode()
    try:
        new = dest.with_name(f".{dest.name}.new")
        with new.open("wb") as out:
            # `git bundle create` takes references only, and the hub has none of these names. The
            # format is a header with a pack behind it, so git only has to write the pack. With a
            # thin one the base, which the sandbox is lent anyway, is not written again.
            out.write(header)
            out.flush()
            argv = ["pack-objects", "-q", "--stdout", "--revs", "--thin", "--delta-base-offset"]
            packed = run_git(argv, hub, extra_env=own, stdin=wanted, stdout=out.fileno())
            checked(packed, f"snapshot {snapshot.sequence} cannot be packed", dest.parent)
            os.fsync(out.fileno())
        new.replace(dest)
    except OSError as error:
        raise no_room(dest.parent, error) from error
