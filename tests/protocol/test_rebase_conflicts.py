"""Conflicts of a rebase that an agent resolves: a task of its own does it, its answer is judged, and
it counts only once it was shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.protocol.test_rebase import commit_on_main
from tests.support.frames import Frame, LauncherClient, ToolError
from tests.support.repos import git
from tests.support.scripts import script

BASE = "a\nb\nc\n"
TASKS, MAINS, BOTH = "a\ntask\nc\n", "a\nmain\nc\n", "a\nmain\ntask\nc\n"


def edits(content: str, path: str) -> dict[str, object]:
    return {"edits": [{"path": path, "content": own(path, content)}]}


def own(path: str, content: str) -> str:
    """A content that no other file has: what was agreed to for one counts for its like."""
    return f"{path}\n{content}"


def conflicting(
    client: LauncherClient, repo: Path, name: str, *answers: dict[str, object], **inputs: str
) -> Frame:
    """A completed task that changed a line which main changes afterwards."""
    commit_on_main(repo, name, own(name, BASE))
    task = client.tool(
        "create_task", description=f"Change {name}", workflow="quick", agent="scripted",
        engine="bubblewrap", inputs=inputs,
        script=script(implement=[edits(TASKS, name)], resolve=list(answers or [{}])),
    )["task"]  # fmt: skip
    task = client.wait_until(task["id"], "COMPLETED")
    commit_on_main(repo, name, own(name, MAINS))
    return task


def state_of(repo: Path) -> tuple[str, str]:
    return git(repo, "for-each-ref"), git(repo, "status", "--porcelain")


def test_an_agent_resolves_and_a_person_looks_before_it_counts(shared: Path) -> None:
    """N2."""
    repo = shared / "repo"
    with LauncherClient(shared / "data", repo) as client:
        client.open()
        task = conflicting(client, repo, "one.txt", edits(BOTH, "one.txt"))
        before = state_of(repo)
        shown = client.tool("rebase_task", task=task["id"])
        (offer,) = shown["next_actions"]
        assert offer["arguments"]["resolve"] is True
        begun = client.tool(offer["tool"], **offer["arguments"])
        resolver = begun["next_actions"][0]["arguments"]["task"]
        again = client.tool("rebase_task", task=task["id"], resolve=True)
        assert again["next_actions"] == begun["next_actions"], "a second call starts no second task"
        done = client.wait_until(resolver, "COMPLETED")
        assert done["branch"] == "", "it publishes none, so none is named"
        assert state_of(repo) == before
        unseen = client.tool("rebase_task", task=task["id"], confirm=True)
        assert unseen["rebased"] is False, "nobody has seen it yet"
        assert state_of(repo) == before
        assert "+main\n+task" in unseen["resolution"]
        (look,) = done["next_actions"]
        shown = client.tool(look["tool"], **look["arguments"])
        assert "+main\n+task" in shown["resolution"]
        (confirm,) = shown["next_actions"]
        result = client.tool(confirm["tool"], **confirm["arguments"])
        assert result["rebased"] is True
        assert git(repo, "show", f"{task['branch']}:one.txt") == own("one.txt", BOTH).strip()
        assert git(repo, "rev-parse", f"{task['branch']}^") == git(repo, "rev-parse", "main")
        assert client.tool("get_diff", task=task["id"])["changes"]["files"] == 1
        merged = client.tool("merge_task", task=task["id"], mode="ff", confirm=True)
        assert merged["status"] == "MERGED"


def test_a_side_is_chosen_where_no_text_resolves_it(shared: Path) -> None:
    """N2: main deleted what the task changed, and both changed a binary file. An answer without a
    choice goes back; what a choice gives up is shown."""
    repo = shared / "repo"
    with LauncherClient(shared / "data", repo) as client:
        client.open()
        commit_on_main(repo, "gone.txt", own("gone.txt", BASE))
        commit_on_main(repo, "logo.bin", "\0base")
        changes = [("gone.txt", own("gone.txt", TASKS)), ("logo.bin", "\0task")]
        choices = "gone.txt -> branch: it is still used\nlogo.bin -> base: main drew it anew"
        task = client.tool(
            "create_task", description="Change both", workflow="quick", agent="scripted",
            engine="bubblewrap",
            script=script(
                implement=[{"edits": [{"path": p, "content": c} for p, c in changes]}],
                resolve=[{}, {"outputs": {"choices": choices}}],
            ),
        )["task"]  # fmt: skip
        task = client.wait_until(task["id"], "COMPLETED")
        commit_on_main(repo, "logo.bin", "\0main")
        git(repo, "rm", "-q", "gone.txt")
        git(repo, "commit", "-qm", "gone")
        before = state_of(repo)
        begun = client.tool("rebase_task", task=task["id"], resolve=True)
        done = client.wait_until(begun["next_actions"][0]["arguments"]["task"], "COMPLETED")
        assert done["iteration"] == 2, "the first answer had no choices"
        assert state_of(repo) == before
        shown = client.tool("rebase_task", task=task["id"])
        assert "given up, the branch: what it has here (main drew it anew)" in shown["resolution"]
        assert client.tool("rebase_task", task=task["id"], confirm=True)["rebased"] is True
        branch = task["branch"]
        assert git(repo, "show", f"{branch}:gone.txt") == own("gone.txt", TASKS).strip()
        assert git(repo, "show", f"{branch}:logo.bin") == "\0main"


LOCK = "package-lock.json"


def package(name: str, version: str) -> tuple[str, str]:
    """A package.json in which name and version are far apart, and its lock file, in which they are
    not."""
    own = {"name": name, "description": "x", "license": "MIT", "private": True, "main": "a.js"}
    root = {"name": name, "version": version, "license": "MIT"}
    lock = {"name": name, "version": version, "lockfileVersion": 3, "requires": True}
    lock |= {"packages": {"": root}}
    texts = (json.dumps(one, indent=2) + "\n" for one in (own | {"version": version}, lock))
    return next(texts), next(texts)


def test_a_lock_file_is_written_again_by_its_own_program(shared: Path) -> None:
    """N2: no text of two versions is put together, and no agent is asked."""
    repo = shared / "repo"
    with LauncherClient(shared / "data", repo) as client:
        client.open()

        def on_main(name: str) -> None:
            for path, content in zip(("package.json", LOCK), package(name, "1.0.0"), strict=True):
                commit_on_main(repo, path, content)

        on_main("old-name")
        files = zip(("package.json", LOCK), package("old-name", "1.1.0"), strict=True)
        task = client.tool(
            "create_task", description="Release", workflow="quick", agent="scripted",
            engine="bubblewrap",
            script=script(implement=[{"edits": [{"path": p, "content": c} for p, c in files]}]),
        )["task"]  # fmt: skip
        task = client.wait_until(task["id"], "COMPLETED")
        on_main("new-name")
        begun = client.tool("rebase_task", task=task["id"], resolve=True)
        done = client.wait_until(begun["next_actions"][0]["arguments"]["task"], "COMPLETED")
        assert done["usage"]["output_tokens"] == 0
        shown = client.tool("rebase_task", task=task["id"])
        assert "written again by `(cd -- . && npm install" in shown["resolution"]
        assert client.tool("rebase_task", task=task["id"], confirm=True)["rebased"] is True
        lock = json.loads(git(repo, "show", f"{task['branch']}:{LOCK}"))
        assert (lock["name"], lock["version"]) == ("new-name", "1.1.0")


def test_a_lock_file_whose_program_fails_leaves_all_as_it_was(shared: Path) -> None:
    """N2."""
    repo = shared / "repo"
    with LauncherClient(shared / "data", repo) as client:
        client.open()
        task = conflicting(client, repo, "composer.lock")
        before = state_of(repo)
        begun = client.tool("rebase_task", task=task["id"], resolve=True)
        failed = client.wait_until(begun["next_actions"][0]["arguments"]["task"], "FAILED")
        assert "the lock files in conflict cannot be written again" in failed["error"]
        assert state_of(repo) == before


def checked(client: LauncherClient, repo: Path, name: str, command: str, *answers: str) -> Frame:
    """The task, and the one that resolves its conflicts with these answers."""
    every = [edits(answer, name) for answer in answers]
    task = conflicting(client, repo, name, *every, check_command=command)
    begun = client.tool("rebase_task", task=task["id"], resolve=True)
    return {"task": task["id"], "resolver": begun["next_actions"][0]["arguments"]["task"]}


def test_the_projects_check_runs_on_the_result(shared: Path) -> None:
    """N2."""
    repo = shared / "repo"
    with LauncherClient(shared / "data", repo) as client:
        client.open()
        ids = checked(client, repo, "good.txt", "grep -q task good.txt", BOTH)
        done = client.wait_until(ids["resolver"], "COMPLETED")
        assert (done["iteration"], done.get("verdict")) == (2, None)
        assert "the check fails" not in client.tool("rebase_task", task=ids["task"])["message"]


def test_a_result_that_fails_the_check_goes_back_to_the_agent(shared: Path) -> None:
    """N2: with what the check printed and the resolutions that it failed on."""
    repo, other = shared / "repo", "a\ntask\nmain\nc\n"
    with LauncherClient(shared / "data", repo) as client:
        client.open()
        check = "grep -A1 task back.txt | grep -q main || { echo 'main is missing'; exit 3; }"
        ids = checked(client, repo, "back.txt", check, BOTH, other)
        done = client.wait_until(ids["resolver"], "COMPLETED")
        assert done["iteration"] == 4, "an answer and a check, twice"
        name = f"{ids['resolver']}*/iterations/3/rebases/round.json"
        (note,) = (shared / "data/tasks").glob(name)
        report = json.loads(note.read_text())["given"]["round"]["check_report"]
        assert "    | main is missing" in report
        assert "    | +main\n    | +task" in report
        shown = client.tool("rebase_task", task=ids["task"])
        assert "+task\n+main" in shown["resolution"]
        assert "the check fails" not in shown["message"]
        assert client.tool("rebase_task", task=ids["task"], confirm=True)["rebased"] is True


def test_a_check_that_always_fails_ends_the_task_and_the_user_decides(shared: Path) -> None:
    """N2: a resume would end in the same verdict, and names what to call."""
    repo = shared / "repo"
    with LauncherClient(shared / "data", repo) as client:
        client.open()
        ids = checked(client, repo, "bad.txt", "! grep -q main bad.txt", BOTH, BOTH, BOTH)
        failed = client.wait_until(ids["resolver"], "FAILED")
        problem = "the check fails on the result (exit status 1)"
        assert problem in failed["error"]
        assert failed["iteration"] == 6
        assert [a["tool"] for a in failed["next_actions"]] == ["get_logs", "rebase_task"]
        with pytest.raises(ToolError) as refused:
            client.tool("resume_task", task=ids["resolver"])
        assert refused.value.error["code"] == "not_resumable"
        assert refused.value.error["next_call"]["tool"] == "rebase_task"
        shown = client.tool("rebase_task", task=ids["task"])
        assert f"But {problem}." in shown["message"]
        assert client.tool("rebase_task", task=ids["task"], confirm=True)["rebased"] is True


def test_a_cancelled_resolution_leaves_all_as_it_was(shared: Path) -> None:
    """N2: the finished task stays finished, and the next call starts another one."""
    repo = shared / "repo"
    with LauncherClient(shared / "data", repo) as client:
        client.open()
        slow = {**edits(BOTH, "slow.txt"), "delay": 3600}
        task = conflicting(client, repo, "slow.txt", slow, edits(BOTH, "slow.txt"))
        before = state_of(repo)
        begun = client.tool("rebase_task", task=task["id"], resolve=True)
        resolver = begun["next_actions"][0]["arguments"]["task"]
        client.tool("cancel_task", task=resolver)
        client.wait_until(resolver, "CANCELLED")
        assert state_of(repo) == before
        assert client.tool("inspect", task=task["id"])["task"]["status"] == "COMPLETED"
        again = client.tool("rebase_task", task=task["id"], resolve=True)
        assert again["next_actions"][0]["arguments"]["task"] != resolver
        client.tool("cancel_task", task=again["next_actions"][0]["arguments"]["task"])


def test_what_was_agreed_to_counts_in_other_tasks_too(shared: Path) -> None:
    """N2: the same sides are not resolved twice, unless the user wants that."""
    repo, name = shared / "repo", "again.txt"
    with LauncherClient(shared / "data", repo) as client:
        client.open()
        first = conflicting(client, repo, name, edits(BOTH, name))
        second = conflicting(client, repo, name, edits("a\ntask\nmain\nc\n", name))
        assert client.tool("rebase_task", task=second["id"])["conflicts"] == [name]
        begun = client.tool("rebase_task", task=first["id"], resolve=True)
        client.wait_until(begun["next_actions"][0]["arguments"]["task"], "COMPLETED")
        client.tool("rebase_task", task=first["id"])
        assert client.tool("rebase_task", task=first["id"], confirm=True)["rebased"] is True
        shown = client.tool("rebase_task", task=second["id"])
        assert "+main\n+task" in shown["resolution"]
        begun = client.tool("rebase_task", task=second["id"], resolve=True)
        client.wait_until(begun["next_actions"][0]["arguments"]["task"], "COMPLETED")
        shown = client.tool("rebase_task", task=second["id"])
        assert "+task\n+main" in shown["resolution"]


def test_a_user_who_said_so_need_not_see_it(shared: Path) -> None:
    """N2: unless a change of a side was left out."""
    repo = shared / "repo"
    with LauncherClient(shared / "data", repo) as client:
        client.open()
        kept = conflicting(client, repo, "kept.txt", edits(BOTH, "kept.txt"))
        gone = conflicting(
            client, repo, "gone.txt",
            {**edits(MAINS, "gone.txt"), "outputs": {"given_up": "task -> main has its own"}},
        )  # fmt: skip
        ended: dict[str, Frame] = {}
        for task in (kept, gone):
            begun = client.tool("rebase_task", task=task["id"], resolve=True, confirm=True)
            assert "is rebased, unless" in begun["message"]
            resolver = begun["next_actions"][0]["arguments"]["task"]
            ended[task["id"]] = client.wait_until(resolver, "COMPLETED")
        assert git(repo, "show", f"{kept['branch']}:kept.txt") == own("kept.txt", BOTH).strip()
        assert git(repo, "rev-parse", f"{kept['branch']}^") == git(repo, "rev-parse", "main")
        assert "look at the resolution first" in str(ended[gone["id"]]["warnings"])
        shown = client.tool("rebase_task", task=gone["id"])
        assert "given up, the branch: task (main has its own)" in shown["resolution"]
        assert client.tool("rebase_task", task=gone["id"], confirm=True)["rebased"] is True
