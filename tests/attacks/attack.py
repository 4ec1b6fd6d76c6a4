"""An attack as data, and the program that plays many of them in one sandbox.

Success is told from the outside: by a canary's secret in anything that an attack printed, by a
file on the host that it made, by a connection that a listener on the host saw, by a process that
lives on. `PWNED`, which an attack prints where it believes that it won, counts too.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

PWNED = "PWNED"
SECONDS = 120
"""That one attack may take; what it left behind ends with its step. Each is over in seconds, unless the
machine is busy."""

_PLACE = re.compile(r"@([A-Z_]+)@")


@dataclass(frozen=True)
class Attack:
    """`commands` may name places of the stage as @PLACE@.

    `opened`: without a sandbox it succeeds, which a test shows, so that it does not fail here for
    a reason of its own. `closed` says why that cannot be shown, where it cannot.
    """

    name: str
    attempts: str
    commands: str
    stopped_by: str
    language: Literal["sh", "python"] = "sh"
    opened: bool = True
    closed: str = ""

    def __post_init__(self) -> None:
        assert self.opened != bool(self.closed), f"{self.name}: say why it cannot be shown"


@dataclass(frozen=True)
class AttackOutput:
    """What an attack printed, and its exit status."""

    status: int
    said: str
    seconds: float


@dataclass(frozen=True)
class AttackClass:
    """Attacks of one kind. They run in one step, one after the other."""

    name: str
    title: str
    attacks: Sequence[Attack] = field(default_factory=tuple)


_PLAYER = """\
import base64, json, subprocess, sys, tempfile, time
sys.stdout.reconfigure(line_buffering=True)
for name, argv in json.loads(base64.b64decode({attacks!r})):
    begun = time.monotonic()
    out = tempfile.TemporaryFile()
    try:
        code = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                              timeout={seconds}, start_new_session=True).returncode
    except (OSError, subprocess.TimeoutExpired) as error:
        out.write(repr(error).encode())
        code = -1
    out.seek(0)
    said = out.read(200000)
    print("@@played", name, code, round(time.monotonic() - begun, 2), base64.b64encode(said).decode())
"""


def program(attacks: Sequence[Attack], places: Mapping[str, str], seconds: int = SECONDS) -> str:
    """Python that plays the attacks and tells of each in one line."""
    listed = [(a.name, _argv(a, places)) for a in attacks]
    packed = base64.b64encode(json.dumps(listed).encode()).decode()
    return _PLAYER.format(attacks=packed, seconds=seconds)


def shell(attacks: Sequence[Attack], places: Mapping[str, str]) -> str:
    """The same as a shell script."""
    packed = base64.b64encode(program(attacks, places).encode()).decode()
    return f"echo {packed} | base64 -d > /tmp/.play.py && python3 /tmp/.play.py"


def results(log: str) -> dict[str, AttackOutput]:
    """What each attack did, by its name, out of what `program` printed."""
    found: dict[str, AttackOutput] = {}
    for line in log.splitlines():
        if line.startswith("@@played "):
            _, name, code, seconds, *said = line.split(" ")
            text = base64.b64decode("".join(said)).decode("utf-8", "replace")
            found[name] = AttackOutput(int(code), text, float(seconds))
    return found


def fill(text: str, places: Mapping[str, str]) -> str:
    """Put the stage's places into a text."""
    return _PLACE.sub(lambda found: places[found[1]], text)


def _argv(attack: Attack, places: Mapping[str, str]) -> list[str]:
    text = fill(attack.commands, places)
    start = ["bash", "-c"] if attack.language == "sh" else ["python3", "-c"]
    return [*start, text]
