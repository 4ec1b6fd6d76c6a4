"""The one place that starts git on the host: clean environment, no hooks, limits on everything.

Git reads the configuration of the repository that it is started for, and many settings there name
a program, an address or a file. So it is only ever started for Rover's own repositories: the hub,
the base, and the views of repository_view.py, which have a user's objects and references and
nothing else of theirs. The settings below are a second line of defence.
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
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NoReturn

from agent_runner.failure_cause import cause_of
from agent_runner.printable import only_printable
from agent_runner.process.progress import ProgressLimits, ProgressWatch, sample_progress
from rover_mcp.domain.cancellation import CancelToken
from rover_mcp.domain.errors import EnvironmentFault

PROGRESS = ProgressLimits()
"""For every git. There is no time limit, because a large repository on a slow disk takes hours; a
git that makes no progress is stopped."""
STALLED = "git_timeout"
"""The code of the error for a git that made no progress."""
DEFAULT_OUTPUT_LIMIT = 16 * 1024**2
DEFAULT_MEMORY_LIMIT = 2 * 1024**3
FROM_FILES = {"GIT_ALLOW_PROTOCOL": "file"}
"""The environment of a fetch from another of Rover's repositories, by its path."""
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
"""Checks of fsck that also fail for what git itself writes: folders and submodules of the names
.gitmodules and .gitattributes, attributes that it ignores, and odd authors of old commits, which it
keeps when these are picked or rebased."""

UNCHECKED = ("fetch.fsckObjects=false", "transfer.fsckObjects=false")
"""Settings of a fetch out of Rover's own repositories, whose objects were checked when they came
in. The rest is the user's own history, in which fsck may find faults that must not block a
delivery."""

# Each either runs a program, reaches the network, or changes a repository behind our back.
_SETTINGS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.askPass=",
    "core.pager=cat",
    "core.attributesFile=/dev/null",
    "core.excludesFile=/dev/null",
    "core.alternateRefsCommand=true",
    # Larger blobs are streamed and taken for binary. That limits memory, not content.
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
    """A git command that ended. `truncated`: its output reached the limit, and it was stopped."""

    code: int
    stdout: bytes
    stderr: str
    truncated: bool = False

    @property
    def text(self) -> str:
        """Standard output without the last line end; bytes that are not UTF-8 are escaped."""
        return self.stdout.decode("utf-8", "backslashreplace").rstrip("\n")

    @property
    def reason(self) -> str:
        """The last line of standard error that says something, short and printable. If another line
        names the cause, that one comes first."""
        # Git's last line is often the least of it, such as "fatal: Unable to create ...".
        lines = [line.strip() for line in self.stderr.splitlines() if line.strip()]
        telling = [line for line in lines if line.startswith(("fatal:", "error:"))]
        last = printable((telling or lines or [f"git ended with status {self.code}"])[-1])
        cause = cause_of(lines)
        first = printable(cause.line)
        return f"{first}; {last}" if cause.known and first != last else last


def printable(line: str) -> str:
    """A line that git printed, short and without what a terminal would obey."""
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
    """Run `git argv` for the repository `git_dir`, which is one of Rover's own, until it ends.

    `settings` are further `key=value` for `-c`, and `without` are keys of _SETTINGS that are left
    out, because `-c` outranks every configuration. `extra_env` sets variables, or with None removes
    them. `stdin` is bytes or a descriptor, `stdout` a descriptor that takes the output instead of
    memory. `timeout`, in seconds, is for work that can be left undone or be done later; any other
    git is stopped only if it makes no progress. `output_limit` is in bytes; output beyond it stops
    git and sets `truncated`. `memory_limit` is in bytes of what git allocates. `stop` ends git from
    another thread. A status other than 0 is a result, not an error.

    Raises:
        EnvironmentFault: git is missing ("git_missing"), made no progress or exceeded `timeout`
            ("git_timeout"), or the folder cannot be entered ("git_failed").
        Stopped: `stop` was cancelled.
    """
    command = _command(argv, settings, without)
    env = _environment(git_dir, extra_env or {})
    with _input(stdin) as source:
        process = _start(command, git_dir, env, source, stdout)
        _limit_memory(process, memory_limit)
        with process:
            try:
                with stop.during(lambda: _kill(process)) if stop else nullcontext():
                    return _collect(process, argv[0], timeout, output_limit)
            finally:
                _kill(process)


@contextmanager
def _input(stdin: bytes | int | None) -> Generator[int]:
    """The descriptor that git reads, or what stands for an empty file."""
    if isinstance(stdin, int):
        yield stdin
        return
    if stdin is None:
        yield subprocess.DEVNULL
        return
    # A file and not a pipe: this thread reads git's output, so nothing would fill the pipe.
    with tempfile.TemporaryFile() as content:
        content.write(stdin)
        content.seek(0)
        yield content.fileno()


def _limit_memory(process: subprocess.Popen[bytes], limit: int) -> None:
    # A few small objects of an agent can stand for more files than any memory holds. The limit is
    # set from outside, because preexec_fn is not safe in a process with threads.
    with suppress(ProcessLookupError):
        resource.prlimit(process.pid, resource.RLIMIT_DATA, (limit, limit))


def _command(argv: Sequence[str], settings: Sequence[str], without: Sequence[str]) -> list[str]:
    # By `-c`, because it outranks every configuration file, also one that git finds in a place
    # unknown to Rover.
    kept = [setting for setting in _SETTINGS if setting.partition("=")[0] not in without]
    options = [part for setting in (*kept, *settings) for part in ("-c", setting)]
    return [*git_command(), "--no-pager", "--literal-pathspecs", *options, *argv]


def _environment(git_dir: Path, extra: Mapping[str, str | None]) -> dict[str, str]:
    wanted = {**git_environment(git_dir), **extra}
    return {name: value for name, value in wanted.items() if value is not None}


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
    """The beginning of a git command. Relative folders of the search path do not count, because
    they would mean the folder that git is started in.

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
    """The complete environment of a git for one of Rover's repositories. GIT_DIR names it, so that
    git does not search the folders above if it is gone."""
    return {
        "PATH": _search_path(),
        # The user's own configuration can name programs, such as a pager, a signer or a credential
        # helper.
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
        # A partial clone would fetch a missing object with the transport that its configuration
        # names, and refs/replace/ would show another object than the one that is named.
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
    }


class _Limits:
    """When a git is stopped. What it has printed counts as progress."""

    def __init__(self, process: subprocess.Popen[bytes], verb: str, timeout: float | None) -> None:
        self._process, self._verb, self._timeout = process, verb, timeout
        now = time.monotonic()
        self._deadline = math.inf if timeout is None else now + timeout
        self._watch, self._next = ProgressWatch(PROGRESS), now + PROGRESS.interval

    @property
    def left(self) -> float:
        """Seconds until the next check."""
        return max(0.01, min(self._deadline, self._next) - time.monotonic())

    def check(self, printed: int) -> None:
        """Stop git if it is over its time, or made no progress. `printed` is in bytes so far.

        Raises:
            EnvironmentFault: it was stopped ("git_timeout").
        """
        now = time.monotonic()
        if now >= self._deadline:
            self._give_up(f"git {self._verb} did not end within {self._timeout:g} s")
        if now >= self._next:
            self._next = now + PROGRESS.interval
            if why := self._watch.add(sample_progress(self._process.pid, printed)):
                self._give_up(f"git {self._verb} was stopped: {why}")

    def _give_up(self, message: str) -> NoReturn:
        _kill(self._process)
        raise EnvironmentFault(
            message, hint="check whether the disk is overloaded, then try again", code=STALLED
        )


def _collect(
    process: subprocess.Popen[bytes], verb: str, timeout: float | None, output_limit: int
) -> GitResult:
    limits, printed = _Limits(process, verb, timeout), 0
    taken: dict[IO[bytes], bytearray] = {
        pipe: bytearray() for pipe in (process.stdout, process.stderr) if pipe is not None
    }
    truncated = False
    # Both pipes are read together: git would block on a full stderr while this waits for stdout.
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
    # Git has a session of its own, so that helpers which it started are killed too. It has not been
    # waited for yet, so its id cannot belong to another process.
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
