"""Packages that one task fetched are there for the next one, and nothing that is not what it says.
The real npm and pip, against registries on loopback; a HOME is what a task leaves."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from rover_mcp.packages import pip as pip_cache
from rover_mcp.packages.home_files import ReadBudget
from rover_mcp.packages.package_store import PackageStore

MOST = 10**7


def tarball() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        data = json.dumps({"name": "tiny", "version": "1.0.0"}).encode()
        facts = tarfile.TarInfo("package/package.json")
        facts.size = len(data)
        archive.addfile(facts, io.BytesIO(data))
    return out.getvalue()


def wheel() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("tiny.py", "VALUE = 1\n")
        info = "tiny-1.0.dist-info"
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        tags = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        archive.writestr(f"{info}/WHEEL", tags)
        archive.writestr(f"{info}/RECORD", "")
    return out.getvalue()


@dataclass
class Registry:
    """npm's and pip's, in one. `asked` are the paths that were asked for."""

    url: str = ""
    asked: list[str] = field(default_factory=list[str])
    tarball: bytes = field(default_factory=tarball)
    wheel: bytes = field(default_factory=wheel)

    @property
    def files(self) -> list[str]:
        """What was fetched that is no index."""
        return [path for path in self.asked if path.endswith((".tgz", ".whl"))]

    @property
    def wheel_path(self) -> str:
        digest = hashlib.blake2b(self.wheel, digest_size=32).hexdigest()
        parts = f"{digest[:2]}/{digest[2:4]}/{digest[4:]}"
        return f"/packages/{parts}/tiny-1.0-py3-none-any.whl"

    def answer(self, path: str) -> tuple[str, bytes] | None:
        if path == "/npm/tiny":
            integrity = base64.b64encode(hashlib.sha512(self.tarball).digest()).decode()
            dist = {"tarball": f"{self.url}/npm/tiny.tgz", "integrity": f"sha512-{integrity}"}
            version = {"name": "tiny", "version": "1.0.0", "dist": dist}
            tags = {"latest": "1.0.0"}
            page = {"name": "tiny", "dist-tags": tags, "versions": {"1.0.0": version}}
            return "application/json", json.dumps(page).encode()
        if path == "/simple/tiny/":
            digest = hashlib.sha256(self.wheel).hexdigest()
            link = f"{self.url}{self.wheel_path}#sha256={digest}"
            return "text/html", f'<!DOCTYPE html><a href="{link}">tiny-1.0</a>'.encode()
        kinds = {"/npm/tiny.tgz": self.tarball, self.wheel_path: self.wheel}
        return ("application/octet-stream", kinds[path]) if path in kinds else None


@contextmanager
def serving() -> Iterator[Registry]:
    made = Registry()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked.append(self.path)
            found = made.answer(self.path)
            self.send_response(200 if found else 404)
            kind, body = found or ("text/plain", b"")
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.send_header("cache-control", "public, max-age=600")
            self.send_header("date", self.date_time_string())
            self.end_headers()
            self.wfile.write(body)

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


@pytest.fixture(name="registry")
def a_registry() -> Iterator[Registry]:
    with serving() as registry:
        yield registry


def npm(home: Path, registry: Registry) -> None:
    """A task's `npm install` in a new clone."""
    work = home / "npm-work"
    work.mkdir(parents=True)
    (work / "package.json").write_text(json.dumps({"dependencies": {"tiny": "1.0.0"}}))
    done = run(
        ["npm", "install", "--no-audit", "--no-fund", f"--registry={registry.url}/npm"], work
    )
    assert done.returncode == 0, done.stderr
    assert (work / "node_modules" / "tiny" / "package.json").exists()


def pip(home: Path, registry: Registry) -> None:
    """A task's `pip install` into a new folder."""
    home.mkdir(parents=True, exist_ok=True)
    argv = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-deps"]
    argv += ["--trusted-host", "127.0.0.1", "--index-url", f"{registry.url}/simple/"]
    done = run([*argv, "--target", str(home / "site"), "tiny"], home)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (home / "site" / "tiny.py").read_text() == "VALUE = 1\n"


def run(argv: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    home = folder.parent if folder.name == "npm-work" else folder
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "NO_PROXY": "127.0.0.1"}
    return subprocess.run(argv, cwd=folder, env=env, capture_output=True, text=True, check=False)


def test_the_second_task_installs_without_fetching_the_files_again(
    tmp_path: Path, registry: Registry
) -> None:
    store = PackageStore(tmp_path / "store", MOST)
    for install in (npm, pip):
        install(tmp_path / "first", registry)
    assert len(registry.files) == 2
    assert store.keep(tmp_path / "first") >= 2
    assert store.keep(tmp_path / "first") == 0, "what is there is not taken again"
    assert store.lend(tmp_path / "second") >= 2
    for install in (npm, pip):
        install(tmp_path / "second", registry)
    assert len(registry.files) == 2, registry.files
    assert any("/simple/" in path for path in registry.asked[-2:]), "the index is asked each time"


def contents(home: Path) -> list[Path]:
    """The cached tarball and wheel, whatever their files are called."""
    caches = (home / ".npm" / "_cacache" / "content-v2", home / ".cache" / "pip")
    files = [path for cache in caches for path in cache.rglob("*") if path.is_file()]
    return [
        path
        for path in files
        if b"tiny.py" in (data := path.read_bytes()) or data[:2] == b"\x1f\x8b"
    ]


def test_a_poisoned_entry_is_not_read_by_the_next_task(tmp_path: Path, registry: Registry) -> None:
    """Contents, indexes, redirects, links."""
    store, first, second = PackageStore(tmp_path / "store", MOST), tmp_path / "a", tmp_path / "b"
    for install in (npm, pip):
        install(first, registry)
    content = first / ".npm" / "_cacache" / "content-v2" / "sha512"
    found = contents(first)
    assert len(found) == 2
    for path in {*found, *(path for path in content.rglob("*") if path.is_file())}:
        data = path.read_bytes()
        path.write_bytes(
            data.replace(b"VALUE = 1", b"VALUE = 2") if b"VALUE" in data else data + b"x"
        )
    secret = tmp_path / "secret"
    secret.write_text("the user's")
    digest = hashlib.sha512(secret.read_bytes()).hexdigest()
    linked = content / digest[:2] / digest[2:4] / digest[4:]
    linked.parent.mkdir(parents=True, exist_ok=True)
    linked.symlink_to(secret)
    outside = content / "zz"
    outside.symlink_to(tmp_path)
    os.mkfifo(content / digest[:2] / digest[2:4] / f"{'0' * 124}")
    assert store.keep(first) == 0
    store.lend(second)
    kept = [path for path in (tmp_path / "store").rglob("*") if path.is_file()]
    assert kept == [], "neither a content nor an index"
    for install in (npm, pip):
        install(second, registry)
    assert len(registry.files) == 4, "both were fetched anew"


def test_what_a_task_does_to_its_copy_reaches_no_other(tmp_path: Path, registry: Registry) -> None:
    store = PackageStore(tmp_path / "store", MOST)
    npm(tmp_path / "first", registry)
    store.keep(tmp_path / "first")
    store.lend(tmp_path / "second")
    [copy] = contents(tmp_path / "second")
    copy.write_bytes(b"evil")
    assert store.keep(tmp_path / "second") == 0
    store.lend(tmp_path / "third")
    assert [path.read_bytes() for path in contents(tmp_path / "third")] == [registry.tarball]


def test_answers_of_newer_versions_of_pip_are_understood(tmp_path: Path) -> None:
    """Since 23.3 the content is a file of its own; the answer beside it is written by Rover."""
    registry = Registry(url="https://files.pythonhosted.org")
    folder = tmp_path / "home" / ".cache" / "pip" / "http-v2"

    def cached(address: str, body: bytes) -> Path:
        name = hashlib.sha224(address.encode()).hexdigest()
        path = folder.joinpath(*name[:5], name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"cc=4,evil")
        path.with_name(f"{name}.body").write_bytes(body)
        return path

    page = (registry.answer("/simple/tiny/") or ("", b""))[1]
    cached("https://pypi.org/simple/tiny/", page)
    answer = cached(f"{registry.url}{registry.wheel_path}", registry.wheel)
    store = tmp_path / "store"
    assert list(pip_cache.keep(tmp_path / "home", store, ReadBudget(MOST)))
    kept = store / answer.relative_to(tmp_path / "home")
    assert kept.with_name(f"{kept.name}.body").read_bytes() == registry.wheel
    from pip._vendor import msgpack  # type: ignore[import-untyped]

    read = msgpack.loads(kept.read_bytes().removeprefix(b"cc=4,"), raw=False)
    assert (read["response"]["status"], read["response"]["body"], read["vary"]) == (200, b"", {})
    assert read["response"]["headers"]["content-length"] == str(len(registry.wheel))
