"""A damaged hub: whether a task's part of it is sound, and saving what is."""

from __future__ import annotations

from pathlib import Path

from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.git.git_process import FROM_FILES, UNCHECKED, UPLOAD_PACK, run_git

_LIST_LIMIT = 256 * 1024**2


def is_whole(hub: Path, prefix: str, base_commit: str) -> bool:
    """Whether the references below `prefix` and all objects that they lead to can be read, except
    those that the base commit reaches."""
    try:
        argv = ["for-each-ref", "--format=%(objectname)", f"{prefix}/"]
        listed = run_git(argv, hub, output_limit=_LIST_LIMIT)
        # Git leaves out a reference that cannot be read. It prints a warning, and ends with 0.
        if listed.code != 0 or listed.stderr:
            return False
        wanted = f"{listed.text}\n^{base_commit}\n".encode()
        # `git fsck` would read the hub of every task. Packing without reuse reads each object of
        # this one in full and checks it against its name.
        argv = ["pack-objects", "-q", "--stdout", "--revs", "--no-reuse-object", "--window=0"]
        with Path("/dev/null").open("wb") as nowhere:
            packed = run_git(argv, hub, stdin=wanted, stdout=nowhere.fileno())
    except EnvironmentFault:
        return False
    return packed.code == 0


def salvage(damaged: Path, hub: Path) -> None:
    """Copy what is sound of a damaged hub into another one, task by task: a fetch fails as a whole
    if one object is missing."""
    listed = run_git(["for-each-ref", "--format=%(refname)", "refs/rover/"], damaged)
    for task in sorted({ref.split("/")[2] for ref in listed.text.splitlines()}):
        fetch = ["fetch", "-q", UPLOAD_PACK, "--no-tags", "--no-write-fetch-head", "--"]
        refs = f"refs/rover/{task}/*:refs/rover/{task}/*"
        run_git([*fetch, str(damaged), refs], hub, extra_env=FROM_FILES, settings=UNCHECKED)
