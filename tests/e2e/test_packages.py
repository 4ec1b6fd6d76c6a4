"""What a task fetched is in the HOME of the project's next task, if it is what it says."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tests.support.frames import LauncherClient
from tests.support.repos import make_repository
from tests.support.scripts import script

GOOD, EVIL = "good", "evil"
DIGEST, OTHER = (hashlib.sha512(name.encode()).hexdigest() for name in (GOOD, "another"))
LOCK = f"""[[package]]
name = "tiny"
version = "1.0.0"
source = "registry+https://github.com/rust-lang/crates.io-index"
checksum = "{hashlib.sha256(GOOD.encode()).hexdigest()}"
"""
CRATE = "~/.cargo/registry/cache/index.crates.io-0123456789abcdef/tiny-1.0.0.crate"
CONTENTS = "~/.npm/_cacache/content-v2/sha512"


def path(digest: str) -> str:
    return f"{CONTENTS}/{digest[:2]}/{digest[2:4]}/{digest[4:]}"


def ran(client: LauncherClient, command: str) -> str:
    made = client.tool(
        "create_task", description="Install", workflow="quick", agent="scripted",
        engine="bubblewrap", script=script(implement=[{"say": "done", "run": command}]),
    )["task"]  # fmt: skip
    client.wait_until(made["id"], "COMPLETED")
    return client.tool("get_logs", task=made["id"], step="implement")["text"]


def test_packages_that_are_what_they_say_pass_to_the_next_task(home: Path) -> None:
    """Issue 12, point 6."""
    fill = "; ".join(
        f"mkdir -p $(dirname {path(d)}); printf {text} > {path(d)}"
        for d, text in ((DIGEST, GOOD), (OTHER, EVIL))
    )
    fill += f"; mkdir -p $(dirname {CRATE}); printf {GOOD} > {CRATE}; echo > Cargo.lock"
    files = " ".join(map(path, (DIGEST, OTHER)))
    look = f'echo "[$(cat {files} {CRATE} 2>/dev/null)]"; printf x >> {path(DIGEST)}'
    project = make_repository(home.parent / "project", {"Cargo.lock": LOCK})
    with LauncherClient(home, project) as client:
        client.open()
        ran(client, fill)
        assert f"[{GOOD}{GOOD}]" in ran(client, look)
        [store] = home.glob("projects/*/packages")
        kept = [file.read_text() for file in store.rglob("*") if file.is_file()]
        assert sorted(kept) == ["", GOOD, GOOD], "two contents, and the name of a registry"
