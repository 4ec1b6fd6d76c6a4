"""Images of a Docker engine: looked at, pulled, built from layers. What is built is image.py's."""

from __future__ import annotations

import json
import re
import tarfile
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any, cast

from agent_runner.failure_cause import FailureCause
from rover_mcp.domain.cancellation import CancelToken
from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.domain.text import one_line
from rover_mcp.sandbox import docker_api
from rover_mcp.sandbox.protocol import ImageInfo

LABEL = "dev.rover.image"
KIND_LABEL = "dev.rover.kind"
BASE_LABEL = "dev.rover.base"
LINE_CHARACTERS = 300
_PODMAN = "docker.io/library/"
"""What podman puts before a short name that its Docker API was given."""
_PIECE = 4096
_SILENCE = 3600
"""Seconds that one step of a build may take without a word."""
_NOISE = re.compile(r"---> |Removing intermediate container |Successfully |\[Warning\] ")
_PULL_STATES = frozenset({"Pulling fs layer", "Downloading", "Extracting", "Pull complete"})
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Layer:
    """What is copied into an image: `source`, a file or a folder, to `target`."""

    source: Path
    target: str


@dataclass(frozen=True)
class Build:
    """An image to be made. `names` says for errors which image it is built on."""

    tag: str
    dockerfile: str
    layers: Sequence[Layer] = ()
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    names: str = ""


def clean_line(text: str) -> str:
    """One line of a build, for a person's terminal: no escapes, not too long. What a build
    prints is untrusted."""
    last = text.rstrip("\r\n").rpartition("\r")[2]
    return one_line(last)[:LINE_CHARACTERS]


class DockerImages:
    """The images of one engine.

    Raises, from every method: EnvironmentFault as docker_api.errors says.
    """

    def __init__(self, client: Any, address: str, stop: CancelToken | None = None) -> None:
        self._client = client
        self._address = address
        self._stop = stop or CancelToken()

    def id_of(self, reference: str) -> str | None:
        """The content address of an image; None if the engine does not have it."""
        try:
            with docker_api.errors(f"look for the image {reference}", self._address):
                return str(self._client.images.get(reference).id)
        except docker_api.NoSuchObject:
            return None

    def config(self, reference: str) -> dict[str, Any]:
        """What an image says of itself: Env, Labels, ...

        Raises:
            EnvironmentFault: "image_unavailable".
        """
        try:
            with docker_api.errors(f"look into {reference}", self._address):
                return cast("dict[str, Any]", self._client.images.get(reference).attrs["Config"])
        except docker_api.NoSuchObject as error:
            raise ImageUnavailable(reference, "it was removed just now") from error

    def environment(self, reference: str) -> dict[str, str]:
        """The variables that an image sets. Raises as `config` does."""
        variables = cast("list[str]", self.config(reference).get("Env") or [])
        return {name: value for name, _, value in (text.partition("=") for text in variables)}

    def need(self, reference: str, progress: Progress) -> str:
        """The content address of an image, which is pulled if the engine does not have it.

        Raises:
            EnvironmentFault: "image_unavailable".
        """
        image_id = self.id_of(reference)
        if image_id is not None:
            return image_id
        self._pull(reference, progress)
        return self.id_of(reference) or ""

    def build(self, build: Build, progress: Progress) -> None:
        """Make an image; its tag exists only once all of it does.

        Raises:
            EnvironmentFault: "image_unavailable", with the lines of the build that say why.
        """
        with tempfile.TemporaryFile() as packed:
            with tarfile.open(fileobj=packed, mode="w") as archive:
                text = build.dockerfile
                for number, layer in enumerate(build.layers):
                    archive.add(layer.source, arcname=f"layer{number}", filter=_anonymous)
                    # COPY of a folder copies its content, not the folder itself.
                    text += f"\nCOPY layer{number} {layer.target}"
                info = tarfile.TarInfo("Dockerfile")
                # Last: the engine's cache ends at the first line that differs, and tags differ.
                content = (text + _label_line(build.labels) + "\n").encode()
                info.size = len(content)
                archive.addfile(info, BytesIO(content))
            packed.seek(0)
            self.run_build(packed, build, progress)

    def run_build(self, packed: Any, build: Build, progress: Progress, **options: object) -> None:
        """Build a packed context over a connection of its own: the engine ends a build whose caller
        is gone. Raises as `build` does, or Stopped."""
        answers: list[Any] = []

        def cut() -> None:
            # shutdown(2) wakes the thread that reads the answer; closing it would not.
            for answer in answers[-1:]:
                answer.raw.shutdown()

        with (
            self._stop.during(cut),
            docker_api.errors("build the sandbox image", self._address),
            closing(docker_api.connect(self._address, _SILENCE)) as client,
            docker_api.answers_of(client, answers),
        ):
            lines = client.api.build(
                fileobj=packed,
                custom_context=True,
                tag=build.tag,
                rm=True,
                forcerm=True,
                decode=True,
                timeout=_SILENCE,
                **options,
            )
            watch(lines, build.names, progress)

    def output_of(self, reference: str, argv: Sequence[str]) -> tuple[int, str]:
        """Run a short program in an image, without a network: its exit status and output."""
        with docker_api.errors(f"look into {reference}", self._address):
            container = self._client.containers.create(
                reference, list(argv), network_mode="none", entrypoint=[], user="0:0",
                cap_drop=["ALL"], security_opt=["no-new-privileges"],
            )  # fmt: skip
            try:
                container.start()
                code = int(container.wait(timeout=docker_api.CALL_TIMEOUT)["StatusCode"])
                output = container.logs(stdout=True, stderr=code != 0)
            finally:
                container.remove(force=True, v=True)
        return code, cast("bytes", output).decode("utf-8", "replace")

    def made(self) -> list[ImageInfo]:
        """The images that Rover made, by their label."""
        with docker_api.errors("list the images", self._address):
            images = self._client.images.list(filters={"label": LABEL})
            running = self._client.api.containers(all=True)
        used = {str(facts["ImageID"]) for facts in cast("list[dict[str, Any]]", running)}
        return [
            _info(tag.removeprefix(_PODMAN), image.attrs, used=str(image.id) in used)
            for image in images
            for tag in image.tags
        ]

    def remove(self, tag: str) -> bool:
        """Remove an image by its tag. False if the engine refuses, or the image is gone."""
        try:
            with docker_api.errors(f"remove the image {tag}", self._address):
                self._client.images.remove(tag)
        except docker_api.NoSuchObject:
            return False
        except EnvironmentFault as error:
            # A container was made from it, or an image is based on it.
            if error.code == "engine_refused":
                return False
            raise
        return True

    def _pull(self, reference: str, progress: Progress) -> None:
        progress(f"pulling {reference}")
        name, tag = split_reference(reference)
        try:
            with docker_api.errors(f"pull {reference}", self._address):
                lines = self._client.api.pull(name, tag=tag, stream=True, decode=True)
                _watch_pull(lines, reference, progress)
        except docker_api.NoSuchObject as error:
            raise ImageUnavailable(reference, "no registry has it") from error
        except EnvironmentFault as error:
            if error.code == "engine_refused":
                raise ImageUnavailable(reference, error.message) from error
            raise


def split_reference(reference: str) -> tuple[str, str | None]:
    """A reference's name and its tag; None if a digest stands in the tag's place."""
    if "@" in reference:
        return reference, None
    name, colon, tag = reference.rpartition(":")
    return (name, tag) if colon and "/" not in tag else (reference, "latest")


class ImageUnavailable(EnvironmentFault):
    """An image that can be neither found, pulled nor built; `why` says the cause."""

    code = "image_unavailable"

    def __init__(self, image: str, why: str) -> None:
        super().__init__(
            f"the sandbox's base image {image} cannot be obtained: {why}",
            hint=f"run: docker pull {image}; or set base_image in config.yaml to an image with "
            "bash and git; or set engine: bubblewrap in config.yaml",
        )
        self.why = why


def cannot_build_offline(engine: str, dockerfile: str) -> EnvironmentFault:
    """The error for an engine that cannot keep a Dockerfile's commands from the network."""
    return EnvironmentFault(
        f"{engine} gives the RUN lines of {dockerfile} this machine's network, and the network "
        "policy of the task allows none",
        hint="base_image in config.yaml; or engine: docker, or network: allowlist, which the "
        "user's config.yaml has to allow",
        code="image_unavailable",
    )


class BuildFailed(ImageUnavailable):
    """The project's own Dockerfile cannot be built."""

    def __init__(self, dockerfile: str, why: str) -> None:
        super().__init__(dockerfile, why)
        self.message = f"the project's {dockerfile} cannot be built: {why}"
        self.args = (self.message,)
        self.hint = (
            "the log of step setup has all that the build printed. Correct the file, commit that, "
            "and create the task again; or `image` in .rover/config.yaml names one that is built"
        )


def watch(lines: Any, names: str, progress: Progress) -> None:
    """Report the lines of a build as they come.

    Raises:
        EnvironmentFault: "image_unavailable": it failed.
    """
    rest, cause = "", FailureCause()
    for line in cast("list[dict[str, Any]]", lines):
        # What a program prints comes in pieces: some of a line, or several at once.
        *complete, rest = (rest[-_PIECE:] + str(line.get("stream", ""))).split("\n")
        for piece in [*complete, rest] if "error" in line else complete:
            text = clean_line(piece)
            cause.add(text)
            if text and not _NOISE.match(text):
                progress(text)
        if "error" in line:
            raise ImageUnavailable(names, f"{clean_line(str(line['error']))} ({cause.both})")


def _watch_pull(lines: Any, reference: str, progress: Progress) -> None:
    layers: dict[str, str] = {}
    for line in cast("list[dict[str, Any]]", lines):
        if "error" in line:
            raise ImageUnavailable(reference, clean_line(str(line["error"])))
        state = str(line.get("status", ""))
        if line.get("id") and state in _PULL_STATES:
            layers[str(line["id"])] = state
            done = sum(s == "Pull complete" for s in layers.values())
            progress(f"pulling {reference}: {done} of {len(layers)} layers")


def _info(tag: str, facts: Mapping[str, Any], *, used: bool) -> ImageInfo:
    labels = cast("dict[str, str]", facts["Config"]["Labels"])
    created = datetime.fromisoformat(str(facts["Created"])[:19] + "+00:00")
    return ImageInfo(
        tag=tag,
        kind=labels.get(KIND_LABEL, ""),
        base=labels.get(BASE_LABEL, ""),
        bytes=int(facts["Size"]),
        created_at=created.timestamp(),
        used=used,
        layers=tuple(facts["RootFS"]["Layers"]),
    )


def _label_line(labels: Mapping[str, str]) -> str:
    # One instruction, since each costs a container. A Dockerfile quotes strings as JSON does.
    pairs = (f"{name}={json.dumps(value)}" for name, value in sorted(labels.items()))
    return "\nLABEL " + " ".join(pairs) if labels else ""


def _anonymous(info: tarfile.TarInfo) -> tarfile.TarInfo:
    # The same layer whoever builds it, and readable by the agent.
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    info.mtime = 0
    info.mode = 0o755 if info.isdir() or info.mode & 0o100 else 0o644
    return info
