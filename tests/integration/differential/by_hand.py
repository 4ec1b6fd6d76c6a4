"""What plain git makes of the edits in a clone of the user's repository, and where a task
deliberately differs from it."""

# Names are bytes, of which pathlib knows nothing.
# ruff: noqa: PTH116, PTH118, PTH123

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.integration.differential.edits import files_below
from tests.integration.differential.repository import (
    Batch,
    Entries,
    check_out_submodules,
    configure,
    entries,
    run,
)

Contents = dict[bytes, bytes]

_MADE = re.compile(rb"(?:^|/)(?:node_modules|\.venv|__pycache__|\.pytest_cache)(?=/)")
_MARK = re.compile(rb"(.*)/(?:pyvenv\.cfg|CACHEDIR\.TAG)")


@dataclass(frozen=True)
class Expected:
    """The tree that delivery is to have. `or_else`, where the agent's own git commits: what it may
    have made of files that were written again with the same bytes, of files whose attributes changed,
    and of files that it converted and would convert otherwise by now, if it looks into them. It
    does if they are not older than its index, in seconds. For _by_new_rules see there."""

    tree: Entries
    or_else: Entries


def by_hand(user: Path, clone: Path, batch: Batch) -> Expected:
    """The clone stays as the edits left it."""
    argv = ("clone", "-q", "--no-checkout", "--shared", "--template=", str(user), str(clone))
    run(user.parent, *argv)
    configure(clone, batch)
    run(clone, "reset", "-q", "--hard")
    check_out_submodules(clone, batch)
    base, checked_out = entries(clone, "HEAD"), contents(clone)
    stamps = {path: _stamp(clone, path) for path in checked_out}
    batch.do(clone, "early")
    known, or_else = checked_out, Entries()
    if batch.setting.agent_commits:
        with _inner_as_files(clone, base):
            tree, anew = _add(clone, "HEAD", known)
        new_rules = {
            path.split(b"/")[0] for path, _ in _attributes(base) ^ _attributes(entries(clone, tree))
        }
        or_else = {
            path: entry
            for path, entry in anew.items()
            if _stamp(clone, path) != stamps[path] or path.split(b"/")[0] in new_rules
        }
        commit = run(clone, "commit-tree", "-p", "HEAD", "-m", "early", tree).decode().strip()
        run(clone, "update-ref", "HEAD", commit)
        known = contents(clone)
    batch.do(clone, "late")
    with _inner_as_files(clone, base):
        tree, anew = _add(clone, "HEAD", known)
    or_else |= {p: e for p, e in anew.items() if known[p] != checked_out.get(p)}
    or_else = _by_new_rules(clone, base, entries(clone, tree), checked_out) | or_else
    made = _without_made(entries(clone, tree), base)
    other = _filtered(clone, base, made)
    or_else = {path: entry for path, entry in or_else.items() if path not in other}
    whole = {path: other.get(path, entry) for path, entry in made.items()}
    return Expected({path: entry for path, entry in whole.items() if entry}, or_else)


def _filtered(clone: Path, base: Entries, tree: Entries) -> dict[bytes, tuple[str, str] | None]:
    """What is recorded of files with a filter: where it encrypts, nothing that it did not make;
    where git-lfs keeps a pointer, this for the content that the base's stands for."""
    changed = [p for p, e in tree.items() if e[0].startswith("100") and base.get(p) != e]
    argv = ("check-attr", "--stdin", "-z", "filter")
    said = run(clone, *argv, stdin=b"".join(path + b"\0" for path in changed)).split(b"\0")
    there = {blob for _, blob in base.values()}
    found: dict[bytes, tuple[str, str] | None] = {}
    for path, value in zip(said[::3], said[2::3], strict=False):
        mode, blob = tree[path]
        if value in (b"mine", b"git-crypt") and blob not in there:
            found[path] = base.get(path)
        elif value == b"lfs" and path in base and base[path][0].startswith("100"):
            media = hashlib.sha256(run(clone, "cat-file", "blob", blob)).hexdigest().encode()
            if media in run(clone, "cat-file", "blob", base[path][1]):
                found[path] = (mode, base[path][1])
    return found


def _by_new_rules(clone: Path, base: Entries, tree: Entries, known: Contents) -> Entries:
    """What the attributes that are left make of the files that were written, in folders whose
    attributes changed: whether git adds these files by the former ones depends on its order."""
    changed = {path.split(b"/")[0] for path, _ in _attributes(base) ^ _attributes(tree)}
    found: Entries = {}
    for path, content in contents(clone).items():
        if path.split(b"/")[0] not in changed or path not in tree:
            continue
        blob = tree[path][1]
        if known.get(path) != content:
            said = run(clone, "hash-object", "-w", "--", os.fsdecode(path), check=False)
            blob = said.decode().strip() or blob
        # Of a file that cannot be converted, git does not record a new mode either.
        mode = os.stat(os.path.join(os.fsencode(clone), path)).st_mode
        found[path] = ("100755" if mode & 0o100 else "100644", blob)
    return found


def _attributes(tree: Entries) -> set[tuple[bytes, str]]:
    return {(path, e[1]) for path, e in tree.items() if path.lower().endswith(b".gitattributes")}


def _stamp(clone: Path, path: bytes) -> int:
    """Changes with everything that is done to a file."""
    return os.stat(os.path.join(os.fsencode(clone), path)).st_ctime_ns


def contents(top: Path) -> Contents:
    """Of all regular files."""
    found: Contents = {}
    for path in files_below(os.fsencode(top)):
        place = os.path.join(os.fsencode(top), path)
        if stat.S_ISREG(os.lstat(place).st_mode):
            with open(place, "rb") as file:
                found[path] = file.read()
    return found


def _add(clone: Path, before: str, known: Contents) -> tuple[str, Entries]:
    """The tree of the files as `git add -A` has it. Those that have the bytes `known` since the
    commit `before` are as there; if git would convert them otherwise now, also as it would."""
    # A new index: git looks into every file.
    (clone / ".git/index").unlink()
    run(clone, "read-tree", before)
    _add_convertible(clone)
    was, now = entries(clone, before), contents(clone)
    lines: list[bytes] = []
    anew: Entries = {}
    for line in run(clone, "ls-files", "-s", "-z").split(b"\0")[:-1]:
        facts, _, path = line.partition(b"\t")
        mode, name, _ = facts.decode().split(" ")
        untouched = path in known and known[path] == now.get(path)
        if untouched and was.get(path, ("", name))[1] != name:
            lines.append(f"{mode} {was[path][1]}\t".encode() + path + b"\0")
            anew[path] = (mode, name)
    run(clone, "update-index", "-z", "--index-info", stdin=b"".join(lines))
    return run(clone, "write-tree").decode().strip(), anew


def _add_convertible(clone: Path) -> None:
    """What cannot be converted stays as it was, and keeps nothing else out."""
    wanted = ["."]
    while True:
        argv = ["-c", "core.protectHFS=true", "add", "-A", "--ignore-errors", "--", *wanted]
        said = run(clone, *argv, check=False, what="stderr")
        failed = re.search(
            rb"^fatal: (?:failed to encode|encoding|BOM is \w+ in) '(.*)' (?:from|if) ",
            said,
            re.M | re.S,
        )
        if failed is None:
            assert b"fatal: " not in said, said
            return
        wanted.append(":(exclude,literal)" + os.fsdecode(failed[1]))


@contextmanager
def _inner_as_files(clone: Path, base: Entries) -> Iterator[None]:
    """A repository inside that is not a submodule of the base is delivered as files."""
    inner: list[Path] = []
    for folder, folders, _ in os.walk(clone):
        path = os.path.relpath(os.fsencode(folder), os.fsencode(clone))
        if path != b"." and ".git" in folders and base.get(path, ("", ""))[0] != "160000":
            inner.append(Path(folder) / ".git")
        folders[:] = [name for name in folders if name != ".git"]
    for number, dot_git in enumerate(inner):
        dot_git.rename(clone / f".git/inner-{number}")
    yield
    for number, dot_git in enumerate(inner):
        (clone / f".git/inner-{number}").rename(dot_git)


def _without_made(tree: Entries, base: Entries) -> Entries:
    """Without the topmost folders that a program made, unless the base has something there."""
    found = {name[: m.end()] for name in tree.keys() - base.keys() if (m := _MADE.search(name))}
    found |= {m[1] for name in tree.keys() - base.keys() if (m := _MARK.fullmatch(name))}
    made = tuple(f + b"/" for f in found if not any(p.startswith(f + b"/") for p in base))
    return {path: entry for path, entry in tree.items() if not path.startswith(made)}
