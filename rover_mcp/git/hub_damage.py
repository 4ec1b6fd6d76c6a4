"""What can be said, and had, of a hub that was damaged."""

from __future__ import annotations

from pathlib import Path

from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.git.git_process import FROM_FILES, UNCHECKED, UPLOAD_PACK, run_git

_LIST_LIMIT = 256 * 1024**2


def is_whole(hub: Path, prefix: str, base_commit: str) -> bool:
    """Whether the references below `prefix` and all objects that they lead to can be read. What
    the base commit reaches is not looked at."""
    try:
        argv = ["for-each-ref", "--format=%(objectname)", f"{prefix}/"]
        listed = run_git(argv, hub, output_limit=_LIST_LIMIT)
        # A reference that cannot be read is left out, with a warning.
        if listed.code != 0 or listed.stderr:
            return False
        wanted = f"{listed.text}\n^{base_commit}\n".encode()
        argv = ["pack-objects", "-q", "--stdout", "--revs", "--no-reuse-object", "--window=0"]
        with Path("/dev/null").open("wb") as nowhere:
            packed = run_git(argv, hub, stdin=wanted, stdout=nowhere.fileno())
    except EnvironmentFault:
        return False
    return packed.code == 0


def salvage(damaged: Path, hub: Path) -> None:
    """Take over, task by task, what is whole of a damaged hub."""
    listed = run_git(["for-each-ref", "--format=%(refname)", "refs/rover/"], damaged)
    for task in sorted({ref.split("/")[2] for ref in listed.text.splitlines()}):
        fetch = ["fetch", "-q", UPLOAD_PACK, "--no-tags", "--no-write-fetch-head", "--"]
        refs = f"refs/rover/{task}/*:refs/rover/{task}/*"
        run_git([*fetch, str(damaged), refs], hub, extra_env=FROM_FILES, settings=UNCHECKED)
