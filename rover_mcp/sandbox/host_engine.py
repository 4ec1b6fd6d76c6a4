"""Implements what those engines share whose runner is a process of the host."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import agent_runner
from agent_runner.no_space import says_no_space
from rover_mcp.domain.disk_full_error import disk_full
from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.sandbox import cgroups, layout, supervise
from rover_mcp.sandbox.attempt_folder import AttemptFolder, remove_tree
from rover_mcp.sandbox.protocol import SandboxExit, SandboxInfo, SandboxSpec

_START_TIMEOUT = 300.0
"""It only ends a hang: on a busy machine a start takes more than half a minute."""
_OPEN_FILES = 65536


class HostEngine:
    """All of protocol.Engine but what isolates: `check`, `check_agent`, `prepare`, `exec`, and
    `_isolate`. State is in `home`/sandboxes and in kernel locks, nowhere else.

    `runner_argv` replaces the runner, for tests; `{spec}` in it stands for the spec folder.
    """

    shares_disk = True

    def __init__(self, home: Path, runner_argv: Sequence[str] | None = None) -> None:
        self._home = home
        self._sandboxes = home / "sandboxes"
        self._runner_argv = tuple(runner_argv or (sys.executable, "-P", *layout.RUNNER_ARGV))

    def ready(self, spec: SandboxSpec, wait: float) -> None:
        """See protocol.Engine."""
        attempt = self._attempt(spec.name)
        try:
            with layout.sandbox_lock(attempt.path):
                layout.prepare_late_spec(spec.folders.spec)
                supervise.write_json(attempt.path / "launch.json", self._plan(spec, wait))
                self._launch(attempt.path)
        except OSError as error:
            raise layout.disk_fault(attempt.path, error) from error

    def ensure(self, spec: SandboxSpec) -> None:
        """See protocol.Engine."""
        attempt = self._attempt(spec.name)
        try:
            with layout.sandbox_lock(attempt.path):
                ahead = layout.awaits_spec(spec.folders.spec)
                fits = ahead and attempt.alive() and _fits(attempt.launch(), self._plan(spec, 0))
                if ahead and not fits:
                    attempt.reset()
                    layout.drop_late_spec(spec.folders.spec)
                if fits or not attempt.launched():
                    self._write(spec, attempt.path)
                if fits:
                    layout.deliver_spec(spec.folders.spec)
                elif not attempt.launched():
                    self._launch(attempt.path)
        except OSError as error:
            raise layout.disk_fault(attempt.path, error) from error

    def follow(self, name: str) -> SandboxExit:
        """See protocol.Engine. Blocks in the kernel, on the attempt's lock."""
        attempt = self._attempt(name)
        if not attempt.exists():
            return SandboxExit(None, detail="the sandbox is gone")
        attempt.wait()
        ended = attempt.exit()
        if ended.code != 0 and cgroups.ran_out_of_memory(attempt.launch().get("cgroups", ())):
            return replace(ended, out_of_memory=True)
        return ended

    def stop(self, name: str, grace: float) -> None:
        """See protocol.Engine."""
        self._attempt(name).stop(grace)

    def remove(self, name: str) -> None:
        """See protocol.Engine. One that still runs is killed."""
        attempt = self._attempt(name)
        attempt.stop(0)
        cgroups.remove(attempt.launch().get("cgroups", ()))
        self._remove_tree(attempt.path)

    def remove_task(self, task_id: str) -> None:
        """See protocol.Engine."""
        for info in self.list():
            if info.task_id == task_id:
                self.remove(info.name)
        for folder in self._task_folders(task_id).values():
            self._remove_tree(Path(folder))
        self._task_record(task_id).unlink(missing_ok=True)

    def drop_work(self, task_id: str) -> None:
        """See protocol.Engine."""
        if work := self._task_folders(task_id).get("work"):
            self._remove_tree(Path(work))

    def holds_work(self, task_id: str) -> bool:
        """See protocol.Engine."""
        work = self._task_folders(task_id).get("work")
        return work is not None and os.path.lexists(Path(work, ".git"))

    def logs(self, name: str, tail: int) -> str:
        """See protocol.Engine."""
        return self._attempt(name).logs(tail)

    def list(self) -> Sequence[SandboxInfo]:
        """See protocol.Engine."""
        if not self._sandboxes.is_dir():
            return []
        folders = [p for p in sorted(self._sandboxes.iterdir()) if p.is_dir()]
        return [AttemptFolder(folder).info() for folder in folders]

    # -- parts -------------------------------------------------------------------------------

    def _isolate(self, spec: SandboxSpec, folder: Path) -> dict[str, Any]:
        """Write spec.json, and return what `exec` needs to know later, for launch.json."""
        raise NotImplementedError

    def _running(self, name: str) -> Mapping[str, Any]:
        """launch.json of a sandbox that runs.

        Raises:
            EnvironmentFault: it does not ("not_running").
        """
        attempt = self._attempt(name)
        if not attempt.alive():
            raise EnvironmentFault(f"the sandbox {name} is not running", code="not_running")
        return attempt.launch()

    def _attempt(self, name: str) -> AttemptFolder:
        return AttemptFolder(self._sandboxes / name)

    def _task_record(self, task_id: str) -> Path:
        return self._sandboxes / f"task-{task_id}.json"

    def _task_folders(self, task_id: str) -> dict[str, str]:
        try:
            return cast("dict[str, str]", json.loads(self._task_record(task_id).read_text("utf-8")))
        except FileNotFoundError:
            return {}

    def _write(self, spec: SandboxSpec, folder: Path) -> None:
        isolation = self._isolate(spec, folder)
        folders = {"work": str(spec.folders.work), "home": str(spec.folders.home)}
        supervise.write_json(self._task_record(spec.task_id), folders)
        supervise.write_json(folder / "launch.json", self._plan(spec) | isolation)

    def _plan(self, spec: SandboxSpec, wait: float | None = None) -> dict[str, Any]:
        """How the runner is started: everything that cannot be changed once it runs."""
        return {
            "task_id": spec.task_id,
            "attempt": spec.attempt,
            "argv": layout.runner_command(self._runner_argv, spec.folders.spec, wait),
            "env": _runner_environment(),
            "limits": {
                "RLIMIT_CORE": 0,
                "RLIMIT_NOFILE": _OPEN_FILES,
                "RLIMIT_FSIZE": spec.limits.file_bytes,
            },
        }

    def _launch(self, folder: Path) -> None:
        argv = [sys.executable, "-I", "-S", supervise.__file__, str(folder)]
        try:
            done = subprocess.run(
                argv, env={}, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE, timeout=_START_TIMEOUT, check=False,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            raise EnvironmentFault(f"the runner cannot be started: {error}") from error
        reason = done.stderr.decode("utf-8", "replace").strip()[-300:]
        if done.returncode != 0 and says_no_space(reason):
            raise disk_full("the runner cannot be started", folder)
        if done.returncode != 0 and reason and reason != supervise.DIED:
            raise EnvironmentFault(reason, code="start_failed")
        if done.returncode != 0 and not (folder / "state.json").exists():
            # The supervisor was killed before it could report: the sandbox counts as started and
            # gone, since its runner may have done something.
            supervise.write_json(folder / "state.json", {"started_at": time.time()})

    def _remove_tree(self, path: Path) -> None:
        try:
            remove_tree(path)
        except OSError as error:
            raise EnvironmentFault(
                f"{path} cannot be removed: {error.strerror}", hint="remove it by hand"
            ) from error


def _fits(launched: Mapping[str, Any], plan: Mapping[str, Any]) -> bool:
    """Whether a waiting runner was started as this one would be, however long it waits."""
    return all(launched.get(k) == v for k, v in plan.items() if k != "argv")


def _runner_environment() -> dict[str, str]:
    """Return the runner's environment: enough to find its code, and no secret of the daemon."""
    code = Path(agent_runner.__file__).parent.parent
    return {
        "PATH": os.defpath,
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(code),
        "PYTHONUNBUFFERED": "1",
        # Whatever is installed beside Rover is no part of the runner, and would be searched.
        "PYDANTIC_DISABLE_PLUGINS": "__all__",
    }
