"""A user's repository and checkout, of many examples at once: each has a folder of its own."""

# Names are bytes, of which pathlib knows nothing.
# ruff: noqa: PTH118

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rover_mcp.git.lfs import place_of
from tests.integration.differential.edits import check_out_submodule, do_all, submodule_commit
from tests.integration.differential.scenes import MEDIA, Example, Setting
from tests.support.runs import GIT

Entries = dict[bytes, tuple[str, str]]
"""Mode and id by path."""


@dataclass(frozen=True)
class Batch:
    """Some examples, and what is one for all of them."""

    setting: Setting
    examples: Sequence[Example]

    def folders(self) -> list[tuple[bytes, Example]]:
        return [(b"e%03d" % number, example) for number, example in enumerate(self.examples)]

    def submodules(self) -> list[bytes]:
        return [folder + b"/" + name for folder, e in self.folders() for name in e.submodules]

    def do(self, top: Path, when: str) -> None:
        for folder, example in self.folders():
            do_all(os.path.join(os.fsencode(top), folder), getattr(example, when))


def run(
    folder: Path, *argv: str, stdin: bytes | None = None, check: bool = True, what: str = "stdout"
) -> bytes:
    """Run git as a person does whose configuration the environment names; what it printed."""
    env = {**GIT, "XDG_CONFIG_HOME": os.environ["XDG_CONFIG_HOME"]}
    done = subprocess.run(
        ["git", *argv], cwd=folder, env=env, input=stdin, capture_output=True, check=False
    )
    if check and done.returncode:
        raise AssertionError(f"git {argv}: {done.stderr.decode(errors='replace')}")
    return getattr(done, what)


def entries(folder: Path, tree: str) -> Entries:
    """All of a tree."""
    found: Entries = {}
    for line in run(folder, "ls-tree", "-r", "-z", "--full-tree", tree).split(b"\0")[:-1]:
        facts, _, path = line.partition(b"\t")
        mode, _, name = facts.decode().split(" ")
        found[path] = (mode, name)
    return found


def make(folder: Path, batch: Batch) -> None:
    """The user's repository with one commit on main, checked out, and what only the user has."""
    folder.mkdir(parents=True)
    run(folder, "init", "-q", "--template=", "-b", "main")
    configure(folder, batch)
    run(folder, "fast-import", "--quiet", stdin=_stream(batch))
    for ref in batch.setting.refs:
        run(folder, "update-ref", ref.rstrip("^"), "refs/heads/main")
    for kind in batch.setting.odd_refs:
        _odd_ref(folder, kind)
    run(folder, "reset", "-q", "--hard")
    check_out_submodules(folder, batch)
    # It is not run: what it would make of the files is not committed.
    run(folder, "config", "filter.mine.smudge", "tr a-z A-Z")
    place = place_of(folder / ".git/lfs/objects", hashlib.sha256(MEDIA).hexdigest())
    place.parent.mkdir(parents=True)
    place.write_bytes(MEDIA)


def check_out_submodules(top: Path, batch: Batch) -> None:
    """In a checkout, where nothing is in their way."""
    links = {path for path, entry in entries(top, "HEAD").items() if entry[0] == "160000"}
    for path in links.intersection(batch.submodules()):
        check_out_submodule(os.path.join(os.fsencode(top), path))


def _odd_ref(folder: Path, kind: str) -> None:
    """One that plain git copes with, and that names no commit as a plain reference does."""
    match kind:
        case "tag-of-tree" | "tag-of-blob" | "tag-of-tag":
            run(folder, "tag", "-a", "-m", "t", "inner", "main")
            found = run(folder, "rev-parse", "main^{tree}", "inner").decode().split()
            blob = run(folder, "hash-object", "-w", "--stdin", stdin=b"x").decode().strip()
            target = {"tree": found[0], "tag": found[1], "blob": blob}[kind[7:]]
            run(folder, "update-ref", "-d", "refs/tags/inner")
            run(folder, "tag", "-a", "-m", "t", kind, target)
        case "symbolic":
            run(folder, "symbolic-ref", "refs/heads/symbolic", "refs/heads/main")
        case "dangling":
            run(folder, "symbolic-ref", "refs/heads/dangling", "refs/heads/nowhere")
        case "replaced":
            argv = ["commit-tree", "-m", "replaced", "main^{tree}"]
            run(folder, "replace", "main", run(folder, *argv).decode().strip())
        case "packed":
            run(folder, "pack-refs", "--all")
        case _:
            run(folder, "update-ref", "--no-deref", "HEAD", "main")


def configure(folder: Path, batch: Batch) -> None:
    """What a person sets in a clone: configuration, info/exclude, info/attributes."""
    config = "".join(
        f"[core]\n\t{key[5:]} = {value}\n" for key, value in batch.setting.config.items()
    )
    with (folder / ".git/config").open("a") as file:
        file.write(config)
    info = folder / ".git/info"
    info.mkdir(exist_ok=True)
    (info / "exclude").write_bytes(_lines(batch, "info_ignores"))
    (info / "attributes").write_bytes(_lines(batch, "info_attributes"))
    own = Path(os.environ["XDG_CONFIG_HOME"]) / "git/ignore"
    own.parent.mkdir(parents=True, exist_ok=True)
    own.write_bytes(_lines(batch, "own_ignores"))


def _lines(batch: Batch, part: str) -> bytes:
    found = [_below(d, line) for d, example in batch.folders() for line in getattr(example, part)]
    return b"".join(line + b"\n" for line in found)


def _below(folder: bytes, line: bytes) -> bytes:
    """A line of an ignore or attributes file in `folder` as one of a file at the top."""
    no = b"!" if line.startswith(b"!") else b""
    pattern, space, rest = line.removeprefix(b"!").partition(b" ")
    if b"/" not in pattern.removesuffix(b"/"):
        pattern = b"**/" + pattern
    return no + b"/" + folder + b"/" + pattern.removeprefix(b"/") + space + rest


def _stream(batch: Batch) -> bytes:
    """The base for git fast-import, which records contents as they are."""
    parts = [b"commit refs/heads/main\ncommitter A <a@b> 1700000000 +0000\ndata 4\nbase\n"]
    if batch.setting.attributes:
        parts.append(_file(b".gitattributes", "100644", b"\n".join(batch.setting.attributes)))
    for folder, example in batch.folders():
        named = ((b".gitattributes", example.attributes), (b".gitignore", example.ignores))
        for name, lines in named:
            if lines:
                text = b"".join(line + b"\n" for line in lines)
                parts.append(_file(folder + b"/" + name, "100644", text))
        for name in example.submodules:
            path = folder + b"/" + name
            parts.append(_file(path, "160000", submodule_commit().encode()))
        for entry in example.base:
            parts.append(_file(folder + b"/" + entry.name, entry.mode, entry.content))
    if paths := batch.submodules():
        lines = b"".join(b'[submodule "%s"]\n\tpath = %s\n\turl = ./x\n' % (p, p) for p in paths)
        parts.append(_file(b".gitmodules", "100644", lines))
    return b"".join(parts)


def _file(path: bytes, mode: str, content: bytes) -> bytes:
    quoted = b'"' + b"".join(_quoted(byte) for byte in path) + b'"'
    if mode == "160000":
        commit = content if len(content) == 40 else b"1234567890" * 4
        return b"M 160000 %s %s\n" % (commit, quoted)
    return b"M %s inline %s\ndata %d\n%s\n" % (mode.encode(), quoted, len(content), content)


def _quoted(byte: int) -> bytes:
    plain = 0x20 <= byte < 0x7F and byte not in b'"\\'
    return bytes([byte]) if plain else b"\\%03o" % byte
