"""The clients: where each keeps its list of MCP servers, and what an entry of it looks like. Pure.

Sources: each client's own documentation and programs (Claude Code 2.1.330, Codex 0.169.0, Gemini
CLI 0.61.0, opencode 1.18.33, Qwen Code 0.24.4, Copilot CLI 1.0.102: tests/clients has them read
what is written here; VS Code 1.139.1 has read it too). Cursor and Claude Desktop by their
documentation, November 2026; VS Code, mcporter 0.12.3 and Claude Code import from their files, and
read what is written here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent_runner.json_object import Json

NAME = "rover"
"""The name of the server in every assistant."""
PROVIDER_KEYS = ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY")
START_SECONDS = 60
"""How long an assistant waits for the first answer: twice what the launcher gives the daemon to
start. By default Codex gives up after 10 s and opencode after 5 s."""
CALL_SECONDS = 600
"""How long an assistant waits for a tool. wait_for_task takes 45 s by default."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What the places of configuration files depend on. `platform` is sys.platform."""

    home: Path
    environ: Mapping[str, str]
    platform: str

    def under(self, variable: str, default: str) -> Path:
        """The folder that a variable names, else one in the home folder."""
        named = self.environ.get(variable)
        return Path(named) if named else self.home / default

    def application(self, name: str) -> Path:
        """Where a desktop program stores its settings."""
        if self.platform == "darwin":
            return self.home / "Library" / "Application Support" / name
        return self.under("XDG_CONFIG_HOME", ".config") / name


@dataclass(frozen=True, slots=True)
class Assistant:
    """One assistant. It is here if one of its `programs` is on the path, or `signs` exist.

    An entry is what `command` makes of the launcher's command line, always, and `defaults`, where
    the user has said nothing else. A None takes a key out that an earlier entry had.
    """

    name: str
    title: str
    programs: tuple[str, ...]
    files: Callable[[Machine], tuple[Path, ...]]
    """Its configuration files: the first that exists counts, otherwise the first is created."""
    signs: Callable[[Machine], tuple[Path, ...]]
    section: str
    """The key that contains the servers."""
    command: Callable[[Sequence[str]], Mapping[str, Any]]
    defaults: Mapping[str, Any]
    toml: bool = False
    after: str = "restart it"
    """What the user has to do for the change to take effect."""

    @property
    def path(self) -> tuple[str, str]:
        return (self.section, NAME)


def _split(argv: Sequence[str]) -> Json:
    return {"command": argv[0], "args": list(argv[1:])}


def _stdio(argv: Sequence[str]) -> Json:
    # Claude Code and VS Code have the kind of connection in an entry; the others do not.
    return {"type": "stdio", **_split(argv)}


def _claude(machine: Machine) -> tuple[Path, ...]:
    return (machine.under("CLAUDE_CONFIG_DIR", ".") / ".claude.json",)


def _codex(machine: Machine) -> tuple[Path, ...]:
    return (machine.under("CODEX_HOME", ".codex") / "config.toml",)


def _gemini(machine: Machine) -> tuple[Path, ...]:
    return (machine.under("GEMINI_CLI_HOME", ".") / ".gemini" / "settings.json",)


def _qwen(machine: Machine) -> tuple[Path, ...]:
    return (machine.under("QWEN_HOME", ".qwen") / "settings.json",)


def _copilot(machine: Machine) -> tuple[Path, ...]:
    return (machine.under("COPILOT_HOME", ".copilot") / "mcp-config.json",)


def _opencode(machine: Machine) -> tuple[Path, ...]:
    folder = machine.under("XDG_CONFIG_HOME", ".config") / "opencode"
    return (folder / "opencode.json", folder / "opencode.jsonc")


def _code(machine: Machine) -> tuple[Path, ...]:
    return (machine.application("Code") / "User" / "mcp.json",)


def _cursor(machine: Machine) -> tuple[Path, ...]:
    return (machine.home / ".cursor" / "mcp.json",)


def _desktop(machine: Machine) -> tuple[Path, ...]:
    return (machine.application("Claude") / "claude_desktop_config.json",)


def _folder_of(
    files: Callable[[Machine], tuple[Path, ...]],
) -> Callable[[Machine], tuple[Path, ...]]:
    return lambda machine: (files(machine)[0].parent,)


CLIENTS: Mapping[str, Assistant] = {
    client.name: client
    for client in (
        Assistant("claude", "Claude Code", ("claude",), _claude, _claude, "mcpServers", _stdio, {}),
        Assistant(
            "codex", "Codex", ("codex",), _codex, _folder_of(_codex), "mcp_servers",
            lambda argv: {"command": argv[0], "args": list(argv[1:]) or None},
            # It hands a server no variable that is not named.
            {"env_vars": list(PROVIDER_KEYS), "startup_timeout_sec": START_SECONDS},
            toml=True,
        ),
        Assistant(
            "gemini", "Gemini CLI", ("gemini",), _gemini, _folder_of(_gemini), "mcpServers",
            _split,
            # It keeps what looks like a secret from servers; a key that there is not arrives empty.
            {"env": {key: f"${key}" for key in PROVIDER_KEYS}, "timeout": CALL_SECONDS * 1000},
        ),
        Assistant(
            "opencode", "opencode", ("opencode",), _opencode, _folder_of(_opencode), "mcp",
            lambda argv: {"type": "local", "command": list(argv)},
            {"enabled": True, "timeout": START_SECONDS * 1000},
        ),
        Assistant(
            "qwen", "Qwen Code", ("qwen",), _qwen, _folder_of(_qwen), "mcpServers",
            _split, {"timeout": CALL_SECONDS * 1000},
        ),
        Assistant(
            "copilot", "Copilot CLI", ("copilot",), _copilot, _folder_of(_copilot), "mcpServers",
            lambda argv: {"type": "local", **_split(argv)}, {"tools": ["*"]},
        ),
        Assistant(
            "vscode", "VS Code", ("code",), _code, _folder_of(_code), "servers", _stdio, {},
            after="run `MCP: List Servers` in it and start rover",
        ),
        Assistant(
            "cursor", "Cursor", ("cursor", "cursor-agent"), _cursor, _folder_of(_cursor),
            "mcpServers", _split, {},
        ),
        Assistant(
            "claude-desktop", "Claude Desktop", (), _desktop, _folder_of(_desktop), "mcpServers",
            _split, {}, after="quit and restart it",
        ),
    )
}  # fmt: skip


def is_here(client: Assistant, machine: Machine, which: Callable[[str], object]) -> bool:
    """Whether the assistant is on this machine; `which` finds a program on the path."""
    signs = (*client.signs(machine), *client.files(machine))
    return any(which(p) for p in client.programs) or any(sign.exists() for sign in signs)


def launcher_command(
    prefix: Path, which: Callable[[str], str | None], home: str | None
) -> list[str]:
    """How an assistant starts the launcher of this installation. `prefix` is sys.prefix; `home` is
    a data folder that is not the default. uvx may delete its environments, so there the entry calls
    uvx, which creates one again."""
    # The folders in which uv keeps the environments of uvx, and from which it removes them.
    if {"archive-v0", "environments-v2"} & set(prefix.resolve().parts):
        command = [which("uvx") or "uvx", "rover-mcp"]
    else:
        command = [str(prefix / "bin" / "rover-mcp")]
    return [*command, "--home", home] if home else command
