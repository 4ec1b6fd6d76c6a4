"""Each verb on each kind of repository (support/verb_corpus.py): it does the right thing or refuses
with the reason, and of the user's repository nothing changes but what the verb is for. Compared
byte by byte: files and their modes, index, configuration, references, reflogs, stash, hooks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.e2e.conftest import docker_host, end_daemon, engine_for_daemons
from tests.integration.git.test_merge import everything
from tests.support.frames import LauncherClient, ToolError
from tests.support.git_server import GitServer, bare, git_server, pre_receive
from tests.support.repos import git
from tests.support.scripts import script
from tests.support.verb_corpus import SHAPES, Shape, make_shape

__all__ = ["docker_host", "engine_for_daemons"]

DONE = "done"
NOTHING = r"(?!)"
TASK_BRANCH = r"\.git/(logs/)?refs/heads/rover/1-change-it"
PROTECT = """while read old new ref; do case $ref in */protected)
echo "GH006: Protected branch update failed for $ref." >&2; exit 1;; esac; done"""


def into(branch: str) -> str:
    return rf"\.git/(logs/)?refs/heads/{branch}"


VERBS: dict[str, str] = {
    "create": TASK_BRANCH,
    "preview merge_task": NOTHING,
    "preview rebase_task": NOTHING,
    "preview push_task": NOTHING,
    "preview delete_task": NOTHING,
    "iterate": TASK_BRANCH,
    "fork": TASK_BRANCH.replace("1-change", "2-(change|more)").replace("-it", ".*"),
    "rewind": TASK_BRANCH,
    "rebase": TASK_BRANCH,
    "push": NOTHING,
    "push to a protected branch": NOTHING,
    "checkout": r"\.git/worktrees/out/.*",
    "merge squash": into("squashed"),
    "merge ff": into("forwarded"),
    "merge merge": into("merged"),
    "merge into main": rf"{into('main')}|\.git/(index|ORIG_HEAD|logs/HEAD)|(?!\.git/).*",
    "delete": NOTHING,
    "undelete": NOTHING,
}
"""In order, with what may change by each."""
PROTECTED = "push to a protected branch"
COMMITS = ("merge squash", "merge merge", "merge into main")
"""The verbs that make a commit of the user's."""
REFUSED: dict[str, dict[str, str]] = {
    # git-lfs is a program that the repository names, and Rover runs none.
    "LFS pointers": {
        "push": "lfs",
        PROTECTED: "lfs",
        "checkout": "filtered_files",
        "merge into main": "filtered_files",
    },
    "a signing key that is missing": dict.fromkeys(COMMITS, "not_signed"),
    "hooks that fail": dict.fromkeys((*COMMITS, "push", PROTECTED), "hooks"),
    # There is no branch that the task was made from, so one has to be named.
    "a detached HEAD": dict.fromkeys(
        ("preview merge_task", "preview rebase_task", "rebase"), "unknown_branch"
    ),
    "a dirty tree": {"merge into main": "dirty_work_tree"},
    "SHA-256": {"create": "sha256_repository"},
}
"""By shape: the verbs that are refused, and by which code. The others are done."""


@dataclass
class VerbTrial:
    """One repository, in which the verbs are tried in turn."""

    repo: Path
    at: Path
    client: LauncherClient
    shape: Shape
    task: str = ""
    outcomes: dict[str, str] = field(default_factory=dict[str, str])
    changed: dict[str, list[str]] = field(default_factory=dict[str, list[str]])

    def state(self) -> dict[str, bytes]:
        linked = everything(self.at).items() if self.at != self.repo else ()
        return everything(self.repo) | {f"linked/{path}": data for path, data in linked}

    def attempt(self, verb: str, action: Callable[[], object]) -> None:
        before = self.state()
        self.outcomes[verb] = DONE
        try:
            action()
        except ToolError as error:
            helps = error.error.get("hint") or error.error.get("next_call")
            self.outcomes[verb] = str(error.error["code"]) if helps else "no hint"
        after = self.state()
        differ = (path for path in before.keys() | after if before.get(path) != after.get(path))
        allowed = re.compile(VERBS[verb])
        self.changed[verb] = sorted(path for path in differ if not allowed.fullmatch(path))

    def ended(self, task: str) -> None:
        self.client.wait_until(task, "COMPLETED")

    def create(self) -> None:
        turns = [{"run": self.shape.run}, {"run": "echo again >> folder/b.txt"}]
        made = self.client.tool(
            "create_task", description="Change it", workflow="quick", agent="scripted",
            engine="bubblewrap", script=script(implement=turns),
        )["task"]  # fmt: skip
        self.task = made["id"]
        self.ended(self.task)

    def tool(self, tool: str, **arguments: object) -> None:
        self.client.tool(tool, task=self.task, **arguments)

    def iterate(self, **arguments: object) -> None:
        self.tool("iterate_task", instructions="more", **arguments)
        self.ended(self.task)

    def fork(self) -> None:
        made = self.client.tool("fork_task", task=self.task, snapshot="s1", instructions="more")
        self.ended(made["task"]["id"])

    def check_out(self) -> None:
        place = str(self.repo.parent / "out")
        asked = {"task": self.task, "into": place, "confirm": True}
        answer = self.client.request("rover/checkout", asked)
        if "error" in answer:
            raise ToolError({**answer["error"]["data"]})

    def merge(self, mode: str, branch: str) -> None:
        self.tool("merge_task", mode=mode, into=branch, confirm=True)

    def move_main(self) -> None:
        """A commit on main that changes no file, so that a checkout of it stays clean."""
        tree = git(self.repo, "rev-parse", "main^{tree}")
        commit = git(self.repo, "commit-tree", tree, "-p", "main", "-m", "main goes on")
        git(self.repo, "-c", "core.hooksPath=/dev/null", "update-ref", "refs/heads/main", commit)

    def run(self) -> None:
        self.attempt("create", self.create)
        if self.outcomes["create"] != DONE:
            return
        for tool in ("merge_task", "rebase_task", "push_task", "delete_task"):
            self.attempt(f"preview {tool}", lambda tool=tool: self.tool(tool))
        self.attempt("iterate", self.iterate)
        self.attempt("fork", self.fork)
        self.attempt("rewind", lambda: self.iterate(from_snapshot="s1"))
        self.move_main()
        self.attempt("rebase", lambda: self.tool("rebase_task", confirm=True))
        self.attempt("push", lambda: self.tool("push_task", confirm=True))
        there = {"branch": "protected", "confirm": True}
        self.attempt(PROTECTED, lambda: self.tool("push_task", **there))
        self.attempt("checkout", self.check_out)
        if (self.repo.parent / "out").exists():
            git(self.repo, "worktree", "remove", "--force", str(self.repo.parent / "out"))
        self.attempt("merge squash", lambda: self.merge("squash", "squashed"))
        self.attempt("merge ff", lambda: self.merge("ff", "forwarded"))
        self.attempt("merge merge", lambda: self.merge("merge", "merged"))
        self.attempt("merge into main", lambda: self.merge("merge", "main"))
        self.attempt("delete", lambda: self.tool("delete_task", confirm=True))
        self.attempt("undelete", lambda: self.tool("delete_task", restore=True))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, engine_for_daemons: None) -> Iterator[Path]:
    """A data folder whose daemon serves all repositories."""
    home = tmp_path_factory.mktemp("corpus") / "data"
    home.mkdir()
    yield home
    end_daemon(home)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    with git_server(tmp_path_factory.mktemp("served")) as server:
        yield server


@pytest.mark.parametrize("name", SHAPES)
def test_each_verb_does_its_own_or_refuses(
    tmp_path: Path, data: Path, served: GitServer, name: str
) -> None:
    """N2, N3, N8, N9, N10, N13, N14."""
    shape, repo = SHAPES[name], tmp_path / "repo"
    at = make_shape(repo, shape)
    number = f"r{list(SHAPES).index(name)}"
    with suppress(AssertionError):
        pre_receive(bare(served.root / f"{number}.git", repo), PROTECT)
    git(repo, "remote", "add", "origin", f"{served.address}{number}.git")
    with LauncherClient(data, at) as client:
        client.open()
        trial = VerbTrial(repo, at, client, shape)
        trial.run()
    refused = {PROTECTED: "protected_branch"} | REFUSED.get(name, {})
    expected = {verb: refused.get(verb, DONE) for verb in trial.outcomes}
    assert trial.outcomes == expected
    assert trial.changed == {verb: [] for verb in trial.changed}
    assert not (tmp_path / "repo-ran").exists(), "a hook of the repository ran"
    signed = "\ngpgsig " in git(repo, "cat-file", "commit", "merged")
    assert signed is (name == "commits that are signed")
    if trial.outcomes.get("merge into main") == DONE:
        same = git(repo, "rev-parse", "main^{tree}", "rover/1-change-it^{tree}").split()
        assert same[0] == same[1]
