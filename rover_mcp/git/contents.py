"""What tasks have to know of the files of a commit, from one listing.

A commit never changes, so the result is kept for as long as the daemon runs: listing a large
repository takes as long as all other checks of a new task together.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock

from rover_mcp.git.lfs import SIZES, Pointers, keeps_pointers, pointers
from rover_mcp.git.readable import check_readable, missing
from rover_mcp.git.repository_view import RepositoryView

MOST_KNOWN = 50
"""Commits of which this is kept."""

_LISTED = ("ls-tree", "-r", "-t", "-l", "-z", "--full-tree")
_LISTING = 80 * 1024**2


@dataclass(frozen=True)
class Contents:
    """`links` are the paths of submodules with their commits. `lfs`: an attribute file names the
    filter of git-lfs. `size` is that of all files in bytes, `entries` the number of files and
    folders. `truncated`: there are more than are listed. `checked`: git can make a work tree of the
    commit."""

    links: Sequence[tuple[str, str]]
    pointers: Pointers
    lfs: bool
    size: int
    entries: int
    truncated: bool
    checked: bool


class _ContentsCache:
    """The contents that were read last, by repository and commit."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._found: OrderedDict[tuple[str, str], Contents] = OrderedDict()

    def get(self, key: tuple[str, str]) -> Contents | None:
        with self._lock:
            if key in self._found:
                self._found.move_to_end(key)
            return self._found.get(key)

    def put(self, key: tuple[str, str], contents: Contents) -> None:
        with self._lock:
            self._found[key] = contents
            while len(self._found) > MOST_KNOWN:
                self._found.popitem(last=False)


_KNOWN = _ContentsCache()


def contents_of(view: RepositoryView, commit: str) -> Contents:
    """The contents of a commit, without what cannot be read of it."""
    key = (str(view.place.common), commit)
    return _KNOWN.get(key) or _read_listing(view, commit, key, check=False)


def checked_contents(view: RepositoryView, commit: str, *, again: bool) -> Contents:
    """The contents of a commit of which git has all files and can check them out. With `again` that
    is checked even if it was before: objects can get lost, unless the project's base has them too.

    Raises:
        UserFixable: a file is missing, or cannot be checked out ("unreadable_base").
    """
    key = (str(view.place.common), commit)
    known = None if again else _KNOWN.get(key)
    return known if known and known.checked else _read_listing(view, commit, key, check=True)


def _read_listing(
    view: RepositoryView, commit: str, key: tuple[str, str], *, check: bool
) -> Contents:
    listed = view.run((*_LISTED, commit), output_limit=_LISTING)
    if check and listed.code != 0:
        raise missing(view, commit, listed.reason)
    if check and not listed.truncated:
        check_readable(view, commit, listed.stdout)
    links: list[tuple[str, str]] = []
    attributes: list[str] = []
    small: dict[str, list[bytes]] = {}
    total = 0
    lines = listed.stdout.split(b"\0")[:-1]
    for line in lines:
        facts, _, path = line.partition(b"\t")
        mode, _, name, size, *_ = (*facts.split(), b"", b"", b"", b"")
        if mode == b"160000":
            links.append((os.fsdecode(path), name.decode()))
        elif path.endswith(b".gitattributes") and path[:-14][-1:] in (b"", b"/"):
            attributes.append(name.decode())
        if size.isdigit():
            total += int(size)
            if int(size) in SIZES:
                small.setdefault(name.decode(), []).append(path)
    pointer_files, is_complete = pointers(view.folder, small)
    lfs = bool(attributes) and keeps_pointers(view.folder, attributes)
    truncated = listed.truncated or listed.code != 0
    contents = Contents(links, pointer_files, lfs, total, len(lines), truncated, check)
    if is_complete and listed.code == 0:
        _KNOWN.put(key, contents)
    return contents
