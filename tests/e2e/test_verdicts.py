"""The built-in workflows with the real Claude Code, in repositories as they are: with an old red
test, with a test command that is not found, with a review that edits a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import client_of_real_agents
from tests.support.fake_models import FakeModels
from tests.support.frames import LauncherClient
from tests.support.models.turns import Behaviour, text, tool, write
from tests.support.repos import git

pytestmark = pytest.mark.real_agent

TESTS = """\
status=0
[ ! -e add.py ] || grep -q good add.py || { echo "test_add failed"; status=1; }
[ -e never ] || { echo "test_old failed: never is missing"; status=1; }
exit $status
"""
NEW_ONLY = "[ ! -e add.py ] || grep -q good add.py"


client = client_of_real_agents({"test.sh": TESTS})


def says(**outputs: object) -> Behaviour:
    return text(json.dumps(outputs))


def completed(
    client: LauncherClient, name: str, workflow: str, inputs: dict[str, str]
) -> dict[str, Any]:
    task = client.tool(
        "create_task", description=f"Make add.py good [session:{name}]", workflow=workflow,
        agent="claude", engine="bubblewrap", inputs=inputs,
    )["task"]  # fmt: skip
    client.wait_until(task["id"], "COMPLETED")
    return client.tool("inspect", task=task["id"])["task"]


def delivered(done: dict[str, Any], path: str) -> str:
    return git(Path(done["repo_path"]), "show", f"{done['branch']}:{path}")


def test_an_old_red_test_costs_nobody_a_correct_change(
    client: LauncherClient, provider: FakeModels
) -> None:
    session = provider.session("old-red")
    session.push(
        says(size="small", notes="see add.py", test_command="sh test.sh"),
        says(test_command="sh test.sh", known_failures="test_old"),
        write("add.py", "good\n"),
        says(summary="made add.py"),
        says(only_old_failures=True, still_failing="test_old, as before"),
    )
    done = completed(client, "old-red", "swe", {})
    assert delivered(done, "add.py") == "good"
    verdict = "tests still fail: test_old, as before (exit status 1; as the agent says)"
    assert done["verdict"] == f'"{verdict}"'
    assert done["phase"].startswith('completed, but: "tests still fail')
    body = git(Path(done["repo_path"]), "log", "-1", "--format=%b", done["branch"])
    assert f"But: {verdict}" in body
    repair = session.main_requests[-1].texts[-1]
    assert repair.count("test_old failed: never is missing") == 2
    assert "test_add failed" not in repair


def test_a_missing_command_is_corrected_and_a_review_changes_nothing(
    client: LauncherClient, provider: FakeModels
) -> None:
    provider.session("not-found").push(
        says(size="large", notes="see add.py", test_command=""),
        says(test_command=NEW_ONLY, known_failures=""),
        says(plan="1. add.py"),
        write("add.py", "good\n"),
        says(summary="made add.py"),
        write("extra.py", "mine\n"),
        says(issues_found=False, issues=""),
    )
    done = completed(client, "not-found", "swe", {"test_command": "pytets -q"})
    assert done.get("verdict") is None
    assert delivered(done, "add.py") == "good"
    names = git(Path(done["repo_path"]), "ls-tree", "--name-only", done["branch"])
    assert names.splitlines() == ["add.py", "test.sh"]
    [warning] = [w for w in done["warnings"] if "is read-only" in w]
    assert "step review" in warning
    assert "extra.py" in warning


def test_quick_tells_its_check_and_lets_the_agent_try_again(
    client: LauncherClient, provider: FakeModels
) -> None:
    session = provider.session("again")
    session.push(
        write("add.py", "bad\n"),
        text("Done."),
        write("add.py", "good\n"),
        text("Corrected."),
    )
    done = completed(
        client, "again", "quick", {"check_command": f"{NEW_ONLY} || (echo it is bad; false)"}
    )
    assert done.get("verdict") is None
    first = session.main_requests[0].texts[-1]
    assert NEW_ONLY in first
    assert "it is bad" in session.main_requests[2].texts[-1]
    assert delivered(done, "add.py") == "good"


def test_investigate_reports_and_delivers_no_change(
    client: LauncherClient, provider: FakeModels
) -> None:
    """D.14."""
    provider.session("why").push(
        write("investigation.md", "# Because\n"),
        text("The report is written."),
        says(summary="It is so because.", corrections=""),
    )
    done = completed(client, "why", "investigate", {})
    assert done.get("verdict") is None
    base = git(Path(done["repo_path"]), "rev-parse", "HEAD")
    assert git(Path(done["repo_path"]), "rev-parse", done["branch"]) == base
    full = client.tool("inspect", task=done["id"], detail="full")["task"]
    assert "# Because" in json.dumps(full["steps"])


def test_migrate_changes_its_parts_at_the_same_time(
    client: LauncherClient, provider: FakeModels
) -> None:
    """D.14: whichever part asks first, each of the two agents ends with one answer."""
    parts = {"places_1": "1.py", "places_2": "2.py", "places_3": "", "places_4": ""}
    provider.session("many").push(
        says(rule="new", test_command="sh test.sh", **parts),
        write("1.py", "new\n"),
        write("2.py", "new\n"),
        says(left_1="", left_2=""),
        says(left_1="", left_2=""),
        says(summary="all is new", complete=True, only_old_failures=True),
    )
    done = completed(client, "many", "migrate", {})
    assert done.get("verdict") is None
    assert [delivered(done, f"{n}.py") for n in (1, 2)] == ["new", "new"]


def test_everything_goes_wrong_in_swe_tdd_and_the_work_is_delivered(
    client: LauncherClient, provider: FakeModels
) -> None:
    """prose after the JSON, a missing output, a test command that is not
    found, and an old red test, in one task."""
    looked = {"cases": "1. good", "notes": "add.py", "test_command": "sh test.sh"}
    session = provider.session("tdd")
    session.push(
        text(f"I found this:\n```json\n{json.dumps(looked)}\n```\nShall I go on?"),
        text("The command is wrong."),
        tool("StructuredOutput", test_command="sh test.sh", known_failures="test_old"),
        write("cases.txt", "good\n"),
        text("The test is written."),
        write("add.py", "good\n"),
        says(summary="made add.py"),
        says(only_old_failures=True, still_failing="test_old, as before"),
        says(issues_found=False, issues=""),
        says(summary="add.py is good"),
    )
    done = completed(client, "tdd", "swe-tdd", {"test_command": "pytets -q"})
    assert delivered(done, "add.py") == "good"
    said = "tests still fail: test_old, as before (exit status 1; as the agent says)"
    assert done["verdict"] == f'"{said}"'
    asked = {r.texts[-1] for r in session.main_requests}
    assert sum("outputs are missing" in said for said in asked) == 1


def test_a_check_that_is_not_found_costs_quick_no_work(
    client: LauncherClient, provider: FakeModels
) -> None:
    """127 in quick, and an answer in prose to what is asked as JSON."""
    provider.session("no-check").push(
        write("add.py", "good\n"),
        text("Done."),
        text('{"still_wrong": "pytets is not installed"} is what I can say.'),
    )
    done = completed(client, "no-check", "quick", {"check_command": "pytets -q"})
    assert delivered(done, "add.py") == "good"
    assert done["verdict"] == '"the check still fails: pytets is not installed (exit status 127)"'
