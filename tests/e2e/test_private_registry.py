"""A registry in the user's own network: only what the user's own config.yaml names is reached."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import cast

from tests.e2e.conftest import end_daemon
from tests.support.private_network import HELLO, NAME, PORT, THERE, command
from tests.support.repos import BROKEN, make_repository
from tests.support.scripts import script

ROOT = Path(__file__).parents[2]
ASK = f"""
for url in http://{NAME}:{PORT}/a http://{THERE}:{PORT}/a; do
  python3 -c 'import sys, urllib.request as u
try: print(sys.argv[1], u.urlopen(sys.argv[1], timeout=600).read().decode())
except OSError as error: print(sys.argv[1], error)' $url
done
"""


def told(home: Path, repository: Path, config: str) -> tuple[str, dict[str, object]]:
    """What a task's sandbox was answered, and the task."""
    home.mkdir(mode=0o700, exist_ok=True)
    (home / "config.yaml").write_text(config)
    played = home.parent / "script.yaml"
    played.write_text(script(implement=[{"say": "asking", "run": ASK}]))
    rover = f"{sys.executable} -m rover_mcp.cli.command_line --home {home}"
    words = "--agent scripted --workflow quick --engine bubblewrap --watch"
    said = subprocess.run(
        command("bash", "-c", f"""set -e; cd {repository}
            {rover} create Ask {words} --script {played} >&2
            n=$({rover} list --json | python3 -c 'import json, sys
print(json.load(sys.stdin)["tasks"][0]["number"])')
            {rover} logs $n --step implement; echo; {rover} inspect $n --full --json"""),
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    end_daemon(home)
    assert said.returncode == 0, said.stderr
    log, _, task = said.stdout.partition("\n{")
    return log, json.loads("{" + task)["task"]


def test_a_registry_at_a_private_address_is_reached_if_the_user_names_it(home: Path) -> None:
    """Case 22. On 4ed2e71 the entry was accepted and never connected to."""
    repository = make_repository(home.parent / "app", BROKEN)
    # What only a wildcard or the mode lets pass is not a host that the user names.
    wide = f"network: {{mode: open, allow: ['*.corp.example:{PORT}']}}\n"
    log, task = told(home, repository, wide)
    assert HELLO.decode() not in log
    assert "is not a public address" in log
    refused = cast("list[dict[str, str]]", task["refused"])
    assert {entry["host"]: entry.get("remedy") for entry in refused} == {
        host: f'"{host}" in network.allow of config.yaml'
        for host in (f"{NAME}:{PORT}", f"{THERE}:{PORT}")
    }
    log, _ = told(home, repository, f"network: {{allow: ['{NAME}:{PORT}']}}\n")
    assert f"http://{NAME}:{PORT}/a {HELLO.decode()}" in log
    assert log.count(HELLO.decode()) == 1, "its address is another destination"
