"""The use case of creating a task: check everything first, then write, then enqueue."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from agent_runner.agents import agent_provider
from agent_runner.agents.scripted import ScriptError, load_script
from agent_runner.copies import FILE_NAME as COPIES
from agent_runner.copies import Copy
from agent_runner.models import Budget
from agent_runner.workflow.agents import agents_of
from rover_mcp.errors import EnvironmentFault, NotFound, UserFixable
from rover_mcp.network import NetworkMode, NetworkPolicy
from rover_mcp.project.decided import Asked, Decided, Settled, settle
from rover_mcp.project.load import load_config
from rover_mcp.sandbox.protocol import Engine
from rover_mcp.settings import Settings
from rover_mcp.store.rows import NewTask, ProjectRow, TaskRow
from rover_mcp.store.store import Store
from rover_mcp.tasks.caller import Caller
from rover_mcp.tasks.catalog import Catalog, CatalogEntry
from rover_mcp.tasks.copies import check_outputs, read_copies, write_copies
from rover_mcp.tasks.folders import TaskFolders
from rover_mcp.tasks.identifiers import meant, new_task_id
from rover_mcp.tasks.logs import plain
from rover_mcp.tasks.ports import (
    AgentInventory,
    Control,
    Engines,
    Repositories,
    Repository,
    SpareSandboxes,
)

DIRTY = "the repository has uncommitted changes; they are not part of this task"


@dataclass(frozen=True)
class CreateRequest:
    """What a caller asks for. None means the default."""

    description: str
    repo_path: str | None = None
    workflow: str | None = None
    agent: str | None = None
    model: str | None = None
    base_branch: str | None = None
    inputs: Mapping[str, str] = field(default_factory=dict[str, str])
    engine: str | None = None
    auto_resume: bool = True
    request_key: str | None = None
    script: str | None = None
    agents: Sequence[str] = ()
    """in the order in which they may take over; with `agent` given that one goes first"""
    budget: Budget | None = None
    network: str | None = None
    """a NetworkMode"""


@dataclass(frozen=True)
class Plan:
    """A task that has been checked and not been written."""

    new: NewTask
    entry: CatalogEntry
    copies: Sequence[Copy]
    repository: Repository


@dataclass
class CreateTask:
    """All checks come before the first write, so that bad input leaves nothing behind."""

    settings: Settings
    store: Store
    catalog: Catalog
    repositories: Repositories
    engines: Engines
    agents: AgentInventory
    control: Control
    spares: SpareSandboxes

    def __call__(self, caller: Caller, request: CreateRequest) -> TaskRow:
        """Create the task and queue its first attempt.

        Raises:
            UserFixable: something in the request, with what to do.
            EnvironmentFault: no engine, no agent, no disk.
        """
        if key := caller.key(request.request_key):
            _title(request.description)
            repository = self.repositories.inspect(caller.folder(request.repo_path))
            if known := self._known(repository, key):
                return known
        plan = self.plan(caller, request)
        spare = self.spares.take(plan.new.project_id, plan.new.engine)
        if spare is not None:
            plan = replace(plan, new=replace(plan.new, id=spare))
        return self._write(plan, request.script)

    def plan(self, caller: Caller, request: CreateRequest) -> Plan:
        """What the task would be, after all checks. Nothing is written but the project's hub.
        Raises as the call does."""
        title = _title(request.description)
        repository = self.repositories.inspect(caller.folder(request.repo_path))
        base = request.base_branch
        commit = self.repositories.resolve(repository, base) if base else repository.head_commit
        settled = self._settled(caller, request, repository)
        entry = self.catalog.find(settled.workflow, repository.root)
        inputs = _inputs(entry, request)
        agents = self._agents(settled.agents, request)
        copies, told = self._copies(repository, commit, entry, settled.decided)
        engine, binary = self._engine(caller, settled, agents)
        network = self._network(settled.network, repository, entry, agents)
        self._check_disk()
        project = self._project(repository, commit)
        new = NewTask(
            id=new_task_id(),
            project_id=project.id,
            project_path=str(repository.root),
            title=title,
            description=request.description,
            base_branch=base or repository.branch,
            base_commit=commit,
            workflow=entry.name,
            agent=agents[0],
            agent_binary=str(binary) if binary else None,
            model=settled.model,
            engine=engine.name,
            inputs=inputs,
            auto_resume=request.auto_resume,
            request_key=caller.key(request.request_key),
            client_id=caller.client_id,
            owner=caller.user,
            gateway_token=f"rover-{secrets.token_hex(24)}",
            warnings=[*_warnings(engine, repository), *settled.warnings, *told],
            agents=agents if len(agents) > 1 else None,
            network=network.model_dump(mode="json"),
            budget=settled.budget,
            config=settled.decided.model_copy(update={"copies": tuple(c.path for c in copies)}),
        )
        return Plan(new, entry, copies, repository)

    def _project(self, repository: Repository, commit: str) -> ProjectRow:
        project_id = self.repositories.project_id(repository.root)
        self.repositories.prepare_hub(project_id, repository.root, commit)
        return self.store.project(project_id, str(repository.root))

    def _settled(self, caller: Caller, request: CreateRequest, repository: Repository) -> Settled:
        # A bare repository has no checkout, so nothing that its user could have looked at.
        config = None if repository.bare else load_config(repository.root)
        settled = settle(_asked(request), config, self.settings)
        self._check_isolated(caller, settled.engine)
        return settled

    def _engine(
        self, caller: Caller, settled: Settled, agents: Sequence[str]
    ) -> tuple[Engine, Path | None]:
        """The engine, which can start each of the agents; the first one's program here, if it has
        one."""
        path = caller.env.get("PATH")
        binaries = [self.agents.binary(agent, path) for agent in agents]
        engine = self.engines.select(settled.engine)
        image = settled.decided.image or self.settings.base_image
        for agent, binary in zip(agents, binaries, strict=True):
            engine.check_agent(agent, binary, image)
        return engine, binaries[0]

    def _copies(
        self, repository: Repository, commit: str, entry: CatalogEntry, decided: Decided
    ) -> tuple[list[Copy], list[str]]:
        names = decided.copies
        if not names:
            return [], []
        if entry.workflow:
            check_outputs(entry.workflow, names)
        tracked = self.repositories.tracked(repository, commit, names)
        return read_copies(repository.root, names, tracked)

    def _known(self, repository: Repository, key: str) -> TaskRow | None:
        project = self.store.project_at(str(repository.root))
        return self.store.task_by_request(project.id, key) if project else None

    def _agents(self, agents: list[str], request: CreateRequest) -> list[str]:
        for agent in agents:
            self._check_known(agent)
        if request.script is not None and "scripted" not in agents:
            raise UserFixable("script is for the agent scripted only", code="invalid_script")
        return agents

    def _network(
        self,
        policy: NetworkPolicy,
        repository: Repository,
        entry: CatalogEntry,
        agents: Sequence[str],
    ) -> NetworkPolicy:
        """What the task may reach: what was decided, and the hosts of the repository's remotes.
        Hosts of the user's own list are added at each attempt.

        Raises:
            UserFixable: nothing shall be reached, and an agent needs its model.
        """
        if policy.mode is NetworkMode.NONE:
            check_works_without(entry, agents)
        if policy.mode is not NetworkMode.ALLOWLIST:
            return policy
        return policy.with_hosts(self.repositories.git_hosts(repository.root))

    def _check_isolated(self, caller: Caller, engine: str) -> None:
        """Who comes over HTTP gets no shell on this machine, unless its user gave everybody one."""
        if caller.user is not None and engine == "process" != self.settings.engine:
            raise UserFixable(
                "the engine process does not isolate, and is for the user of this machine alone",
                code="not_allowed",
                hint="leave engine out",
            )

    def _check_known(self, agent: str) -> None:
        if agent not in self.agents.known():
            names = sorted(self.agents.known())
            raise NotFound(
                f"there is no agent {agent[:80]!r}; there are: {', '.join(names)}",
                code="unknown_agent",
                hint=f"{meant(agent, names)}choose one of these",
            )

    def check_agent(self, caller: Caller, agent: str, engine: str) -> Path | None:
        """That an agent can be started here; its program on this host, if it has one.

        Raises:
            UserFixable, EnvironmentFault: it is unknown, or cannot be started.
        """
        self._check_known(agent)
        binary = self.agents.binary(agent, caller.env.get("PATH"))
        self.engines.select(engine).check_agent(agent, binary, self.settings.base_image)
        return binary

    def _check_disk(self) -> None:
        free = shutil.disk_usage(self.settings.home).free
        if free < self.settings.min_free_bytes:
            raise EnvironmentFault(
                f"the disk of {self.settings.home} has only {free // 1024**2} MB left",
                hint="free some space, or set ROVER_HOME to a folder on another disk",
                code="disk_full",
            )

    def _write(
        self,
        plan: Plan,
        script: str | None,
    ) -> TaskRow:
        new, copies = plan.new, plan.copies
        folders = TaskFolders(self.settings.home, new.id, 1)
        try:
            folders.input.mkdir(parents=True)
            shutil.copyfile(plan.entry.path, folders.input / "workflow.yaml")
            if script is not None:
                (folders.input / "script.yaml").write_text(script, "utf-8")
                load_script(folders.input / "script.yaml")
            if copies:
                write_copies(folders.input / COPIES, copies)
            task, is_new = self.store.create_task(new, plan.repository.branches)
        except ScriptError as error:
            self._undo(folders)
            raise UserFixable(
                str(error),
                code="invalid_script",
                hint="see docs/workflows.md",
            ) from error
        except OSError as error:
            self._undo(folders)
            raise EnvironmentFault(
                f"the task's files cannot be written: {error}",
                hint=f"check that {self.settings.home} is writable and its disk not full",
                code="data_folder",
            ) from error
        except BaseException:
            self._undo(folders)
            raise
        if not is_new:
            self._undo(folders)
            return task
        attempt = self.store.attempt(task.id, 1)
        if attempt is not None:
            self.control.enqueue(attempt)
        return task

    def _undo(self, folders: TaskFolders) -> None:
        self.spares.discard(folders.task_id)
        shutil.rmtree(folders.root, ignore_errors=True)


def check_works_without(entry: CatalogEntry, agents: Sequence[str]) -> None:
    """That no agent of the task needs a provider: with the network policy none it has none.

    Raises:
        UserFixable: one does.
    """
    used = {(agent, None) for agent in agents}
    if entry.workflow:
        used = used.union(*(agents_of(entry.workflow, agent, None) for agent in agents))
    for agent, model in sorted(used, key=str):
        check_needs_no_provider(agent, model)


def check_needs_no_provider(agent: str, model: str | None = None) -> None:
    """Raises UserFixable where the agent cannot work without its model API."""
    if provider := agent_provider(agent, model):
        raise UserFixable(
            f"with network: none nothing can be reached, and {agent} needs {provider}",
            code="network_none",
            hint="use network: providers, which lets it reach its model API and nothing else",
        )


def _asked(request: CreateRequest) -> Asked:
    first = [request.agent] if request.agent else []
    return Asked(
        agents=tuple(dict.fromkeys([*first, *request.agents])),
        model=request.model,
        workflow=request.workflow,
        engine=request.engine,
        budget=request.budget,
        network=request.network,
    )


def _warnings(engine: Engine, repository: Repository) -> list[str]:
    return [w for w in (engine.warning, DIRTY if repository.dirty else "") if w]


def _title(description: str) -> str:
    lines = (" ".join(line.split()) for line in plain(description).splitlines())
    line = next(filter(None, lines), "")
    if not line:
        raise UserFixable(
            "the description is empty",
            hint="say what the agent shall do",
            code="invalid_description",
        )
    return line if len(line) <= 72 else line[:71].rstrip() + "…"


def _inputs(entry: CatalogEntry, request: CreateRequest) -> dict[str, str]:
    """The workflow's inputs with their defaults; `description` comes from the request."""
    declared = {i.name: i for i in entry.workflow.inputs} if entry.workflow else {}
    if unknown := sorted(set(request.inputs) - set(declared)):
        raise UserFixable(
            f"the workflow {entry.name} has no input {', '.join(unknown)}; "
            f"it has: {', '.join(declared) or 'none'}",
            code="invalid_inputs",
            next_call={"tool": "list_workflows", "arguments": {}},
        )
    missing = [
        name
        for name, i in declared.items()
        if i.required and i.default is None and name not in request.inputs
        and name != "description"
    ]  # fmt: skip
    if missing:
        raise UserFixable(
            f"the workflow {entry.name} needs the input {', '.join(missing)}",
            code="invalid_inputs",
            hint=f"pass inputs={{{', '.join(repr(m) + ': ...' for m in missing)}}}",
        )
    values = {name: i.default for name, i in declared.items() if i.default is not None}
    if "description" in declared:
        values["description"] = request.description
    return values | dict(request.inputs)
