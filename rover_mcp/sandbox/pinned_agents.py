"""The agents whose programs Rover fetches: npm packages, exact versions, how each is started.

The versions are those that the tests run against: agents change their flags and their output
without notice, so that a newer one may not be understood.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass

from agent_runner.agents import acp_program

CLAUDE_VERSION = "2.1.330"
NODE = "node-linux-{arch}@24.21.0"
NPM = "npm@11.21.2"
"""npm for the default image: the package with Node for Linux has none"""

_NPM_ARCH = {"x86_64": "x64", "aarch64": "arm64"}
_RUST_ARCH = {"x86_64": "x86_64", "aarch64": "aarch64"}


@dataclass(frozen=True)
class PinnedAgent:
    """One agent. `packages` are npm's; `program` is a path below node_modules, and a JavaScript
    file where `node` is set. `environment` are lines of the start script; in them and in
    `program` {here} is the bundle, {arch} npm's name of the machine, {cpu} Rust's.

    `extract` is an environment with which the program unpacks itself and ends.
    """

    version: str
    packages: tuple[str, ...]
    program: str
    download: int
    """bytes of the packages and what they depend on, as the registry sends them for x86_64"""
    megabytes: int
    """about, once unpacked"""
    install: str
    """what a person would type"""
    models: tuple[str, ...]
    """the models that it was seen to ask for if the task names none"""
    node: bool = False
    environment: tuple[str, ...] = ()
    extract: tuple[tuple[str, str], ...] = ()

    def named(self, text: str) -> str:
        """`text` for this machine; {here} stays."""
        machine = platform.machine()
        return text.replace("{arch}", npm_arch()).replace("{cpu}", _RUST_ARCH.get(machine, machine))

    @property
    def size(self) -> str:
        """How large the download is, for a person who waits for it."""
        exact = platform.machine() == "x86_64"
        download = f"{self.download:,} bytes" if exact else f"about {self.download // 10**6} MB"
        return f"{download} to download, about {self.megabytes} MB unpacked"


def npm_arch() -> str:
    """npm's name for this machine's architecture."""
    return _NPM_ARCH.get(platform.machine(), "x64")


def default_models(agent: str) -> tuple[str, ...]:
    """The models that an agent asks for if the task names none; empty if that is not known."""
    if pinned := PINNED.get(agent):
        return pinned.models
    program = acp_program(agent)
    return (program.model,) if program and program.model else ()


_X64_ONLY = "-baseline" if platform.machine() == "x86_64" else ""
"""opencode's plain x64 build needs AVX2; its baseline one runs everywhere."""

PINNED: dict[str, PinnedAgent] = {
    # The package of the native program, which needs neither Node nor an install script.
    "claude": PinnedAgent(
        version=CLAUDE_VERSION,
        packages=(f"@anthropic-ai/claude-code-linux-{{arch}}@{CLAUDE_VERSION}",),
        program="@anthropic-ai/claude-code-linux-{arch}/claude",
        download=175_385_311,
        megabytes=360,
        install=f"npm install -g @anthropic-ai/claude-code@{CLAUDE_VERSION}",
        models=("claude-opus-5-5",),
    ),
    "codex": PinnedAgent(
        version="0.169.0",
        packages=("codex-native@npm:@openai/codex@0.169.0-linux-{arch}",),
        program="codex-native/vendor/{cpu}-unknown-linux-musl/bin/codex",
        download=167_001_509,
        megabytes=400,
        install="npm install -g @openai/codex@0.169.0",
        models=("gpt-6.1-sol",),
        environment=(
            'PATH="{here}/lib/node_modules/codex-native/vendor/{cpu}-unknown-linux-musl/codex-path:$PATH"',
        ),
    ),
    # Agents in JavaScript bring their own Node: they need version 22 or later, and an image or a
    # host may have an older one or none.
    "gemini": PinnedAgent(
        version="0.61.0",
        packages=("@google/gemini-cli@0.61.0", NODE),
        program="@google/gemini-cli/bundle/gemini.js",
        download=74_244_083,
        megabytes=220,
        install="npm install -g @google/gemini-cli@0.61.0",
        models=("gemini-3.8-flash", "gemini-3.5-flash-lite", "gemini-3.1-pro-preview"),
        node=True,
    ),
    "opencode": PinnedAgent(
        version="1.18.33",
        packages=(f"opencode-linux-{{arch}}{_X64_ONLY}@1.18.33",),
        program=f"opencode-linux-{{arch}}{_X64_ONLY}/bin/opencode",
        download=60_275_131,
        megabytes=180,
        install="npm install -g opencode-ai@1.18.33",
        models=("claude-sonnet-4-5",),
    ),
    "qwen": PinnedAgent(
        version="0.24.4",
        packages=("@qwen-code/qwen-code@0.24.4", NODE),
        program="@qwen-code/qwen-code/cli-entry.js",
        download=95_167_195,
        megabytes=270,
        install="npm install -g @qwen-code/qwen-code@0.24.4",
        models=("qwen3-coder-plus",),
        node=True,
    ),
    "copilot": PinnedAgent(
        version="1.0.102",
        packages=("@github/copilot-linux-{arch}@1.0.102",),
        program="@github/copilot-linux-{arch}/copilot",
        download=129_186_882,
        megabytes=430,
        install="npm install -g @github/copilot@1.0.102",
        models=("gpt-5",),
        # It unpacks 235 MB into its cache at its first start: once here, not in every HOME.
        environment=('[ -d "{here}/cache" ] && export COPILOT_CACHE_HOME="{here}/cache"',),
        extract=(("COPILOT_CACHE_HOME", "{here}/cache"), ("COPILOT_SEA_EXTRACT_ONLY", "1")),
    ),
}
