"""Attacks that are tasks of their own: each ends honestly, and the host is unharmed."""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest

from rover_mcp.config.load_settings import load_settings
from rover_mcp.sandbox.engines import engines
from tests.attacks.attack import PWNED, fill
from tests.attacks.conftest import ENGINES
from tests.attacks.stage import AttackedHost, repository_state, strays
from tests.attacks.variants import CREDIT_FAKE, VARIANTS, Variant
from tests.support.repos import git
from tests.support.scripts import script

MARKER = f"rover-attack-{secrets.token_hex(6)}"


@dataclass(frozen=True)
class EndedTask:
    engine: str
    tasks: dict[str, dict[str, Any]]
    before: object


# Not on podman: it runs the same code as docker, and ten sandboxes at a time take it a minute.
@pytest.fixture(scope="module", params=ENGINES)
def ended(request: pytest.FixtureRequest, stage: AttackedHost) -> EndedTask:
    """All of them at the same time, and the daemon answers meanwhile."""
    places = {**stage.places(request.param), "MARKER": MARKER}
    before = repository_state(stage.repository)
    made: dict[str, dict[str, Any]] = {}
    missing = not_limited(stage, request.param)
    for variant in [v for v in VARIANTS if v.limit not in missing]:
        step = {"id": "attack", "type": "agent", "prompt": "x", "outputs": list(variant.outputs)}
        later = {"id": "later", "type": "agent", "prompt": "x"}
        stage.workflow(f"variant-{variant.name}", [step, later])
        turns = script(
            attack=[{"run": fill(variant.run, places)}],
            later=[{"edits": [{"path": "good.py", "content": "good = 1\n"}]}],
        )
        made[variant.name] = stage.create(f"variant-{variant.name}", request.param, turns)
    # Each is answered, or the client gives up.
    for _ in range(20):
        stage.client.tool("list_tasks", limit=1)
    done = {name: stage.ended(task) for name, task in made.items()}
    return EndedTask(request.param, done, before)


def not_limited(stage: AttackedHost, engine: str) -> list[str]:
    """What an engine says that it cannot limit."""
    engines = stage.client.tool("get_status")["engines"]
    return next(e for e in engines if e["name"] == engine)["limits_not_applied"]


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: v.name)
def test_the_task_ends_honestly_and_says_what_was(
    ended: EndedTask, stage: AttackedHost, variant: Variant
) -> None:
    if variant.name not in ended.tasks:
        assert variant.limit in not_limited(stage, ended.engine)
        return
    task = ended.tasks[variant.name]
    assert task["status"] == variant.status, str(task)
    assert PWNED not in stage.log(task, "attack")
    told = f"{task.get('error')} {task.get('pause')} {task.get('warnings')}"
    assert re.search(variant.told, told), told


def test_the_host_is_unharmed(ended: EndedTask, stage: AttackedHost) -> None:
    assert stage.hits() == []
    assert repository_state(stage.repository) == ended.before
    assert strays(MARKER) == []


def test_what_was_good_is_delivered(ended: EndedTask, stage: AttackedHost) -> None:
    for variant in [v for v in VARIANTS if v.name in ended.tasks]:
        branch = ended.tasks[variant.name]["branch"]
        if variant.status == "COMPLETED":
            assert git(stage.repository, "show", f"{branch}:good.py") == "good = 1", variant.name
        elif branch in git(stage.repository, "branch", "--list", "rover/*"):
            said = git(stage.repository, "log", "-1", "--format=%B", branch)
            assert said.endswith("Rover-Status: unfinished"), variant.name


def test_after_a_repository_was_replaced_resume_brings_the_work_home(
    ended: EndedTask, stage: AttackedHost
) -> None:
    """C10: as the task does by itself unless that is switched off."""
    for task in (ended.tasks["git-file"], ended.tasks["git-link"]):
        stage.client.tool("resume_task", task=task["id"])
        done = stage.client.wait_until(task["id"], "COMPLETED")
        assert "made again" in str(done["warnings"])
        assert git(stage.repository, "show", f"{task['branch']}:kept.txt") == "1"
    assert repository_state(stage.repository) == ended.before


@pytest.mark.known_escape(2)
def test_an_output_is_never_more_than_the_agent_could_read(
    ended: EndedTask, stage: AttackedHost
) -> None:
    task = ended.tasks["outputs"]
    records = (stage.data / "tasks" / task["id"] / "iterations/1/run/journal.jsonl").read_text()
    assert stage.canaries.found_in(records) == []
    assert len(records) < 3_000_000


def test_what_was_printed_holds_no_account(ended: EndedTask, stage: AttackedHost) -> None:
    status = stage.client.tool("get_status")
    assert not status.get("holds"), status
    assert CREDIT_FAKE in stage.log(ended.tasks["fake-provider-error"], "attack")


@pytest.mark.known_escape(18)
def test_a_flood_is_capped_and_the_daemon_answers_meanwhile(
    ended: EndedTask, stage: AttackedHost
) -> None:
    """With as many sandboxes as this machine has cores, and more."""
    log = stage.log(ended.tasks["flood"], "attack")
    assert len(log) < 2_100_000
    assert "the log is full" in log[-200:]


def test_a_full_disk_is_noticed_before_it_is_full_and_its_space_comes_back(
    ended: EndedTask, stage: AttackedHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """300 MB were to be written, with a limit of 64 MiB."""
    task = ended.tasks["disk"]
    found = re.search(r"holds (\d+) MiB", str(task["error"]))
    assert found, task["error"]
    assert 64 <= int(found[1]) < 200
    for name in ("DOCKER_HOST", "CONTAINER_HOST"):
        monkeypatch.setenv(name, stage.env[name])
    engine = engines(stage.data, load_settings(stage.data))[ended.engine]
    assert engine.holds_work(task["id"])
    engine.remove_task(task["id"])
    assert not engine.holds_work(task["id"])


def test_records_have_the_runners_clock(ended: EndedTask, stage: AttackedHost) -> None:
    task = ended.tasks["clock"]
    journal = stage.data / "tasks" / task["id"] / "iterations/1/run/journal.jsonl"
    times = [json.loads(line).get("at") for line in journal.read_text().splitlines()]
    years = {datetime.fromisoformat(t).year for t in times if t}
    assert years == {datetime.now().astimezone().year}
    names = git(stage.repository, "ls-tree", "--name-only", task["branch"]).splitlines()
    assert "clock-was-set" not in names


def test_the_rest_of_the_system_works_on(ended: EndedTask, stage: AttackedHost) -> None:
    stage.assert_all_is_well(ended.engine)
