"""Runs a task without any isolation, where no other engine works and the user asks for it."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from agent_runner.spec import NoIsolation, Paths
from rover_mcp.domain.cancellation import CancelToken
from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.sandbox import agent_programs, layout
from rover_mcp.sandbox.host_engine import HostEngine
from rover_mcp.sandbox.protocol import EngineStatus, ExecResult, SandboxSpec

WARNING = (
    "NO ISOLATION: the agent runs as you, on this machine itself. It can read and change "
    "everything that you can, your keys included, and reach every host"
)
_NOT_APPLIED = ("memory", "cpu", "processes", "tmp")
# Commands run in login shells, where the host's /etc/profile replaces PATH.
_PROFILE = 'PATH="${ROVER_PATH:-$PATH}"; export PATH\n'
_EXEC_TIMEOUT = 600.0


class ProcessEngine(HostEngine):
    """See protocol.Engine. Taken only by name. HOME, work tree and the folder for temporary
    files are the task's own; nothing keeps an agent in them."""

    name = "process"
    warning = WARNING
    programs = None

    def check(self) -> EngineStatus:
        """It always works."""
        return EngineStatus(
            self.name, True, version="no isolation", reason=WARNING, limits_not_applied=_NOT_APPLIED
        )

    def check_agent(self, agent: str, binary: Path | None, image: str | None) -> None:
        """See protocol.Engine."""
        agent_programs.check_agent(agent, binary)

    def prepare(
        self, spec: SandboxSpec, progress: Callable[[str], None], stop: CancelToken | None = None
    ) -> None:
        """Fetch the agents' programs that the host has not."""
        agent_programs.obtain_bundles(spec.agents, spec.agent_binary, progress)

    def exec(
        self, name: str, argv: Sequence[str], env: Mapping[str, str] | None = None
    ) -> ExecResult:
        """See protocol.Engine."""
        launch = self._running(name)
        try:
            done = subprocess.run(
                argv,
                env={**cast("dict[str, str]", launch["inside_env"]), **(env or {})},
                cwd=cast("str", launch["work"]),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_EXEC_TIMEOUT,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise EnvironmentFault(f"the command cannot be run in {name}: {error}") from error
        return ExecResult(done.returncode, done.stdout, done.stderr)

    def _isolate(self, spec: SandboxSpec, folder: Path) -> dict[str, Any]:
        folders = spec.folders
        temporary = folder / "tmp"
        temporary.mkdir(parents=True, exist_ok=True, mode=0o700)
        agents = agent_programs.obtain_bundles(spec.agents, spec.agent_binary, lambda _: None)
        programs = [str(bundle.folder / "bin") for bundle in agents]
        path = ":".join((*programs, os.environ.get("PATH", os.defpath)))
        inside = {"PATH": path, "ROVER_PATH": path, "TMPDIR": str(temporary)}
        profile = folders.home / ".profile"
        if not os.path.lexists(profile):
            profile.write_text(_PROFILE, "utf-8")
        layout.write_spec(
            spec,
            paths=Paths(
                spec=folders.spec,
                run=folders.run,
                workspace=folders.work,
                home=folders.home,
                base_objects=folders.base_objects,
                restore=folders.spec / "restore.bundle",
                context=folders.spec / "context",
            ),
            gateway=folders.gateway_socket,
            isolation=NoIsolation(),
            environment=inside,
            port=free_port(),
        )
        inside_env = {"HOME": str(folders.home), **inside}
        return {"work": str(folders.work), "inside_env": inside_env}


def free_port() -> int:
    """A loopback port that is free now: all tasks of this engine share the host's loopback."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return cast("int", server.getsockname()[1])
