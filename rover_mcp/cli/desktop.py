"""`rover setup`'s offer of desktop notifications: adds the hook `desktop` to the user's own
config.yaml, where a program can show them and the file says nothing about hooks yet."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from agent_runner.json_object import Json
from rover_mcp.assistants import config_file
from rover_mcp.assistants.config_change import ConfigChangeRefused
from rover_mcp.cli.own_config import with_key

HOOKS = "hooks"
WANTED = [{"kind": "desktop"}]
LINES = "hooks:\n  - kind: desktop\n"


def offer(home: Path, environ: Mapping[str, str], now: datetime, *, write: bool) -> Json:
    """What has to be done, which is also done if `write` is set. `action` is add, nothing, refused,
    or unavailable where no notification can be shown."""
    path = home / "config.yaml"
    result: Json = {"file": str(path)}
    # Late: it brings an HTTP client.
    from rover_mcp.config.hooks import DesktopHook
    from rover_mcp.hooks.senders import DesktopSender

    if why := DesktopSender(DesktopHook(kind="desktop"), environ).problem():
        return {**result, "action": "unavailable", "why": why}
    try:
        old = config_file.read(path)
        new = with_key(old or "", HOOKS, WANTED, LINES)
        if new is None:
            return {**result, "action": "nothing"}
        if write:
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            backup = config_file.write(path, old, new, now)
            result["backup"] = str(backup) if backup else None
    except ConfigChangeRefused as refused:
        return {**result, "action": "refused", "error": str(refused), "block": LINES}
    except OSError as error:
        return {**result, "action": "refused", "error": f"cannot be used: {error}", "block": LINES}
    return {**result, "action": "add"}
