"""The one place that starts git on the host: clean environment, no hooks, limits on everything.

Git reads the configuration of the repository that it is started for, and much of what can stand
there names a program, an address or a file. So it is only ever started for repositories of ours:
the hub, the base, and the views of repository_view.py, which have a user's objects and references
and nothing else of theirs. The settings below are a second line.
"""

from __future__ import annotations

import math
import os
import resource
import selectors
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NoReturn

from agent_runner.failure_cause import cause_of
from agent_runner.printable import only_printable
from agent_runner.process.progress import ProgressLimits, ProgressWatch, look
from rover_mcp.domain.cancellation import CancelToken
from rover_mcp.domain.errors import EnvironmentFault

PATIENCE = ProgressLimits()
"""With every git: how slow it is does not matter, only that it gets on."""
STALLED = "git_timeout"
"""The code of the fault where one did not."""
DEFAULT_OUTPUT_LIMIT = 16 * 1024**2
DEFAULT_MEMORY_LIMIT = 2 * 1024**3
FROM_FILES = {"GIT_ALLOW_PROTOCOL": "file"}
"""The environment of a fetch from another repository of ours, by its path."""
UPLOAD_PACK = "--upload-pack=git-upload-pack"
_STDERR_LIMIT = 64 * 1024

_ODD_FILES = (
    "gitattributesBlob",
    "gitattributesLarge",
    "gitattributesLineLength",
    "gitattributesMissing",
    "gitmodulesBlob",
    "gitmodulesMissing",
)
_ODD_PEOPLE = (
    "badDate",
    "badDateOverflow",
    "badEmail",
    "badTimezone",
    "missingEmail",
    "missingNameBeforeEmail",
    "missingSpaceBeforeDate",
    "missingSpaceBeforeEmail",
    "zeroPaddedDate",
)
HARMLESS = (*_ODD_FILES, *_ODD_PEOPLE)
"""What git finds wrong with what it makes itself: folders and submodules of the names .gitmodules
and .gitattributes, what it passes over in attribute files, and authors of old commits, which it
keeps where these are picked or rebased."""

UNCHECKED = ("fetch.fsckObjects=false", "transfer.fsckObjects=false")
"""Settings of a fetch out of a repository of ours, whose objects were checked when they came in. It
may bring a part of the user's own history along, which is what it is."""

# Each either runs a program, reaches the network, or changes a repository behind our back.
_SETTINGS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.askPass=",
    "core.pager=cat",
    "core.attributesFile=/dev/null",
    "core.excludesFile=/dev/null",
    "core.alternateRefsCommand=true",
    # Larger blobs are streamed and taken as binary: a limit on memory, not on content.
    "core.bigFileThreshold=20m",
    "credential.helper=",
    "diff.external=",
    "fetch.recurseSubmodules=false",
    "fetch.fsckObjects=true",
    *(f"fetch.fsck.{name}=ignore" for name in HARMLESS),
    "fetch.writeCommitGraph=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "protocol.allow=never",
    "protocol.file.allow=always",
    "receive.fsckObjects=true",
    "submodule.recurse=false",
    "transfer.bundleURI=false",
    "transfer.fsckObjects=true",
)


@dataclass(frozen=True)
class GitResult:
    """A git command that ended. `truncated`: the output limit was reached and it was stopped."""

    code: int
    stdout: bytes
    stderr: str
    truncated: bool = False

    @property
    def text(self) -> str:
        """Standard output without the last line end; bytes that are no UTF-8 are escaped."""
        return self.stdout.decode("utf-8", "backslashreplace").rstrip("\n")

    @property
    def reason(self) -> str:
        """The last telling line of standard error, short and printable, after the one that names
        the cause where that is another."""
        lines = [line.strip() for line in self.stderr.splitlines() if line.strip()]
        telling = [line for line in lines if line.startswith(("fatal:", "error:"))]
        last = printable((telling or lines or [f"git ended with status {self.code}"])[-1])
        cause = cause_of(lines)
        first = printable(cause.line)
        return f"{first}; {last}" if cause.known and first != last else last


def printable(line: str) -> str:
    """A line of git's, short and without what a terminal would obey."""
    line = line.removeprefix("fatal: ").removeprefix("error: ")
    return only_printable(line)[:300]


def run_git(
    argv: Sequence[str],
    git_dir: Path,
    *,
    settings: Sequence[str] = (),
    without: Sequence[str] = (),
    extra_env: Mapping[str, str | None] | None = None,
    stdin: bytes | int | None = None,
    stdout: int | None = None,
    timeout: float | None = None,
    output_limit: int = DEFAULT_OUTPUT_LIMIT,
    memory_limit: int = DEFAULT_MEMORY_LIMIT,
    stop: CancelToken | None = None,
) -> GitResult:
    """Run `git argv` for the repository `git_dir`, which is one of ours, to its end.

    `settings` are further `key=value` for `-c`, and `without` are keys of _SETTINGS that are left
    out: what `-c` says outranks every other configuration. `extra_env` sets variables, or with None
    removes them. `stdin` is bytes or a descriptor, `stdout` a descriptor that takes the output
    instead of memory. `timeout`, in seconds, is for what can as well be left undone or be done
    later: all else ends where it stands still (`PATIENCE`).
    `output_limit` is in bytes; output beyond it stops git and sets `truncated`. `memory_limit` is
    in bytes, of what git allocates: a few objects of an agent's can stand for more files than any
    memory holds.
    `stop` ends it from another thread. A status other than 0 is a result, not an error.

    Raises:
        EnvironmentFault: git is missing ("git_missing"), stood still or ran into the time-out
            ("git_timeout"), or the folder cannot be entered ("git_failed").
        Stopped: `stop` was asked for.
    """
    ours = (setting for setting in _SETTINGS if setting.partition("=")[0] not in without)
    options = [part for setting in (*ours, *settings) for part in ("-c", setting)]
    command = [*git_command(), "--no-pager", "--literal-pathspecs", *options, *argv]
    wanted = {**git_environment(git_dir), **(extra_env or {})}
    env = {name: value for name, value in wanted.items() if value is not None}
    with tempfile.TemporaryFile() as fed:
        if isinstance(stdin, bytes):
            fed.write(stdin)
            fed.seek(0)
        source = stdin if isinstance(stdin, int) else fed.fileno()
        process = _start(command, git_dir, env, source, stdout)
        with suppress(ProcessLookupError):
            resource.prlimit(process.pid, resource.RLIMIT_DATA, (memory_limit, memory_limit))
        with process:
            try:
                with stop.during(lambda: _kill(process)) if stop else nullcontext():
                    return _collect(process, argv[0], timeout, output_limit)
            finally:
                _kill(process)


def _start(
    command: Sequence[str], cwd: Path, env: Mapping[str, str], stdin: int, stdout: int | None
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            command,
            cwd=cwd,
            env=env,
            stdin=stdin,
            stdout=subprocess.PIPE if stdout is None else stdout,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        why = f"git cannot be started in {cwd}: {error.strerror}"
        if not cwd.is_dir():
            why = f"{cwd} is not a folder"
        raise EnvironmentFault(why, code="git_failed") from error


def git_command() -> list[str]:
    """The beginning of a git command. Folders of the search path that are relative would be those
    of whatever folder git is started in, so they do not count.

    Raises:
        EnvironmentFault: git is not installed ("git_missing").
    """
    program = shutil.which("git", path=_search_path())
    if program is None:
        raise EnvironmentFault(
            "git is not installed", hint="install git 2.34 or later", code="git_missing"
        )
    return [program]


def _search_path() -> str:
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join(folder for folder in folders if Path(folder).is_absolute())


def git_environment(git_dir: Path) -> dict[str, str]:
    """The whole environment of a git for a repository of ours. The repository is named: it is
    not searched for in the folders above, should it be gone."""
    return {
        "PATH": _search_path(),
        "HOME": "/nonexistent",
        "LC_ALL": "C",
        "TMPDIR": tempfile.gettempdir(),
        "GIT_DIR": str(git_dir),
        "GIT_ALLOW_PROTOCOL": "none",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_SYSTEM": "/dev/null",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
    }


class _Limits:
    """When a git is given up. What it has printed so far counts as progress."""

    def __init__(self, process: subprocess.Popen[bytes], verb: str, timeout: float | None) -> None:
        self._process, self._verb, self._timeout = process, verb, timeout
        now = time.monotonic()
        self._deadline = math.inf if timeout is None else now + timeout
        self._watch, self._next = ProgressWatch(PATIENCE), now + PATIENCE.interval

    @property
    def left(self) -> float:
        """Seconds until it is to be looked at."""
        return max(0.01, min(self._deadline, self._next) - time.monotonic())

    def check(self, printed: int) -> None:
        """
        Raises:
            EnvironmentFault: it was given up.
        """
        now = time.monotonic()
        if now >= self._deadline:
            self._give_up(f"git {self._verb} did not end within {self._timeout:g} s")
        if now >= self._next:
            self._next = now + PATIENCE.interval
            if why := self._watch.add(look(self._process.pid, printed)):
                self._give_up(f"git {self._verb} was stopped: {why}")

    def _give_up(self, message: str) -> NoReturn:
        _kill(self._process)
        raise EnvironmentFault(
            message, hint="see whether the disk is overloaded, then try again", code=STALLED
        )


def _collect(
    process: subprocess.Popen[bytes], verb: str, timeout: float | None, output_limit: int
) -> GitResult:
    limits, printed = _Limits(process, verb, timeout), 0
    taken: dict[IO[bytes], bytearray] = {
        pipe: bytearray() for pipe in (process.stdout, process.stderr) if pipe is not None
    }
    truncated = False
    with selectors.DefaultSelector() as selector:
        for pipe in taken:
            selector.register(pipe, selectors.EVENT_READ)
        while selector.get_map() and not truncated:
            for key, _ in selector.select(limits.left):
                pipe = next(p for p in taken if p is key.fileobj)
                chunk = os.read(pipe.fileno(), 65536)
                printed += len(chunk)
                if not chunk:
                    selector.unregister(pipe)
                elif pipe is process.stdout:
                    taken[pipe] += chunk
                    truncated = len(taken[pipe]) > output_limit
                elif len(taken[pipe]) < _STDERR_LIMIT:
                    taken[pipe] += chunk
            limits.check(printed)
    if truncated:
        _kill(process)
    code = _wait(process, limits, printed)
    out = bytes(taken[process.stdout])[:output_limit] if process.stdout else b""
    error = taken[process.stderr].decode("utf-8", "replace") if process.stderr else ""
    return GitResult(code, out, error, truncated)


def _wait(process: subprocess.Popen[bytes], limits: _Limits, printed: int) -> int:
    while True:
        try:
            return process.wait(limits.left)
        except subprocess.TimeoutExpired:
            limits.check(printed)


def _kill(process: subprocess.Popen[bytes]) -> None:
    # Its own session: helpers that git started go with it. Not yet reaped, so the id is its own.
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
