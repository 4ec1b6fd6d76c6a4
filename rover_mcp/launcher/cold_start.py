"""Answers a client's first questions while the daemon still starts. Standard library only.

Some clients give a server 5 seconds until it has answered, with all that it has to start, and on a
busy machine the daemon takes longer; others begin without the tools of a server that is not quick.
The answers are its own, recorded in cold_start.json
(`python -m tests.snapshots.update`; a test compares them with what the daemon says).
"""

from __future__ import annotations

import json
import os

from rover_mcp.launcher.handshake import TOOLS
from rover_mcp.launcher.session_replay import encode, parse, part, request_key

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rover_mcp.launcher.session_replay import Conversation, Message

RECORDED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "cold_start.json")  # noqa: PTH100, PTH118, PTH120
_VERSION = "io.modelcontextprotocol/protocolVersion"


class ColdStart:
    """The first answers of one session, before `conversation` continues with the daemon."""

    def __init__(self, home: str, conversation: Conversation) -> None:
        self._conversation = conversation
        self._recorded: dict[str, Any] = {}
        self._legacy = False  # whether a session of before 2026-07-28 was opened here
        # These settings change what the daemon answers.
        config = _content(os.path.join(home, "config.yaml"))  # noqa: PTH118
        if b"claude_channel" not in config and b"process" not in config:
            self._recorded = json.loads(_content(RECORDED) or b"{}")

    def answer(self, frame: bytes) -> bytes | None:
        """The answer to a request; None if only the daemon can give it."""
        message = parse(frame)
        if message is None or request_key(message) is None or not self._recorded:
            return None
        result = self._result(message.get("method"), part(message, "params"))
        if result is None:
            return None
        if message["method"] == "initialize":
            self._conversation.opened(frame)
        return encode({"jsonrpc": "2.0", "id": message["id"], "result": result})

    def _result(self, method: object, params: Message) -> Message | None:
        modern = part(params, "_meta").get(_VERSION) in self._recorded["modern"]["versions"]
        match method:
            case "initialize":
                return self._initialized(params.get("protocolVersion"))
            case "ping" if self._legacy:
                return {}
            case "server/discover" if modern:
                return self._recorded["modern"][method]
            case "tools/list" if (modern or self._legacy) and "cursor" not in params:
                return self._offered(self._recorded["modern" if modern else "legacy"][method])
            case _:
                return None

    def _initialized(self, version: object) -> Message | None:
        era = self._recorded["legacy"]
        if version not in era["versions"]:
            return None
        self._legacy = True
        return {**era["initialize"], "protocolVersion": version}

    def _offered(self, listed: Message) -> Message:
        """The tools of the sets that were asked for: rover_mcp/server/tools.py, `offered`."""
        tools, of = self._recorded["tools"], self._recorded["sets"]
        if sets := os.environ.get(TOOLS):
            tools = [tool for tool in tools if of[tool["name"]] in sets.split(",")]
        return {**listed, "tools": tools}


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            return file.read()
    except OSError:
        return b""
