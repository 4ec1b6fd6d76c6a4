"""`rover setup`'s question whether tasks may use the login of the user's own claude or codex."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import cast

from agent_runner.json_object import Json
from rover_mcp.assistants import config_file
from rover_mcp.assistants.config_change import ConfigChangeRefused
from rover_mcp.cli.own_config import parsed, with_key

CREDENTIALS = "credentials"


@dataclass(frozen=True)
class OwnLogin:
    """Where a program stores what its user is logged in with, which may be a subscription."""

    agent: str
    provider: str
    folder_variable: str
    folder: str
    file: str
    member: str
    plans: str

    def path(self, environ: Mapping[str, str], user: Path) -> Path:
        folder = environ.get(self.folder_variable)
        return (Path(folder) if folder else user / self.folder) / self.file


KNOWN = (
    OwnLogin(
        "claude", "anthropic", "CLAUDE_CONFIG_DIR", ".claude", ".credentials.json",
        "claudeAiOauth", "Pro or Max",
    ),
    OwnLogin("codex", "openai", "CODEX_HOME", ".codex", "auth.json", "tokens", "ChatGPT"),
)  # fmt: skip


def offers(
    home: Path,
    environ: Mapping[str, str],
    now: datetime,
    ask: Callable[[str], bool] | None,
) -> list[Json]:
    """A report about each login on this machine that config.yaml does not mention. `ask` asks the
    user, and what they allow is written; with None nothing is asked."""
    results: list[Json] = []
    for known in KNOWN:
        if _is_there(known.path(environ, Path.home())):
            results += _offer(known, home / "config.yaml", now, ask)
    return results


def _is_there(path: Path) -> bool:
    member = {known.file: known.member for known in KNOWN}[path.name]
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    # The same file may hold an API key in place of a login, which is another kind of account.
    return isinstance(content, dict) and bool(cast(Json, content).get(member))


def _offer(
    known: OwnLogin, path: Path, now: datetime, ask: Callable[[str], bool] | None
) -> Iterator[Json]:
    result: Json = {"agent": known.agent, "provider": known.provider, "file": str(path)}
    lines = f"{CREDENTIALS}:\n  {known.provider}: {{login: {known.agent}}}\n"
    try:
        old = config_file.read(path)
        # The user has decided already, whatever they decided.
        if known.provider in (parsed(old or "").get(CREDENTIALS) or {}):
            return
        entry = {known.provider: {"login": known.agent}}
        new = with_key(old or "", CREDENTIALS, entry, lines)
        if new is None:
            why = "has credentials of other providers"
            yield {**result, "action": "refused", "error": why, "block": lines}
        elif ask is None:
            yield {**result, "action": "offered", "block": lines}
        elif ask(_question(known)):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            config_file.write(path, old, new, now)
            yield {**result, "action": "added"}
        else:
            yield {**result, "action": "declined", "block": lines}
    except ConfigChangeRefused as refused:
        yield {**result, "action": "refused", "error": str(refused), "block": lines}
    except OSError as error:
        why = f"cannot be used: {error.strerror}"
        yield {**result, "action": "refused", "error": why, "block": lines}


def _question(known: OwnLogin) -> str:
    return (
        f"Your {known.agent} is logged in here ({known.plans}, or another account). May the "
        f"tasks of Rover use that login?\nIt stays outside their sandboxes, and their usage "
        f"counts against your plan."
    )


def lines_of(results: Sequence[Json]) -> Iterator[str]:
    """The same report as lines for people."""
    for one in results:
        title = f"{'Login':14}  "
        agent = one["agent"]
        if one["action"] == "added":
            yield f"{title}tasks use the login of your {agent}: {one['file']}"
        elif one["action"] == "offered":
            yield f"{title}your {agent} is logged in; rover setup --write asks whether tasks use it"
        else:
            why = f" ({one['file']} {one['error']})" if "error" in one else ""
            yield f"{title}that of your {agent} is not used{why}. To use it, in config.yaml:"
            yield from (f"    {line}" for line in one["block"].splitlines())
