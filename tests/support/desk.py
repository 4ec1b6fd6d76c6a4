"""The use cases on a real store and a fake world: no git, no engine, no control plane."""

from __future__ import annotations

import functools
import hashlib
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

import anyio
import sqlalchemy as sa

from agent_runner.models import RunState, Snapshot
from rover_mcp.config.settings import Settings
from rover_mcp.context.reader import ContextReader
from rover_mcp.control.control_ports import ProjectHub
from rover_mcp.control.image_build import ImageBuilds
from rover_mcp.control.task_shells import TaskShells
from rover_mcp.daemon.git_adapters import GitRepositories
from rover_mcp.daemon.host_checkouts import HostCheckouts
from rover_mcp.daemon.project_folders import ProjectFolders
from rover_mcp.daemon.trash import Trash
from rover_mcp.domain.base_distance import BaseDistance
from rover_mcp.domain.errors import EnvironmentFault, UserFixable
from rover_mcp.domain.source_tree import SourceFile
from rover_mcp.git.branch_trash import BranchFacts
from rover_mcp.hooks.runner import HookRunner
from rover_mcp.report.gather_report import GatherReport
from rover_mcp.server import trust_method as server_trust
from rover_mcp.server.app import App
from rover_mcp.server.event_broadcast import EventBroadcaster
from rover_mcp.server.session import ClientSession
from rover_mcp.server.tool_call import Services
from rover_mcp.server.trust_method import TrustParams
from rover_mcp.store.migrations import open_database
from rover_mcp.store.records import AttemptRow, NewTask, TaskRow
from rover_mcp.store.store import Store
from rover_mcp.tasks.caller import Caller
from rover_mcp.tasks.catalog import Catalog
from rover_mcp.tasks.checkout import CheckoutTask
from rover_mcp.tasks.choose import ChooseTask
from rover_mcp.tasks.create import CreateTask
from rover_mcp.tasks.delete import DeleteTask, Leftover, Leftovers
from rover_mcp.tasks.disk_space import TreeSize
from rover_mcp.tasks.forget import ForgetProject
from rover_mcp.tasks.free_space import FreeSpace
from rover_mcp.tasks.images import RoverImages
from rover_mcp.tasks.merge import MergeTask
from rover_mcp.tasks.operation_log import OperationLog
from rover_mcp.tasks.push import PushTask
from rover_mcp.tasks.rebase import RebaseTask
from rover_mcp.tasks.resolve_conflicts import ResolveConflicts
from rover_mcp.tasks.service import TaskService
from rover_mcp.tasks.shell import OpenShell
from rover_mcp.tasks.status_report import StatusReport
from rover_mcp.tasks.task_ports import AgentProgram, DiffResult, Repository
from rover_mcp.tasks.task_trash import TaskTrash
from rover_mcp.tasks.view_models import ChangesView, FileChange
from rover_mcp.testing.fake_engine import FakeEngine, FakeEngineState
from tests.support.fake_internet import FakeInternet
from tests.support.fake_merges import FakeMerges
from tests.support.fake_pushes import FakePushes
from tests.support.fake_rebases import FakeConflictResolution, FakeRebases
from tests.support.samples import COMMIT, NOW

WORKFLOW = """\
version: "1.0"
name: swe
description: Change the code.
inputs:
  - name: test_command
    description: runs the tests
    default: make test
  - name: style
    description: how
    required: true
steps:
  - id: implement
    type: agent
    name: Implement
    prompt: "{{task.description}}"
"""
PLAIN = WORKFLOW.replace("    required: true\n", "    default: plain\n")


@dataclass(frozen=True)
class FakeFiles:
    """A commit's files. A name that ends with @ is of a symbolic link."""

    committed: Mapping[str, bytes]

    def at(self, paths: Sequence[str]) -> dict[str, SourceFile]:
        found: dict[str, SourceFile] = {}
        for path, data in self.committed.items():
            name, mode = path.removesuffix("@"), "120000" if path.endswith("@") else "100644"
            if name in paths:
                found[name] = SourceFile(name, mode, hashlib.sha1(data).hexdigest(), len(data))
        return found

    def read(self, path: str, limit: int) -> bytes | None:
        data = self.committed.get(path)
        return data if data is not None and len(data) <= limit else None


@dataclass
class FakeRepositories:
    """Folders under `root` that hold a `.git`; every hub that was prepared."""

    prepared: list[str] = field(default_factory=list[str])
    dirty: bool = False
    hosts: tuple[str, ...] = ()
    in_git: list[str] = field(default_factory=list[str])
    committed: dict[str, bytes] = field(default_factory=dict[str, bytes])
    tree: TreeSize | None = None

    def inspect(self, path: Path) -> Repository:
        if not (path / ".git").is_dir():
            raise UserFixable(f"{path} is not in a git repository", code="no_repository")
        branches = frozenset({"main"})
        return Repository(path, COMMIT, "main", dirty=self.dirty, bare=False, branches=branches)

    def resolve(self, repository: Repository, name: str) -> str:
        if name not in repository.branches:
            raise UserFixable(f"there is no branch {name}", code="unknown_branch")
        return repository.head_commit

    def check_delivery(self, repository: Repository, prefix: str) -> None:
        """These repositories are folders only: a branch can always be made."""

    def ignored(self, repository: Repository) -> bytes:
        return b""

    def git_hosts(self, root: Path) -> tuple[str, ...]:
        return self.hosts

    def remotes(self, root: Path) -> tuple[str, ...]:
        return ()

    def tracked(self, repository: Repository, commit: str, paths: Sequence[str]) -> Collection[str]:
        return [path for path in paths if path in self.in_git]

    def absent(self, repository: Repository, commit: str) -> list[str]:
        return []

    def size(self, repository: Repository, commit: str) -> TreeSize | None:
        return self.tree

    def files(self, repository: Repository, commit: str) -> FakeFiles:
        return FakeFiles(self.committed)

    def project_id(self, root: Path) -> str:
        return root.name

    def open_hub(self, project_id: str, root: Path) -> None:
        self.prepared.append(project_id)


@dataclass
class FakeControl:
    enqueued: list[AttemptRow] = field(default_factory=list[AttemptRow])
    stopped: list[str] = field(default_factory=list[str])
    store: Store | None = None
    checkpoint: bool = False
    asks_own: bool = True
    served: Sequence[str] = ()
    lacking: dict[str, str] = field(default_factory=dict[str, str])
    closed: set[str] = field(default_factory=set[str])
    unused: set[str] = field(default_factory=set[str])

    def enqueue(self, attempt: AttemptRow, delay: float = 0) -> None:
        self.enqueued.append(attempt)

    def schedule(self, task: TaskRow) -> bool:
        made = self.store.attempts.schedule(task.id, NOW.timestamp() + 900) if self.store else None
        return made is not None

    def has_checkpoint(self, task: TaskRow) -> bool:
        return self.checkpoint

    def cannot_sign_in(self, task: TaskRow, agent: str) -> str | None:
        return self.lacking.get(agent)

    def asks_provider(self, task: TaskRow) -> bool:
        return self.asks_own

    def served_models(self, task: TaskRow) -> Sequence[str]:
        return self.served

    def login_expiry(self, task: TaskRow) -> str | None:
        return None

    def can_take_over(self, task: TaskRow, agent: str, model: str | None = None) -> bool:
        return not {agent, model} & {*self.lacking, *self.closed}

    def uses_model(self, task: TaskRow, agent: str, model: str) -> bool:
        return model not in self.unused

    def stop(self, task: TaskRow) -> None:
        self.stopped.append(task.id)


@dataclass
class FakeWork:
    fault: EnvironmentFault | None = None
    patch: str = "--- a/x\n+++ b/x\n+one\n"
    compared: list[tuple[str, str] | None] = field(default_factory=list[Any])

    def diff(
        self,
        task: TaskRow,
        paths: Sequence[str],
        *,
        stat_only: bool,
        offset: int = 0,
        between: tuple[str, str] | None = None,
    ) -> DiffResult:
        self.compared.append(between)
        if self.fault:
            raise self.fault
        changes = ChangesView(
            files=1, added=1, removed=0, paths=[FileChange(path="x", added=1, removed=0)]
        )
        if paths and "x" not in paths:
            return DiffResult(ChangesView(files=0, added=0, removed=0), "", truncated=False)
        return DiffResult(changes, "" if stat_only else self.patch, truncated=False)

    def totals(
        self, task: TaskRow, pairs: Sequence[tuple[str, str]]
    ) -> Sequence[ChangesView | None]:
        if self.fault:
            raise self.fault
        return [ChangesView(files=int(old != new), added=1, removed=0) for old, new in pairs]

    def distance(self, task: TaskRow) -> BaseDistance:
        if self.fault:
            raise self.fault
        return BaseDistance()

    def export(self, task: TaskRow, snapshot: Snapshot, dest: Path) -> None:
        if self.fault:
            raise self.fault
        dest.write_text(snapshot.commit)

    def write_patch(self, task: TaskRow, paths: Sequence[str], out: IO[bytes]) -> None:
        out.write(self.patch.encode())


@dataclass
class FakeWarmPool:
    ids: list[str] = field(default_factory=list[str])
    discarded: list[str] = field(default_factory=list[str])

    def take(self, project_id: str, engine: str) -> str | None:
        return self.ids.pop() if self.ids else None

    def mark(self, task_id: str, engine: str) -> None:
        self.ids.append(task_id)

    def discard(self, task_id: str) -> None:
        self.discarded.append(task_id)


class FakeSetupGateway:
    def open_for_setup(self, task: NewTask, socket: Path, environment: Mapping[str, str]) -> None:
        raise AssertionError("no image is built here")

    def close_setup(self, task_id: str) -> list[str]:
        raise AssertionError("no image is built here")


def _no_hub(project_id: str) -> ProjectHub:
    raise AssertionError("no image is built here")


@dataclass
class FakeAgents:
    offered: dict[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])

    def known(self) -> Collection[str]:
        return ["claude", "scripted"]

    def binary(self, agent: str, path: str | None) -> Path | None:
        return None

    def program(self, agent: str, path: str | None) -> AgentProgram:
        if agent == "scripted":
            return AgentProgram("built-in", "1.2.3")
        return AgentProgram("npm", "1.2.3", Path("/agents", agent))

    def models(self, agent: str, *, own_api: bool) -> Sequence[str]:
        return self.offered.get(agent, ())

    def unpriced(self, agent: str, model: str | None) -> Sequence[tuple[str, str]]:
        return [("anthropic", model)] if model and "99" in model else []


@dataclass
class FakeEngines:
    engine: FakeEngine

    def select(self, wanted: str) -> FakeEngine:
        if wanted not in ("auto", "docker", self.engine.name):
            raise EnvironmentFault(f"the engine {wanted} does not work here", code="no_engine")
        return self.engine


@dataclass
class ServerHarness:
    """Everything behind the MCP surface, and the parts that a test looks at."""

    home: Path
    repo: Path
    caller: Caller
    store: Store
    tasks: TaskService
    status: StatusReport
    repositories: FakeRepositories
    control: FakeControl
    work: FakeWork
    world: FakeEngineState
    live: dict[str, RunState]
    engine: sa.Engine
    pushed: list[tuple[str, dict[str, Any]]] = field(default_factory=list[Any])

    def session(self) -> ClientSession:
        def push(method: str, params: dict[str, Any]) -> None:
            self.pushed.append((method, params))

        return ClientSession(self.caller, push)

    def app(self) -> App:
        return App(self.services())

    def services(self) -> Services:
        rebase = RebaseTask(self.store, FakeRebases(), self.log())
        return Services(
            self.tasks,
            self.status,
            EventBroadcaster(self.store),
            lambda: None,
            RoverImages(self.tasks.settings.home, self.store, {}),
            HookRunner(self.tasks.settings, self.store, self.store.deliveries("roverd"), {}),
            self.trash(),
            FreeSpace([], self.log()),
            # Its engine keeps no images: a build ends before it asks for hub or gateway.
            ImageBuilds(
                self.tasks.settings,
                self.tasks.create_task,
                {},
                _no_hub,
                FakeSetupGateway(),
                FakeWarmPool(),
            ),
            self.forget(),
            MergeTask(self.store, FakeMerges(), self.log(), FakeBranches()),
            PushTask(self.store, FakePushes(), self.log()),
            rebase,
            CheckoutTask(
                self.store,
                HostCheckouts(GitRepositories(self.tasks.settings.home), self.tasks.settings.home),
                self.log(),
            ),
            OpenShell(self.shells()),
            ChooseTask(self.store, self.trash().delete, self.log()),
            ResolveConflicts(self.tasks.create_task, rebase, FakeConflictResolution()),
            GatherReport(self.tasks, lambda _task: str),
        )

    def shells(self) -> TaskShells:
        """Without an engine, so that none can be started."""
        settings = self.tasks.settings
        return TaskShells(settings, {}, _no_hub, FakeSetupGateway(), FakeWarmPool(), lambda _: None)

    def log(self) -> OperationLog:
        return OperationLog(self.store.operations("roverd"))

    def trash(self) -> TaskTrash:
        """The use case; what is deleted is gone at once."""
        delete = DeleteTask(self.store, FakeLeftovers(), lambda _: None)
        return TaskTrash(self.store, delete, self.log(), 0, FakeBranches())

    def forget(
        self, leftovers: Leftovers | None = None, images: RoverImages | None = None
    ) -> ForgetProject:
        """The use case, on this data folder."""
        home = self.tasks.settings.home
        return ForgetProject(
            self.store,
            DeleteTask(self.store, leftovers or FakeLeftovers(), lambda _: None),
            ProjectFolders(home, GitRepositories(home), lambda _: None, Trash(home, {})),
            self.tasks.create_task.consents,
            images or RoverImages(home, self.store, {}),
        )

    def trust(self) -> None:
        """The user trusts what the repository asks for, as `rover trust` does."""
        person = replace(self.caller, terminal=True)
        create = self.tasks.create_task
        shown = anyio.run(server_trust.trust, create, person, TrustParams())
        grant = TrustParams(action="grant", digest=shown["digest"])
        anyio.run(server_trust.trust, create, person, grant)

    def files(self) -> set[str]:
        """What lies in the data folder, but for the database and the folder of marks itself."""
        return {
            str(p.relative_to(self.home))
            for p in self.home.rglob("*")
            if not p.name.startswith(("rover.db", "trust.json")) and "workflows" not in p.parts
            if p != self.home / "creating"
        }


class FakeBranches:
    """A repository without branches of tasks."""

    def facts(self, task: TaskRow) -> BranchFacts:
        return BranchFacts(None)

    def put_aside(self, task: TaskRow, tip: str) -> None:
        raise AssertionError("there is no branch")

    def is_aside(self, task: TaskRow) -> bool:
        return False

    def put_back(self, task: TaskRow) -> bool:
        return False


class FakeLeftovers:
    """A task whose branch was delivered."""

    def __init__(self, found: Leftover = Leftover(True, True, 1, 1000)) -> None:  # noqa: B008  # frozen
        self.found = found
        self.removed: list[str] = []

    def find(self, task: TaskRow) -> Leftover:
        return self.found

    def remove(self, task: TaskRow) -> None:
        self.removed.append(task.id)

    def make_room(self, task: TaskRow) -> None:
        raise AssertionError("the disk is not full")

    def find_by_id(self, task_id: str) -> Leftover:
        return self.found

    def remove_by_id(self, task_id: str) -> None:
        self.removed.append(task_id)


@functools.cache
def _empty_database() -> bytes:
    """A migrated database without rows: copying it is quicker than making the tables."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rover.db"
        open_database(f"sqlite:///{path}").dispose()
        return path.read_bytes()


@contextmanager
def open_desk(
    folder: Path, content: bytes | None = None, engine: sa.Engine | None = None
) -> Iterator[ServerHarness]:
    """`content`: of the database; by default it is empty. `engine`: of an earlier desk in this
    folder, which has compiled its statements already; its connections are new."""
    home, repo = folder / "home", folder / "repo"
    for name in ("workflows", "tasks", "projects"):
        (home / name).mkdir(parents=True, exist_ok=True)
    (home / "workflows" / "swe.yaml").write_text(PLAIN)
    (home / "workflows" / "strict.yaml").write_text(WORKFLOW.replace("name: swe", "name: strict"))
    (home / "workflows" / "broken.yaml").write_text("version: '1.0'\nsteps: 3\n")
    (repo / ".git").mkdir(parents=True, exist_ok=True)
    (home / "rover.db").write_bytes(content or _empty_database())
    database = engine or open_database(f"sqlite:///{home / 'rover.db'}")
    store = Store(database, now=NOW.timestamp)
    settings = Settings(home=home, min_free_bytes=0)
    world = FakeEngineState()
    fake = FakeEngine(world)
    repositories, control, work, agents, warm_pool = (
        FakeRepositories(),
        FakeControl(store=store),
        FakeWork(),
        FakeAgents(),
        FakeWarmPool(),
    )
    catalog, live = Catalog(home), dict[str, RunState]()
    create = CreateTask(
        settings,
        store,
        catalog,
        repositories,
        FakeEngines(fake),
        agents,
        control,
        warm_pool,
        ContextReader(network=FakeInternet()),
    )
    tasks = TaskService(
        settings, store, create, repositories, control, work, live.get, NOW.timestamp
    )
    status = StatusReport(
        tasks, catalog, {"docker": fake}, agents,
        credentials=lambda _: {"anthropic": "ANTHROPIC_API_KEY"},
        sign_in=lambda _agent, _provider, found, _caller: (found, None),
        provider_of=lambda _: "anthropic",
        may_sign_in=lambda _agent, _caller: True,
        notice=lambda _: None,
        trouble=lambda: None,
    )  # fmt: skip
    caller = Caller("c" * 32, repo, env={"PATH": "/usr/bin"})
    try:
        yield ServerHarness(
            home, repo, caller, store, tasks, status, repositories, control, work, world, live,
            database,
        )  # fmt: skip
    finally:
        database.dispose()


def with_settings(desk: ServerHarness, **changes: Any) -> None:
    desk.tasks.settings = replace_settings(desk.tasks.settings, **changes)
    desk.tasks.create_task = replace(desk.tasks.create_task, settings=desk.tasks.settings)


def replace_settings(settings: Settings, **changes: Any) -> Settings:
    return settings.model_copy(update=changes)
