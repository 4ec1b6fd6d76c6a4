"""What an agent says or names cannot command a terminal: each command of the CLI, and its JSON."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

import pytest

from tests.attacks.conftest import ENGINES
from tests.attacks.stage import AttackedHost
from tests.support.scripts import script

ESCAPES = (
    "\x1b[2J\x1b[31mred\x1b[0m \x1b]0;title\x07 \x1b]8;;http://evil/\x1b\\link\x1b]8;;\x1b\\ "
    "\x1b]52;c;ZXZpbA==\x07 \x1bP+q544e\x1b\\ \x9b31m \x9d0;t\x9c \x90q\x9c \x08\x08\x08 \x07 \r "
    "\u202egnp.exe\u202c \u2066x\u2069 \u200f \x7f \x85 \x1bc \x1b(0 \x1b[6n"
)
HOSTILE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")


@pytest.fixture(scope="module", params=ENGINES[:1])
def painted(request: pytest.FixtureRequest, stage: AttackedHost) -> dict[str, Any]:
    """A task that has escapes wherever text of an agent's or a repository's can be."""
    stage.workflow("painted", [
        {"id": "paint", "type": "agent", "name": f"Paint {ESCAPES[6:30]}", "prompt": "x",
         "outputs": [{"name": "said"}]},
        {"id": "fails", "type": "command", "command": "cat painted.txt >&2; exit 3"},
    ])  # fmt: skip
    names = [ESCAPES[:40].replace("/", "_"), "\u202egnp.exe", "a\nb", "\x9b31m.txt"]
    run = "python3 -c 'import ast,sys\nfor n in ast.literal_eval(sys.argv[1]): open(n, \"w\").write(n)'"
    quoted = repr(names).replace("'", '"')
    turns = script(
        paint=[{
            "say": ESCAPES, "outputs": {"said": ESCAPES},
            "edits": [{"path": "painted.txt", "content": ESCAPES}],
            "run": f"{run} '{quoted}'; cat painted.txt; cat painted.txt >&2",
        }],
    )  # fmt: skip
    title = f"Title {ESCAPES}\n\nText {ESCAPES}"
    return stage.ended(stage.create("painted", request.param, turns, title=title))


COMMANDS = {
    "list": ["list", "--all"],
    "inspect": ["inspect", "TASK"],
    "logs": ["logs", "TASK", "--step", "paint"],
    "logs-of-a-command": ["logs", "TASK", "--step", "fails"],
    "diff": ["diff", "TASK"],
    "diff-stat": ["diff", "TASK", "--stat"],
    "watch": ["watch", "TASK"],
    "status": ["status"],
}


def hostile(data: bytes) -> list[str]:
    text = data.decode("utf-8", "surrogateescape")
    odd = [c for c in text if 0xDC80 <= ord(c) <= 0xDCFF]
    named = [unicodedata.name(c, hex(ord(c))) for c in HOSTILE.findall(text)]
    return [*named, *map(repr, odd)]


@pytest.mark.known_escape(23)
@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
@pytest.mark.parametrize("command", COMMANDS)
def test_what_the_cli_prints_is_clean(
    painted: dict[str, Any], stage: AttackedHost, command: str, as_json: bool
) -> None:
    assert painted["status"] == "FAILED"
    argv = [painted["id"] if word == "TASK" else word for word in COMMANDS[command]]
    done = stage.rover(*argv, *(["--json"] if as_json else []))
    assert done.stdout, done.stderr
    assert hostile(done.stdout) == []
    assert hostile(done.stderr) == []


def test_the_escapes_were_there(painted: dict[str, Any], stage: AttackedHost) -> None:
    """The log on the host holds them as they were said."""
    assert "\x1b]52;c" in stage.log(painted, "paint")
    journal = stage.data / "tasks" / painted["id"] / "iterations/1/run/journal.jsonl"
    assert "u001b]52" in journal.read_text()
