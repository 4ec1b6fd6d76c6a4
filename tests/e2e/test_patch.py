"""`rover diff --patch | git apply` makes of the base what the task made of it."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

from tests.e2e.test_survival import start
from tests.support.frames import LauncherClient
from tests.support.repos import git

RANDOM = random.Random(7)
LATIN = os.fsdecode("b\xe9b\xe9.txt".encode("latin-1"))


def before(root: Path) -> None:
    (root / "crlf.txt").write_bytes(b"one\r\ntwo\r\nthree\r\n")
    (root / "latin.txt").write_bytes("caf\xe9\nau lait\n".encode("latin-1"))
    (root / "image.png").write_bytes(RANDOM.randbytes(5_000))
    (root / "large.bin").write_bytes(RANDOM.randbytes(400_000))
    (root / "old name.txt").write_text("".join(f"{n}\n" for n in range(50)))
    (root / "was a file").write_text("text\n")
    (root / "was a link").symlink_to("crlf.txt")
    (root / "gone").write_bytes(b"\0\1")
    (root / "tool.sh").write_text("#!/bin/sh\n")
    (root / LATIN).write_text("x\n")


def after(root: Path) -> None:
    (root / "crlf.txt").write_bytes(b"one\r\n2\r\nthree\nfour\r")
    (root / "latin.txt").write_bytes("cr\xe8me\nau lait\n\x1b[31m".encode("latin-1"))
    (root / "image.png").write_bytes(RANDOM.randbytes(6_000))
    (root / "large.bin").write_bytes(RANDOM.randbytes(400_000))
    (root / "old name.txt").rename(root / 'new "name"\n.txt')
    (root / "was a file").unlink()
    (root / "was a file").symlink_to("/etc/nowhere")
    (root / "was a link").unlink()
    (root / "was a link").write_text("now a file")
    (root / "gone").unlink()
    (root / "tool.sh").chmod(0o755)
    (root / LATIN).write_text("y\n")
    (root / os.fsdecode(b"new \xff\xfe")).write_bytes(bytes(range(256)))
    (root / "empty").touch()
    (root / "many lines").write_text("".join(f"line {n}\n" for n in range(40_000)))


def files(root: Path) -> dict[str, tuple[bool, bytes]]:
    """What git keeps of a tree: names, links, whether files are programs, contents."""
    found = (path for path in root.rglob("*") if ".git" not in path.parts)
    return {
        str(path.relative_to(root)): (
            (True, os.fsencode(path.readlink()))
            if path.is_symlink()
            else (bool(path.stat().st_mode & 0o100), path.read_bytes())
        )
        for path in found
        if path.is_symlink() or path.is_file()
    }


def rover(home: Path, *argv: str) -> bytes:
    return subprocess.run(
        [sys.executable, "-m", "rover_mcp.cli.command_line", "--home", str(home), *argv],
        stdout=subprocess.PIPE,
        check=True,
    ).stdout


def test_a_patch_is_whole_and_byte_for_byte(
    client: LauncherClient, repository: Path, tmp_path: Path
) -> None:
    """N1. Before, text that is no UTF-8 was replaced, binary files were left out, and what was
    longer than 200 kB was cut."""
    before(repository)
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "base")
    task, home = start(client, [{"delay": 600}]), client.home
    work = home / "tasks" / task["id"] / "work"
    after(work)
    client.tool("pause_task", task=task["id"])
    client.wait_until(task["id"], "PAUSED")

    patch = rover(home, "diff", task["id"], "--patch")
    assert len(patch) > 400_000
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(repository), str(clone))
    subprocess.run(["git", "apply", "-"], cwd=clone, input=patch, check=True)
    assert files(clone) == files(work)

    one = rover(home, "diff", task["id"], "tool.sh", "--patch")
    assert one.splitlines() == [
        b"diff --git a/tool.sh b/tool.sh", b"old mode 100644", b"new mode 100755",
    ]  # fmt: skip
