"""Forgetting a project: said first, whole, and finished by a second call wherever it is cut off."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from rover_mcp.config.project_asks import Ask
from rover_mcp.daemon.project_folders import ProjectFolders
from rover_mcp.domain.errors import Conflict, EnvironmentFault, NotFound, UserFixable
from rover_mcp.domain.paths import TaskFolders, project_folder
from rover_mcp.domain.task_status import Event
from rover_mcp.sandbox.protocol import IMAGE_FILE, ImageInfo
from rover_mcp.store import store_tables
from rover_mcp.store.records import TaskRow
from rover_mcp.tasks.delete import Leftover
from rover_mcp.tasks.forget import ForgetProject
from rover_mcp.tasks.images import RoverImages
from tests.support.desk import FakeLeftovers, ServerHarness
from tests.support.samples import new_task

OURS, OTHERS = "1" * 16, "2" * 16
GROUND = ImageInfo("rover-ground:1", "ground", "debian", 10, 0, used=False, layers=("a",))
SETUP = replace(GROUND, tag="rover-setup:1", kind="setup", layers=("a", "b"))
PLAIN = replace(GROUND, tag="rover-sandbox:1", kind="sandbox", layers=("a", "c"))


class Files(FakeLeftovers):
    """Removes a task's folder, as the real one does."""

    def __init__(self, home: Path, found: Leftover = Leftover(True, True, 1, 1000)) -> None:  # noqa: B008  # frozen
        super().__init__(found)
        self._home = home

    def remove(self, task: TaskRow) -> None:
        super().remove(task)
        shutil.rmtree(TaskFolders(self._home, task.id, 1).root, ignore_errors=True)


class FakeImageKeeper:
    def __init__(self) -> None:
        self.kept = [GROUND, SETUP, PLAIN]

    def images(self) -> Sequence[ImageInfo]:
        return list(self.kept)

    def build_image(self, *_: object) -> tuple[str, str]:
        raise NotImplementedError

    def remove_image(self, tag: str) -> bool:
        self.kept = [image for image in self.kept if image.tag != tag]
        return True


def task(
    desk: ServerHarness, *events: Event, project: str = OURS, path: str = "/gone/repo"
) -> TaskRow:
    """A task that went through these, with its files."""
    desk.store.projects.register(project, path)
    number = len(desk.store.tasks.of_project(project, path)) + (10 if project == OTHERS else 0)
    new = new_task(f"{number:032x}", project_id=project, project_path=path)
    row, _ = desk.store.tasks.create(new, frozenset())
    for event in events:
        row = desk.store.transitions.apply(row.id, event) or row
    spec = TaskFolders(desk.home, row.id, 1).spec(1)
    spec.mkdir(parents=True)
    (spec / IMAGE_FILE).write_text(SETUP.tag if number % 2 == 0 else PLAIN.tag)
    (project_folder(desk.home, project) / "hub.git").mkdir(parents=True, exist_ok=True)
    return row


def ended(desk: ServerHarness) -> list[TaskRow]:
    return [task(desk, Event.CANCEL), task(desk, Event.START, Event.FAIL)]


def left(desk: ServerHarness) -> dict[str, int]:
    """Rows by table, where there are any, but for those that stay."""
    stay = {"rover_meta", "rover_calls", "rover_executors"}
    with desk.engine.connect() as connection:
        counts = {
            table.name: connection.execute(sa.select(sa.func.count()).select_from(table)).scalar()
            for table in store_tables.metadata.sorted_tables
            if table.name not in stay
        }
    return {name: count for name, count in counts.items() if count}


def forgetting(desk: ServerHarness, keeper: FakeImageKeeper | None = None) -> ForgetProject:
    images = RoverImages(desk.home, desk.store, {"docker": keeper} if keeper else {})
    return desk.forget(Files(desk.home), images)


def test_a_plan_changes_nothing_and_says_what_exists_nowhere_else(desk: ServerHarness) -> None:
    rows = ended(desk)
    before = desk.files()
    plan = desk.forget(FakeLeftovers(Leftover(False, False, 3, 0))).plan(Path("/gone/repo"))
    assert [t.number for t in plan.tasks] == [1, 2]
    assert all(t.only_here and "3 snapshots" in t.only_here for t in plan.tasks)
    assert {part.what for part in plan.parts} == {"hub", "base"}
    assert plan.bytes == sum(p.bytes or 0 for p in plan.parts) + sum(t.bytes for t in plan.tasks)
    assert (desk.files(), desk.store.tasks.get(rows[0].id)) == (before, rows[0])


def test_a_project_is_forgotten_although_its_repository_is_gone(desk: ServerHarness) -> None:
    ended(desk)
    other = task(desk, Event.CANCEL, project=OTHERS, path="/other")
    desk.store.switches.set_for_project(OURS, enabled=False)
    consents = desk.tasks.create_task.consents
    consents.write(Path("/gone/repo"), [Ask("network", "open", "d1")])
    keeper = FakeImageKeeper()
    plan = forgetting(desk, keeper)(Path("/gone/repo"))
    assert {part.what for part in plan.parts} >= {"hub", "base", "image", "trust"}
    assert not project_folder(desk.home, OURS).exists()
    assert [p.name for p in (desk.home / "tasks").iterdir()] == [other.id]
    assert not consents.knows(Path("/gone/repo"))
    assert keeper.kept == [GROUND, PLAIN]
    assert desk.store.tasks.of_project(OURS, "/gone/repo") == []
    assert (desk.store.projects.at("/gone/repo"), desk.store.switches.scopes_off()) == (
        None,
        frozenset(),
    )
    assert desk.store.tasks.get(other.id) == other
    assert {e.kind for e in desk.store.events.after(0) if e.task_id != other.id} <= {
        "task.cancelled",
        "task.deleting",
        "task.deleted",
    }
    with pytest.raises(NotFound, match="nothing is kept"):
        desk.forget().plan(Path("/gone/repo"))


@pytest.mark.parametrize(
    ("events", "schedule", "said"),
    [
        ((), False, "1 (NEW)"),
        ((Event.START,), False, "1 (IN_PROGRESS)"),
        ((Event.START, Event.PAUSE), True, "1 (waits to resume automatically)"),
    ],
)
def test_what_is_at_work_or_will_be_is_named_and_refused(
    desk: ServerHarness, events: tuple[Event, ...], schedule: bool, said: str
) -> None:
    row = task(desk, *events)
    task(desk, Event.CANCEL)
    if schedule:
        assert desk.store.attempts.schedule(row.id, 2e9)
    leftovers = FakeLeftovers()
    forget = desk.forget(leftovers)
    for act in (forget.plan, forget):
        with pytest.raises(Conflict) as refused:
            act(Path("/gone/repo"))
        assert said in refused.value.message
        assert row.id in (refused.value.hint or "")
    assert leftovers.removed == []
    assert project_folder(desk.home, OURS).exists()


@pytest.mark.parametrize("place", ["task", "images", "folder", "trust", "record"])
def test_another_call_finishes_what_was_cut_off(
    desk: ServerHarness, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    ended(desk)
    desk.tasks.create_task.consents.write(Path("/gone/repo"), [Ask("network", "open", "d1")])
    keeper = FakeImageKeeper()
    forget = forgetting(desk, keeper)
    owner, name = {
        "task": (Files, "remove"),
        "images": (RoverImages, "remove_own"),
        "folder": (type(forget.projects), "remove"),
        "trust": (type(forget.consents), "forget"),
        "record": (type(forget.store.projects), "forget"),
    }[place]
    real, calls = getattr(owner, name), list[object]()

    def cut(self: object, *args: object, **named: object) -> object:
        calls.append(args)
        if len(calls) == (2 if place == "task" else 1):
            raise EnvironmentFault("the power is gone")
        return real(self, *args, **named)

    monkeypatch.setattr(owner, name, cut)
    with pytest.raises(EnvironmentFault, match="the power is gone"):
        forget(Path("/gone/repo"))
    forget(Path("/gone/repo"))
    assert not project_folder(desk.home, OURS).exists()
    assert list((desk.home / "tasks").iterdir()) == []
    assert SETUP not in keeper.kept
    assert set(left(desk)) <= {"rover_events"}
    with pytest.raises(NotFound):
        forget.plan(Path("/gone/repo"))


def test_a_task_that_nobody_was_shown_is_kept(desk: ServerHarness) -> None:
    first = task(desk, Event.CANCEL)
    second = task(desk, Event.CANCEL)
    with pytest.raises(UserFixable, match="a new task"):
        desk.forget()(Path("/gone/repo"), [first.id])
    assert desk.store.tasks.get(second.id) is not None
    desk.forget()(Path("/gone/repo"), [first.id, second.id, "f" * 32])
    assert desk.store.tasks.get(second.id) is None


def test_a_task_that_is_made_meanwhile_is_kept_with_its_project(
    desk: ServerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    task(desk, Event.CANCEL)
    remove = ProjectFolders.remove

    def busy(self: ProjectFolders, project_id: str) -> None:
        remove(self, project_id)
        task(desk)

    monkeypatch.setattr(ProjectFolders, "remove", busy)
    with pytest.raises(Conflict, match="created meanwhile"):
        forgetting(desk)(Path("/gone/repo"))
    assert len(desk.store.tasks.of_project(OURS, "/gone/repo")) == 1
    assert desk.store.projects.at("/gone/repo") is not None


def test_a_folder_that_is_known_goes_before_a_repository_around_it(desk: ServerHarness) -> None:
    inner = desk.repo / "inner"
    inner.mkdir()
    task(desk, Event.CANCEL, project=OTHERS, path=str(desk.repo))
    task(desk, Event.CANCEL, path=str(inner))
    assert desk.forget().plan(inner).path == str(inner)
    link = desk.repo.parent / "link"
    link.symlink_to(inner)
    assert desk.forget().plan(link).path == str(inner.resolve())


def test_a_task_whose_record_is_damaged_goes_too(desk: ServerHarness) -> None:
    row = task(desk, Event.CANCEL)
    with desk.engine.begin() as connection:
        connection.execute(store_tables.tasks.update().values(created_at=-1))
    plan = desk.forget(Files(desk.home))(Path("/gone/repo"))
    assert [(t.id, t.status) for t in plan.tasks] == [(row.id, "damaged")]
    assert desk.store.tasks.of_project(OURS, "/gone/repo") == []


@pytest.mark.parametrize("name", ["..", "../..", ".", "a/../.."])
def test_a_damaged_id_leads_to_no_other_folder(desk: ServerHarness, name: str) -> None:
    desk.store.projects.register(OURS, "/gone/repo")
    with desk.engine.begin() as connection:
        connection.execute(store_tables.projects.update().values(id=name))
    with pytest.raises((EnvironmentFault, NotFound)):
        desk.forget()(Path("/gone/repo"))
    assert (desk.home / "rover.db").exists()
