from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.attacks.attack import AttackOutput, program, results, shell
from tests.attacks.classes import INSIDE, all_attacks
from tests.attacks.stage import AttackedHost, open_stage, programs, repository_state
from tests.support.docker_env import docker_host
from tests.support.podman_env import podman_host
from tests.support.scripts import script

__all__ = ["docker_host", "podman_host"]

ENGINES = [
    "bubblewrap",
    pytest.param("docker", marks=pytest.mark.docker),
    pytest.param("podman", marks=pytest.mark.podman),
]


@pytest.fixture(scope="session")
def stage(docker_host: str, podman_host: str) -> Iterator[AttackedHost]:
    with open_stage(docker_host, podman_host) as made:
        yield made


@dataclass(frozen=True)
class AttackRun:
    """One engine's task that played every attack, and what is left of it on the host."""

    engine: str
    task: dict[str, Any]
    played: dict[str, AttackOutput]
    hits: list[str]
    before: object
    after: object


@pytest.fixture(scope="session", params=ENGINES)
def attack_run(request: pytest.FixtureRequest, stage: AttackedHost) -> AttackRun:
    """All attacks from inside, a step for each class, played once for all tests."""
    engine: str = request.param
    places = stage.places(engine)
    steps = [
        {"id": c.name, "type": "agent", "name": c.title, "prompt": "attack", "allow_failure": True}
        for c in INSIDE
    ]
    stage.workflow("assault", steps)
    before = (repository_state(stage.repository), programs())
    turns = {c.name: [{"run": shell(c.attacks, places)}] for c in INSIDE}
    task = stage.ended(stage.create("assault", engine, script(**turns)))
    played: dict[str, AttackOutput] = {}
    for kind in INSIDE:
        played |= results(stage.log(task, kind.name))
    hits = stage.hits()
    stage.forget_hits()
    after = (repository_state(stage.repository), programs())
    return AttackRun(engine, task, played, hits, before, after)


@pytest.fixture(scope="session")
def open_setting(stage: AttackedHost) -> tuple[dict[str, AttackOutput], list[str]]:
    """The attacks that can be shown to work, without a sandbox: in a shell of the user's."""
    root = stage.root / "open"
    for name in ("spec", "run", "work"):
        (root / name).mkdir(parents=True)
    spec = {"paths": {"run": str(root / "run")}}
    for name in ("spec.json", "workflow.yaml", "script.yaml"):
        (root / "spec" / name).write_text(json.dumps(spec))
    journal = root / "run" / "journal.jsonl"
    journal.write_text("{}\n")
    attacks = [attack for _, attack in all_attacks() if attack.opened]
    with journal.open("ab"):
        done = subprocess.run(
            [sys.executable, "-c", program(attacks, stage.places("bubblewrap"), 300)],
            env={**os.environ, **stage.env, "ROVER_SPEC": str(root / "spec")},
            cwd=root / "work", capture_output=True, text=True, check=True, timeout=1500,
        )  # fmt: skip
    hits = stage.hits()
    stage.forget_hits()
    return results(done.stdout), hits
