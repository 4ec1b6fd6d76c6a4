"""Obtains agents' programs, each a folder that works at any place, made once per version.

On the host a bundle is `<cache>/<agent>-<version>-<arch>/`, in every sandbox
/opt/rover/agents/<agent>/. npm fetches it when it is first needed, without running any install
script; what it fetched is checked to have the pinned version. A user's own native `claude` is
wrapped as a bundle and comes first.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from agent_runner.agents import acp_program, agent_names
from agent_runner.process.locks import holding, open_lock
from rover_mcp.config import client_programs
from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.launcher.handshake import data_folder
from rover_mcp.sandbox import bwrap_prefix, mount_policy, npm_install
from rover_mcp.sandbox.agent_bundle import INSIDE, AgentBundle, agent_cache
from rover_mcp.sandbox.bwrap_program import find_bwrap
from rover_mcp.sandbox.pinned_agents import PINNED, PinnedAgent, npm_arch

# Agents that need no program of their own: the runner plays them.
BUILT_IN_AGENTS = frozenset({"scripted"})
_NPM_TIMEOUT = 900.0
_EXTRACT_TIMEOUT = 120.0
_VERSION_TIMEOUT = 10.0
_ELF_MACHINES = {"x86_64": 62, "aarch64": 183}  # elf.h: EM_X86_64, EM_AARCH64
_START = """\
#!/bin/sh
self=$(readlink -f -- "$0") && here=${self%/bin/*} || exit 127
"""
Progress = Callable[[str], None]


def program_of(agent: str) -> str | None:
    """The name of the program that an agent is started with; None if it has none."""
    if agent in PINNED:
        return agent
    known = acp_program(agent)
    return known.acp[0] if known and "/" not in known.acp[0] else None


def programs(agents: Sequence[str]) -> list[str]:
    """The programs of several agents, each once."""
    names = (program_of(agent) for agent in agents)
    return list(dict.fromkeys(program for program in names if program))


def pinned_version(agent: str) -> str | None:
    """The version that is fetched; None if none is."""
    return PINNED[agent].version if agent in PINNED else None


def size_of(agent: str) -> str | None:
    """The size of the program that would be fetched, in words."""
    return PINNED[agent].size if agent in PINNED else None


def cached_bundle(agent: str) -> AgentBundle | None:
    """The pinned bundle, if it has been fetched."""
    pinned = PINNED.get(agent)
    if pinned is None:
        return None
    folder = agent_cache() / f"{agent}-{pinned.version}-{npm_arch()}"
    return AgentBundle(agent, pinned.version, folder) if folder.is_dir() else None


def can_be_had(agent: str, binary: Path | None) -> bool:
    """Whether a sandbox can get the agent's program. False for an agent that is not known."""
    program = program_of(agent)
    if agent in BUILT_IN_AGENTS or (program not in PINNED and acp_program(agent)):
        return True  # an agent with ACP alone may be installed in the image
    if program is None:
        return False
    own = own_program(program, binary)
    if own is not None or cached_bundle(program) is not None:
        return True
    return client_programs.find("npm") is not None


def check_agent(agent: str, binary: Path | None) -> None:
    """See that the agent could be started.

    Raises:
        EnvironmentFault: "agent_missing".
    """
    if agent not in agent_names():
        raise _unknown(agent)
    if not can_be_had(agent, binary):
        raise _missing(agent)


def obtain_bundles(
    agents: Sequence[str], binary: Path | None, progress: Progress
) -> tuple[AgentBundle, ...]:
    """Return the bundles of `agents`, each fetched if it is not here yet; a name that needs
    none, or is not an agent, has none. `binary` is the first one's program on this host.

    Raises:
        EnvironmentFault: "agent_missing".
    """
    first = program_of(agents[0]) if agents else None
    bundles: list[AgentBundle] = []
    for program in programs(agents):
        own = binary if program == first else None
        if program in PINNED or own_program(program, own):
            bundles.append(obtain(program, own, progress))
    return tuple(bundles)


def obtain(agent: str, binary: Path | None, progress: Progress) -> AgentBundle:
    """One program's bundle.

    Raises:
        EnvironmentFault: "agent_missing".
    """
    if own := own_program(agent, binary):
        return _wrap(agent, own)
    pinned = PINNED.get(agent)
    if pinned is None:
        raise _unknown(agent)
    if cached := cached_bundle(agent):
        return cached
    if not client_programs.find("npm"):
        raise _missing(agent)
    try:
        with bundle_lock(agent):
            if cached := cached_bundle(agent):
                return cached
            progress(f"fetching {agent} {pinned.version} with npm ({pinned.size}, once)")
            _fetch(agent, pinned)
            progress(f"{agent} {pinned.version} is here")
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _missing(agent, f"; npm: {error}") from error
    fetched = cached_bundle(agent)
    if fetched is None:
        raise _missing(agent, "; it was removed just now")
    return fetched


# -- a user's own program ----------------------------------------------------------------------


def own_program(agent: str, binary: Path | None) -> Path | None:
    """The user's own native `claude`: `binary` itself, or what npm put beside its launcher. Or a
    native program that Rover does not fetch."""
    if binary is None or (agent in PINNED and agent != "claude"):
        return None
    if agent not in PINNED:
        return binary.resolve() if is_native(binary.resolve()) else None
    package = PINNED[agent].named(PINNED[agent].program)
    real = binary.resolve()
    # npm's own layout. Where npm blocks post-install scripts, which it does by default from version
    # 11.19 on, the launcher stays a script, and the native program lies in a package beside it.
    beside = [parent / package for parent in real.parents if parent.name == "node_modules"]
    inner = [parent / "node_modules" / package for parent in list(real.parents)[:3]]
    return next((c.resolve() for c in (real, *beside, *inner) if is_native(c)), None)


@functools.cache
def version_of(program: Path, _changed: int) -> str | None:
    """The version that a user's own program reports; it is asked once for each content."""
    try:
        done = subprocess.run(
            [program, "--version"], stdin=subprocess.DEVNULL, capture_output=True,
            timeout=_VERSION_TIMEOUT, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    version = re.search(rb"\b\d+\.\d+\.\d+", done.stdout)
    return version[0].decode() if version else None


def is_native(path: Path) -> bool:
    """Whether it is an executable ELF file for this machine, so that it needs no Node."""
    try:
        if not path.is_file() or not os.access(path, os.X_OK):
            return False
        with path.open("rb") as file:
            head = file.read(20)
    except OSError:
        return False
    machine = _ELF_MACHINES.get(platform.machine())
    return head[:4] == b"\x7fELF" and int.from_bytes(head[18:20], "little") == machine


def _wrap(agent: str, program: Path) -> AgentBundle:
    """A bundle of one program: a hard link to it, or a copy where there can be none."""
    try:
        facts = program.stat()
        identity = f"{program} {facts.st_size} {facts.st_mtime_ns}"
        version = f"own-{hashlib.sha256(identity.encode()).hexdigest()[:12]}"
        folder = agent_cache() / f"{agent}-{version}-{npm_arch()}"
        if not folder.is_dir():
            with bundle_lock(agent), new_folder(agent) as new:
                (new / "bin").mkdir()
                try:
                    os.link(program, new / "bin" / agent)
                except OSError:
                    shutil.copy2(program, new / "bin" / agent)
                place(new, folder)
    except OSError as error:
        raise _missing(agent, f": {error}") from error
    return AgentBundle(agent, version, folder)


# -- npm ---------------------------------------------------------------------------------------


@contextmanager
def bundle_lock(agent: str) -> Generator[None]:
    """Hold the lock with which one thread of one process makes a bundle of this agent."""
    agent_cache().mkdir(parents=True, exist_ok=True)
    with holding(open_lock(agent_cache() / f".{agent}.lock")):
        yield


@contextmanager
def new_folder(agent: str) -> Generator[Path]:
    """Make an empty folder for a bundle; the agent's lock is held.

    Whatever lies under such a name was therefore left by a crash, and is removed.
    """
    for left in agent_cache().glob(f".new-{agent}-*"):
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=agent_cache(), prefix=f".new-{agent}-") as folder:
        bundle = Path(folder, "bundle")
        bundle.mkdir()
        yield bundle


def place(new: Path, folder: Path) -> None:
    """Give a finished bundle its name; one that is there already has the same content."""
    try:
        new.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise


def _fetch(agent: str, pinned: PinnedAgent) -> None:
    with new_folder(agent) as new:
        packages = [pinned.named(package) for package in pinned.packages]
        try:
            npm_install.install(new, packages, _NPM_TIMEOUT)
        except npm_install.NpmFailed as error:
            failure = error.failure
            raise _missing(agent, f"; npm: {failure.cause}", failure.hint) from error
        if not (new / "node_modules" / pinned.named(pinned.program)).is_file():
            raise _missing(agent, f"; npm brought no {pinned.named(pinned.program)}")
        _check_version(agent, pinned, new / "node_modules")
        _arrange(new, agent, pinned)
        _extract(new, agent, pinned)
        place(new, agent_cache() / f"{agent}-{pinned.version}-{npm_arch()}")


def _check_version(agent: str, pinned: PinnedAgent, modules: Path) -> None:
    """Check that npm fetched the pinned version: a registry or a mirror may answer with another."""
    name = pinned.named(pinned.packages[0])
    # "name@npm:other@1.0" and "@scope/name@1.0"
    package = name[0] + name[1:].partition("@")[0]
    manifest = cast(dict[str, Any], json.loads((modules / package / "package.json").read_bytes()))
    if str(manifest.get("version", "")).partition("-")[0] != pinned.version:
        raise _missing(agent, f"; npm gave version {manifest.get('version')}")


def _arrange(new: Path, agent: str, pinned: PinnedAgent) -> None:
    """Turn npm's folder into lib/, with one program in bin/."""
    lib = new / "lib"
    lib.mkdir()
    (new / "node_modules").rename(lib / "node_modules")
    for leftover in ("package.json", "package-lock.json"):
        (new / leftover).unlink(missing_ok=True)
    shutil.rmtree(lib / "node_modules" / ".bin", ignore_errors=True)
    for program in lib.rglob("rg"):
        # npm 11 unpacks an agent's built-in ripgrep without its executable bit: the agent would
        # fall back to a slower search.
        program.chmod(0o755)
    start = f'"$here/lib/node_modules/{pinned.named(pinned.program)}"'
    if pinned.node:
        package = lib / "node_modules" / pinned.named("node-linux-{arch}")
        (package / "bin" / "node").rename(lib / "node")
        (lib / "node").chmod(0o755)
        shutil.rmtree(package)
        start = f'"$here/lib/node" {start}'
    else:
        (lib / "node_modules" / pinned.named(pinned.program)).chmod(0o755)
    lines = [pinned.named(line).replace("{here}", "$here") for line in pinned.environment]
    (new / "bin").mkdir()
    script = new / "bin" / agent
    script.write_text(_START + "".join(f"{line}\n" for line in lines) + f'exec {start} "$@"\n')
    script.chmod(0o755)


def _extract(new: Path, agent: str, pinned: PinnedAgent) -> None:
    """Let the program unpack itself into the bundle, in a sandbox of its own.

    It is a downloaded program, which must not run on the host itself. The agent works without
    this, only slower, so nothing is done if bubblewrap is missing.
    """
    if not pinned.extract:
        return
    try:
        bwrap = find_bwrap()
    except EnvironmentFault:
        return
    home = data_folder(os.environ)
    cache, host = new / "cache", bwrap_prefix.host_layout(home)
    cache.mkdir()
    mount_policy.refuse_exposure(home, [*host.sources(), new])
    inside = str(INSIDE / agent)
    bwrap = bwrap_prefix.own_program(bwrap, new)
    argv = [*bwrap_prefix.base_arguments(bwrap, host, 2**30), "--ro-bind", str(new), inside]
    argv += ["--bind", str(cache), f"{inside}/cache", *bwrap_prefix.sealing_arguments()]
    program = f"{inside}/lib/node_modules/{pinned.named(pinned.program)}"
    environment = {name: value.replace("{here}", inside) for name, value in pinned.extract}
    done = subprocess.run(
        [*argv, "--", program], env={"HOME": "/tmp", **environment}, stdin=subprocess.DEVNULL,  # noqa: S108
        capture_output=True, timeout=_EXTRACT_TIMEOUT, check=False,
    )  # fmt: skip
    (new / bwrap_prefix.COPY).unlink(missing_ok=True)
    if done.returncode != 0 or not any(cache.iterdir()):
        shutil.rmtree(cache)


# -- errors ------------------------------------------------------------------------------------


def install_command(agent: str) -> str | None:
    """What a person would type to install an agent."""
    return PINNED[agent].install if agent in PINNED else None


def _missing(
    agent: str, why: str = "; npm, which would fetch it, is not here", hint: str = ""
) -> EnvironmentFault:
    return EnvironmentFault(
        f"the agent {agent} is not installed on this machine{why}",
        hint=hint or _hint(agent),
        code="agent_missing",
    )


def _hint(agent: str) -> str:
    if agent == "claude":
        way = f"install npm, or run: {install_command(agent)}"
    else:
        way = "install npm (Debian: apt install npm): it fetches the agent when it is needed"
    return f"{way}; or use agent 'scripted' to try rover without one"


def _unknown(agent: str) -> EnvironmentFault:
    return EnvironmentFault(
        f"there is no agent {agent!r}",
        hint=f"agents: {', '.join(agent_names())}",
        code="agent_missing",
    )
