"""Makes single calls of an engine that speaks Docker's API: waits, commands, volumes, ownership."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.sandbox import containers, docker_api, layout, runner_library
from rover_mcp.sandbox.docker_api import NoSuchObject
from rover_mcp.sandbox.protocol import ExecResult, SandboxExit

Connect = Callable[[], Any]
"""Returns the SDK's client of the engine, connected; called where its errors are mapped."""


def wait_until_ended(address: str, name: str) -> SandboxExit:
    """Wait until a container has ended, in the engine's wait call, and say how it did.

    Raises:
        EnvironmentFault: the engine does not answer.
    """
    try:
        state = _ended_state(address, name)
    except NoSuchObject:
        return SandboxExit(None, detail="the container is gone")
    return SandboxExit(
        code=int(state["ExitCode"]),
        out_of_memory=bool(state["OOMKilled"]),
        detail=str(state.get("Error") or ""),
    )


def _ended_state(address: str, name: str) -> dict[str, Any]:
    # A client of its own: the wait has no time limit, and holds its connection for hours.
    with docker_api.errors(f"wait for {name}", address):
        client = docker_api.connect(address)
        try:
            state: dict[str, Any] = {"Running": True}
            # If somebody restarted the container, the wait call returned too early.
            while state["Running"] or state.get("Restarting"):
                # No timeout: a task runs for hours, and the engine closes the connection.
                client.api.wait(name, timeout=None)
                state = cast("dict[str, Any]", client.api.inspect_container(name)["State"])
        finally:
            client.close()
    return state


def run_as_agent(
    connect: Connect, address: str, name: str, argv: Sequence[str], env: Mapping[str, str]
) -> ExecResult:
    """Run a command in a running container with the agent's rights.

    Raises:
        EnvironmentFault: "not_running", or the engine refused.
    """
    # exec as the agent's user alone would keep the container's capability bounding set.
    command = [runner_library.PYTHON, "-I", "-S", "-c", layout.AS_AGENT, *argv]
    try:
        with docker_api.errors(f"run a command in {name}", address):
            api = connect().api
            process = api.exec_create(
                name, command, user="0:0", workdir=str(layout.WORKSPACE),
                environment={"HOME": str(layout.HOME), **env},
            )  # fmt: skip
            out, err = api.exec_start(process["Id"], demux=True)
            code = api.exec_inspect(process["Id"])["ExitCode"]
    except NoSuchObject as error:
        raise EnvironmentFault(f"the sandbox {name} is gone", code="not_running") from error
    if code is None:
        raise EnvironmentFault(f"the sandbox {name} ended meanwhile", code="not_running")
    return ExecResult(int(code), out or b"", err or b"")


def take_run_folder(client: Any, container: Any) -> None:
    """Give what the runner wrote as root to the user that this daemon runs as.

    The daemon could not remove those files otherwise, and only root inside a container may change
    their owner: so a container does it.
    """
    source = next(
        m["Source"] for m in container.attrs["Mounts"] if m["Destination"] == "/rover/run"
    )
    owner = f"{os.geteuid()}:{os.getegid()}"
    client.containers.run(
        container.attrs["Image"], ["chown", "-R", owner, "/rover/run"], remove=True,
        network_mode="none", user="0:0",
        mounts=[containers.bind(Path(source), layout.RUN, False)],
    )  # fmt: skip


def remove_container(container: Any) -> None:
    """Remove a container that may be running, with its anonymous volumes."""
    try:
        container.remove(force=True, v=True)
    except docker_api.APIError as error:
        # Docker answers 409 while another caller's removal runs; the result is the same.
        if "already in progress" not in str(error):
            raise


class Volumes:
    """The volumes of one engine."""

    def __init__(self, connect: Connect, address: str) -> None:
        self._connect = connect
        self._address = address

    def create(self, names: Sequence[str], labels: Mapping[str, str]) -> None:
        """Create those that do not exist yet; the engine returns an existing one unchanged."""
        for name in names:
            with docker_api.errors(f"make the volume {name}", self._address):
                self._connect().volumes.create(name, labels=labels)

    def exists(self, name: str) -> bool:
        """Whether the engine has the volume."""
        try:
            with docker_api.errors(f"look for the volume {name}", self._address):
                self._connect().volumes.get(name)
        except NoSuchObject:
            return False
        return True

    def of_task(self, task_id: str) -> list[str]:
        """The names of all volumes that carry a task's label."""
        label = f"{containers.LABELS}task={task_id}"
        with docker_api.errors("list the task's volumes", self._address):
            volumes = self._connect().volumes.list(filters={"label": label})
        return [str(volume.name) for volume in volumes]

    def remove(self, names: Sequence[str]) -> None:
        """Remove volumes. One that is gone already is skipped."""
        for name in names:
            with (
                suppress(NoSuchObject),
                docker_api.errors(f"remove the volume {name}", self._address),
            ):
                self._connect().volumes.get(name).remove(force=True)
