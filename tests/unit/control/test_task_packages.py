"""Lock files in the folders of a repository count for what is kept between its tasks."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import pytest

from rover_mcp.config.settings import Settings
from rover_mcp.control.task_packages import keep_packages, lend_packages
from rover_mcp.domain.paths import TaskFolders
from rover_mcp.domain.source_tree import SourceFile
from rover_mcp.packages import lock_files
from rover_mcp.packages.lock_files import MOST_LOCKS, demanded_by
from rover_mcp.testing.fake_engine import FakeEngine, FakeEngineState
from tests.support.samples import task_row

CRATES = ".cargo/registry/cache/index.crates.io-6f17d22bba15001f"


@dataclass(frozen=True)
class BaseCommit:
    """A commit with these files."""

    contents: tuple[tuple[str, bytes], ...]

    def files(self) -> list[SourceFile]:
        return [SourceFile(path, "100644", "", len(data)) for path, data in self.contents]

    def read(self, path: str, limit: int) -> bytes | None:
        return dict(self.contents).get(path)


def lock(name: str, content: bytes) -> bytes:
    digest = hashlib.sha256(content).hexdigest()
    return (
        f'version = 4\n\n[[package]]\nname = "{name}"\nversion = "1.0.0"\n'
        f'source = "registry+https://github.com/rust-lang/crates.io-index"\nchecksum = "{digest}"\n'
    ).encode()


def crates(home: Path) -> set[str]:
    return {path.name for path in (home / CRATES).glob("*")}


def test_crates_of_every_committed_lock_file_reach_the_next_task(tmp_path: Path) -> None:
    base = BaseCommit(
        (
            ("Cargo.lock", lock("root", b"r")),
            ("services/api/Cargo.lock", lock("inner", b"i")),
            ("services/api/Cargo.lock.orig", lock("other", b"o")),
            ("a/Cargo.lock", lock("twice", b"1")),
            ("b/Cargo.lock", lock("twice", b"2")),
        )
    )
    settings, engine = Settings(home=tmp_path), FakeEngine(FakeEngineState(), "bubblewrap")
    first, second = task_row(id="a" * 32), task_row(id="b" * 32)
    home = TaskFolders(tmp_path, first.id, 1).agent_home
    (home / CRATES).mkdir(parents=True)
    for name, content in (("root", b"r"), ("inner", b"i"), ("other", b"o"), ("twice", b"1")):
        (home / CRATES / f"{name}-1.0.0.crate").write_bytes(content)
    keep_packages(settings, first, 1, base, engine)
    lend_packages(settings, second, 1, base, engine)
    found = crates(TaskFolders(tmp_path, second.id, 1).agent_home)
    assert found == {"root-1.0.0.crate", "inner-1.0.0.crate"}


def test_modules_of_every_committed_lock_file_are_wanted() -> None:
    line = f"example.com/{{}} v1.0.0 h1:{'A' * 43}=\n"
    base = BaseCommit(
        (
            ("svc/go.sum", line.format("one").encode()),
            ("go.work.sum", line.format("two").encode()),
            ("docs/go.sum.md", line.format("three").encode()),
        )
    )
    wanted = {"/".join(module.folders) for module in demanded_by(base).modules}
    assert wanted == {"example.com/one/@v", "example.com/two/@v"}


def test_no_more_lock_files_are_read_than_a_person_would_write(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The nearest to the root count first."""
    many = [(f"deep/{n:04}/Cargo.lock", lock(f"n{n}", b"x")) for n in range(MOST_LOCKS)]
    base = BaseCommit((*many, ("Cargo.lock", lock("root", b"r"))))
    names = set(demanded_by(base).crates)
    assert len(names) == MOST_LOCKS
    assert "root-1.0.0.crate" in names
    monkeypatch.setattr(lock_files, "MOST_BYTES", 300)
    assert set(demanded_by(BaseCommit(base.contents[-2:])).crates) == {"root-1.0.0.crate"}
