"""What an agent tries from inside its sandbox fails, and it shows."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.attacks.attack import PWNED, Attack, AttackOutput
from tests.attacks.classes import INSIDE, all_attacks
from tests.attacks.conftest import AttackRun
from tests.attacks.stage import AttackedHost, strays

EVERY = [pytest.param(attack, id=f"{kind.name}-{attack.name}") for kind, attack in all_attacks()]


def won(attack: Attack, played: AttackOutput, hits: list[str], stage: AttackedHost) -> list[str]:
    """How an attack succeeded; nothing if it did not."""
    found = [f"it has {place}" for place in stage.canaries.found_in(played.said)]
    if PWNED in played.said:
        found.append("it says so")
    return found + [hit for hit in hits if attack.name == hit]


@pytest.mark.known_escape(9, 21)
@pytest.mark.parametrize("attack", EVERY)
def test_an_attack_from_inside_fails(
    attack_run: AttackRun, stage: AttackedHost, attack: Attack
) -> None:
    played = attack_run.played[attack.name]
    assert not won(attack, played, attack_run.hits, stage), played.said[-3000:]


@pytest.mark.parametrize("attack", [p for p in EVERY if p.values[0].opened])
def test_the_same_attack_succeeds_without_a_sandbox(
    open_setting: tuple[dict[str, AttackOutput], list[str]], stage: AttackedHost, attack: Attack
) -> None:
    """So that none of them fails for a reason of its own."""
    played, hits = open_setting
    assert won(attack, played[attack.name], hits, stage), played[attack.name].said[-3000:]


@pytest.mark.known_escape(21)
def test_the_host_is_unharmed(attack_run: AttackRun, stage: AttackedHost) -> None:
    """The repository, and the programs that sandboxes are made with. Succeeded at 700cc57, where
    the user owns bubblewrap (root does, where Rover is root's): its mode, owner and times could be
    changed from inside, by /proc/1/exe."""
    assert attack_run.hits == []
    assert attack_run.before == attack_run.after
    assert strays("@@played") == []


def test_the_task_ends_in_an_honest_state(attack_run: AttackRun) -> None:
    """Nothing of what it printed is taken for a record of the runner's."""
    assert attack_run.task["status"] == "COMPLETED", attack_run.task
    assert [s["status"] for s in attack_run.task["steps"]] == ["completed"] * len(INSIDE)
    assert "faked-record" not in str(attack_run.task)


def test_the_rest_of_the_system_works_on(attack_run: AttackRun, stage: AttackedHost) -> None:
    stage.assert_all_is_well(attack_run.engine)


def test_an_agent_without_a_provider_gets_nowhere_and_finds_no_key(
    attack_run: AttackRun, stage: AttackedHost
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


def test_what_was_refused_is_told(attack_run: AttackRun, stage: AttackedHost) -> None:
    assert "the network policy refused" in str(attack_run.task["warnings"])
    full = stage.client.tool("inspect", task=attack_run.task["id"], detail="full")["task"]
    assert any("127.0.0.1" in refused["host"] for refused in full["refused"]), full["refused"]
