"""Commits and trees as old converters and other programs than git have written them, by the names
that `git fsck` has for what is wrong with them."""

from __future__ import annotations

from pathlib import Path

from tests.integration.git.conftest import git

PERSON = b"A <a@example.org> 1700000000 +0000"
PEOPLE = {
    "bad-timezone": b"A <a@example.org> 1700000000 +51800",
    "no-timezone": b"A <a@example.org> 1700000000",
    "zero-padded-date": b"A <a@example.org> 0700000000 +0000",
    "bad-date": b"A <a@example.org> Mon May 1 2001 +0000",
    "overflowing-date": b"A <a@example.org> 99999999999999999999 +0000",
    "negative-date": b"A <a@example.org> -1700000000 +0000",
    "no-date": b"A <a@example.org>",
    "empty-email": b"A <> 1700000000 +0000",
    "missing-email": b"A 1700000000 +0000",
    "bad-email": b"A <a@<example>.org> 1700000000 +0000",
    "unclosed-email": b"A <a@example.org 1700000000 +0000",
    "empty-name": b"<a@example.org> 1700000000 +0000",
    "no-space-before-email": b"A<a@example.org> 1700000000 +0000",
    "no-space-before-date": b"A <a@example.org>1700000000 +0000",
    "control-characters": b"\x1b[31mA\x07 <a\t@example.org> 1700000000 +0000",
    "no-utf-8": b"\xe9\xff <\xfe@example.org> 1700000000 +0000",
}
"""Authors and committers."""


def commits(tree: bytes, parent: bytes) -> dict[str, bytes]:
    """Commits of the tree."""
    first = b"tree " + tree + b"\nparent " + parent + b"\n"
    by = b"author " + PERSON + b"\ncommitter " + PERSON + b"\n"
    found = {
        name: first + b"author " + person + b"\ncommitter " + person + b"\n\nodd\n"
        for name, person in PEOPLE.items()
    }
    return {
        **found,
        "missing-author": first + b"committer " + PERSON + b"\n\nodd\n",
        "multiple-authors": first + b"author " + PERSON + b"\n" + by + b"\nodd\n",
        "missing-committer": first + b"author " + PERSON + b"\n\nodd\n",
        "no-people": first + b"\nodd\n",
        "nul-in-commit": first + by + b"\nodd\0message\n",
        "nul-in-header": first + b"author A\0 <a@example.org> 1 +0000\n" + by + b"\nodd\n",
        "no-message": first + by + b"\n",
        "no-end-of-header": first + by,
        "duplicate-parents": first + b"parent " + parent + b"\n" + by + b"\nodd\n",
        "odd-encoding": first + by + b"encoding nobody-knows\n\nodd \xff\n",
        "odd-headers": first + by + b"HG:rename-source hg\nmergetag x\n y\ngpgsig z\n\nodd\n",
    }


READABLE: dict[str, list[tuple[bytes, str]]] = {
    "zero-padded-mode": [(b"0100644 b", "file"), (b"040000 folder", "folder")],
    "modes-of-groups": [(b"100664 b", "file"), (b"100775 c", "file"), (b"100600 d", "other")],
    "mode-of-a-device": [(b"20000 b", "file")],
    "not-sorted": [(b"100644 c", "other"), (b"100644 a", "file"), (b"100644 b", "file")],
    "folders-not-sorted": [(b"40000 folder", "folder"), (b"100644 folder.c", "file")],
    "empty-folder": [(b"40000 none", "empty")],
}
"""Modes and names of trees, and what they are of."""

UNREADABLE: dict[str, list[tuple[bytes, str]]] = {
    "empty-name": [(b"100644 ", "file")],
    "full-path": [(b"100644 b/c", "file")],
    "file-and-folder": [(b"100644 folder", "file"), (b"40000 folder", "folder")],
    "duplicate-files": [(b"100644 b", "file"), (b"100644 b", "other")],
    "dot": [(b"100644 .", "file")],
    "dot-dot": [(b"40000 ..", "folder")],
    "dot-git": [(b"40000 .git", "folder")],
    "dot-git-of-others": [(b"40000 .GIT", "folder")],
    "dot-git-of-ntfs": [(b"40000 git~1", "folder")],
    "dot-git-of-hfs": [("40000 .g\u200cit".encode(), "folder")],
    "link-as-gitmodules": [(b"120000 .gitmodules", "file")],
    "null-id": [(b"100644 b", "null")],
    "missing-file": [(b"100644 b", "missing")],
    "missing-folder": [(b"40000 b", "missing")],
    "file-as-folder": [(b"40000 b", "file")],
}
"""The same of trees that git cannot check out, or reads otherwise than it wrote them, or that others
take for .git."""


def write(repo: Path, kind: str, content: bytes) -> bytes:
    """Store an object as it is; its id."""
    argv = ["hash-object", "-w", "--literally", "-t", kind, "--stdin"]
    return git(repo, *argv, stdin=content).encode()


def write_tree(repo: Path, entries: list[tuple[bytes, bytes]]) -> bytes:
    """The same of a tree: modes and names, and ids."""
    content = b"".join(name + b"\0" + bytes.fromhex(i.decode()) for name, i in entries)
    return write(repo, "tree", content)


def write_commit(repo: Path, tree: bytes, parent: bytes) -> bytes:
    """The same of a commit that is as it should be."""
    by = b"author " + PERSON + b"\ncommitter " + PERSON
    return write(repo, "commit", b"tree %s\nparent %s\n%s\n\nodd\n" % (tree, parent, by))
