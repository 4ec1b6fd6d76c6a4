"""Runs sandboxes with podman, root's or rootless, through the Docker API that its service speaks.

It inherits everything from DockerEngine but what podman does differently:

- Its service is often not running. Where no socket answers and the program is there, one is
  started on a socket in the data folder (podman_service.py).
- What it can limit is asked of its own `info`: the Docker-like one claims every limit, also for
  a rootless podman on cgroups v1, which applies none.
- Its seccomp profile allows new user namespaces: it is tightened (podman_seccomp.py).
- Its init (catatonit) is often not installed, and no `info` says so: agent_runner.process.init is
  used.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from agent_runner.process import init
from rover_mcp.sandbox import containers, docker_api, layout, podman_seccomp, runner_library
from rover_mcp.sandbox.docker import DockerEngine
from rover_mcp.sandbox.docker_api import EngineAddress, NoSuchObject
from rover_mcp.sandbox.image import DEFAULT_IMAGE
from rover_mcp.sandbox.podman_service import PodmanService, find_socket
from rover_mcp.sandbox.protocol import EngineStatus, SandboxExit, SandboxInfo, SandboxSpec

_INIT = f"{runner_library.LIBRARY}/agent_runner/process/init.py"
_PROFILE = "/usr/share/containers/seccomp.json"
_OPEN_FILES = 65536
_CHECK_SECONDS = 60.0
_PROCESSES = 32768  # the kernel's least pid_max, to which podman lowers its own
_LIMITS = {
    "memory": ("memory", ("mem_limit", "memswap_limit")),
    "cpu": ("cpu", ("nano_cpus",)),
    "processes": ("pids", ("pids_limit",)),
}
"""A limit's name -> the cgroup controller that it needs, the options that ask for it."""


class PodmanEngine(DockerEngine):
    """See protocol.Engine. `address` defaults to the first socket that can be used, or else to a
    service that Rover starts."""

    name = "podman"
    _variable = "CONTAINER_HOST"
    # podman 4.3's service builds in the machine's network namespace, whatever is asked for.
    _builds_offline = False

    def __init__(
        self,
        home: Path,
        *,
        base_image: str = DEFAULT_IMAGE,
        address: str | None = None,
        runner_argv: Sequence[str] | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        socket = address or find_socket()
        self._folder = home
        self._service = None if socket else PodmanService(home)
        where = socket or f"unix://{home / 'podman.sock'}"
        super().__init__(
            home,
            base_image=base_image,
            address=EngineAddress(where, "Podman"),
            runner_argv=runner_argv,
        )
        self._now = now
        self._facts: Mapping[str, Any] | None = None
        self._works: tuple[float, EngineStatus] | None = None

    def check(self) -> EngineStatus:
        """See protocol.Engine. A good result counts for a minute while the socket answers:
        podman takes up to a second to report its version and facts."""
        if self._works is not None:
            at, status = self._works
            if self._now() < at + _CHECK_SECONDS and docker_api.answers(self._address):
                return status
        status = super().check()
        self._works = (self._now(), status) if status.available else None
        return status

    def list(self) -> Sequence[SandboxInfo]:
        """See protocol.Engine. Where podman is installed and never used, no service is started
        every few seconds only to list nothing."""
        if self._service is not None and not self._service.was_needed:
            return ()
        return super().list()

    def _reach(self) -> None:
        if self._service is not None:
            self._service.ensure()

    def _ask(self, client: Any) -> Mapping[str, Any]:
        # Any version of its API from 4.0 on answers under this one's name.
        answer = client.api.get(f"{client.api.base_url}/v4.0.0/libpod/info")
        if answer.status_code != 200:
            raise NoSuchObject("it does not speak Podman's API")
        return cast("Mapping[str, Any]", answer.json())

    def _judge(self, facts: Mapping[str, Any]) -> EngineStatus:
        return judge(facts)

    def _host(self) -> Mapping[str, Any]:
        with self._errors("ask for its facts"):
            host = self._facts or self._ask(self._connection())["host"]
        self._facts = host
        return host

    def _options(self, spec: SandboxSpec) -> dict[str, Any]:
        host = self._host()
        source = Path(host["security"].get("seccompProfilePath") or _PROFILE)
        profile = podman_seccomp.write_tightened(source, self._folder)
        return options(spec, host, profile)

    def _command(self, runner: Sequence[str]) -> list[str]:
        return [runner_library.PYTHON, "-I", "-S", _INIT, *runner]

    def follow(self, name: str) -> SandboxExit:
        """See protocol.Engine. podman's state does not say that the kernel killed a process for
        lack of memory; the exit status of Rover's init does."""
        ended = super().follow(name)
        if ended.code != init.EXIT_OUT_OF_MEMORY:
            return ended
        return replace(ended, code=init.KILLED, out_of_memory=True)

    def _read_log(self, container: Any, tail: int) -> bytes:
        # podman 4.3 loses a line that was written in pieces when it cuts the tail itself. The log
        # is capped at 5 MB, so that all of it can be read.
        log = cast("bytes", container.logs())
        return b"".join(log.splitlines(keepends=True)[-tail:])

    def _rootless(self) -> bool:
        return bool(self._host()["security"]["rootless"])


def lacking(host: Mapping[str, Any]) -> list[str]:
    """The limits that this podman cannot apply: their controllers are not delegated to it."""
    there: Sequence[str] = host.get("cgroupControllers") or ()
    return [name for name, (controller, _) in _LIMITS.items() if controller not in there]


def judge(facts: Mapping[str, Any]) -> EngineStatus:
    """Whether a podman can be used, from what it says of itself."""
    host, version = facts["host"], str(facts["version"]["Version"])
    if not host["security"]["seccompEnabled"]:
        return EngineStatus(
            "podman", False, version, reason="this podman has no seccomp",
            hint="use a kernel and a podman with seccomp",
        )  # fmt: skip
    status = EngineStatus("podman", True, version, limits_not_applied=tuple(lacking(host)))
    if not host["security"]["rootless"]:
        return status
    ranges = cast("list[dict[str, int]]", host["idMappings"]["uidmap"] or [])
    mapped = sum(part["size"] for part in ranges)
    if mapped <= layout.AGENT_UID:
        return EngineStatus(
            "podman", False, version,
            reason="this user has too few subordinate user ids for an agent's user of its own",
            hint="run: sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 "
            "$USER; podman system migrate",
        )  # fmt: skip
    return EngineStatus(
        "podman", True, f"{version} rootless", limits_not_applied=status.limits_not_applied
    )


def options(spec: SandboxSpec, host: Mapping[str, Any], profile: Path) -> dict[str, Any]:
    """containers.container_options, as this podman takes them."""
    arguments = containers.container_options(spec)
    arguments["security_opt"] += [f"seccomp={profile}"]
    # Its own log driver has no count of files; it keeps one, cut at max-size.
    arguments["log_config"] = docker_api.types.LogConfig(type="k8s-file", config={"max-size": "5m"})
    arguments["init"] = False
    # Beside a read-only root it makes this one as large as half of the memory, for all to write.
    arguments["tmpfs"]["/var/tmp"] = "ro,nosuid,nodev,noexec,size=4096"  # noqa: S108
    missing = lacking(host)
    for name in missing:
        for option in _LIMITS[name][1]:
            del arguments[option]
    arguments["ulimits"] += _inherited(spec.limits.pids if "processes" in missing else None)
    return arguments


def _inherited(pids: int | None) -> list[Any]:
    """The limits that podman would otherwise raise to the kernel's maximum, which a root without
    CAP_SYS_RESOURCE must not. `pids` counts the agent's user's processes in all sandboxes."""
    wanted = {
        "nofile": (resource.RLIMIT_NOFILE, _OPEN_FILES),
        "nproc": (resource.RLIMIT_NPROC, pids or _PROCESSES),
    }
    ulimits: list[Any] = []
    for name, (number, most) in wanted.items():
        hard = resource.getrlimit(number)[1]
        value = most if hard == resource.RLIM_INFINITY else min(most, hard)
        ulimits.append(docker_api.types.Ulimit(name=name, soft=value, hard=value))
    return ulimits
