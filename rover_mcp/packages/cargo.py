"""cargo's crates, by the SHA-256 that a lock file of a task's base demands.

A crate in cargo's cache is named after its package and version, and cargo does not check it again.
So nothing counts but the Cargo.lock files that are committed in the base: they say which contents
are taken over from a task, and which ones a task finds. They are kept by their digest alone.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from rover_mcp.packages.home_files import (
    FileContent,
    HomeFile,
    ReadBudget,
    files_at,
    folder_beneath,
    regular,
    take,
)

LOCK = "Cargo.lock"
LOCK_BYTES = 8 * 1024**2
KEPT = "crates"
"""In the store: contents, and beside them the names of the folders that cargo keeps them in."""
FOLDERS = (".cargo", "registry", "cache")
_REGISTRIES = "registries"
_MOST_REGISTRIES = 8
_REGISTRY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,100}-[0-9a-f]{16}")
_FIELD = re.compile(r'^(name|version|source|checksum) = "([^"\n]{1,300})"$', re.MULTILINE)
_FILE = re.compile(r"[A-Za-z0-9_-]{1,64}-[0-9]+\.[0-9A-Za-z.+-]{1,100}\.crate")
_DIGEST = re.compile(r"[0-9a-f]{64}")


def demanded(*locks: bytes) -> dict[str, str]:
    """The digests of crates by their files' names, in all of these lock files. A name that stands
    for two is left out."""
    checksums: dict[str, set[str]] = {}
    texts = (lock.decode("utf-8", "replace") for lock in locks)
    for block in (block for text in texts for block in text.split("[[package]]")[1:]):
        facts: dict[str, str] = dict(_FIELD.findall(block))
        name = f"{facts.get('name')}-{facts.get('version')}.crate"
        digest = facts.get("checksum", "")
        # A crate from git or from a path has no checksum in a lock file.
        registry = facts.get("source", "").startswith(("registry+", "sparse+"))
        if registry and _FILE.fullmatch(name) and _DIGEST.fullmatch(digest):
            checksums.setdefault(name, set()).add(digest)
    # Two registries can have a crate of the same name and version. The cache's file name does not
    # say which one it is.
    return {name: digests.pop() for name, digests in checksums.items() if len(digests) == 1}


def keep(home: Path, store: Path, lock: Mapping[str, str], budget: ReadBudget) -> Iterator[Path]:
    """Take over what the HOME has of these crates and the store has not; each file that was."""
    with folder_beneath(home, *FOLDERS) as folder:
        if folder is None or not lock:
            return
        for place in files_at(folder, 1, budget):
            registry = place.path.partition("/")[0]
            digest = lock.get(place.name)
            # The folder's name becomes part of a path in the HOME of later tasks, and an agent may
            # have chosen it.
            if digest is None or not _REGISTRY.fullmatch(registry):
                continue
            target = store / KEPT / digest
            if not target.exists():
                with regular(place) as file:
                    if file is None:
                        continue
                    content = FileContent(file, os.fstat(file).st_size, hashlib.sha256(), digest)
                    if not take(content, target, budget):
                        continue
                yield target
            _remember(store, registry)


def lacks(store: Path, lock: Mapping[str, str], path: Path) -> bool:
    """Whether a file of this name in a HOME may be a crate that is wanted and not kept yet."""
    digest = lock.get(path.name)
    return digest is not None and not (store / KEPT / digest).exists()


def lent(store: Path, lock: Mapping[str, str]) -> Iterator[HomeFile]:
    """Which of these crates are kept, and where cargo looks for them."""
    for name, digest in lock.items():
        source = store / KEPT / digest
        for registry in _registries(store) if source.exists() else ():
            yield HomeFile("/".join((*FOLDERS, registry, name)), source)


def _remember(store: Path, registry: str) -> None:
    mark = store / KEPT / _REGISTRIES / registry
    # Each name multiplies the files that a task is lent.
    if not mark.exists() and len(_registries(store)) < _MOST_REGISTRIES:
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()


def _registries(store: Path) -> list[str]:
    try:
        return sorted(mark.name for mark in (store / KEPT / _REGISTRIES).iterdir())
    except FileNotFoundError:
        return []
