"""Where an agent's program comes from: the host's own, else the pinned one from npm."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from rover_mcp.errors import EnvironmentFault

CLAUDE_VERSION = "2.1.330"
"""The version that was tested: facts/agents.md, section 1."""

# Agents that need no program of their own: the runner plays them.
BUILT_IN_AGENTS = frozenset({"scripted"})
_NPM_TIMEOUT = 600.0
_ELF_MACHINES = {"x86_64": 62, "aarch64": 183}  # elf.h: EM_X86_64, EM_AARCH64
_NPM_ARCH = {"x86_64": "x64", "aarch64": "arm64"}


def find_program(agent: str, binary: Path | None, cache: Path) -> Path | None:
    """The agent's native program on this host: `binary`, what belongs to it, or the cached one.

    None where there is none yet. Raises EnvironmentFault as `check_program` does for an agent
    that is not known.
    """
    if agent != "claude":
        raise _unknown(agent)
    for candidate in _claude_candidates(binary, cache):
        if is_native(candidate):
            return candidate.resolve()
    return None


def check_program(agent: str, binary: Path | None, cache: Path) -> None:
    """See that the agent could be started.

    Raises:
        EnvironmentFault: "agent_missing".
    """
    if agent in BUILT_IN_AGENTS:
        return
    if find_program(agent, binary, cache) is None and not shutil.which("npm"):
        raise _missing(agent)


def obtain_program(
    agent: str, binary: Path | None, cache: Path, progress: Callable[[str], None]
) -> Path | None:
    """The agent's native program, fetched with npm into `cache` if the host has none. None for
    an agent that needs no program.

    Raises:
        EnvironmentFault: "agent_missing".
    """
    if agent in BUILT_IN_AGENTS:
        return None
    found = find_program(agent, binary, cache)
    if found is not None:
        return found
    if not shutil.which("npm"):
        raise _missing(agent)
    progress(f"fetching {agent} {CLAUDE_VERSION} with npm")
    return _fetch_claude(cache)


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


def _claude_candidates(binary: Path | None, cache: Path) -> list[Path]:
    package = f"@anthropic-ai/claude-code-linux-{_npm_arch()}/claude"
    candidates = [_cached(cache)]
    if binary is not None:
        real = binary.resolve()
        # npm's own layout: the launcher is a script where its post-install step was blocked.
        beside = [parent / package for parent in real.parents if parent.name == "node_modules"]
        inner = [parent / "node_modules" / package for parent in list(real.parents)[:3]]
        candidates = [real, *beside, *inner, *candidates]
    return candidates


def _cached(cache: Path) -> Path:
    return cache / f"claude-{CLAUDE_VERSION}-{_npm_arch()}"


def _fetch_claude(cache: Path) -> Path:
    package = f"@anthropic-ai/claude-code-linux-{_npm_arch()}@{CLAUDE_VERSION}"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            argv = ["npm", "install", "--prefix", folder, "--no-save", "--ignore-scripts"]
            done = subprocess.run(
                [*argv, "--no-audit", "--no-fund", "--force", package],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_NPM_TIMEOUT,
                check=False,
            )
            found = next(Path(folder).glob("node_modules/@anthropic-ai/*/claude"), None)
            if done.returncode != 0 or found is None:
                text = done.stderr.decode("utf-8", "replace").strip().splitlines()
                raise _missing("claude", "; npm: " + (text[-1][:200] if text else "failed"))
            found.chmod(0o755)
            found.replace(_cached(cache))
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _missing("claude", f"; npm: {error}") from error
    return _cached(cache)


def _npm_arch() -> str:
    return _NPM_ARCH.get(platform.machine(), "x64")


def _missing(agent: str, why: str = "") -> EnvironmentFault:
    return EnvironmentFault(
        f"the agent {agent} is not installed on this machine as a native program{why}",
        hint=f"run: npm install -g @anthropic-ai/claude-code@{CLAUDE_VERSION}, "
        "or use agent 'scripted' to try rover without one",
        code="agent_missing",
    )


def _unknown(agent: str) -> EnvironmentFault:
    return EnvironmentFault(
        f"there is no agent {agent!r}",
        hint="agents: claude, scripted",
        code="agent_missing",
    )
