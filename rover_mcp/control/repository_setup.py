"""What a repository says of its own sandboxes' image, read from the task's base commit: its
devcontainer.json and its setup script. Everything in it is data of the repository's."""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from agent_runner.spec import Setup
from rover_mcp.config.devcontainer import MAX_BYTES, PLACES, Devcontainer, parse_devcontainer
from rover_mcp.config.project import SetupConfig
from rover_mcp.config.project_asks import IMAGELESS, LINK, SCRIPT
from rover_mcp.config.settings import Settings
from rover_mcp.config.task_config import TaskConfig
from rover_mcp.config.values import DevcontainerUse
from rover_mcp.domain.network_policy import NetworkMode
from rover_mcp.domain.source_tree import ProjectSetup, SourceFile, SourceTree
from rover_mcp.sandbox.protocol import SandboxSpec
from rover_mcp.store.records import TaskRow

LOCK_FILES = frozenset(
    {
        "package.json", "package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml",
        "pnpm-workspace.yaml", "bun.lock", "bun.lockb", "deno.lock", "pyproject.toml", "setup.py",
        "setup.cfg", "uv.lock", "poetry.lock", "pdm.lock", "Pipfile", "Pipfile.lock",
        "environment.yml", "Cargo.toml", "Cargo.lock", "go.mod", "go.sum", "Gemfile",
        "Gemfile.lock", "composer.json", "composer.lock", "mix.exs", "mix.lock", "pom.xml",
        "build.gradle", "build.gradle.kts", "gradle.lockfile", "packages.lock.json", "flake.lock",
        "Makefile", ".tool-versions", ".nvmrc", ".node-version", ".python-version",
        "rust-toolchain", "rust-toolchain.toml",
    }
)  # fmt: skip
"""Whose change lets the setup run again, in any folder; requirements*.txt is one, too."""
_OFFLINE = frozenset({NetworkMode.NONE, NetworkMode.PROVIDERS})
"""Modes in which a Dockerfile is built without a network: the engine's own passes no gateway."""


@dataclass(frozen=True)
class RepositorySetup:
    """What one commit says about its sandboxes. `needs` is what the devcontainer's commands may
    need besides its image, and no sandbox has."""

    project: ProjectSetup = field(default_factory=ProjectSetup)
    of_devcontainer: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    content: str = ""
    """a hash that changes with everything that the commands may depend on"""
    warnings: tuple[str, ...] = ()


@lru_cache(maxsize=64)
def find_setup(
    tree: SourceTree,
    named: str | None = None,
    use: DevcontainerUse = "all",
    *,
    own_setup: bool = False,
) -> RepositorySetup:
    """Read what a commit says about its sandboxes; once, because a commit never changes. `named` is
    a further script in it that the project's configuration names; `use` and `own_setup` say which
    parts of the devcontainer count.

    Raises:
        UserFixable: its devcontainer.json cannot be used.
        EnvironmentFault: git failed.
    """
    files = {entry.path: entry for entry in tree.files()}
    regular = SCRIPT in files and files[SCRIPT].mode != LINK
    place = None if use == "off" else next((p for p in PLACES if p in files), None)
    data = tree.read(place, MAX_BYTES) if place else None
    read = parse_devcontainer(data, place) if place and data is not None else Devcontainer()
    read = read.within(use, own_setup=own_setup)
    scripts = [*([SCRIPT] if regular else []), *([named] if named else [])]
    build = read.build
    if build is not None:
        context = [e for e in files.values() if _beneath(e.path, build.context)]
        build = replace(build, key=_digest([*context, *_named(files, build.dockerfile)]))
    decisive = [e for e in files.values() if _decides(e.path)]
    return RepositorySetup(
        project=ProjectSetup(read.image, build, tree),
        of_devcontainer=read.commands,
        needs=read.needs,
        commands=tuple(f"bash {script}" for script in dict.fromkeys(scripts)),
        environment=tuple(read.environment.items()),
        content=_digest([*decisive, *_named(files, *scripts, place or "")]),
        warnings=_warnings(place, read, unreadable=place is not None and data is None),
    )


def with_setup(
    spec: SandboxSpec,
    environment: RepositorySetup,
    engine: str,
    *,
    commands: Sequence[str] = (),
    image: str | None = None,
    timeout: float,
) -> tuple[SandboxSpec, list[str]]:
    """The specification with the project's setup, and what a person should know of it.
    `commands` are further ones, of the project's configuration; `image` is one that goes before
    the project's."""
    warnings = list(environment.warnings)
    project = environment.project
    has_image = bool(project.image or project.build)
    if image is not None:
        project = ProjectSetup()
    elif engine in IMAGELESS and has_image:
        only = ", and its commands are only tried" if environment.of_devcontainer else ""
        warnings.append(
            f"the devcontainer's image is not used: {engine} has no images, its sandboxes see this "
            f"machine's own programs{only}"
        )
    honoured = has_image and image is None and engine not in IMAGELESS and not environment.needs
    tried = () if honoured else environment.of_devcontainer
    every = (*(environment.of_devcontainer if honoured else ()), *environment.commands, *commands)
    variables = {**dict(environment.environment), **spec.run.variables}
    setup = None
    if every or tried:
        variable = json.dumps(variables, sort_keys=True)
        parts = [environment.content, *every, variable, *(["tried", *tried] if tried else [])]
        setup = Setup(tried=tried, commands=every, key=_hash(parts), timeout=timeout)
    run = spec.run.model_copy(update={"setup": setup, "variables": variables})
    return replace(spec, run=run, project=project, image=image or spec.image), warnings


def project_setup(
    settings: Settings, task: TaskRow, spec: SandboxSpec, tree: SourceTree
) -> tuple[SandboxSpec, list[str]]:
    """`with_setup` for a task's configuration. Raises as `find_setup`."""
    config = task.config or TaskConfig()
    # An image that the project's configuration or the user names goes before a devcontainer's.
    own = settings.base_image if "base_image" in settings.model_fields_set else None
    setup = config.setup or SetupConfig.model_construct(commands=[])
    environment = RepositorySetup()
    if not config.ignored:
        instead = config.setup is not None
        environment = find_setup(tree, setup.script, config.devcontainer, own_setup=instead)
    if config.without_setup:
        setup = SetupConfig.model_construct(commands=[])
        environment = replace(environment, of_devcontainer=(), commands=(), environment=())
    spec, warnings = with_setup(
        spec, environment, task.engine, commands=setup.commands,
        image=config.image or own, timeout=settings.setup_timeout,
    )  # fmt: skip
    build = spec.project.build
    if build is not None and (task.network or {}).get("mode") in _OFFLINE:
        project = replace(spec.project, build=replace(build, offline=True))
        spec = replace(spec, project=project)
    return spec, warnings


def _beneath(path: str, folder: str) -> bool:
    return not folder or path == folder or path.startswith(f"{folder}/")


def _decides(path: str) -> bool:
    name = posixpath.basename(path)
    listed = name.startswith(("requirements", "constraints")) and name.endswith((".txt", ".in"))
    return listed or name in LOCK_FILES


def _named(files: dict[str, SourceFile], *paths: str) -> list[SourceFile]:
    return [files[path] for path in paths if path in files]


def _digest(entries: Sequence[SourceFile]) -> str:
    return _hash(sorted(f"{e.mode} {e.id} {e.path}" for e in entries))


def _hash(parts: Sequence[str]) -> str:
    text = json.dumps(list(parts))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:24]


def _warnings(place: str | None, read: Devcontainer, *, unreadable: bool) -> tuple[str, ...]:
    if unreadable:
        return (f"{place} is not a regular file, or larger than {MAX_BYTES} bytes: it is ignored",)
    if read.ignored:
        names = ", ".join(name[:80] for name in read.ignored[:20])
        return (f"{place}: not supported, and not applied: {names}",)
    return ()
