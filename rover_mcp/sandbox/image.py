"""Builds the sandbox image in layers that change for different reasons, each once per content.

    base          the user's, or the default
    project       the repository's own Dockerfile on it, where it has one
    tools         of the default base: compilers and the like (build_tools.py)
    ground        what a sandbox needs of any base: bash, git, the agent's user (Dockerfile);
                  of the default one, also Node
    setup         what the project's setup made: a container in which it ran, committed
    sandbox       the runner with its Python, then the agents' programs

A tag is a hash of all that decides the content, the base's image id first: a base that was pulled
again under the same name gives another image. A build that is killed leaves no tag; two daemons
that build at once make the same image twice, one daemon makes it once.
"""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
import tempfile
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, cast

from rover_mcp.domain.cancellation import CancelToken
from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.domain.source_tree import DockerfileBuild, ProjectSetup, SourceTree
from rover_mcp.sandbox import (
    agent_bundle,
    build_tools,
    mount_policy,
    node_bundle,
    python_bundle,
    runner_library,
)
from rover_mcp.sandbox.agent_bundle import AgentBundle
from rover_mcp.sandbox.build_tools import OptionalPart
from rover_mcp.sandbox.docker_images import (
    BASE_LABEL,
    KIND_LABEL,
    LABEL,
    Build,
    BuildFailed,
    DockerImages,
    ImageUnavailable,
    Layer,
    Progress,
)

DEFAULT_IMAGE = "debian:bookworm-slim"
REPOSITORY = "rover-sandbox"
TOOLS = "rover-tools"
GROUND = "rover-ground"
SETUP = "rover-setup"
PROJECT = "rover-project"
RUNNER_LABEL = "dev.rover.runner"
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DOCKERFILE = Path(__file__).with_name("Dockerfile")
MAX_DOCKERFILE = 256 * 1024
_FROM = "FROM {base}"
_FROM_LINE = re.compile(
    r"^[ \t]*FROM[ \t]+(?:--\S+[ \t]+)*(\S+)(?:[ \t]+AS[ \t]+(\S+))?", re.IGNORECASE | re.MULTILINE
)
_OWN_DOCKERFILE = ".rover-Dockerfile"
_ASK_PYTHON = 'command -v python3 >/dev/null && exec python3 -I -S -c "$1"'
_PROBE = runner_library.PROBE


def ground_tag(base_id: str, node: Path | None = None) -> str:
    """The tag of a base's ground; `node` is put into it."""
    parts = [node.name] if node else []
    return _tag(GROUND, base_id, DOCKERFILE.read_text("utf-8"), *parts)


def sandbox_tag(ground: str, agents: Sequence[AgentBundle]) -> str:
    """The tag of the sandbox image on a ground."""
    identities = sorted(bundle.identity for bundle in agents)
    return _tag(REPOSITORY, ground, runner_library.runner_identity(), _FROM, *identities)


@dataclass(frozen=True)
class ImageRequest:
    """What a sandbox image is made of. `set_up` makes the image of the second name by running the
    project's setup in the first; `setup_key` is the same for the same setup."""

    base: str
    agents: Sequence[AgentBundle] = ()
    project: ProjectSetup = field(default_factory=ProjectSetup)
    setup_key: str | None = None
    set_up: Callable[[str, str], None] | None = None


class ImageBuilder:
    """Makes the sandbox images of one engine. `home` is the data folder, where what is the same
    in all of them is kept."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._pythons = home / "cache" / "python"
        self._node = OptionalPart("Node", node_bundle.HINT)
        self._tools = OptionalPart("build tools (gcc, make, ...)", build_tools.HINT)
        self._guard = threading.Lock()
        self._building: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def ask_again(self) -> None:
        """Try the parts that the default image lacks again at the next build."""
        self._node.ask_again()
        self._tools.ask_again()

    def build(
        self,
        client: Any,
        address: str,
        wanted: ImageRequest,
        progress: Progress,
        stop: CancelToken | None = None,
    ) -> str:
        """The tag of the sandbox image, built if the engine does not have it yet.

        Raises:
            EnvironmentFault: "image_unavailable", which names the image and what to do; or as
                docker_api.errors, or as `wanted.set_up`.
        """
        images = DockerImages(client, address, stop)
        base = self._base(images, wanted, progress)
        below_ground, node = base, None
        base_id = images.need(base, progress)
        if base == DEFAULT_IMAGE:
            below_ground, base_id = self._with_tools(images, base_id, progress)
            node = self._node.obtain(
                lambda: node_bundle.obtain_node(progress), EnvironmentFault, progress
            )
        ground = ground_tag(base_id, node)
        below = ground if wanted.setup_key is None else _tag(SETUP, ground, wanted.setup_key)
        tag = sandbox_tag(below, wanted.agents)
        if images.id_of(tag) is None:
            with self._one(ground):
                self._ground(images, ground, base, below_ground, node, progress)
            if below != ground and wanted.set_up is not None:
                plain = sandbox_tag(ground, ())
                with self._one(plain):
                    self._sandbox(images, plain, ground, base, (), progress)
                with self._one(below):
                    if images.id_of(below) is None:
                        wanted.set_up(plain, below)
            with self._one(tag):
                self._sandbox(images, tag, below, base, wanted.agents, progress)
        return tag

    def _base(self, images: DockerImages, wanted: ImageRequest, progress: Progress) -> str:
        build, tree = wanted.project.build, wanted.project.tree
        if build is None or tree is None:
            return wanted.project.image or wanted.base
        text = tree.read(build.dockerfile, MAX_DOCKERFILE)
        if text is None:
            raise ImageUnavailable(build.dockerfile, "it is not in the task's base commit")
        below = [images.need(name, progress) for name in bases_of(text.decode("utf-8", "replace"))]
        parts = [build.key, build.dockerfile, json.dumps(dict(build.args)), build.target or ""]
        tag = _tag(PROJECT, *below, *parts)
        with self._one(tag):
            if images.id_of(tag) is None:
                progress(f"building {build.dockerfile}")
                build_project(images, tag, build, tree, text, progress)
        return tag

    def _one(self, tag: str) -> threading.Lock:
        # A second build of the same tag waits, and then finds the first one's image.
        with self._guard:
            return self._building[tag]

    def _with_tools(
        self, images: DockerImages, base_id: str, progress: Progress
    ) -> tuple[str, str]:
        """The default base with its tools, by name and content; without them if they cannot be
        installed."""
        text = build_tools.dockerfile(DEFAULT_IMAGE)
        tag = _tag(TOOLS, base_id, text)

        def make() -> str:
            image_id = images.id_of(tag)
            if image_id is None:
                progress(f"adding build tools to {DEFAULT_IMAGE}")
                labels = _labels("tools", DEFAULT_IMAGE, tag)
                build_tools.add(images, Build(tag, text, (), labels, DEFAULT_IMAGE), progress)
                image_id = images.id_of(tag)
            return image_id or ""

        tools = self._tools.obtain(make, ImageUnavailable, progress)
        return (tag, tools) if tools else (DEFAULT_IMAGE, base_id)

    def _ground(
        self,
        images: DockerImages,
        tag: str,
        base: str,
        below: str,
        node: Path | None,
        progress: Progress,
    ) -> None:
        if images.id_of(tag) is not None:
            return
        progress(f"preparing {base}")
        text = DOCKERFILE.read_text("utf-8").replace("ARG BASE=debian:bookworm-slim\n", "")
        layers = [Layer(node, node_bundle.INSIDE)] if node else []
        self._judge(layer.source for layer in layers)
        text = text.replace("${BASE}", below)
        build = Build(tag, text, layers, _labels("ground", base, tag), base)
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
        labels = cast("dict[str, str]", images.config(ground).get("Labels") or {})
        has_runner = labels.get(RUNNER_LABEL) == runner_library.runner_identity()
        with tempfile.TemporaryDirectory(prefix="rover-image-") as scratch:
            layers = [
                *(() if has_runner else self._runner(images, ground, Path(scratch), progress)),
                *(Layer(b.folder, str(agent_bundle.INSIDE / b.agent)) for b in agents),
            ]
            self._judge(layer.source for layer in layers)
            text = _FROM.format(base=ground)
            image_labels = _labels("sandbox", base, tag)
            image_labels[RUNNER_LABEL] = runner_library.runner_identity()
            images.build(Build(tag, text, layers, image_labels, base), progress)

    def _judge(self, sources: Iterable[Path]) -> None:
        """Refuse private folders: what an image holds is seen in every sandbox made from it."""
        paths = list(sources)
        ours = [path for path in paths if path.parent == self._pythons]
        mount_policy.refuse_exposure(self._home, paths, ours)

    def _runner(
        self, images: DockerImages, ground: str, scratch: Path, progress: Progress
    ) -> list[Layer]:
        # What changes least first: the engine's own cache then keeps it.
        layers: list[Layer] = []
        code, output = images.output_of(ground, ["/bin/sh", "-c", _ASK_PYTHON, "sh", _PROBE])
        own = runner_library.own_interpreter(output) if code == 0 else None
        argv = [own] if own else python_bundle.bundle_argv()
        if own is None:
            self._judge(filter(None, python_bundle.standard_library()))
            bundle = python_bundle.make_bundle(self._pythons, runner_library.extensions(), progress)
            layers.append(Layer(bundle, str(python_bundle.TARGET)))
        runner_library.fill_dependencies(scratch / "dependencies", argv)
        runner_library.fill_runner(scratch / "runner")
        return [
            *layers,
            Layer(scratch / "dependencies", runner_library.ROOT),
            Layer(scratch / "runner", runner_library.ROOT),
        ]


def build_project(
    images: DockerImages,
    tag: str,
    build: DockerfileBuild,
    tree: SourceTree,
    dockerfile: bytes,
    progress: Progress,
) -> None:
    """Build the repository's own Dockerfile, with the files of the base commit as its context: a
    work tree may hold secrets that are not committed. No secret is given to it.

    Raises:
        EnvironmentFault: "image_unavailable", with the lines of the build that say why.
    """
    with tempfile.TemporaryFile() as packed:
        with tarfile.open(fileobj=packed, mode="w") as archive:
            tree.pack(build.context, archive)
            # Under a name of its own: the Dockerfile may lie outside of the context, or be left out
            # of it by .dockerignore.
            info = tarfile.TarInfo(_OWN_DOCKERFILE)
            info.size = len(dockerfile)
            archive.addfile(info, BytesIO(dockerfile))
        packed.seek(0)
        plain = Build(tag, "", names=build.dockerfile)
        if build.offline:
            progress("its RUN lines have no network: the network policy of the task allows none")
        try:
            images.run_build(
                packed, plain, progress, dockerfile=_OWN_DOCKERFILE, buildargs=dict(build.args),
                network_mode="none" if build.offline else None, target=build.target,
                labels=_labels("project", build.dockerfile, tag),
            )  # fmt: skip
        except ImageUnavailable as error:
            raise BuildFailed(build.dockerfile, error.why) from error


def bases_of(dockerfile: str) -> list[str]:
    """The images that a Dockerfile names, without its own stages and those that come out of an
    argument: these are the engine's to find."""
    stages: set[str] = set()
    bases: list[str] = []
    for name, stage in _FROM_LINE.findall(dockerfile):
        if name not in stages and name != "scratch" and "$" not in name:
            bases.append(name)
        stages.add(stage)
    return list(dict.fromkeys(bases))


def _labels(kind: str, base: str, tag: str) -> dict[str, str]:
    return {LABEL: tag.partition(":")[2], KIND_LABEL: kind, BASE_LABEL: base}


def _tag(repository: str, *parts: str) -> str:
    return f"{repository}:{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]}"
