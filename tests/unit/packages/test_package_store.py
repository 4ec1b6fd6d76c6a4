"""Packages pass from task to task where their content is proven: crates by what the base's
Cargo.lock says of them, and all kinds within the cap. A HOME is what a task leaves."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from rover_mcp.packages import cargo
from rover_mcp.packages.package_store import NeededPackages, PackageStore

MOST = 10**7
CRATES = ".cargo/registry/cache"
REGISTRY = "index.crates.io-1949cf8c6b5b557f"


def lock(
    *crates: tuple[str, str, bytes], source: str = "registry+https://example.invalid"
) -> bytes:
    """A Cargo.lock that demands these contents."""
    blocks = [
        f'[[package]]\nname = "{name}"\nversion = "{version}"\nsource = "{source}"\n'
        f'checksum = "{hashlib.sha256(content).hexdigest()}"\n'
        for name, version, content in crates
    ]
    return "\n".join(("version = 4\n", *blocks)).encode()


def crate(home: Path, name: str, content: bytes, registry: str = REGISTRY) -> None:
    path = home / CRATES / registry / f"{name}.crate"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def crates(home: Path) -> dict[str, bytes]:
    found = (path for path in (home / CRATES).rglob("*") if path.is_file())
    return {str(path.relative_to(home / CRATES)): path.read_bytes() for path in found}


def test_crates_pass_to_tasks_whose_base_demands_them(tmp_path: Path) -> None:
    """cargo does not check a cached crate again: the lock file of each task's own base decides."""
    store, home = PackageStore(tmp_path / "store", MOST), tmp_path / "home"
    first = cargo.demanded(lock(("good", "1.0.0", b"good"), ("bad", "2.0.0-rc.1+b", b"as it was")))
    crate(home, "good-1.0.0", b"good")
    crate(home, "bad-2.0.0-rc.1+b", b"forged")
    crate(home, "other-1.0.0", b"not demanded")
    assert store.keep(home, NeededPackages(crates=first)) == 1
    assert store.keep(home, NeededPackages(crates=first)) == 0, "what is there is not taken again"
    assert store.keep(home) == 0
    store.lend(tmp_path / "second", NeededPackages(crates=first))
    assert crates(tmp_path / "second") == {f"{REGISTRY}/good-1.0.0.crate": b"good"}
    changed = cargo.demanded(lock(("good", "1.0.0", b"another content")))
    for demanded in (changed, {}):
        assert store.lend(tmp_path / "third", NeededPackages(crates=demanded)) == 0
    assert not (tmp_path / "third").exists()


def test_a_forged_lock_file_of_one_base_harms_no_other(tmp_path: Path) -> None:
    """A task can be based on what another one wrote."""
    store, home = PackageStore(tmp_path / "store", MOST), tmp_path / "home"
    forged = cargo.demanded(lock(("good", "1.0.0", b"forged")))
    honest = cargo.demanded(lock(("good", "1.0.0", b"good")))
    crate(home, "good-1.0.0", b"forged")
    assert store.keep(home, NeededPackages(crates=forged)) == 1
    assert store.lend(tmp_path / "next", NeededPackages(crates=honest)) == 0


@pytest.mark.parametrize(
    "text",
    [
        lock(("twice", "1.0.0", b"a"), ("twice", "1.0.0", b"b")),
        lock(("../../up", "1.0.0", b"a")),
        lock(("up", "1.0.0/../../x", b"a")),
        lock(("own", "1.0.0", b"a"), source="git+https://example.invalid/x"),
        b'[[package]]\nname = "a"\nversion = "1.0.0"\nsource = "registry+x"\nchecksum = "../a"\n',
        b"\xff\xfe[[package]]" * 1000,
        b"[" * 100_000,
        b"",
    ],
)
def test_a_lock_file_demands_only_what_it_says_plainly(text: bytes) -> None:
    assert cargo.demanded(text) == {}


def test_crates_are_taken_from_folders_of_registries_only(tmp_path: Path) -> None:
    """Neither links nor names of the agent's choice lead elsewhere."""
    store, home = PackageStore(tmp_path / "store", MOST), tmp_path / "home"
    demanded = cargo.demanded(lock(("good", "1.0.0", b"good")))
    crate(home, "good-1.0.0", b"good", ".hidden-0123456789abcdef")
    crate(home, "good-1.0.0", b"good", "no-digest")
    (tmp_path / "secret").write_bytes(b"good")
    linked = home / CRATES / REGISTRY / "good-1.0.0.crate"
    linked.parent.mkdir()
    linked.symlink_to(tmp_path / "secret")
    assert store.keep(home, NeededPackages(crates=demanded)) == 0
    linked.unlink()
    for number in range(20):
        crate(home, "good-1.0.0", b"good", f"registry-{number:016x}")
    assert store.keep(home, NeededPackages(crates=demanded)) == 1
    assert 0 < store.lend(tmp_path / "next", NeededPackages(crates=demanded)) <= 8


def test_the_cap_drops_what_was_not_used_for_longest(tmp_path: Path) -> None:
    store, home = PackageStore(tmp_path / "store", 2500), tmp_path / "home"
    content = home / ".npm" / "_cacache" / "content-v2" / "sha512"

    def fetched(text: bytes) -> str:
        digest = hashlib.sha512(text).hexdigest()
        path = content / digest[:2] / digest[2:4] / digest[4:]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)
        return digest[4:]

    names = []
    for number in range(3):
        names.append(fetched(bytes([number]) * 1000))
        store.keep(home)
        for path in (tmp_path / "store").rglob(names[-1]):
            os.utime(path, (number, number))
        (tmp_path / "home").rename(tmp_path / f"home-{number}")
        home.mkdir()
    kept = {path.name for path in (tmp_path / "store").rglob("*") if path.is_file()}
    assert kept == set(names[1:])
    assert PackageStore(tmp_path / "store", 0).keep(home) == 0
    assert not (tmp_path / "store").exists(), "0: nothing is kept"
