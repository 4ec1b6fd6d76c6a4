"""A failure names its cause: what real programs print, against registries that fail (A.5)."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from agent_runner.failure_cause import cause_of
from rover_mcp.git.git_process import GitResult
from tests.support.certificates import server_context


class Registry(BaseHTTPRequestHandler):
    """Nothing is there."""

    def do_GET(self) -> None:
        self.send_response(404)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return


def _serve(context: ssl.SSLContext | None) -> ThreadingHTTPServer:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return server


@pytest.fixture(scope="module")
def registries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Addresses: of one that nobody trusts, of one that has nothing, of one that is not there."""
    untrusted = _serve(server_context(tmp_path_factory.mktemp("tls") / "own.pem"))
    empty = _serve(None)
    yield {
        "untrusted": f"https://127.0.0.1:{untrusted.server_port}",
        "empty": f"http://127.0.0.1:{empty.server_port}",
        "away": "http://127.0.0.1:9",
    }
    for server in (untrusted, empty):
        server.shutdown()
        server.server_close()


def pip(url: str, folder: Path) -> list[str]:
    command = [sys.executable, "-m", "pip", "install", "--target", str(folder / "t")]
    return [*command, "--retries", "1", "--no-input", "-i", f"{url}/simple", "nosuchpackage"]


def git(url: str, folder: Path) -> list[str]:
    return ["git", "clone", f"{url}/x.git", str(folder / "clone")]


def npm(url: str, folder: Path) -> list[str]:
    command = ["npm", "install", "--prefix", str(folder), "--fetch-retries", "0"]
    return [*command, "--registry", url, "nosuchpackage"]


def apt(url: str, folder: Path) -> list[str]:
    (folder / "lists" / "partial").mkdir(parents=True)
    (folder / "list").write_text(f"deb [trusted=yes] {url}/debian bookworm main\n")
    options = f"-o Dir::Etc::sourcelist={folder}/list -o Dir::Etc::sourceparts=- " \
        f"-o Dir::State::lists={folder}/lists -o Acquire::Retries=0"  # fmt: skip
    update, install = f"apt-get {options} update", f"apt-get {options} install -y nosuchpackage"
    return ["bash", "-c", f"{update}; {install}"]


CERTIFICATE = ("certificate", "self-signed")
REFUSED = ("refused", "connect to 127.0.0.1 port 9", "ECONNREFUSED")
NAMED: list[tuple[Callable[[str, Path], list[str]], str, tuple[str, ...]]] = [
    *((program, "untrusted", CERTIFICATE) for program in (pip, git, npm, apt)),
    *((program, "away", REFUSED) for program in (pip, git, npm, apt)),
    (git, "empty", ("not found",)),
    (npm, "empty", ("404",)),
    (apt, "empty", ("404",)),
    (pip, "empty", ("nosuchpackage",)),
]


@pytest.mark.parametrize(("program", "registry", "words"), NAMED)
def test_the_line_with_the_cause_is_found_in_what_a_program_prints(
    registries: dict[str, str],
    tmp_path: Path,
    program: Callable[[str, Path], list[str]],
    registry: str,
    words: tuple[str, ...],
) -> None:
    """M2."""
    argv = program(registries[registry], tmp_path)
    proxies = {name for name in os.environ if name.lower().endswith("_proxy")}
    hidden = {*proxies, *(name for name in os.environ if name.startswith("PIP_"))}
    env = {name: value for name, value in os.environ.items() if name not in hidden}
    env |= {"HOME": str(tmp_path), "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    assert shutil.which(argv[0])
    done = subprocess.run(
        argv, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    cause = cause_of([*done.stdout.splitlines(), *done.stderr.splitlines()])
    assert cause.known
    assert any(word in cause.line for word in words), cause.line
    assert len(cause.line) <= 300


@pytest.mark.parametrize(
    ("printed", "found"),
    [
        (["cc: fatal error: no.c: No such file", "make: *** [Makefile:2: all] Error 1"], 0),
        (["git@x.test: Permission denied (publickey).", "fatal: Could not read from remote "
          "repository.", "Please make sure you have the correct access rights",
          "and the repository exists."], 0),
        (["ModuleNotFoundError: No module named 'setuptools'",
          "error: subprocess-exited-with-error", "note: This error originates from a subprocess"],
         0),
        (["write: No space left on device", "connection refused", "E: something"], 0),
        (["all is well", "", "bye"], 2),
        (["ERROR: broken", "bye"], 0),
        ([], None),
    ],
)  # fmt: skip
def test_the_line_that_says_why_is_preferred_to_the_last(
    printed: list[str], found: int | None
) -> None:
    assert cause_of(printed).line == ("" if found is None else printed[found])


def test_git_says_the_cause_before_its_last_words() -> None:
    """The last of them says only that it failed."""
    said = (
        "error: insufficient permission for adding an object to repository database .git/objects\n"
        "fatal: failed to write object\nfatal: unpack-objects failed\n"
    )
    assert GitResult(128, b"", said).reason == (
        "insufficient permission for adding an object to repository database .git/objects; "
        "unpack-objects failed"
    )
    assert GitResult(128, b"", "warning: x\nfatal: bad object y\n").reason == "bad object y"
