"""A user's machine with a daemon of its own, and another machine that has pages and forges: both in
network namespaces (private_network.py), so that nothing is on loopback and no packet leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rover_mcp.demo.demo_environment import end_daemon
from tests.support.certificates import server_context
from tests.support.frames import StartingClient, ToolError
from tests.support.private_network import PUBLIC_THERE, SITE, THERE, command
from tests.support.repos import make_repository

ROOT = Path(__file__).parents[2]
PAGES, INTRANET = "pages.example.org", "intranet.example.org"
HUB, LAB = "git.corp.example", "lab.corp.example"
"""Forges at a private address, which the user's config.yaml names."""
CONFIG = f"idle_exit: 600\nnetwork: {{allow: ['{HUB}', '{LAB}']}}\n"
Json = dict[str, Any]


@dataclass
class ContextNetwork:
    """`pages` and `names` are far_web.py's; `environment` is the client's."""

    folder: Path
    pages: dict[str, Json] = field(default_factory=dict[str, Json])
    names: dict[str, list[list[str]]] = field(
        default_factory=lambda: {
            PAGES: [[PUBLIC_THERE]], INTRANET: [[THERE]], HUB: [[THERE]], LAB: [[THERE]],
        }
    )  # fmt: skip
    environment: dict[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        self.repository = make_repository(self.folder / "repo")
        self.home = self.folder / "data"
        self.home.mkdir(mode=0o700)
        (self.home / "config.yaml").write_text(CONFIG)
        self.log = self.folder / "requests.jsonl"
        self.certificate = self.folder / "server.pem"

    def call(self, calls: Sequence[Json], *, shell: str = "") -> tuple[list[Json], str]:
        """Make the tool calls, one after the other, with a client over there; a call that has
        `end: true` waits for its task. Then run `shell`. What came of each, and what that
        printed."""
        server_context(self.certificate, *self.names)
        site = {"pages": self.pages, "names": self.names, "certificate": str(self.certificate),
                "log": str(self.log)}  # fmt: skip
        self.log.touch()
        asked, answered, at = (self.folder / n for n in ("calls.json", "answers.json", "site.json"))
        at.write_text(json.dumps(site))
        asked.write_text(json.dumps(calls))
        here = [sys.executable, "-m", __name__, str(self.home), str(self.repository)]
        line = " ".join([*here, str(asked), str(answered)])
        env = {k: v for k, v in os.environ.items() if not k.startswith(("GH_", "GIT", "SSL_"))}
        env |= {"PYTHONPATH": str(ROOT), SITE: str(at), "SSL_CERT_FILE": str(self.certificate)}
        try:
            done = subprocess.run(
                command("bash", "-c", f"set -e; {line} >&2; {shell}"),
                env=env | self.environment, cwd=ROOT, capture_output=True, text=True, check=False,
            )  # fmt: skip
        finally:
            end_daemon(self.home)
        assert done.returncode == 0, done.stderr
        return json.loads(answered.read_text()), done.stdout

    def requests(self) -> list[Json]:
        """What the other machine was asked."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]


def make_calls(client: StartingClient, calls: Sequence[Mapping[str, Any]]) -> list[Json]:
    answers: list[Json] = []
    for one in calls:
        try:
            answer = client.tool(str(one["tool"]), **one["arguments"])
            if one.get("end"):
                task = client.wait_until(answer["task"]["id"], "COMPLETED")
                answer = client.tool("inspect", task=task["id"], detail="full")
        except ToolError as error:
            answer = {"error": error.error}
        answers.append(answer)
    return answers


def main(home: str, repository: str, asked: str, answered: str) -> None:
    """The client over there."""
    with StartingClient(Path(home), Path(repository)) as client:
        client.open()
        answers = make_calls(client, json.loads(Path(asked).read_text()))
    Path(answered).write_text(json.dumps(answers))


if __name__ == "__main__":
    main(*sys.argv[1:])
