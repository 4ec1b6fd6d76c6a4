"""Whom to kill: the real processes of one task, by what their command lines say."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import docker
from docker.errors import NotFound

VICTIMS = {
    "bubblewrap": ["daemon", "runner", "supervisor", "inner", "any"],
    "docker": ["daemon", "container", "inner", "any"],
}
"""`inner` is one of the processes that a step's command needs: what wraps it, its shell, what the
shell has started. `any` is one of the whole sandbox, the runner too."""


def kill_some(home: Path, task_id: str, names: list[str]) -> list[str]:
    """kill -9 whatever of these lives now; who it was."""
    killed: list[str] = []
    for name in names:
        found = _find(home, task_id, name)
        if name in ("inner", "any"):
            found = found and [random.choice(found)]
        for pid in found:
            with suppress(ProcessLookupError, FileNotFoundError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")[:120]
                os.kill(pid, signal.SIGKILL)
                killed.append(f"{name} {pid} ({words.decode('utf-8', 'replace').strip()})")
    return killed


def alive_processes(home: Path, task_id: str) -> list[int]:
    """Processes of the task: its runner, supervisor, commands."""
    marker = f"ROVER_ATTEMPT={task_id}".encode()

    def of_task(words: list[str], pid: int) -> bool:
        named = any(task_id in word or f"rover-{task_id[:12]}" in word for word in words)
        return named or marker in _environment(pid)

    return _matching(lambda words, pid: of_task(words, pid) and "pytest" not in " ".join(words))


def descendants(pid: int) -> dict[int, str]:
    """A process and all that came of it and lives, parents first, with their command lines."""
    children: dict[int, list[int]] = {}
    words: dict[int, str] = {}
    for other in _matching(lambda _, __: True):
        with suppress(OSError):
            folder = Path(f"/proc/{other}")
            parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            children.setdefault(parent, []).append(other)
            line = (folder / "cmdline").read_bytes().rstrip(b"\0")
            words[other] = line.decode("utf-8", "replace").replace("\0", " ")
    found: dict[int, str] = {}
    left = [pid]
    while left:
        one = left.pop(0)
        if one in words:
            found[one] = words[one]
            left += sorted(children.get(one, []))
    return found


def _find(home: Path, task_id: str, name: str) -> list[int]:
    if name == "daemon":
        of_home = f"ROVER_HOME={home}".encode()
        return _matching(
            lambda w, pid: "rover_mcp.daemon" in w and of_home in _environment(pid).split(b"\0")
        )
    if name == "container":
        return _main_processes(task_id)
    if name in ("inner", "any"):
        first = _main_processes(task_id) or _find(home, task_id, "runner")
        whole = [pid for root in first for pid in descendants(root)]
        return [pid for pid in whole if name == "any" or not _is_outer(pid, first)]
    short = f"rover-{task_id[:12]}"
    tests: dict[str, Callable[[list[str], int], bool]] = {
        "runner": lambda w, _: "agent_runner" in w and "run" in w and any(task_id in x for x in w),
        "supervisor": lambda w, _: (
            any("supervise.py" in x for x in w) and any(short in x for x in w)
        ),
    }
    return _matching(tests[name])


def _is_outer(pid: int, first: list[int]) -> bool:
    with suppress(OSError):
        return pid in first or b"\0agent_runner\0run\0" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return True


def _main_processes(task_id: str) -> list[int]:
    """The first process of each container of the task, and of no other."""
    if not os.environ.get("DOCKER_HOST"):
        return []
    with closing(docker.from_env(timeout=600)) as engine:
        found: list[int] = []
        for container in engine.api.containers(filters={"name": f"rover-{task_id[:12]}-"}):
            # It may be removed while it is looked at.
            with suppress(NotFound):
                found.append(engine.api.inspect_container(container["Id"])["State"]["Pid"])
        return [pid for pid in found if pid > 0]


def _environment(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def _matching(wanted: Callable[[list[str], int], bool]) -> list[int]:
    found: list[int] = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            words = (folder / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
            state = (folder / "stat").read_text().rsplit(")", 1)[1].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state != "Z" and wanted(words, int(folder.name)):
            found.append(int(folder.name))
    return found
