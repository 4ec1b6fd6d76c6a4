"""What a project asks for beyond the defaults of its user, each with a digest of its content: what
a person consents to. Pure, apart from reading the task's base commit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from rover_mcp.config.devcontainer import MAX_BYTES, PLACES, Devcontainer, parse_devcontainer
from rover_mcp.config.project import FILE, HooksConfig, NetworkConfig, ProjectConfig, SetupConfig
from rover_mcp.config.settings import Settings
from rover_mcp.config.user_maximum import names_mode, openness
from rover_mcp.config.values import DevcontainerUse
from rover_mcp.domain.errors import UserFixable
from rover_mcp.domain.network_policy import NetworkMode
from rover_mcp.domain.source_tree import SourceFile

SCRIPT = ".rover/setup.sh"
IMAGELESS = frozenset({"bubblewrap", "process"})
"""Engines whose sandboxes see this machine's own programs."""
SETUP_COMMANDS = "setup.commands"
NETWORK_MODE, NETWORK_ALLOW = "network.mode", "network.allow"
LINK = "120000"
"""Git's mode of a symbolic link."""


@dataclass(frozen=True)
class Ask:
    """One thing that is asked for. `shown` is a line for a person; other content has another
    digest. `preparing`: it only prepares the sandbox, so a task can do without it."""

    name: str
    shown: str
    digest: str
    preparing: bool = False


class CommittedFiles(Protocol):
    """The files of the commit that a task starts from. Untrusted data."""

    def at(self, paths: Sequence[str]) -> Mapping[str, SourceFile]:
        """Those of the paths at which there is a file or a symbolic link."""
        ...

    def read(self, path: str, limit: int) -> bytes | None:
        """A regular file's content; None where there is none, or it is larger than `limit`."""
        ...


def digest_of(*parts: object) -> str:
    text = json.dumps(parts, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def digest_of_all(asks: Sequence[Ask]) -> str:
    """One digest for all that a project asks for."""
    return digest_of(sorted((ask.name, ask.digest) for ask in asks))


def config_asks(config: ProjectConfig, settings: Settings) -> list[Ask]:
    """What `.rover/config.yaml` asks for. Whatever only narrows (limits, a budget, a network that
    reaches less), and who does the work, is not included."""
    return [
        Ask(name, shown, digest_of(name, *parts), preparing=name == SETUP_COMMANDS)
        for name, shown, *parts in _of_config(config, settings)
    ]


def _of_config(config: ProjectConfig, settings: Settings) -> Iterator[tuple[str, str, object]]:
    mode = config.network.mode
    if mode and opens(NetworkMode(mode), settings):
        yield NETWORK_MODE, f"network: {mode}", mode
    if hosts := hosts_beyond(config, settings):
        yield NETWORK_ALLOW, f"network: allow {', '.join(hosts)}", hosts
    if config.copy_files:
        yield "copy", f"copy into the sandbox: {', '.join(config.copy_files)}", config.copy_files
    if config.environment:
        variables = ", ".join(f"{name}={value}" for name, value in config.environment.items())
        yield "environment", f"environment: {variables}", config.environment
    if config.image:
        yield "image", f"image: {config.image}", config.image
    if config.setup and config.setup.commands:
        commands = config.setup.commands
        yield SETUP_COMMANDS, f"setup commands: {'; '.join(commands)}", commands
    for name, commands in config.hooks.model_dump().items():
        if commands:
            yield f"hooks.{name}", f"hooks.{name}: {'; '.join(commands)}", commands


def opens(mode: NetworkMode, settings: Settings) -> bool:
    """Whether a project's network mode reaches more than the user's. A mode that the user named is
    the most that a project gets, whoever consents."""
    mine = settings.network.mode
    return openness(mode) > openness(mine) and not names_mode(settings)


def hosts_beyond(config: ProjectConfig, settings: Settings) -> list[str]:
    """Hosts in the project's list that no task would reach without it."""
    mine = settings.network
    closed = names_mode(settings) and openness(mine.mode) < openness(NetworkMode.ALLOWLIST)
    if closed or mine.mode is NetworkMode.OPEN:
        return []
    return [host for host in config.network.allow if host not in mine.allow]


def narrowed(config: ProjectConfig, settings: Settings) -> ProjectConfig:
    """The configuration without everything that `config_asks` names."""
    mode = config.network.mode
    kept = mode if mode and not opens(NetworkMode(mode), settings) else None
    beyond = hosts_beyond(config, settings)
    hosts = [host for host in config.network.allow if host not in beyond]
    return config.model_copy(
        update={
            "network": NetworkConfig.model_construct(mode=kept, allow=hosts),
            "copy_files": [],
            "environment": {},
            "image": None,
            "setup": None,
            "hooks": HooksConfig(),
        }
    )


def setup_asks(
    files: CommittedFiles,
    setup: SetupConfig | None,
    use: DevcontainerUse,
    engine: str | None = None,
    image: bool = False,
) -> list[Ask]:
    """What the commit says about the sandbox's setup: its devcontainer as far as `use` lets it
    count, its Dockerfile and its scripts. With an engine, only what is used there; `image`: another
    image takes the place of the devcontainer's.

    Raises:
        UserFixable: the devcontainer cannot be used, or a script or Dockerfile is a symbolic link.
    """
    script = setup.script if setup else None
    named = [SCRIPT, *([script] if script else [])]
    present = files.at([*PLACES, *named])
    asks = [
        _script_ask(path, present) for path in named if path == script or _is_file(path, present)
    ]
    place = next((place for place in PLACES if place in present), None)
    data = files.read(place, MAX_BYTES) if place else None
    if place and data is not None and use != "off":
        read = parse_devcontainer(data, place).within(use, own_setup=setup is not None)
        uses_image = engine not in IMAGELESS and not image
        asks += _devcontainer_asks(read, place, files, uses_image=uses_image or engine is None)
    return asks


def _is_file(path: str, files: Mapping[str, SourceFile]) -> bool:
    return path in files and files[path].mode != LINK


def _script_ask(path: str, files: Mapping[str, SourceFile]) -> Ask:
    if path in files and files[path].mode == LINK:
        raise UserFixable(
            f"{FILE}: setup.script: {path} is a symbolic link",
            hint="name the script itself, as it is committed",
            code="invalid_config",
        )
    version = _version(files.get(path))
    digest = digest_of("setup", path, version)
    return Ask(f"setup {path}", f"setup script: {path}{version}", digest, preparing=True)


def _version(file: SourceFile | None) -> str:
    return f" ({file.size} bytes, {file.id[:12]})" if file else " (not committed)"


def _devcontainer_asks(
    read: Devcontainer, place: str, files: CommittedFiles, *, uses_image: bool
) -> Iterator[Ask]:
    if read.commands:
        shown = f"{place}: commands {'; '.join(read.commands)}"
        yield Ask(place, shown, digest_of(place, read.commands), preparing=True)
    if read.environment:
        shown = f"{place}: environment {', '.join(f'{k}={v}' for k, v in read.environment.items())}"
        digest = digest_of(place, "environment", dict(read.environment))
        yield Ask(f"{place} environment", shown, digest, preparing=True)
    if read.image and uses_image:
        yield Ask(f"{place} image", f"{place}: image {read.image}", digest_of(place, read.image))
    build = read.build
    if build is not None and uses_image:
        file = files.at([build.dockerfile]).get(build.dockerfile)
        if file is not None and file.mode == LINK:
            raise UserFixable(
                f"{place}: {build.dockerfile} is a symbolic link",
                hint=f"name the Dockerfile itself in {place}, and commit it",
                code="invalid_devcontainer",
            )
        parts = (build.dockerfile, build.context, dict(build.args), build.target)
        shown = f"{place}: image built with {build.dockerfile}{_version(file)}"
        args = ", ".join(f"{k}={v}" for k, v in build.args.items())
        shown += f", arguments {args}" if args else ""
        yield Ask(f"{place} build", shown, digest_of(place, parts, file.id if file else None))


def workflow_ask(name: str, path: str, data: bytes, shadowed: str | None) -> Ask:
    """A workflow of the project's own. `shadowed` is the origin of the workflow that it
    replaces."""
    instead = f", in place of the {shadowed} one" if shadowed else ""
    digest = hashlib.sha256(data).hexdigest()
    shown = f"workflow {name}: the project's own {path} ({len(data)} bytes, {digest[:12]}){instead}"
    return Ask(f"workflow {name}", shown, digest_of(name, digest))
