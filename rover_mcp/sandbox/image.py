"""The sandbox image: a base, the runner's code and agents' programs, built once per content."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import agent_runner
from rover_mcp.errors import EnvironmentFault
from rover_mcp.sandbox import docker_api
from rover_mcp.sandbox.bundles import AgentBundle

REPOSITORY = "rover-sandbox"
LABEL = "dev.rover.image"
LIBRARY = "/opt/rover/lib"
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DOCKERFILE = Path(__file__).with_name("Dockerfile")
# What agent_runner imports, with what that needs on Python 3.11 and later.
DEPENDENCIES = (
    "pydantic",
    "pydantic_core",
    "PyYAML",
    "anyio",
    "idna",
    "typing_extensions",
    "annotated-types",
    "typing-inspection",
)
_PIP_TIMEOUT = 600.0
_PROBE = (
    "import json,platform,sys;print(json.dumps([sys.implementation.name,sys.version_info[:2],"
    "platform.libc_ver()[0] or 'musl',platform.machine()]))"
)
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Recipe:
    """All that decides what is in an image; its hash is the tag (N6)."""

    base: str
    base_id: str
    dockerfile: str
    runner: str
    dependencies: Sequence[str]
    agents: Sequence[str]

    @property
    def tag(self) -> str:
        parts = [self.base_id, self.dockerfile, self.runner, *self.dependencies]
        text = json.dumps([*parts, *self.agents])
        return f"{REPOSITORY}:{hashlib.sha256(text.encode()).hexdigest()[:24]}"


def make_recipe(base: str, base_id: str, agents: Sequence[AgentBundle]) -> Recipe:
    """The recipe of `base` (its image id is `base_id`) with agents' programs."""
    return Recipe(
        base=base,
        base_id=base_id,
        dockerfile=_digest([DOCKERFILE]),
        runner=_digest(_runner_files()),
        dependencies=[f"{name}=={importlib.metadata.version(name)}" for name in DEPENDENCIES],
        agents=sorted(bundle.identity for bundle in agents),
    )


def is_present(client: Any, address: str, reference: str) -> bool:
    """Whether the engine has this image already.

    Raises:
        EnvironmentFault: as docker_api.errors.
    """
    return _image_id(client, address, reference) is not None


def search_path(client: Any, address: str, reference: str) -> str:
    """The PATH that an image sets, toolchains of a base image included.

    Raises:
        EnvironmentFault: as docker_api.errors, or "image_unavailable".
    """
    try:
        with docker_api.errors(f"look into {reference}", address):
            config: dict[str, Any] = client.images.get(reference).attrs["Config"]
    except docker_api.NoSuchObject as error:
        raise unavailable(reference, "it was removed just now") from error
    for setting in cast("list[str]", config.get("Env") or []):
        if setting.startswith("PATH="):
            return setting.removeprefix("PATH=")
    return DEFAULT_PATH


def build(
    client: Any,
    address: str,
    *,
    base: str,
    agents: Sequence[AgentBundle],
    progress: Progress,
) -> str:
    """The tag of the image, built if the engine does not have it yet.

    Raises:
        EnvironmentFault: "image_unavailable", which names the image and what to do; or as
            docker_api.errors.
    """
    base_id = _image_id(client, address, base)
    if base_id is None:
        _pull(client, address, base, progress)
        base_id = _image_id(client, address, base) or ""
    recipe = make_recipe(base, base_id, agents)
    if is_present(client, address, recipe.tag):
        return recipe.tag
    progress(f"building the sandbox image from {base}")
    with tempfile.TemporaryDirectory(prefix="rover-image-") as folder:
        context = Path(folder)
        shutil.copyfile(DOCKERFILE, context / "Dockerfile")
        (context / "lib").mkdir()
        (context / "agents").mkdir()
        tools = f"{REPOSITORY}-tools:{recipe.tag.partition(':')[2]}"
        _run_build(client, address, context, recipe, tools, "tools", (), progress)
        _fill_library(context / "lib", _probe(client, address, tools, base), progress)
        _run_build(client, address, context, recipe, recipe.tag, None, agents, progress)
        with suppress(docker_api.NoSuchObject), docker_api.errors("untag", address):
            client.images.remove(tools, noprune=True)
    return recipe.tag


# -- engine ------------------------------------------------------------------------------------


def _image_id(client: Any, address: str, reference: str) -> str | None:
    try:
        with docker_api.errors(f"look for the image {reference}", address):
            return str(client.images.get(reference).id)
    except docker_api.NoSuchObject:
        return None


def _pull(client: Any, address: str, base: str, progress: Progress) -> None:
    progress(f"pulling {base}")
    name, tag = _split_reference(base)
    try:
        with docker_api.errors(f"pull {base}", address):
            client.images.pull(name, tag=tag)
    except docker_api.NoSuchObject as error:
        raise unavailable(base, "no registry has it") from error
    except EnvironmentFault as error:
        if error.code == "engine_refused":
            raise unavailable(base, error.message) from error
        raise


def _split_reference(reference: str) -> tuple[str, str | None]:
    if "@" in reference:
        return reference, None
    name, colon, tag = reference.rpartition(":")
    return (name, tag) if colon and "/" not in tag else (reference, "latest")


def unavailable(image: str, why: str) -> EnvironmentFault:
    """The error for an image that cannot be had."""
    return EnvironmentFault(
        f"the sandbox's base image {image} cannot be had: {why}",
        hint=f"run: docker pull {image}; or set base_image in config.yaml to an image with "
        "Python 3.11 or later and git; or set engine: bubblewrap",
        code="image_unavailable",
    )


def _run_build(
    client: Any,
    address: str,
    context: Path,
    recipe: Recipe,
    tag: str,
    target: str | None,
    agents: Sequence[AgentBundle],
    progress: Progress,
) -> None:
    with tempfile.TemporaryFile() as packed:
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for part in ("Dockerfile", "lib", "agents"):
                archive.add(context / part, arcname=part, filter=_anonymous)
            for bundle in agents:
                archive.add(bundle.folder, arcname=f"agents/{bundle.agent}", filter=_anonymous)
        packed.seek(0)
        with docker_api.errors("build the sandbox image", address):
            lines = client.api.build(
                fileobj=packed,
                custom_context=True,
                tag=tag,
                target=target,
                buildargs={"BASE": recipe.base},
                labels={LABEL: recipe.tag.partition(":")[2]},
                rm=True,
                forcerm=True,
                decode=True,
            )
            _watch(lines, recipe.base, progress)


def _watch(lines: Any, base: str, progress: Progress) -> None:
    said = ""
    for line in cast("list[dict[str, Any]]", lines):
        text = str(line.get("stream", "")).strip()
        if text:
            said = text[:300]
            progress(said)
        if "error" in line:
            raise unavailable(base, f"{str(line['error'])[:300]} ({said})")


def _anonymous(info: tarfile.TarInfo) -> tarfile.TarInfo:
    # The same layer whoever builds it, and readable by the agent.
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    info.mtime = 0
    info.mode = 0o755 if info.isdir() or info.mode & 0o100 else 0o644
    return info


def _probe(client: Any, address: str, tag: str, base: str) -> tuple[str, str, str, str]:
    """Implementation, minor version, libc and machine of the Python in an image."""
    with docker_api.errors("look into the image", address):
        container = client.containers.create(
            tag, ["python3", "-I", "-S", "-c", _PROBE], network_mode="none"
        )
        try:
            container.start()
            code = container.wait(timeout=docker_api.CALL_TIMEOUT)["StatusCode"]
            said = container.logs(stdout=True, stderr=code != 0).decode("utf-8", "replace")
        finally:
            container.remove(force=True, v=True)
    if code != 0:
        raise unavailable(base, f"its python3 does not run: {said.strip()[-200:]}")
    name, version, libc, machine = json.loads(said)
    if tuple(version) < (3, 11):
        raise unavailable(base, f"its Python is {version[0]}.{version[1]}, which is too old")
    return name, f"{version[0]}.{version[1]}", libc, machine


# -- the runner's library ----------------------------------------------------------------------


def own_python() -> tuple[str, str, str, str]:
    """Implementation, minor version, libc and machine of the Python that runs this."""
    return (
        sys.implementation.name,
        f"{sys.version_info[0]}.{sys.version_info[1]}",
        platform.libc_ver()[0] or "musl",
        platform.machine(),
    )


def _fill_library(folder: Path, python: tuple[str, str, str, str], progress: Progress) -> None:
    source = Path(agent_runner.__file__).parent
    shutil.copytree(
        source, folder / "agent_runner", ignore=shutil.ignore_patterns("__pycache__", "*.pyc")
    )
    if python == own_python():
        for name in DEPENDENCIES:
            _copy_distribution(name, folder)
    else:
        progress(f"fetching the runner's dependencies for Python {python[1]}")
        _download(folder, python)


def _copy_distribution(name: str, folder: Path) -> None:
    for file in importlib.metadata.distribution(name).files or []:
        source = Path(str(file.locate()))
        # ".." first: console scripts and the like, outside site-packages.
        if file.parts[0] == ".." or "__pycache__" in file.parts or not source.is_file():
            continue
        target = folder.joinpath(*file.parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def _download(folder: Path, python: tuple[str, str, str, str]) -> None:
    _, version, libc, machine = python
    kind = ("manylinux2014", "manylinux_2_28") if libc == "glibc" else ("musllinux_1_2",)
    wanted = [f"{name}=={importlib.metadata.version(name)}" for name in DEPENDENCIES]
    argv = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile"]
    argv += ["--only-binary=:all:", "--python-version", version, "--target", str(folder)]
    argv += [part for name in kind for part in ("--platform", f"{name}_{machine}")]
    try:
        done = subprocess.run(
            [*argv, *wanted], stdin=subprocess.DEVNULL, capture_output=True,
            timeout=_PIP_TIMEOUT, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _no_dependencies(version, str(error)) from error
    if done.returncode != 0:
        raise _no_dependencies(version, done.stderr.decode("utf-8", "replace").strip()[-300:])


def _no_dependencies(version: str, why: str) -> EnvironmentFault:
    return EnvironmentFault(
        f"the runner's dependencies for Python {version} cannot be fetched: {why}",
        hint="set base_image to an image whose Python is "
        f"{sys.version_info[0]}.{sys.version_info[1]}, as rover's own is, or install pip",
        code="image_unavailable",
    )


def _runner_files() -> list[Path]:
    return sorted(Path(agent_runner.__file__).parent.rglob("*.py"))


def _digest(files: Sequence[Path]) -> str:
    total = hashlib.sha256()
    for file in files:
        total.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return total.hexdigest()
