"""What a task fetched is in the HOME of the project's next task, if it is what it says."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest

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
MODULE = "~/go/pkg/mod/cache/download/example.com/tiny/@v/v1.0.0.mod"
_LINE = f"{hashlib.sha256(GOOD.encode()).hexdigest()}  go.mod\n"
_SUM = base64.b64encode(hashlib.sha256(_LINE.encode()).digest()).decode()
GO_SUM = f"example.com/tiny v1.0.0/go.mod h1:{_SUM}\n"
CONTENTS = "~/.npm/_cacache/content-v2/sha512"


def path(digest: str) -> str:
    return f"{CONTENTS}/{digest[:2]}/{digest[2:4]}/{digest[4:]}"


def ran(client: LauncherClient, engine: str, command: str) -> str:
    made = client.tool(
        "create_task", description="Install", workflow="quick", agent="scripted",
        engine=engine, script=script(implement=[{"say": "done", "run": command}]),
    )["task"]  # fmt: skip
    client.wait_until(made["id"], "COMPLETED")
    return client.tool("get_logs", task=made["id"], step="implement")["text"]


@pytest.mark.parametrize("engine", ["bubblewrap", pytest.param("docker", marks=pytest.mark.docker)])
def test_packages_that_are_what_they_say_pass_to_the_next_task(home: Path, engine: str) -> None:
    """A task fills what is kept. One that rewrites its copy, or a hard link of
    it, changes nothing of what the next one reads."""
    fill = "; ".join(
        f"mkdir -p $(dirname {path(d)}); printf {text} > {path(d)}"
        for d, text in ((DIGEST, GOOD), (OTHER, EVIL))
    )
    fill += f"; mkdir -p $(dirname {CRATE}); printf {GOOD} > {CRATE}; echo > Cargo.lock"
    fill += f"; mkdir -p $(dirname {MODULE}); printf {GOOD} > {MODULE}; echo > go.sum"
    files = " ".join(map(path, (DIGEST, OTHER)))
    look = f'echo "[$(cat {files} {CRATE} {MODULE} 2>/dev/null)]"'
    attack = "; ".join(
        f"ln {file} {file}-linked; printf {EVIL} > {file}-linked; cat {file}"
        for file in (path(DIGEST), CRATE, MODULE)
    )
    project = make_repository(home.parent / "project", {"Cargo.lock": LOCK, "go.sum": GO_SUM})
    with LauncherClient(home, project) as client:
        client.open()
        ran(client, engine, fill)
        for _ in range(2):
            assert f"[{GOOD * 3}]\n{EVIL * 3}" in ran(client, engine, f"{look}; {attack}")
        [store] = home.glob("projects/*/packages")
        kept = [file.read_text() for file in store.rglob("*") if file.is_file()]
        assert sorted(kept) == ["", GOOD, GOOD, GOOD], "three contents, and a registry's name"
        assert not list(home.glob("tasks/*/packages")), "nothing stays on its way"
