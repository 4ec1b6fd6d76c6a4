"""The sandbox image, in layers that change for different reasons, each built once per content.

    base          the user's, or the default
    ground        what a sandbox needs of any base: bash, git, the agent's user (Dockerfile)
    sandbox       the runner with its Python, then the agents' programs

A tag is a hash of all that decides the content, the base's image id first (N6). A build that is
killed leaves no tag; two that run at once make the same image twice, and within one daemon once.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import threading
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rover_mcp.sandbox import bundles, python_bundle, runner_library
from rover_mcp.sandbox.bundles import AgentBundle
from rover_mcp.sandbox.docker_images import Build, DockerImages, Layer, Progress

REPOSITORY = "rover-sandbox"
GROUND = "rover-ground"
LABEL = "dev.rover.image"
KIND_LABEL = "dev.rover.kind"
BASE_LABEL = "dev.rover.base"
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DOCKERFILE = Path(__file__).with_name("Dockerfile")
_FROM = "FROM {base}"
_ASK_PYTHON = 'command -v python3 >/dev/null && exec python3 -I -S -c "$1"'
_PROBE = runner_library.PROBE


def ground_tag(base_id: str) -> str:
    """The tag of a base's ground."""
    return _tag(GROUND, base_id, DOCKERFILE.read_text("utf-8"))


def sandbox_tag(ground: str, agents: Sequence[AgentBundle]) -> str:
    """The tag of the sandbox image on a ground."""
    identities = sorted(bundle.identity for bundle in agents)
    return _tag(REPOSITORY, ground, runner_library.runner_identity(), _FROM, *identities)


class ImageBuilder:
    """Makes the sandbox images of one engine. `cache` keeps what is the same in all of them."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._guard = threading.Lock()
        self._building: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def build(
        self,
        client: Any,
        address: str,
        base: str,
        agents: Sequence[AgentBundle],
        progress: Progress,
    ) -> str:
        """The tag of the sandbox image on `base`, built if the engine does not have it yet.

        Raises:
            EnvironmentFault: "image_unavailable", which names the image and what to do; or as
                docker_api.errors.
        """
        images = DockerImages(client, address)
        ground = ground_tag(images.need(base, progress))
        tag = sandbox_tag(ground, agents)
        if images.id_of(tag) is None:
            with self._one(ground):
                self._ground(images, ground, base, progress)
            with self._one(tag):
                self._sandbox(images, tag, ground, base, agents, progress)
        return tag

    def _one(self, tag: str) -> threading.Lock:
        # The second finds the first one's image.
        with self._guard:
            return self._building[tag]

    def _ground(self, images: DockerImages, tag: str, base: str, progress: Progress) -> None:
        if images.id_of(tag) is not None:
            return
        progress(f"preparing {base}")
        text = DOCKERFILE.read_text("utf-8").replace("ARG BASE=debian:bookworm-slim\n", "")
        build = Build(tag, text.replace("${BASE}", base), (), _labels("ground", base, tag), base)
        images.build(build, progress)

    def _sandbox(
        self,
        images: DockerImages,
        tag: str,
        ground: str,
        base: str,
        agents: Sequence[AgentBundle],
        progress: Progress,
    ) -> None:
        if images.id_of(tag) is not None:
            return
        progress(f"building the sandbox image from {base}")
        with tempfile.TemporaryDirectory(prefix="rover-image-") as scratch:
            layers = [
                *self._runner_layers(images, ground, Path(scratch), progress),
                *(Layer(b.folder, str(bundles.INSIDE / b.agent)) for b in agents),
            ]
            text = _FROM.format(base=ground)
            images.build(Build(tag, text, layers, _labels("sandbox", base, tag), base), progress)

    def _runner_layers(
        self, images: DockerImages, ground: str, scratch: Path, progress: Progress
    ) -> list[Layer]:
        # What changes least first: the engine's own cache then keeps it.
        layers: list[Layer] = []
        code, said = images.output_of(ground, ["/bin/sh", "-c", _ASK_PYTHON, "sh", _PROBE])
        own = runner_library.own_interpreter(said) if code == 0 else None
        argv = [own] if own else python_bundle.bundle_argv()
        if own is None:
            found = python_bundle.make_bundle(
                self._cache / "python", runner_library.extensions(), progress
            )
            layers.append(Layer(found, str(python_bundle.TARGET)))
        runner_library.fill_dependencies(scratch / "dependencies", argv)
        runner_library.fill_runner(scratch / "runner")
        return [
            *layers,
            Layer(scratch / "dependencies", runner_library.ROOT),
            Layer(scratch / "runner", runner_library.ROOT),
        ]


def _labels(kind: str, base: str, tag: str) -> dict[str, str]:
    return {LABEL: tag.partition(":")[2], KIND_LABEL: kind, BASE_LABEL: base}


def _tag(repository: str, *parts: str) -> str:
    return f"{repository}:{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]}"
