"""What the demo plays on: a small real repository, a data folder, a launcher over stdio."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO

from git import Actor, Git, Repo

from agent_runner.process.locks import is_held
from rover_mcp.cli.client import McpClient, PipeChannel
from rover_mcp.launcher.daemon_start import daemon_environment, importable
from rover_mcp.launcher.handshake import socket_path

HERE = Path(__file__).parent
SCRIPT = HERE / "script.yaml"
END_BOUND = 15.0
_ALONE = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}


class DemoEnvironment:
    """Temporary folders, and whatever was started in them. `close` ends and removes all."""

    def __init__(self, home: str | None, *, keep: bool) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="rover-demo-"))
        self.repo = self.root / "repo"
        self._own_home = home is None
        self.home = self.root / "home" if home is None else Path(home).expanduser().absolute()
        self.tasks: list[tuple[str, str]] = []
        self._keep = keep
        self._launcher: subprocess.Popen[bytes] | None = None

    def make_repository(self) -> None:
        """A repository with one commit on main: a module, and a test of it that fails."""
        self.repo.mkdir()
        for source in (HERE / "template").iterdir():
            shutil.copyfile(source, self.repo / source.name.removesuffix(".txt"))
        # Nothing of the user's configuration, nor of a template's, is in it.
        self.git("init", "-q", "--template=", "--initial-branch=main")
        (self.repo / ".git" / "hooks").mkdir()
        with Repo(self.repo) as repository:
            repository.git.update_environment(**_ALONE)
            repository.git.add("-A")
            ada = Actor("Ada", "ada@example.org")
            repository.index.commit("Share a bill", author=ada, committer=ada, skip_hooks=True)

    def git(self, *arguments: str) -> str:
        """What a git command prints, without the user's own configuration."""
        return str(Git(self.repo).execute(["git", *arguments], env=_ALONE))

    def run_tests(self) -> subprocess.CompletedProcess[str]:
        """The repository's tests as they are in its checkout, on this machine."""
        command = [sys.executable, "-B", "-m", "unittest"]
        return subprocess.run(command, cwd=self.repo, capture_output=True, text=True, check=False)

    def launch(self) -> McpClient:
        """A client of the real launcher, as an assistant would start it; no provider's key."""
        self._launcher = self._start()
        return _client_of(self._launcher)

    def time_another_launcher(self) -> float:
        """Seconds from the start of a second launcher to its answer to `initialize`."""
        begin = time.monotonic()
        launcher = self._start()
        _client_of(launcher).initialize()
        took = time.monotonic() - begin
        _end(launcher)
        return took

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            # -P, because the demo's folder is the working directory and must not be imported from.
            [sys.executable, "-P", "-m", "rover_mcp.launcher.main"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=self.repo,
            env=importable(daemon_environment(os.environ, str(self.home))),
        )

    def end_launcher(self) -> tuple[int, float]:
        """Close its stdin, as an assistant does: its exit status, and the seconds that it took."""
        launcher, self._launcher = self._launcher, None
        return (0, 0.0) if launcher is None else _end(launcher)

    def close(self) -> None:
        """End the launcher and our daemon, remove the folders."""
        self.end_launcher()
        # One on a folder of the user's may serve others, and ends by itself.
        if self._own_home and not end_daemon(self.home):
            print(f"a daemon still runs on {self.home}: its folder is left", file=sys.stderr)
            return
        if not self._keep:
            self._remove_sandboxes()
            shutil.rmtree(self.root, ignore_errors=True)

    def _remove_sandboxes(self) -> None:
        """What an engine keeps of a task elsewhere (docker: volumes); there is no tool for it."""
        from rover_mcp.config.load_settings import load_settings
        from rover_mcp.domain.errors import RoverError
        from rover_mcp.sandbox.engines import engines

        for engine, task_id in self.tasks:
            try:
                engines(self.home, load_settings(self.home))[engine].remove_task(task_id)
            except (RoverError, KeyError) as error:
                print(f"what {engine} keeps of the task is left: {error}", file=sys.stderr)


def _pipes(launcher: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    if launcher.stdin is None or launcher.stdout is None:
        raise RuntimeError("pipes were asked for")
    return launcher.stdin, launcher.stdout


def _client_of(launcher: subprocess.Popen[bytes]) -> McpClient:
    stdin, stdout = _pipes(launcher)
    return McpClient(PipeChannel(stdin.fileno(), stdout.fileno()), name="rover-demo")


def _end(launcher: subprocess.Popen[bytes]) -> tuple[int, float]:
    stdin, stdout = _pipes(launcher)
    begin = time.monotonic()
    stdin.close()
    try:
        code = launcher.wait(END_BOUND)
    except subprocess.TimeoutExpired:
        launcher.kill()
        code = launcher.wait()
    stdout.close()
    return code, time.monotonic() - begin


def end_daemon(home: Path) -> bool:
    """Ask the daemon of a data folder to end, and wait for it; whether it has ended."""
    pid = daemon_pid(home)
    if pid is not None:
        os.kill(pid, signal.SIGTERM)
    end = time.monotonic() + END_BOUND
    while not _lock_is_free(home / "daemon.lock"):
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def daemon_pid(home: Path) -> int | None:
    """Who listens on the data folder's socket, as the kernel knows it."""
    with socket.socket(socket.AF_UNIX) as sock:
        try:
            sock.connect(str(socket_path(home)))
        except OSError:
            return None
        credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        return int(struct.unpack("3i", credentials)[0])


def _lock_is_free(path: Path) -> bool:
    try:
        return not is_held(path)
    except FileNotFoundError:
        return True
