"""What an agent tries from inside its sandbox fails, and it shows."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.attacks.attack import PWNED, Attack, Played
from tests.attacks.classes import INSIDE, all_attacks
from tests.attacks.conftest import Assault
from tests.attacks.stage import Stage, strays

EVERY = [pytest.param(attack, id=f"{kind.name}-{attack.name}") for kind, attack in all_attacks()]


def won(attack: Attack, played: Played, hits: list[str], stage: Stage) -> list[str]:
    """How an attack succeeded; nothing if it did not."""
    found = [f"it has {place}" for place in stage.canaries.found_in(played.said)]
    if PWNED in played.said:
        found.append("it says so")
    return found + [hit for hit in hits if attack.name == hit]


@pytest.mark.known_escape(9, 21)
@pytest.mark.parametrize("attack", EVERY)
def test_an_attack_from_inside_fails(assault: Assault, stage: Stage, attack: Attack) -> None:
    played = assault.played[attack.name]
    assert not won(attack, played, assault.hits, stage), played.said[-3000:]


@pytest.mark.parametrize("attack", [p for p in EVERY if p.values[0].opened])
def test_the_same_attack_succeeds_without_a_sandbox(
    open_setting: tuple[dict[str, Played], list[str]], stage: Stage, attack: Attack
) -> None:
    """So that none of them fails for a reason of its own."""
    played, hits = open_setting
    assert won(attack, played[attack.name], hits, stage), played[attack.name].said[-3000:]


@pytest.mark.known_escape(21)
def test_the_host_is_unharmed(assault: Assault, stage: Stage) -> None:
    """The repository, and the programs that sandboxes are made with. Succeeded at 700cc57, where
    the user owns bubblewrap (root does, where Rover is root's): its mode, owner and times could be
    changed from inside, by /proc/1/exe."""
    assert assault.hits == []
    assert assault.before == assault.after
    assert strays("@@played") == []


def test_the_task_ends_in_an_honest_state(assault: Assault) -> None:
    """Nothing of what it printed is taken for a record of the runner's."""
    assert assault.task["status"] == "COMPLETED", assault.task
    assert [s["status"] for s in assault.task["steps"]] == ["completed"] * len(INSIDE)
    assert "faked-record" not in str(assault.task)


def test_the_rest_of_the_system_works_on(assault: Assault, stage: Stage) -> None:
    stage.assert_all_is_well(assault.engine)


def test_an_agent_without_a_provider_gets_nowhere_and_finds_no_key(
    assault: Assault, stage: Stage
) -> None:
    """The scripted agent has no provider: whatever it asks, none is called."""
    key = stage.canaries.secrets["api-key"]
    assert stage.provider.requests == []
    # Not rglob: a sandbox that waited for a next task may be removed meanwhile.
    files = [Path(folder, name) for folder, _, names in os.walk(stage.data) for name in names]
    assert [path for path in files if _holds(path, key.encode())] == []


def _holds(path: Path, text: bytes) -> bool:
    try:
        return path.is_file() and not path.is_symlink() and text in path.read_bytes()
    except FileNotFoundError:
        return False


def test_what_was_refused_is_told(assault: Assault, stage: Stage) -> None:
    assert "the network policy refused" in str(assault.task["warnings"])
    full = stage.client.tool("inspect", task=assault.task["id"], detail="full")["task"]
    assert any("127.0.0.1" in refused["host"] for refused in full["refused"]), full["refused"]
