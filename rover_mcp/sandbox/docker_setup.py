"""Runs the project's setup in a container that becomes an image layer.

The container is closed as a task's is: no network but the task's gateway, the agent's user, the
same limits. It differs in that its file system is kept, and in what is mounted: no journal, no
volumes. The gateway's key to a provider is not in it; the task's own token is, and is worth nothing
once the task is over.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from agent_runner.authorities import FILE_NAME as AUTHORITIES
from rover_mcp.domain.cancellation import CancelToken
from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.sandbox import docker_api, layout, runner_library
from rover_mcp.sandbox.docker_images import Progress, clean_line
from rover_mcp.sandbox.protocol import SandboxSpec

SEED = Path("/opt/rover/seed")
"""The folder in the image with the files that git ignores in a clone that was set up."""

FAILURE_LINES = 25
_SILENCE = 24 * 3600
_ENTRY = (
    f"mkdir -p {SEED} && chown {layout.AGENT_UID}:{layout.AGENT_GID} {SEED} {layout.WORKSPACE} "
    f'{layout.HOME} && PYTHONPATH={runner_library.LIBRARY} exec "$@"'
)


@dataclass(frozen=True)
class SetupImages:
    """The image that the setup runs in, and the tag of the resulting image."""

    before: str
    after: str


@dataclass(frozen=True)
class Container:
    """How the engine makes a container: its name, the SDK's arguments, and what starts a
    command."""

    name: str
    options: Mapping[str, Any]
    command: Callable[[Sequence[str]], list[str]]


@contextmanager
def specification(spec: SandboxSpec, folder: Path) -> Generator[SandboxSpec]:
    """The task's specification with a spec folder of its own, which is gone afterwards."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)
    trusted = spec.folders.spec / AUTHORITIES
    try:
        if trusted.is_file():
            shutil.copyfile(trusted, folder / AUTHORITIES)
        yield replace(spec, folders=replace(spec.folders, spec=folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run(
    address: str,
    spec: SandboxSpec,
    images: SetupImages,
    how: Container,
    progress: Progress,
    stop: CancelToken,
) -> None:
    """Run the setup and commit its container.

    Raises:
        EnvironmentFault: "setup_failed", with its last lines.
        Stopped: `stop` was asked for.
    """
    progress("setting the project up")

    with (
        stop.during(lambda: _end(address, how.name)),
        _gone_is_stopped(),
        docker_api.errors("set the project up", address),
        # An installation may print nothing for a long time.
        closing(docker_api.connect(address, _SILENCE)) as client,
    ):
        # A daemon that was killed during a setup leaves a container of this name.
        _remove(client, how.name)
        container = _create(client, spec, images, how)
        try:
            # A stop that came before the container existed has removed nothing.
            stop.check()
            _run_to_its_end(container, progress)
            _commit(container, images.after, progress)
        finally:
            _remove(client, how.name)


def _end(address: str, name: str) -> None:
    with (
        docker_api.errors("stop the setup", address),
        closing(docker_api.connect(address)) as client,
    ):
        _remove(client, name)


def _commit(container: Any, image: str, progress: Progress) -> None:
    progress("keeping what the setup made")
    repository, _, tag = image.partition(":")
    container.client.api.commit(container.id, repository=repository, tag=tag)


def _run_to_its_end(container: Any, progress: Progress) -> None:
    container.start()
    # Standard output alone: Docker delivers the two streams in either order, and standard error,
    # which says why a setup failed, becomes the error.
    _tell(container.logs(stream=True, follow=True, stderr=False), progress)
    if int(container.wait(timeout=docker_api.CALL_TIMEOUT)["StatusCode"]) != 0:
        raise _failed(container)


@contextmanager
def _gone_is_stopped() -> Generator[None]:
    try:
        yield
    except docker_api.NoSuchObject as error:
        raise EnvironmentFault(
            "the project's setup was stopped: its container was removed", code="setup_stopped"
        ) from error


def _create(client: Any, spec: SandboxSpec, images: SetupImages, how: Container) -> Any:
    ours: dict[str, Any] = {
        "read_only": False,
        "entrypoint": ["/bin/sh", "-c", _ENTRY, "sh"],
        # `docker commit` writes the container's variables into the image.
        "environment": {},
    }
    folders = spec.folders
    mounts = [
        docker_api.types.Mount(str(target), str(source.resolve()), type="bind", read_only=True)
        for source, target in (
            (folders.spec, layout.SPEC),
            (folders.base_objects, layout.BASE_OBJECTS),
            (folders.gateway_socket.parent, layout.GATEWAY),
        )
    ]
    command = [runner_library.PYTHON, "-m", "agent_runner", "setup", "--spec", str(layout.SPEC)]
    labels = {"dev.rover.kind": "setup", "dev.rover.image": images.after.partition(":")[2]}
    return client.containers.create(
        images.before, how.command(command), name=how.name, labels=labels, mounts=mounts,
        **{**how.options, **ours},
    )  # fmt: skip


def _tell(chunks: Any, progress: Progress) -> None:
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + cast("bytes", chunk)[-65536:]).split(b"\n")
        for line in lines:
            if text := clean_line(line.decode("utf-8", "replace")):
                progress(text)
        rest = rest[-4096:]


def _failed(container: Any) -> EnvironmentFault:
    errors = cast("bytes", container.logs(stdout=False, stderr=True, tail=FAILURE_LINES))
    lines = [clean_line(line) for line in errors.decode("utf-8", "replace").splitlines()]
    reason = "\n".join(line for line in lines if line) or "it was killed"
    return EnvironmentFault(
        f"the project's setup failed: {reason}",
        hint="the log of step setup has all that it printed. A task keeps the setup that it was "
        "created with: correct it, commit that, and create the task again; or "
        "`devcontainer: image` (rover create --devcontainer image) leaves out the commands of a "
        "devcontainer",
        code="setup_failed",
    )


def _remove(client: Any, name: str) -> None:
    with suppress(docker_api.NotFound):
        client.containers.get(name).remove(force=True, v=True)
