"""A user's repository and checkout, of many examples at once: each has a folder of its own."""

# Names are bytes, of which pathlib knows nothing.
# ruff: noqa: PTH118

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.integration.differential.edits import do_all
from tests.integration.differential.scenes import Example, Setting
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
        commit = run(folder, "rev-parse", "main").decode().strip()
        run(folder, "update-ref", ref.rstrip("^"), commit)
    run(folder, "reset", "-q", "--hard")


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
        for entry in example.base:
            parts.append(_file(folder + b"/" + entry.name, entry.mode, entry.content))
    return b"".join(parts)


def _file(path: bytes, mode: str, content: bytes) -> bytes:
    quoted = b'"' + b"".join(_quoted(byte) for byte in path) + b'"'
    if mode == "160000":
        return b"M 160000 %s %s\n" % (b"1234567890" * 4, quoted)
    return b"M %s inline %s\ndata %d\n%s\n" % (mode.encode(), quoted, len(content), content)


def _quoted(byte: int) -> bytes:
    plain = 0x20 <= byte < 0x7F and byte not in b'"\\'
    return bytes([byte]) if plain else b"\\%03o" % byte
