"""What went between a client and the server, as tests/clients/tap.py wrote it down."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.e2e.processes import wait_until

Frame = dict[str, Any]


class Wire:
    """`mark` is where a search begins; `wait_for` moves it behind what it found."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self.mark = 0

    def frames(self) -> list[tuple[str, Frame]]:
        """All so far, each with who sent it: `client` or `server`."""
        text = self._log.read_text("utf-8") if self._log.exists() else ""
        whole = text[: text.rfind("\n") + 1]
        return [(line["from"], line["frame"]) for line in map(json.loads, whole.splitlines())]

    def wait_for(self, what: str, wanted: Callable[[Frame], bool]) -> Frame:
        """The next frame that is wanted."""
        found: list[Frame] = []

        def there() -> bool:
            for number, (_, frame) in enumerate(self.frames()[self.mark :], self.mark):
                if wanted(frame):
                    found.append(frame)
                    self.mark = number + 1
                    return True
            return False

        wait_until(there, f"on the wire: {what}")
        return found[0]

    def request(self, method: str) -> Frame:
        """The next request of this method."""
        return self.wait_for(method, lambda frame: frame.get("method") == method)

    def request_of_tool(self, name: str) -> Frame:
        """The next call of this tool."""

        def wanted(frame: Frame) -> bool:
            return frame.get("method") == "tools/call" and frame["params"]["name"] == name

        return self.wait_for(f"a call of {name}", wanted)

    def task(self, status: str, says: str = "") -> Frame:
        """The next answer that shows a task of the extension so."""

        def wanted(frame: Frame) -> bool:
            result = frame.get("result") or {}
            return result.get("status") == status and says in result.get("statusMessage", "")

        return self.wait_for(f"a task that is {status} {says}", wanted)["result"]

    def answers(self) -> list[Frame]:
        """All results so far."""
        return [frame for _, frame in self.frames() if "result" in frame]

    def methods(self, mark: int = 0) -> list[str]:
        """Of all requests and notifications so far, in order; those before `mark` left out."""
        return [frame["method"] for _, frame in self.frames()[mark:] if "method" in frame]
