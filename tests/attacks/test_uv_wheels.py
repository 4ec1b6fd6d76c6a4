"""The wheels of uv pass from task to task by what the base's uv.lock says of them. A
HOME is what a task leaves, laid out as uv 0.5 to 0.13 do; PyPI is a server on loopback."""

from __future__ import annotations

import hashlib
import io
import os
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from rover_mcp.control.task_packages import may_fetch_wheels
from rover_mcp.packages import uv, wheels
from rover_mcp.packages.package_store import NeededPackages, PackageStore
from rover_mcp.packages.wheels import Open, unpack
from tests.support.samples import task_row

MOST = 10**6
FOLDER = "/packages/b7/ce/149a00dd41f10bc29e5921b496af8b574d8413afcd5e30dfa0ed46c2cc5e"
NAME = "tiny-1.0-py3-none-any.whl"
PLACE = "0123456789abcdef"


def packed(files: dict[str, str]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


HONEST = {"tiny.py": "VALUE = 1\n", "tiny-1.0.dist-info/RECORD": ""}
WHEEL = packed(HONEST)


def lock(content: bytes = WHEEL, name: str = NAME, project: str = "tiny") -> bytes:
    url = f"https://{uv.HOST}{FOLDER}/{name}"
    digest = hashlib.sha256(content).hexdigest()
    return (
        f'version = 1\n\n[[package]]\nname = "{project}"\nversion = "1.0"\n'
        'source = { registry = "https://pypi.org/simple" }\nwheels = [\n'
        f'    {{ url = "{url}", hash = "sha256:{digest}", size = {len(content)} }},\n]\n'
    ).encode()


DEMANDED = NeededPackages(wheels=uv.demanded(lock()))


def text(value: str) -> bytes:
    data = value.encode()
    return (bytes([0xA0 | len(data)]) if len(data) < 32 else bytes([0xD9, len(data)])) + data


def pointer(content: bytes = WHEEL, name: str = NAME, place: str = PLACE) -> bytes:
    """As uv 0.13 writes it; what follows the head is its cache's policy."""
    digest = text("Sha256") + text(hashlib.sha256(content).hexdigest())
    return b"\x95" + text(place) + b"\x91\x81" + digest + text(name) + b"\x00\x2a" + bytes(100)


def installed(home: Path, files: dict[str, str], written: bytes, place: str = PLACE) -> Path:
    """What `uv sync` leaves in its cache; the pointer."""
    for name, content in files.items():
        path = home / ".cache/uv/archive-v0" / place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    path = home / ".cache/uv/wheels-v8/pypi/tiny/1.0-py3-none-any.http"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(written)
    return path


def found(home: Path) -> dict[str, str]:
    """The wheel as uv finds it: by the pointer."""
    for path in (home / ".cache/uv").glob("wheels-v*/pypi/tiny/*.http"):
        place = uv.archive_of(path.read_bytes(), DEMANDED.wheels[0])
        root = home / ".cache/uv/archive-v0" / str(place)
        return {str(p.relative_to(root)): p.read_text() for p in root.rglob("*") if p.is_file()}
    return {}


@dataclass
class Index:
    """PyPI's files. `moved`: it answers that they are elsewhere."""

    content: bytes = WHEEL
    moved: bool = False
    url: str = ""
    asked: list[str] = field(default_factory=list[str])

    @property
    def get(self) -> Open:
        return lambda url: wheels.opened(url.replace(f"https://{uv.HOST}", self.url))


@pytest.fixture(name="index")
def an_index(monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    made = Index()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked.append(self.path)
            self.send_response(302 if made.moved else 200)
            self.send_header("location", "/elsewhere")
            self.send_header("content-length", str(len(made.content)))
            self.end_headers()
            self.wfile.write(made.content)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(name="store")
def a_store(tmp_path: Path) -> PackageStore:
    return PackageStore(tmp_path / "store", MOST)


def test_what_a_task_unpacked_is_not_what_the_next_one_reads(
    tmp_path: Path, store: PackageStore, index: Index
) -> None:
    """The pointer is honest and what it leads to is not: the next task finds PyPI's own."""
    evil = {**HONEST, "tiny.py": "VALUE = 666\n", "tiny.pth": "import os"}
    installed(tmp_path / "first", evil, pointer())
    assert store.keep(tmp_path / "first") == 0, "the base has no uv.lock"
    assert store.keep(tmp_path / "first", DEMANDED) == 1
    assert store.lend(tmp_path / "early", DEMANDED) == 0, "nothing is proven yet"
    assert store.fetch(DEMANDED, index.get) == 1
    assert index.asked == [f"{FOLDER}/{NAME}"]
    assert store.lend(tmp_path / "second", DEMANDED) == 1
    assert found(tmp_path / "second") == HONEST
    assert store.keep(tmp_path / "second", DEMANDED) == 0
    assert store.fetch(DEMANDED, index.get) == 0, "what is there is not fetched again"
    assert store.lend(tmp_path / "third") == 0


@pytest.mark.parametrize("linked", [False, True])
def test_a_wheel_that_a_task_rewrites_is_not_what_the_next_one_reads(
    tmp_path: Path, store: PackageStore, index: Index, linked: bool
) -> None:
    """`linked` is what an engine copies into a HOME of its own, without changing it."""
    installed(tmp_path / "first", HONEST, pointer())
    store.keep(tmp_path / "first", DEMANDED)
    store.fetch(DEMANDED, index.get)
    store.lend(tmp_path / "second", DEMANDED, linked=linked)
    copy = tmp_path / "second/.cache/uv/archive-v0" / PLACE / "tiny.py"
    if linked:
        copy.unlink()
    copy.write_text("VALUE = 666\n")
    store.keep(tmp_path / "second", DEMANDED)
    store.lend(tmp_path / "third", DEMANDED)
    assert found(tmp_path / "third") == HONEST


def test_only_pointers_to_the_demanded_wheel_are_kept(tmp_path: Path, store: PackageStore) -> None:
    other = packed({"tiny.py": "VALUE = 2\n"})
    forged = {
        "another digest": pointer(other),
        "another file": pointer(name="huge-1.0-py3-none-any.whl"),
        "a place above": pointer(place="../../../../x"),
        "a place of dots": pointer(place="........"),
        "another version of the archives": pointer().replace(b"\x00\x2a", b"\x07\x2a"),
        "cut": pointer()[:60],
        "no pointer": b"\x95",
        "empty": b"",
        "too long": pointer() + bytes(20_000),
        "a second digest": pointer().replace(b"\x91\x81", b"\x92\x81"),
        "something before": b"\x00" + pointer(),
    }
    for name, content in forged.items():
        path = installed(tmp_path / "home", HONEST, content)
        assert store.keep(tmp_path / "home", DEMANDED) == 0, name
    path.unlink()
    (tmp_path / "secret").write_bytes(pointer())
    path.symlink_to(tmp_path / "secret")
    os.mkfifo(path.with_name("2.0-py3-none-any.http"))
    path.with_name("no pointer").write_bytes(pointer())
    path.with_name("..http").write_bytes(pointer())
    assert store.keep(tmp_path / "home", DEMANDED) == 0
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked/.cache").symlink_to(tmp_path / "elsewhere/.cache")
    installed(tmp_path / "elsewhere", HONEST, pointer())
    assert store.keep(tmp_path / "linked", DEMANDED) == 0
    assert not (tmp_path / "store").exists()


def test_two_pointers_to_one_place_lend_one_wheel(
    tmp_path: Path, store: PackageStore, index: Index
) -> None:
    """A task names both places as it likes; neither wheel is found in the other's name."""
    index.content = other = packed({"huge.py": "VALUE = 3\n"})
    both = NeededPackages(
        wheels=uv.demanded(lock(), lock(other, "huge-1.0-py3-none-any.whl", project="huge"))
    )
    installed(tmp_path / "home", {}, pointer())
    second = tmp_path / "home/.cache/uv/wheels-v8/pypi/huge/1.0-py3-none-any.http"
    second.parent.mkdir()
    second.write_bytes(pointer(other, "huge-1.0-py3-none-any.whl"))
    assert store.keep(tmp_path / "home", both) == 2
    assert store.fetch(both, index.get) == 1
    index.content = WHEEL
    assert store.fetch(both, index.get) == 1
    assert store.lend(tmp_path / "next", both) == 1
    assert len(list(tmp_path.glob("next/.cache/uv/wheels-v8/pypi/*/*"))) == 1


def test_a_forged_lock_file_of_one_base_harms_no_other(
    tmp_path: Path, store: PackageStore, index: Index
) -> None:
    """A task can be based on what another one wrote."""
    index.content = evil = packed({"tiny.py": "VALUE = 666\n"})
    forged = NeededPackages(wheels=uv.demanded(lock(evil)))
    installed(tmp_path / "home", {}, pointer(evil))
    assert store.keep(tmp_path / "home", forged) == 1
    assert store.fetch(forged, index.get) == 1
    assert store.lend(tmp_path / "next", DEMANDED) == 0
    assert not (tmp_path / "next").exists()


def test_another_content_is_not_kept(tmp_path: Path, store: PackageStore, index: Index) -> None:
    installed(tmp_path / "home", HONEST, pointer())
    store.keep(tmp_path / "home", DEMANDED)
    index.content = packed({"tiny.py": "VALUE = 666\n"})
    assert store.fetch(DEMANDED, index.get) == 0
    index.content, index.moved = WHEEL, True
    assert store.fetch(DEMANDED, index.get) == 0
    assert "/elsewhere" not in index.asked, "no other address is asked"
    kept = [path for path in (tmp_path / "store").rglob("*") if path.is_file()]
    assert [path.suffix for path in kept] == [".http"]


def test_wheels_that_lead_elsewhere_or_are_too_large_leave_nothing(tmp_path: Path) -> None:
    bombs = {
        "above": packed({"tiny.py": "", "../../evil.py": "x"}),
        "from the root": packed({"/tmp/evil.py": "x"}),
        "a file as a folder": packed({"tiny": "", "tiny/evil.py": "x"}),
        "too large": packed({"tiny.py": "0" * (MOST + 1)}),
        "no zip": b"PK",
        "cut": WHEEL[:-30],
    }
    for name, content in bombs.items():
        (tmp_path / "wheel").write_bytes(content)
        patience = wheels.ReadBudget(MOST)
        assert not unpack(tmp_path / "wheel", tmp_path / "a/b/into", patience), name
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["wheel"]


def test_a_wheel_goes_as_a_whole_where_the_cap_is_reached(
    tmp_path: Path, store: PackageStore, index: Index
) -> None:
    """What has no room is not fetched, however often it is wanted."""
    installed(tmp_path / "home", HONEST, pointer())
    store.keep(tmp_path / "home", DEMANDED)
    assert PackageStore(store.folder, len(WHEEL)).fetch(DEMANDED, index.get) == 0
    assert index.asked == []
    store.fetch(DEMANDED, index.get)
    content = os.urandom(2000)
    digest = hashlib.sha512(content).hexdigest()
    npm = tmp_path / f"home/.npm/_cacache/content-v2/sha512/{digest[:2]}/{digest[2:4]}/{digest[4:]}"
    npm.parent.mkdir(parents=True)
    npm.write_bytes(content)
    assert PackageStore(store.folder, 2001).keep(tmp_path / "home", DEMANDED) == 1
    assert store.lend(tmp_path / "next", DEMANDED) == 1, "npm's content alone"
    assert found(tmp_path / "next") == {}


@pytest.mark.parametrize(
    "content",
    [
        lock().replace(b"https://files.pythonhosted.org", b"https://127.0.0.1"),
        lock().replace(b"https://files.pythonhosted.org", b"https://files.pythonhosted.org@evil"),
        lock().replace(b"https://files", b"http://files"),
        lock().replace(b"https://pypi.org/simple", b"https://evil.example/simple"),
        lock(name="../../x.whl"),
        lock(project="../up"),
        lock().replace(b"sha256:", b"md5:"),
        b"\xff\xfe[[package]]" * 1000,
        b"",
    ],
)
def test_a_lock_file_demands_only_what_it_says_plainly(content: bytes) -> None:
    assert uv.demanded(content) == ()


def test_nothing_is_fetched_for_a_task_that_may_not() -> None:
    assert may_fetch_wheels(task_row())
    assert may_fetch_wheels(task_row(network={"mode": "open"}))
    for mode in ("none", "providers"):
        assert not may_fetch_wheels(task_row(network={"mode": mode}))


SIX = "six-1.17.0-py2.py3-none-any.whl"
SIX_DIGEST = "4721f391ed90541fddacab5acf947aa0d3dc7d27b2e1e8eda2be8970586c3274"
_DIGESTED = b"\xa6Sha256\xd9\x40" + SIX_DIGEST.encode()
_NAMED = b"\xbf" + SIX.encode() + b"\x00"
BY_UV = {
    "0.5.0": b"\x92\xb5cksiWLadt_gPwWAvT2q27\x91\x92" + _DIGESTED + b"https://files",
    "0.9.7": b"\x94\xb5NvFCIfgkl--bgGhsGUAkv\x91\x92" + _DIGESTED + _NAMED + b"https://files",
    "0.13.9": b"\x95\xb0_0cLBjtx8ZK_g7BG\x91\x81" + _DIGESTED + _NAMED + b"\xcd\x2b\x2a\0\0\0",
}
"""How their pointers begin."""


@pytest.mark.parametrize("version", BY_UV)
def test_what_uv_itself_wrote_is_understood(version: str) -> None:
    wheel = uv.Wheel("six", f"https://{uv.HOST}{FOLDER}/{SIX}", SIX_DIGEST)
    place = uv.archive_of(BY_UV[version], wheel)
    assert place in {"cksiWLadt_gPwWAvT2q27", "NvFCIfgkl--bgGhsGUAkv", "_0cLBjtx8ZK_g7BG"}
