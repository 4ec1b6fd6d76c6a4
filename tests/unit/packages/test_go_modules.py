"""Go's modules pass from task to task by what the base's go.sum says of them.
The cache is laid out as go 1.27 does; a HOME is what a task leaves."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from rover_mcp.packages import go
from rover_mcp.packages.package_store import NeededPackages, PackageStore

MOST = 10**6
MODULE, VERSION = "example.com/Tiny", "v1.0.0"
CACHE = "go/pkg/mod/cache/download/example.com/!tiny/@v"
MOD = b"module example.com/Tiny\n\ngo 1.20\n"
FILES = {
    "go.mod": MOD,
    "tiny.go": b"package tiny\n\nconst Value = 1\n",
    "sub/\u00e9.txt": b"x" * 9999,
}


def h1(files: Mapping[str, bytes]) -> str:
    """As go.sum has it."""
    lines = sorted(
        (name.encode(), hashlib.sha256(data).hexdigest()) for name, data in files.items()
    )
    text = b"".join(digest.encode() + b"  " + name + b"\n" for name, digest in lines)
    return f"h1:{base64.b64encode(hashlib.sha256(text).digest()).decode()}"


def named(files: Mapping[str, bytes]) -> dict[str, bytes]:
    return {f"{MODULE}@{VERSION}/{name}": data for name, data in files.items()}


def packed(files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in named(files).items():
            archive.writestr(name, data)
    return out.getvalue()


def go_sum(files: Mapping[str, bytes] = FILES) -> bytes:
    lines = (f"{MODULE} {VERSION} {h1(named(files))}", f"{MODULE} {VERSION}/go.mod {mod_sum()}")
    return "".join(f"{line}\n" for line in lines).encode()


def mod_sum(content: bytes = MOD) -> str:
    return h1({"go.mod": content})


HONEST = NeededPackages(modules=go.demanded(go_sum()))


def fetched(home: Path, archive: bytes, mod: bytes = MOD) -> Path:
    """What `go build` leaves in its cache; the zip."""
    folder = home / CACHE
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{VERSION}.mod").write_bytes(mod)
    (folder / f"{VERSION}.info").write_text('{"Version":"v1.0.0"}')
    (folder / f"{VERSION}.ziphash").write_text(h1(named(FILES)))
    (folder / f"{VERSION}.zip").write_bytes(archive)
    return folder / f"{VERSION}.zip"


def found(home: Path) -> dict[str, dict[str, bytes] | bytes]:
    """What go finds in its cache: files by their names, a zip as what it holds."""
    here: dict[str, dict[str, bytes] | bytes] = {}
    for path in (home / CACHE).glob("*"):
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                here[path.name] = {name: archive.read(name) for name in archive.namelist()}
        else:
            here[path.name] = path.read_bytes()
    return here


GIVEN = {f"{VERSION}.zip": named(FILES), f"{VERSION}.mod": MOD}


def test_modules_pass_to_tasks_whose_base_demands_them(tmp_path: Path) -> None:
    store = PackageStore(tmp_path / "store", MOST)
    fetched(tmp_path / "first", packed(FILES))
    assert store.keep(tmp_path / "first") == 0, "the base has no go.sum"
    assert store.keep(tmp_path / "first", HONEST) == 2
    assert store.keep(tmp_path / "first", HONEST) == 0, "what is there is not taken again"
    assert store.lend(tmp_path / "second", HONEST) == 2
    assert found(tmp_path / "second") == GIVEN, "no .ziphash: go hashes the zip itself"
    other = NeededPackages(modules=go.demanded(go_sum({**FILES, "tiny.go": b"package other\n"})))
    store.lend(tmp_path / "third", other)
    assert found(tmp_path / "third") == {f"{VERSION}.mod": MOD}
    assert store.lend(tmp_path / "fourth") == 0


def test_a_copy_that_a_task_rewrites_is_not_what_the_next_one_reads(tmp_path: Path) -> None:
    """Neither the file nor a hard link of it is the store's, and a forged one is not kept."""
    store = PackageStore(tmp_path / "store", MOST)
    fetched(tmp_path / "first", packed(FILES))
    store.keep(tmp_path / "first", HONEST)
    store.lend(tmp_path / "second", HONEST)
    copy = tmp_path / "second" / CACHE / f"{VERSION}.zip"
    os.link(copy, tmp_path / "second" / "linked")
    evil = packed({**FILES, "tiny.go": b"package tiny\n\nconst Value = 666\n"})
    (tmp_path / "second" / "linked").write_bytes(evil)
    assert copy.read_bytes() == evil
    assert store.keep(tmp_path / "second", HONEST) == 0
    store.lend(tmp_path / "third", HONEST)
    assert found(tmp_path / "third") == GIVEN


def later_entry(files: Mapping[str, bytes], evil: bytes) -> bytes:
    """A zip in which one name stands twice."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in named(files).items():
            archive.writestr(name, data)
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr(f"{MODULE}@{VERSION}/tiny.go", evil)
    return out.getvalue()


def test_what_is_kept_is_what_was_hashed_and_nothing_beside_it(tmp_path: Path) -> None:
    """Readers of zip files differ. The one that reads what is kept finds one thing only."""
    store = PackageStore(tmp_path / "store", MOST)
    hidden = b"const Value = 666"
    archive = b"PK\x03\x04" + hidden + packed(FILES)
    fetched(tmp_path / "first", archive)
    assert store.keep(tmp_path / "first", HONEST) == 2
    kept = [path.read_bytes() for path in (tmp_path / "store").rglob("*.zip")]
    assert len(kept) == 1
    assert hidden not in kept[0]
    store.lend(tmp_path / "second", HONEST)
    assert found(tmp_path / "second") == GIVEN


def bombs() -> dict[str, bytes]:
    zeros = packed({**FILES, "tiny.go": bytes(2 * MOST)})
    whole = packed(FILES)
    end = whole.rindex(b"PK\x05\x06")
    huge = whole[: end + 12] + (2**31).to_bytes(4, "little") + whole[end + 16 :]
    before = whole[: end + 16] + (2**32 - 2).to_bytes(4, "little") + whole[end + 20 :]
    return {
        "too large inside": zeros,
        "a directory that is too large": huge,
        "a directory outside of the file": before,
        "a second entry": later_entry(FILES, b"package evil\n"),
        "another file": packed({**FILES, "init.go": b"package tiny\n"}),
        "another content": packed({**FILES, "tiny.go": b"package tiny // evil\n"}),
        "a file missing": packed({"go.mod": MOD}),
        "cut": whole[:-30],
        "no zip": b"PK",
        "empty": b"",
        "64 bits": whole[:end] + b"PK\x06\x07" + bytes(16) + whole[end:],
    }


def test_no_zip_of_another_content_is_kept(tmp_path: Path) -> None:
    store = PackageStore(tmp_path / "store", MOST)
    for name, archive in bombs().items():
        fetched(tmp_path / "home", archive, b"module evil\n")
        assert store.keep(tmp_path / "home", HONEST) == 0, name
    kept = [path for path in (tmp_path / "store").rglob("*") if path.is_file()]
    assert kept == [], "nor is a part of one left"


def test_links_and_pipes_are_not_followed(tmp_path: Path) -> None:
    store = PackageStore(tmp_path / "store", MOST)
    (tmp_path / "secret").write_bytes(packed(FILES))
    archive = fetched(tmp_path / "home", b"")
    archive.unlink()
    archive.symlink_to(tmp_path / "secret")
    archive.with_suffix(".mod").unlink()
    os.mkfifo(archive.with_suffix(".mod"))
    assert store.keep(tmp_path / "home", HONEST) == 0
    elsewhere = tmp_path / "elsewhere"
    fetched(elsewhere, packed(FILES))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "go").symlink_to(elsewhere / "go")
    assert store.keep(tmp_path / "other", HONEST) == 0


@pytest.mark.parametrize(
    "text",
    [
        f"../../up v1.0.0 {mod_sum()}",
        f"example.com/../up v1.0.0 {mod_sum()}",
        f"example.com//up v1.0.0 {mod_sum()}",
        f"/up v1.0.0 {mod_sum()}",
        f"example.com/x v1/../../y {mod_sum()}",
        f"example.com/x v1.0.0 h1:{'A' * 42}==",
        f"example.com/x v1.0.0 h2:{'A' * 43}=",
        f"example.com/x v1.0.0 {mod_sum()}\nexample.com/x v1.0.0 {mod_sum(b'other')}",
        "example.com/x v1.0.0",
        "\ud800".encode("utf-8", "surrogatepass").decode("latin-1") * 1000,
        "",
    ],
)
def test_a_lock_file_demands_only_what_it_says_plainly(text: str) -> None:
    assert go.demanded(text.encode()) == ()
