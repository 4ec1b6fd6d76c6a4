"""Writes the spec folder of a container, which the runner inside reads first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from agent_runner.spec import Paths, Setup, SwitchUser
from rover_mcp.sandbox import agent_bundle, agent_programs, docker_setup, layout, node_bundle
from rover_mcp.sandbox.image import DEFAULT_PATH
from rover_mcp.sandbox.protocol import IMAGE_FILE, SandboxSpec

_OUR_VARIABLES = frozenset({"HOME", "USER", "LOGNAME", "TMPDIR", "TERM", "PATH"})


def write(
    spec: SandboxSpec, image: Mapping[str, str], tag: str, setup: Setup | None = None
) -> None:
    """Write a sandbox's spec folder; `image` is the environment that its image sets.

    `setup` is the setup that is still to run: in the image of a task it has run already.
    """
    seed = docker_setup.SEED if spec.run.setup else None
    spec = replace(spec, run=spec.run.model_copy(update={"setup": setup}))
    programs = agent_bundle.search_path(agent_programs.programs(spec.agents))
    path = ":".join((*programs, image.get("PATH", DEFAULT_PATH), node_bundle.BIN))
    layout.write_spec(
        spec,
        paths=Paths(spec=layout.SPEC, run=layout.RUN, seed=seed),
        gateway=layout.GATEWAY / spec.folders.gateway_socket.name,
        isolation=SwitchUser(uid=layout.AGENT_UID, gid=layout.AGENT_GID),
        environment={**image_environment(image), "PATH": path, "ROVER_PATH": path},
    )
    (spec.folders.spec / IMAGE_FILE).write_text(tag, "utf-8")
    # Bind mounts keep the modes of the host, and the daemon's umask may be anything: the agent's
    # user has to read the spec folder, and must not read the journal's.
    spec.folders.run.chmod(0o700)
    spec.folders.spec.chmod(0o755)
    for file in spec.folders.spec.rglob("*"):
        file.chmod(0o755 if file.is_dir() else 0o644)


def image_environment(image: Mapping[str, str]) -> dict[str, str]:
    """The variables that an image sets, without those that a sandbox sets itself."""
    return {k: v for k, v in image.items() if k not in _OUR_VARIABLES}
