"""Scenarios of handing over work, looking at it and putting it away."""

from __future__ import annotations

from typing import Any

from rover_mcp.domain.ids import short_id
from tests.scenarios.stage import (
    COMPLETED,
    FAILED,
    PAUSED,
    ScenarioRepository,
    scenario,
)
from tests.scenarios.stopped import DONE, credits_then_done
from tests.support.repos import FIXED, git
from tests.support.scripts import script


def writes(name: str, text: str, **more: Any) -> str:
    """The script of an agent that writes one file."""
    return script(implement=[{"say": "done", "edits": [{"path": name, "content": text}], **more}])


@scenario("Fix the tests in the project on my desk. ... No, I meant this repository.")
def wrong_repository(stage: ScenarioRepository) -> None:
    desk = stage.folder / "desk"
    desk.mkdir()
    with stage.assistant() as assistant:
        error = assistant.refused("create_task", description="Fix", repo_path=str(desk))
        assert str(desk) in error["message"]
        assert "git init" in error["hint"]
        made = assistant.call("create_task", description="Fix", script=script(implement=[DONE]))
        assert (made["task"]["number"], made["task"]["repo_path"]) == (1, stage.here)
        assert assistant.follow(made["task"]["next_actions"][0])["task"]["status"] == COMPLETED
    assert not any(desk.iterdir())


@scenario("Do both at once: add a test of add, and let add reject text. They touch one file.")
def two_tasks_on_one_file(stage: ScenarioRepository) -> None:
    texts = [f"{FIXED}# first\n", f"{FIXED}# second\n"]
    with stage.assistant() as assistant:
        tasks = [
            assistant.call("create_task", description=what, script=writes("calc.py", text))["task"]
            for what, text in zip(("Test add", "Check add"), texts, strict=True)
        ]
        for task in tasks:
            assert assistant.call("wait_for_task", task=task["id"])["task"]["status"] == COMPLETED
        for task in tasks:
            (changed,) = assistant.call("get_diff", task=task["id"])["changes"]["paths"]
            assert changed["path"] == "calc.py"
    for task, text in zip(tasks, texts, strict=True):
        assert git(stage.repository, "show", f"{task['branch']}:calc.py") == text.strip()
    assert "a - b" in (stage.repository / "calc.py").read_text()


@scenario("Clean up the tasks that are done, but lose no work.")
def clean_up_safely(stage: ScenarioRepository) -> None:
    kept = stage.earlier(COMPLETED, script=writes("a.txt", "a\n"))
    lost = stage.earlier(COMPLETED, script=writes("b.txt", "b\n"))
    git(stage.repository, "branch", "-D", lost["branch"])
    with stage.assistant() as assistant:
        done = assistant.call("list_tasks", repo_path=stage.here, status=["COMPLETED"])["tasks"]
        assert {t["id"] for t in done} == {short_id(kept["id"]), short_id(lost["id"])}
        told = assistant.call("delete_task", task="1")
        assert {i["what"]: i["kept"] for i in told["items"]}["work"] is True
        assert assistant.follow(told["next_actions"][0])["deleted"] is True
        told = assistant.call("delete_task", task="2")
        (work,) = [i for i in told["items"] if i["what"] == "work"]
        assert (work["kept"], told["deleted"]) == (False, False)
        assert lost["branch"] in work["detail"]
    assert git(stage.repository, "show", f"{kept['branch']}:a.txt") == "a"
    assert stage.until(lost["id"], COMPLETED)


@scenario("What happened while I was away?")
def what_happened_while_i_was_away(stage: ScenarioRepository) -> None:
    made = [
        stage.earlier(None, description="One", script=script(implement=[DONE])),
        stage.earlier(None, description="Two", script=credits_then_done()),
        stage.earlier(
            None, workflow="demo", description="Three",
            script=script(plan=[{"outputs": {"plan": "none"}}], implement=[{"error": BAD}]),
        ),
    ]  # fmt: skip
    for task, status in zip(made, (COMPLETED, PAUSED, FAILED), strict=True):
        stage.until(task["id"], status)
    with stage.assistant() as assistant:
        listed = assistant.call("list_tasks", repo_path=stage.here)
        news = {e["number"]: e for e in listed["attention"]}
        assert {n: e["event"] for n, e in news.items()} == {
            1: "task.completed",
            2: "task.paused",
            3: "task.failed",
        }
        assert made[0]["branch"] in news[1]["summary"]
        assert news[2]["resume"]["tool"] == "resume_task"
        assert BAD["message"] in news[3]["summary"]


BAD = {"message": "prompt is too long: 250000 tokens > 200000 maximum", "status": 400,
       "type": "invalid_request_error"}  # fmt: skip


@scenario("Is task 1 fit to be merged? It changed much; look at the important file first.")
def review_a_large_diff(stage: ScenarioRepository) -> None:
    edits = [{"path": f"gen/f{n}.py", "content": f"x = {n}\n" * 200} for n in range(40)]
    done = {"edits": [*edits, {"path": "calc.py", "content": FIXED}]}
    task = stage.earlier(COMPLETED, script=script(implement=[done]))
    with stage.assistant() as assistant:
        total = assistant.call("get_diff", task="1", stat_only=True)["changes"]
        assert (total["files"], total["added"]) == (41, 8001)
        part = assistant.call("get_diff", task="1", paths=["calc.py"])
        assert "+    return a + b" in part["patch"]
        assert part["truncated"] is False
    git(stage.repository, "merge", "-q", "--no-edit", task["branch"])
    assert (stage.repository / "calc.py").read_text() == FIXED


@scenario("Do these three things, one after the other or at once, and tell me when all are done.")
def queue_of_several_tasks(stage: ScenarioRepository) -> None:
    names = ("a", "b", "c")
    with stage.assistant() as assistant:
        tasks = [
            assistant.call("create_task", description=n, script=writes(f"{n}.txt", n))["task"]
            for n in names
        ]
        assert [t["number"] for t in tasks] == [1, 2, 3]
        for n, task in zip(names, tasks, strict=True):
            done = assistant.call("wait_for_task", task=task["id"])["task"]
            assert done["status"] == COMPLETED
            assert git(stage.repository, "show", f"{done['branch']}:{n}.txt") == n


@scenario("Use the workflow quik for this.")
def a_workflow_that_does_not_exist(stage: ScenarioRepository) -> None:
    asked = {"description": "Fix add", "script": script(implement=[DONE])}
    with stage.assistant() as assistant:
        error = assistant.refused("create_task", **asked, workflow="quik")
        assert "quik" in error["message"]
        assert "quick" in error["hint"]
        made = assistant.call("create_task", **asked, workflow="quick")["task"]
    assert stage.until(made["id"], COMPLETED)["workflow"] == "quick"


@scenario(
    "Which ways of working are there? Take the plain one, and run my tests after it.", newcomer=True
)
def which_workflows_are_there(stage: ScenarioRepository) -> None:
    with stage.assistant() as assistant:
        known = {w["name"]: w for w in assistant.call("list_workflows")["workflows"]}
        assert {"quick", "swe", "swe-tdd", "tech-writer", "demo"} <= set(known)
        (check,) = known["quick"]["inputs"]
        made = assistant.call(
            "create_task", description="Fix add", workflow="quick",
            inputs={check["name"]: "python3 -m unittest"}, script=script(implement=[DONE]),
        )["task"]  # fmt: skip
        done = assistant.call("wait_for_task", task=made["id"])["task"]
    assert [(s["id"], s["status"]) for s in done["steps"] if not s.get("parent")] == [
        ("implement", "completed"),
        ("check", "completed"),
    ]


@scenario("Run it in Docker. ... Then what works here? Take that.", newcomer=True)
def engine_missing(stage: ScenarioRepository) -> None:
    asked = {"description": "Fix add", "script": script(implement=[DONE])}
    with stage.assistant() as assistant:
        error = assistant.refused("create_task", **asked, engine="docker")
        assert "docker" in error["message"].lower()
        status = assistant.call("get_status")
        engines = {e["name"]: e for e in status["engines"]}
        assert engines["docker"]["available"] is False
        assert engines["docker"]["hint"]
        assert engines["bubblewrap"]["available"] is True
        made = assistant.call("create_task", **asked, engine="bubblewrap")["task"]
        done = assistant.call("wait_for_task", task=made["id"])["task"]
    assert (done["status"], done["engine"]) == (COMPLETED, "bubblewrap")


@scenario("Good. Now also add a line of documentation, on top of what task 1 did.")
def follow_up_of_a_finished_task(stage: ScenarioRepository) -> None:
    first = stage.earlier(COMPLETED, script=script(implement=[DONE]))
    with stage.assistant() as assistant:
        task = assistant.call("inspect", task="1")["task"]
        made = assistant.call(
            "create_task", description="Document add", base_branch=task["branch"],
            script=writes("README.md", "add adds\n"),
        )["task"]  # fmt: skip
        done = assistant.call("wait_for_task", task=made["id"])["task"]
        diff = assistant.call("get_diff", task=made["id"])
        assert [f["path"] for f in diff["changes"]["paths"]] == ["README.md"]
    assert git(stage.repository, "show", f"{done['branch']}:calc.py") == FIXED.strip()
    assert git(stage.repository, "merge-base", done["branch"], first["branch"]) == git(
        stage.repository, "rev-parse", first["branch"]
    )


@scenario("Fix add. (The answer gets lost on its way, and the assistant asks again.)")
def the_same_task_created_twice(stage: ScenarioRepository) -> None:
    asked = {"description": "Fix add", "request_key": "fix-add", "script": script(implement=[DONE])}
    with stage.assistant() as assistant:
        first = assistant.call("create_task", **asked)["task"]
    with stage.assistant() as assistant:
        again = assistant.call("create_task", **asked)["task"]
        assert again["id"] == first["id"]
        tasks = assistant.call("list_tasks", repo_path=stage.here)["tasks"]
        assert [t["id"] for t in tasks] == [first["id"]]
    stage.until(first["id"], COMPLETED)
