"""The data folder's repositories are lost or damaged while a task runs."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import docker
import pytest

from tests.e2e.conftest import end_daemon
from tests.e2e.processes import wait_until
from tests.support.docker_env import docker_host, remove_sandboxes
from tests.support.frames import Frame, LauncherClient
from tests.support.hangs import HANG_SECONDS
from tests.support.repos import FIXED, git, make_repository
from tests.support.scripts import script

__all__ = ["docker_host"]

GATE = "touch $HOME/waits; until test -e $HOME/go; do sleep 0.1; done"
AT_WORK = script(
    plan=[
        {
            "say": "planned",
            "outputs": {"plan": "fix add"},
            "edits": [{"path": "PLAN.md", "content": "fix add\n"}],
        }
    ],
    implement=[
        {
            "say": "done",
            "outputs": {"summary": "add adds"},
            "edits": [{"path": "calc.py", "content": FIXED}],
            "run": GATE,
        }
    ],
)
ENDED = ("COMPLETED", "PAUSED", "FAILED")


@dataclass(frozen=True)
class RunningTask:
    """A task in the middle of a step, after its first snapshots, and where its things are."""

    task: str
    repository: Path
    project: Path
    folder: Path
    inside: Any = None

    @property
    def hub(self) -> Path:
        return self.project / "hub.git"

    @property
    def base(self) -> Path:
        return self.project / "base.git"

    @property
    def lent(self) -> Path:
        return self.folder / "base/objects"

    def waits(self) -> bool:
        if self.inside is not None:
            return self.inside.exec_run(["test", "-e", "/home/agent/waits"])[0] == 0
        return (self.folder / "home/waits").exists()

    def go(self) -> None:
        if self.inside is None:
            (self.folder / "home/go").touch()
        else:
            assert self.inside.exec_run(["touch", "/home/agent/go"])[0] == 0


@pytest.fixture(scope="module")
def client(docker_host: str) -> Iterator[LauncherClient]:
    folder = Path(tempfile.mkdtemp(prefix="rover-lost-"))
    settings = folder / "data/config.yaml"
    settings.parent.mkdir()
    settings.write_text("concurrency: 20\n")
    first, environment = make_repository(folder / "first"), {"DOCKER_HOST": docker_host}
    with LauncherClient(folder / "data", first, environment) as opened:
        opened.open()
        yield opened
    end_daemon(folder / "data")
    remove_sandboxes(folder / "data", docker_host)
    shutil.rmtree(folder, ignore_errors=True)


def running(client: LauncherClient, name: str, engine: str = "bubblewrap") -> RunningTask:
    repository = make_repository(client.home.parent / name)
    known = set((client.home / "projects").glob("*"))
    task = client.tool(
        "create_task", description="Fix add", workflow="demo", agent="scripted",
        engine=engine, script=AT_WORK, auto_resume=False, repo_path=str(repository),
    )["task"]["id"]  # fmt: skip
    (project,) = set((client.home / "projects").glob("*")) - known
    return RunningTask(task, repository, project, client.home / "tasks" / task)


def gone(*names: str) -> Callable[[RunningTask], None]:
    def harm(task: RunningTask) -> None:
        for name in names:
            shutil.rmtree(getattr(task, name))

    return harm


def emptied(name: str, how: Callable[[Path], object]) -> Callable[[RunningTask], None]:
    def harm(task: RunningTask) -> None:
        for path in getattr(task, name).glob("**/*"):
            if path.is_file():
                path.chmod(0o644)
                how(path)

    return harm


def moved(task: RunningTask) -> None:
    task.repository.rename(task.repository.with_name(f"{task.repository.name}-elsewhere"))


def back(task: RunningTask) -> None:
    task.repository.with_name(f"{task.repository.name}-elsewhere").rename(task.repository)


def empty(path: Path) -> None:
    path.write_bytes(b"")


@dataclass(frozen=True)
class Damage:
    """What is done to a task at work. Without `told` the task completes; else it ends first, with
    these words, and `mend` is what a person does before it is resumed."""

    do: Callable[[RunningTask], None]
    told: str = ""
    mend: Callable[[RunningTask], None] = lambda _: None


HARMS = {
    "hub": Damage(gone("hub")),
    "base": Damage(gone("base")),
    "project": Damage(gone("project")),
    "hub-objects": Damage(emptied("hub", empty)),
    # What is lent are links to the files of the base.
    "base-objects": Damage(emptied("base", empty), "the commit that the task is based on can no"),
    "lent": Damage(emptied("lent", Path.unlink), "the folder that was lent to its sandbox"),
    "lent-and-project": Damage(gone("lent", "project"), "base/objects: No such file"),
    "moved": Damage(moved, "put it back; then resume_task", back),
}


def ended(client: LauncherClient, task: RunningTask) -> Frame:
    """The task's view once nothing runs any more."""
    end = time.monotonic() + HANG_SECONDS
    while True:
        view = client.tool("wait_for_task", task=task.task, timeout_s=10)["task"]
        if view["status"] in ENDED:
            return view
        assert time.monotonic() < end, view


def wrong_with(client: LauncherClient, task: RunningTask, harm: Damage) -> str:
    view = ended(client, task)
    if harm.told:
        said = view.get("error") or str(view.get("pause"))
        if view["status"] == "COMPLETED" or harm.told not in said:
            return f"{view['status']}: {said}"
        harm.mend(task)
        client.tool("resume_task", task=task.task)
        view = ended(client, task)
    if view["status"] != "COMPLETED":
        return str(view)
    shown = git(task.repository, "show", f"{view['branch']}:calc.py")
    return "" if shown == FIXED.strip() else shown


def test_what_a_running_task_loses_is_had_again_or_named(client: LauncherClient) -> None:
    """C.15. Until now a task whose base was lost failed with "Needed a single revision"."""
    tasks = {name: running(client, name) for name in HARMS}
    for name, task in tasks.items():
        wait_until(task.waits, name)
    for name, task in tasks.items():
        HARMS[name].do(task)
        task.go()
    found = {name: wrong_with(client, task, HARMS[name]) for name, task in tasks.items()}
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


@pytest.mark.docker
def test_a_container_loses_hub_and_base_at_work(client: LauncherClient, docker_host: str) -> None:
    """C.15, on docker: all of it at once."""
    task = running(client, "docker", "docker")
    with closing(docker.DockerClient(docker_host, timeout=600)) as engine:
        named = {"name": f"rover-{task.task[:12]}-"}
        wait_until(lambda: engine.api.containers(filters=named) != [], "the container")
        (listed,) = engine.api.containers(filters=named)
        inside = engine.containers.get(listed["Id"])
        task = replace(task, inside=inside)
        wait_until(task.waits, "the step")
        gone("project")(task)
        emptied("lent", Path.unlink)(task)
        task.go()
        assert wrong_with(client, task, Damage(gone(), "the folder that was lent to its")) == ""
