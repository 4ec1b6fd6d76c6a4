"""A completed task of a repository, ready to be pushed, and the user's own git configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from rover_mcp.daemon.git_adapters import GitRepositories
from rover_mcp.daemon.host_pushes import HostPushes
from rover_mcp.domain.paths import project_folder
from rover_mcp.domain.secret_search import SecretMatch
from rover_mcp.domain.task_status import Event
from rover_mcp.git.outgoing import search_for_secrets
from rover_mcp.git.repository_view import RepositoryView
from rover_mcp.store.migrations import database_url, open_database
from rover_mcp.store.records import TaskRow
from rover_mcp.store.store import Store
from rover_mcp.tasks.caller import Caller
from rover_mcp.tasks.operation_log import OperationLog
from rover_mcp.tasks.push import PushDone, PushPlan, PushRequest, PushTask
from tests.integration.git.conftest import git
from tests.support.samples import TASK, new_task

BRANCH = "rover/1-fix-the-sum"


def _found(
    view: RepositoryView, task: TaskRow, tip: str, known: Sequence[str]
) -> list[SecretMatch]:
    return search_for_secrets(view, tip, known)


@dataclass
class PushScenario:
    """A completed task of a repository, and what pushes it."""

    repo: Path
    home: Path
    store: Store
    environ: dict[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        self.repositories = GitRepositories(self.home)
        log = OperationLog(self.store.operations("roverd"))
        self.task_push = PushTask(self.store, HostPushes(self.repositories, self.home, _found), log)

    @property
    def task(self) -> TaskRow:
        row = self.store.tasks.get(TASK)
        assert row is not None
        return row

    @property
    def caller(self) -> Caller:
        return Caller("client", self.repo, env=self.environ)

    def push(self, **asked: object) -> PushDone:
        return self.task_push(self.caller, self.task, PushRequest(**asked))  # type: ignore[arg-type]

    def plan(self, **asked: object) -> PushPlan:
        return self.task_push.preview(self.caller, self.task, PushRequest(**asked)).plan  # type: ignore[arg-type]

    def deliver(self) -> None:
        """Have the hub know what the branch is at as what the task delivered."""
        hub = project_folder(self.home, "p1") / "hub.git"
        git(hub, "fetch", "-q", str(self.repo), f"+{BRANCH}:refs/rover/{TASK}/head")

    def tip(self, name: str = BRANCH) -> str:
        return git(self.repo, "rev-parse", name)

    def commit(self, path: str, text: str = "more\n") -> str:
        """One more commit on the task's branch."""
        git(self.repo, "switch", "-q", BRANCH)
        (self.repo / path).parent.mkdir(parents=True, exist_ok=True)
        (self.repo / path).write_text(text)
        git(self.repo, "add", "-A")
        git(self.repo, "commit", "-qm", f"write {path}")
        git(self.repo, "switch", "-q", "main")
        return self.tip()

    def rewrite(self) -> str:
        """The task's branch made anew on a main that has gone on, as a rebase does."""
        (self.repo / "main.txt").write_text("main's\n")
        git(self.repo, "add", "-A")
        git(self.repo, "commit", "-qm", "main goes on")
        git(self.repo, "switch", "-qc", "new")
        git(self.repo, "cherry-pick", f"main@{{0}}..{BRANCH}", ok=False)
        git(self.repo, "switch", "-q", "main")
        git(self.repo, "branch", "-qf", BRANCH, "new")
        git(self.repo, "branch", "-qD", "new")
        self.deliver()
        return self.tip()


@pytest.fixture
def stage(repo: Path, tmp_path: Path) -> Iterator[PushScenario]:
    home = tmp_path / "data"
    home.mkdir()
    base = git(repo, "rev-parse", "main")
    git(repo, "switch", "-qc", BRANCH)
    (repo / "a.txt").write_text("one\ntwo\n")
    git(repo, "commit", "-qam", "the task's work")
    git(repo, "switch", "-q", "main")
    engine = open_database(database_url(home, None))
    store = Store(engine)
    store.projects.register("p1", str(repo))
    row = new_task(project_id="p1", project_path=str(repo), base_commit=base)
    task, _ = store.tasks.create(row, frozenset())
    assert task.branch == BRANCH
    for event in (Event.START, Event.COMPLETE):
        store.transitions.apply(task.id, event)
    stage = PushScenario(repo, home, store)
    stage.repositories.hub("p1").ensure()
    stage.deliver()
    yield stage
    engine.dispose()


@pytest.fixture
def own_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Writes the user's own git configuration."""
    file = tmp_path / "own.gitconfig"
    file.write_text("")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(file))

    def write(*settings: tuple[str, str]) -> None:
        for key, value in settings:
            git(tmp_path, "config", "--file", str(file), "--add", key, value)

    return write
