"""The corpus of repositories that each verb is tried on: how a user's repository is made, and what
the task changes in it. Shapes that git users have, each with what is special about it alone."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.support.repos import git

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 5\n"
ODD_NAMES = ("ünï cödé/日本.txt", 'quo"ted\\back.txt', "tab\there.txt", " leading and trailing ")


@dataclass(frozen=True)
class Shape:
    """`make` works in a repository with files a.txt and folder/b.txt, before its first commit is
    made; `after` behind that; `run` is the task's shell script."""

    make: Callable[[Path], None] = lambda _: None
    after: Callable[[Path], None] = lambda _: None
    run: str = "echo more >> folder/b.txt"
    init: tuple[str, ...] = ()


def write(repo: Path, path: str, text: str | bytes) -> None:
    file = repo / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text.encode() if isinstance(text, str) else text)


def _links(repo: Path) -> None:
    (repo / "link").symlink_to("a.txt")


def _lfs(repo: Path) -> None:
    write(repo, ".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n")
    write(repo, "model.bin", POINTER.format("1" * 64))


def _submodule(repo: Path) -> None:
    module = repo.parent / f"{repo.name}-module"
    module.mkdir()
    git(module, "init", "-q", "-b", "main")
    write(module, "m.txt", "module\n")
    git(module, "add", "-A")
    git(module, "commit", "-qm", "module")
    git(repo, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(module), "mod")


def _crlf(repo: Path) -> None:
    git(repo, "config", "core.autocrlf", "true")
    write(repo, "folder/b.txt", "one\r\ntwo\r\n")
    write(repo, "dos.txt", "one\r\ntwo\r\n")
    write(repo, ".gitattributes", "dos.txt -text\n")


def _odd_names(repo: Path) -> None:
    for name in ODD_NAMES:
        write(repo, name, "odd\n")


def _sparse(repo: Path) -> None:
    git(repo, "sparse-checkout", "set", "--cone", "folder")


def _many_folders(repo: Path) -> None:
    write(repo, "hidden/h.txt", "hidden\n")


def _linked(repo: Path) -> None:
    git(repo, "worktree", "add", "-q", "-b", "beside", str(repo.parent / f"{repo.name}-linked"))


def _signed(repo: Path) -> None:
    key = repo.parent / f"{repo.name}-key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    for name, value in (("gpg.format", "ssh"), ("user.signingKey", str(key)),
                        ("commit.gpgSign", "true")):  # fmt: skip
        git(repo, "config", name, value)


def _unsigned(repo: Path) -> None:
    _signed(repo)
    (repo.parent / f"{repo.name}-key").unlink()


def _hooks(repo: Path) -> None:
    for name in ("pre-commit", "pre-merge-commit", "commit-msg", "pre-push", "post-checkout",
                 "post-merge", "reference-transaction", "pre-rebase"):  # fmt: skip
        hook = repo / ".git/hooks" / name
        hook.write_text(f"#!/bin/sh\necho {name} >> {repo.parent}/{repo.name}-ran\nexit 1\n")
        hook.chmod(0o755)


def _dirty(repo: Path) -> None:
    write(repo, "a.txt", "stashed\n")
    git(repo, "stash", "-q")
    write(repo, "a.txt", "changed, and not staged\n")
    write(repo, "folder/staged.txt", "staged\n")
    git(repo, "add", "folder/staged.txt")
    write(repo, "untracked.txt", "untracked\n")


SHAPES: dict[str, Shape] = {
    "plain": Shape(),
    "renames": Shape(
        lambda r: write(r, "old/name.txt", "moved\n" * 20), run="git mv old new; git mv a.txt z.txt"
    ),
    "deletes": Shape(lambda r: write(r, "gone/g.txt", "gone\n"), run="git rm -qr gone a.txt"),
    "modes": Shape(run="chmod +x folder/b.txt"),
    "symbolic links": Shape(_links, run="ln -sfn folder link; ln -s /etc/passwd new-link"),
    "binary": Shape(
        lambda r: write(r, "image", b"\0\1\2" * 99), run="printf '\\000\\377' >> image"
    ),
    "LFS pointers": Shape(
        _lfs,
        run=f"printf '{POINTER.format('2' * 64)}' | sed 's/$//' > model.bin".replace("\n", "\\n"),
    ),
    "a submodule": Shape(_submodule),
    "CRLF": Shape(_crlf, run="printf 'three\\r\\n' >> dos.txt; echo three >> folder/b.txt"),
    "odd names": Shape(_odd_names, run="for f in *.txt ' '*; do echo more >> \"$f\"; done"),
    "sparse": Shape(_many_folders, _sparse, "echo more >> hidden/h.txt; echo more >> folder/b.txt"),
    "a linked work tree": Shape(after=_linked),
    "commits that are signed": Shape(after=_signed),
    "a signing key that is missing": Shape(after=_unsigned),
    "hooks that fail": Shape(after=_hooks),
    "a detached HEAD": Shape(after=lambda r: git(r, "switch", "-q", "--detach") and None),
    "a dirty tree": Shape(after=_dirty),
    "SHA-256": Shape(init=("--object-format=sha256",)),
}


def make_shape(repo: Path, shape: Shape) -> Path:
    """The repository; the folder that the user works in."""
    repo.mkdir()
    git(repo, "init", "-q", "-b", "main", *shape.init)
    git(repo, "config", "user.name", "Ursula")
    git(repo, "config", "user.email", "u@example.org")
    write(repo, "a.txt", "one\n")
    write(repo, "folder/b.txt", "one\n")
    shape.make(repo)
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "first")
    for name in ("merged", "squashed", "forwarded"):
        git(repo, "branch", name)
    shape.after(repo)
    linked = repo.parent / f"{repo.name}-linked"
    return linked if linked.exists() else repo
