"""Removal of what no task needs any more from a project's hub and base.

Whoever adds objects to the hub shares their lock until a reference names them; whoever removes some
holds it alone. What is kept is on the disk before anything is removed, so that a crash at any
moment leaves a sound hub. `git gc` is not used: it keeps what is unreachable for two weeks, and
with --prune=now it could remove what an import has added and not yet named. A note in the project's
folder says that there is something to remove, and stays until that is done.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Generator
from contextlib import contextmanager
from pathlib import Path

from agent_runner.process.locks import open_lock, try_lock, wait_for_lock
from rover_mcp.git.git_errors import checked, no_room
from rover_mcp.git.git_process import run_git

GARBAGE = "garbage"
"""The note's name."""

_LIST_LIMIT = 256 * 1024**2
_MEMORY = 8 * 1024**3
_TEMPORARY = "collecting-"


@contextmanager
def objects_lock(folder: Path, *, alone: bool, wait: bool = True) -> Generator[bool]:
    """Hold the lock of the hub's objects; without `wait` False where another process holds it.

    Raises:
        EnvironmentFault: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = open_lock(folder / "objects.lock")
    except OSError as error:
        raise no_room(folder, error) from error
    try:
        if wait:
            wait_for_lock(handle, shared=not alone)
        yield wait or try_lock(handle, shared=not alone)
    finally:
        os.close(handle)


def note_garbage(folder: Path) -> None:
    """Note that there is something to remove.

    Raises:
        EnvironmentFault: the folder cannot be written.
    """
    try:
        (folder / GARBAGE).touch()
    except OSError as error:
        raise no_room(folder, error) from error


def garbage_since(folder: Path) -> int | None:
    """When it was last noted that there is something to remove, in ns; None where nothing is."""
    try:
        return (folder / GARBAGE).stat().st_mtime_ns
    except FileNotFoundError:
        return None


def forget_garbage(folder: Path, since: int) -> None:
    """Remove the note, unless it was renewed after `since`: then something new has to go, too."""
    if garbage_since(folder) == since:
        (folder / GARBAGE).unlink(missing_ok=True)


def clear(
    hub: Path,
    own: Callable[[Collection[str]], set[str] | None],
    bases: Collection[str],
    limit: float | None,
) -> None:
    """Remove what no reference of the hub leads to. The caller holds the lock of the objects alone.

    `own` returns the packs of the given tasks, which are kept. Where it returns None, because the
    hub was salvaged and its packs belong to no single task, what the references reach beyond
    `bases` is packed into one, within `limit` seconds if that is given.

    Raises:
        EnvironmentFault: something that is needed cannot be read, or there is too little room or
            time; nothing is lost.
    """
    argv = ["for-each-ref", "--format=%(objectname) %(refname)"]
    listed = run_git(argv, hub, output_limit=_LIST_LIMIT)
    checked(listed, "the hub cannot be read", hub)
    refs = [line.split(" ", 1) for line in listed.text.splitlines()]
    packs = hub / "objects" / "pack"
    for stale in (*hub.glob(f"{_TEMPORARY}*"), *(hub / "objects").glob("incoming-*")):
        shutil.rmtree(stale, ignore_errors=True)
    kept = own({ref.split("/")[2] for _, ref in refs})
    try:
        packs.mkdir(parents=True, exist_ok=True)
        if kept is None:
            kept = {_pack(hub, "\n".join(tip for tip, _ in refs), bases, packs, limit)}
        # The index goes first: without it git does not look at a pack.
        for file in sorted(packs.iterdir(), key=lambda path: path.suffix != ".idx"):
            if file.stem not in kept:
                file.unlink(missing_ok=True)
        for loose in (hub / "objects").glob("[0-9a-f][0-9a-f]"):
            shutil.rmtree(loose)
    except OSError as error:
        raise no_room(hub, error) from error


def _pack(hub: Path, tips: str, bases: Collection[str], packs: Path, timeout: float | None) -> str:
    """Write the one pack that is kept; its name."""
    wanted = "\n".join([*tips.splitlines(), *(f"^{base}" for base in bases), ""])
    with tempfile.TemporaryDirectory(prefix=_TEMPORARY, dir=hub) as new:
        argv = ["pack-objects", "-q", "--revs", "--delta-base-offset", f"{new}/pack"]
        packed = run_git(
            argv,
            hub,
            stdin=wanted.encode(),
            timeout=timeout,
            memory_limit=_MEMORY,
            settings=("pack.writeBitmaps=false", "pack.packSizeLimit=0"),
        )
        checked(packed, "the hub cannot be repacked", hub)
        for file in sorted(Path(new).iterdir(), key=lambda path: path.suffix == ".idx"):
            file.replace(packs / file.name)
    _sync(packs)
    return f"pack-{packed.text}"


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
