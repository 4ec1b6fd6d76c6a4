"""Runs every command of a task in bubblewrap, with the runner outside and without a service."""

from __future__ import annotations

import platform
import secrets
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from agent_runner.process.seccomp import filter_descriptor, is_known, with_filter
from agent_runner.spec import Paths, WrapCommand
from rover_mcp.domain.cancellation import CancelToken
from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.domain.resource_limits import ResourceLimits
from rover_mcp.sandbox import agent_programs, bwrap_prefix, cgroups, layout, mount_policy
from rover_mcp.sandbox import toolchains as toolchain_folders
from rover_mcp.sandbox.agent_bundle import AgentBundle
from rover_mcp.sandbox.bwrap_program import CHECK_TIMEOUT, find_bwrap, user_namespace_hint
from rover_mcp.sandbox.host_engine import HostEngine
from rover_mcp.sandbox.protocol import EngineStatus, ExecResult, SandboxSpec

_EXEC_TIMEOUT = 600.0
_OPEN_FILES = 65536


class BubblewrapEngine(HostEngine):
    """See protocol.Engine; `bwrap` replaces the program, for tests."""

    name = "bubblewrap"
    warning = ""

    def __init__(
        self,
        home: Path,
        *,
        bwrap: Path | None = None,
        runner_argv: Sequence[str] | None = None,
        toolchains: Sequence[Path] = (),
    ) -> None:
        super().__init__(home, runner_argv)
        self._bwrap = bwrap
        self._toolchains = toolchains

    def check(self) -> EngineStatus:
        """Run /bin/true in a sandbox made as a task's is."""
        if not is_known():
            reason = f"there is no filter of system calls for {platform.machine()}"
            return EngineStatus(self.name, False, reason=reason, hint="use Docker instead")
        try:
            bwrap = self._program()
            host = bwrap_prefix.host_layout(self._home)
            mount_policy.refuse_exposure(self._home, host.sources())
            argv = [*bwrap_prefix.base_arguments(bwrap, host, 2**20)]
            argv += [*bwrap_prefix.sealing_arguments(), "--", "/bin/true"]
            with filter_descriptor() as descriptor:
                tried = subprocess.run(
                    with_filter(argv, descriptor), env={}, stdin=subprocess.DEVNULL,
                    capture_output=True, timeout=CHECK_TIMEOUT, pass_fds=(descriptor,),
                    check=False,
                )  # fmt: skip
            version = subprocess.run(
                [bwrap, "--version"], capture_output=True, timeout=CHECK_TIMEOUT, check=False
            )
        except EnvironmentFault as error:
            return EngineStatus(self.name, False, reason=error.message, hint=error.hint or "")
        except (OSError, subprocess.TimeoutExpired) as error:
            return EngineStatus(self.name, False, reason=f"bubblewrap cannot be run: {error}")
        if tried.returncode != 0:
            message = tried.stderr.decode("utf-8", "replace").strip()[-300:]
            return EngineStatus(self.name, False, reason=message, hint=user_namespace_hint())
        return EngineStatus(
            self.name,
            True,
            version=version.stdout.decode().strip().removeprefix("bubblewrap "),
            limits_not_applied=tuple(_limits_that_fail()),
        )

    def check_agent(self, agent: str, binary: Path | None, image: str | None) -> None:
        """See protocol.Engine."""
        agent_programs.check_agent(agent, binary)

    def prepare(
        self, spec: SandboxSpec, progress: Callable[[str], None], stop: CancelToken | None = None
    ) -> None:
        """Fetch the agents' programs that the host has not."""
        self._program()
        agent_programs.obtain_bundles(spec.agents, spec.agent_binary, progress)

    def exec(
        self, name: str, argv: Sequence[str], env: Mapping[str, str] | None = None
    ) -> ExecResult:
        """Run a command in a sandbox of its own with the same folders, as the runner's are."""
        launch = self._running(name)
        try:
            with filter_descriptor() as descriptor:
                done = subprocess.run(
                    [*launch["enter"], *with_filter([*launch["prefix"], *argv], descriptor)],
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

    @property
    def programs(self) -> str:
        """See protocol.Engine."""
        host = bwrap_prefix.host_layout(self._home)
        return bwrap_prefix.search_path(host, (), self._toolchains)

    def _isolate(self, spec: SandboxSpec, folder: Path) -> dict[str, Any]:
        host = bwrap_prefix.host_layout(self._home)
        agents = agent_programs.obtain_bundles(spec.agents, spec.agent_binary, lambda _: None)
        own = toolchain_folders.mounted(self._toolchains)
        prefix = self._prefix(spec, folder, host, agents, own)
        group = cgroups.make(spec.name, spec.limits)
        gateway = spec.folders.gateway_socket
        inside = {"PATH": bwrap_prefix.search_path(host, agents, own)}
        run = layout.write_spec(
            spec,
            paths=Paths(spec=spec.folders.spec, run=spec.folders.run),
            gateway=gateway,
            isolation=WrapCommand(
                prefix=prefix,
                forwarder=bwrap_prefix.forwarder(host, gateway, spec.run.gateway.port),
                filtered=True,
                init=bwrap_prefix.first_process(host),
                enter=group.enter(),
                groups=tuple(Path(folder) for folder in group.folders),
            ),
            environment=inside,
        )
        return {
            "prefix": prefix,
            "inside_env": {"HOME": str(run.paths.home), **inside},
            "enter": group.enter(),
            "cgroups": list(group.folders),
        }

    def _prefix(
        self,
        spec: SandboxSpec,
        folder: Path,
        host: bwrap_prefix.HostLayout,
        agents: Sequence[AgentBundle],
        toolchains: Sequence[Path],
    ) -> list[str]:
        """The command line of bubblewrap for one task, after the check that it shows nothing
        private."""
        etc = folder / "etc"
        etc.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name, text in bwrap_prefix.SYNTHETIC_ETC.items():
            (etc / name).write_text(text, "utf-8")
        mounted = [source for _, source, _ in bwrap_prefix.mounts(spec.folders, etc, agents)]
        ours = [*spec.folders.mounted(), *(etc / name for name in bwrap_prefix.SYNTHETIC_ETC)]
        mount_policy.refuse_exposure(self._home, [*host.sources(), *mounted, *toolchains], ours)
        return bwrap_prefix.prefix(
            bwrap_prefix.own_program(self._program(), folder),
            host,
            spec.folders,
            etc=etc,
            tmp_bytes=spec.limits.tmp_bytes,
            shm_bytes=spec.limits.shm_bytes,
            agents=agents,
            toolchains=toolchains,
        )

    def _program(self) -> Path:
        if self._bwrap is None:
            self._bwrap = find_bwrap()
        return self._bwrap


def _limits_that_fail() -> list[str]:
    group = cgroups.make(f"rover-trial-{secrets.token_hex(4)}", ResourceLimits())
    cgroups.remove(group.folders)
    return group.not_applied
