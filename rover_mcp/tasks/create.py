"""The use case of creating a task: check everything first, then write, then enqueue."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent_runner.crashpoints import crash_point
from agent_runner.worktree.local_files import LocalFile
from rover_mcp.config.load_settings import have_changed
from rover_mcp.config.project_asks import CommittedFiles
from rover_mcp.config.settings import Settings
from rover_mcp.config.task_config import TaskConfig
from rover_mcp.context.pieces import Piece
from rover_mcp.domain.creation_point import CreationPoint
from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.domain.ids import agent_named, new_task_id
from rover_mcp.domain.network_policy import NetworkMode, NetworkPolicy
from rover_mcp.domain.paths import TaskFolders
from rover_mcp.sandbox.protocol import Engine
from rover_mcp.store.records import NewTask, ProjectRow, TaskRow
from rover_mcp.store.store import Store
from rover_mcp.tasks.agent_checks import AgentChecks
from rover_mcp.tasks.budget_prices import check_prices
from rover_mcp.tasks.caller import Caller
from rover_mcp.tasks.catalog import Catalog
from rover_mcp.tasks.cautions import first_cautions
from rover_mcp.tasks.checked_task import CheckedTask, input_faults, write_input
from rover_mcp.tasks.checkout_files import check_outputs, read_copies
from rover_mcp.tasks.context import context_call, entries_of
from rover_mcp.tasks.create_request import (
    CreateRequest,
    check_works_without,
    inputs_of,
    title_of,
)
from rover_mcp.tasks.creation_marks import creating
from rover_mcp.tasks.disk_space import check_space
from rover_mcp.tasks.missing_programs import lacking_programs
from rover_mcp.tasks.programs import unseen_programs
from rover_mcp.tasks.repository_argument import named_repository
from rover_mcp.tasks.request_options import options_of_request
from rover_mcp.tasks.stacked_base import stacked_base
from rover_mcp.tasks.task_parts import TaskParts, allowed_options
from rover_mcp.tasks.task_ports import (
    AgentInventory,
    ContextSource,
    Control,
    Engines,
    Repositories,
    Repository,
    WarmSandboxes,
)
from rover_mcp.tasks.trust import ConsentStore, ProjectTrust

__all__ = ["CheckedTask", "CreateRequest", "CreateTask"]


def always(agent: str, caller: Caller) -> bool:
    """Stands for `signed_in` where every agent has a login."""
    return True


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
    warm_pool: WarmSandboxes
    context: ContextSource
    signed_in: Callable[[str, Caller], bool] = always
    """whether there is a key or a login for an agent"""
    consents: ConsentStore = field(init=False)

    def __post_init__(self) -> None:
        self.consents = ConsentStore(self.settings.home)

    @property
    def trust(self) -> ProjectTrust:
        """What projects ask for, and who has consented."""
        return ProjectTrust(self.settings, self.catalog, self.repositories, self.consents)

    @property
    def agent_checks(self) -> AgentChecks:
        """Whether agents are known here, may be used, and can be started."""
        return AgentChecks(self.settings, self.agents, self.engines, self.signed_in)

    def __call__(self, caller: Caller, request: CreateRequest) -> TaskRow:
        """Create the task and queue its first attempt.

        Raises:
            UserFixable: something in the request is wrong; the error says what to do.
            EnvironmentFault: no engine works, the agent cannot be started, or the disk is full.
        """
        # Before all checks: a repeated call has to return its task even if the checks would refuse
        # it by now.
        if known := self.known(caller, request):
            return known
        checked = self.plan(caller, request)
        links = checked.new.links
        waits = links is not None and bool(links.after)
        spare = None
        # A task that waits for others does not know its base yet, and a warm sandbox would be kept
        # idle until then.
        if not waits:
            spare = self.warm_pool.take(checked.new.project_id, checked.new.engine)
        if spare is not None:
            # A sandbox that was started in advance is named after the id of its future task.
            checked = replace(checked, new=replace(checked.new, id=spare))
        return self.write([(checked, request.script)])[0]

    def plan(
        self, caller: Caller, request: CreateRequest, pieces: Sequence[Piece] | None = None
    ) -> CheckedTask:
        """What the task would be, after all checks. Nothing is written but the project's hub, and
        what a person has just consented to. `pieces`: the context, where it has been fetched
        already. Raises as the call does."""
        request = self._checked(request)
        parts = self._parts(caller, request)
        # After the look-ups, since what a task needs consent for depends on its workflow and its
        # engine.
        options = allowed_options(self.settings, self.trust, caller, request, parts)
        parts = replace(parts, options=options)
        repository, commit = parts.repository, parts.commit
        copies, warnings = self._copies(parts)
        network = self._network(parts)
        warnings += self.repositories.absent(repository, commit)
        # A disk that fills up during a task costs its work; here it costs an error message.
        check_space(self.settings, lambda: self.repositories.size(repository, commit))
        # The last check, since it takes longest and asks other machines.
        if pieces is None:
            pieces = self._pieces(caller, request, repository)
        project = self._project(repository)
        lists = {
            "copies": tuple(copy.path for copy in copies),
            "context": entries_of(pieces, datetime.now(UTC)),
        }
        new = _record(
            caller,
            request,
            parts,
            project_id=project.id,
            network=network.model_dump(mode="json"),
            config=options.config.model_copy(update=lists),
            warnings=self._warnings(caller, parts, warnings),
        )
        return CheckedTask(new, parts.entry, copies, repository, pieces)

    def _checked(self, request: CreateRequest) -> CreateRequest:
        """The request with each agent by its full name, and once.

        Raises:
            UserFixable: it has no description.
            EnvironmentFault: the user's config.yaml is invalid.
        """
        title_of(request.description)
        # The daemon keeps running with the last valid settings, but a new task must not start on
        # limits that its user believes to have changed.
        if self.settings.wrong:
            hint = "correct config.yaml: `rover config check`"
            if have_changed(self.settings):
                hint = "it was changed since; to have it read again: rover daemon restart"
            raise EnvironmentFault(self.settings.wrong, hint=hint, code="invalid_config")
        known = self.agents.known()
        agents = [agent_named(agent, known) for agent in request.options.agents]
        options = request.options.model_copy(update={"agents": tuple(dict.fromkeys(agents))})
        return replace(request, options=options)

    def _parts(self, caller: Caller, request: CreateRequest) -> TaskParts:
        """What the request names, looked up and checked. Raises as the call does."""
        repository = named_repository(self.repositories, caller, request.repo_path)
        self.repositories.check_delivery(repository, self.settings.branch_prefix)
        base = stacked_base(self.store, self.repositories, caller, request, repository)
        options, entry = options_of_request(
            self.settings, self.catalog, caller, request, repository
        )
        inputs = inputs_of(entry, request)
        agents, checks = options.agents, self.agent_checks
        checks.check_chosen(agents, request.script)
        checks.check_steps(entry, agents)
        budget, model = options.budget, options.model
        # A budget in money cannot be kept with a model whose price is unknown, and that is better
        # said now than at the first call.
        unpriced = check_prices(entry.workflow, agents, model, budget, self.agents)
        engine, binary = checks.engine(caller, options, agents, repository.root)
        return TaskParts(
            repository, base.commit, options, entry, inputs, engine, binary, unpriced, base
        )

    def _warnings(self, caller: Caller, parts: TaskParts, of_checkout: list[str]) -> list[str]:
        files = self.repositories.files(parts.repository, parts.commit)
        return [
            *first_cautions(parts.engine, parts.repository, parts.entry),
            *self.agent_checks.cautions(caller, parts.agents),
            *parts.options.warnings,
            *of_checkout,
            *parts.unpriced,
            *self._missing_programs(caller, parts.engine, files),
        ]

    def _pieces(
        self, caller: Caller, request: CreateRequest, repository: Repository
    ) -> Sequence[Piece]:
        """Fetch what the task is given to read."""
        if not request.context:
            return ()
        remotes = self.repositories.remotes(repository.root)
        call = context_call(caller, repository.root, remotes, request.context_authors)
        return self.context.read(request.context, call)

    def _project(self, repository: Repository) -> ProjectRow:
        project_id = self.repositories.project_id(repository.project)
        self.repositories.open_hub(project_id, repository.project)
        return self.store.projects.register(project_id, str(repository.project))

    def _missing_programs(self, caller: Caller, engine: Engine, files: CommittedFiles) -> list[str]:
        if engine.programs is None:
            return []
        lacking = lacking_programs(files, engine.programs)
        if self.settings.toolchains is not None:
            return lacking
        return [*lacking, *unseen_programs(caller.env.get("PATH"), Path.home())]

    def _copies(self, parts: TaskParts) -> tuple[list[LocalFile], list[str]]:
        names = parts.options.config.copies
        if not names:
            return [], []
        if parts.entry.workflow:
            check_outputs(parts.entry.workflow, names)
        tracked = self.repositories.tracked(parts.repository, parts.commit, names)
        return read_copies(parts.repository.root, names, tracked)

    def known(self, caller: Caller, request: CreateRequest) -> TaskRow | None:
        """The task that an earlier call with the same request key has created."""
        key = caller.key(request.request_key)
        if not key:
            return None
        title_of(request.description)
        repository = self.repositories.inspect(caller.folder(request.repo_path))
        project = self.store.projects.at(str(repository.project))
        # Within the project: two repositories may be given the same request key by one script.
        return self.store.tasks.by_request(project.id, key) if project else None

    def _network(self, parts: TaskParts) -> NetworkPolicy:
        """What the task may reach: what its options allow, and the hosts of the repository's
        remotes. Hosts of the user's own list are added at each attempt.

        Raises:
            UserFixable: nothing may be reached, and an agent needs its model.
        """
        policy = parts.options.network
        if policy.mode is NetworkMode.NONE:
            check_works_without(parts.entry, parts.agents)
        if policy.mode is not NetworkMode.ALLOWLIST:
            return policy
        return policy.with_hosts(self.repositories.git_hosts(parts.repository.root))

    def write(self, several: Sequence[tuple[CheckedTask, str | None]]) -> list[TaskRow]:
        """Write the files of tasks of one repository, each with the script of its agent, then their
        rows, and queue their first attempts. If any of it fails, or another call with the same
        request key was first, the files are removed again."""
        repository = several[0][0].repository
        folders = [TaskFolders(self.settings.home, checked.new.id, 1) for checked, _ in several]
        prefix, rows = self.settings.branch_prefix, [checked.new for checked, _ in several]
        home = self.settings.home
        with input_faults(home), creating(home, [new.id for new in rows]):
            try:
                ignored = self.repositories.ignored(repository)
                for (checked, script), folder in zip(several, folders, strict=True):
                    write_input(folder.input, checked, script, ignored)
                crash_point(CreationPoint.FILES_WRITTEN)
                tasks, are_new = self.store.tasks.create_all(rows, repository.branches, prefix)
            except BaseException:
                self._undo(folders)
                raise
            # Two calls with one request key may run side by side. The store decides which of them
            # is first.
            if not are_new:
                self._undo(folders)
            crash_point(CreationPoint.RECORDED)
        for task in tasks if are_new else ():
            attempt = self.store.attempts.get(task.id, 1)
            if attempt is not None:
                self.control.enqueue(attempt)
        return tasks

    def _undo(self, several: Sequence[TaskFolders]) -> None:
        for folders in several:
            self.warm_pool.discard(folders.task_id)
            shutil.rmtree(folders.root, ignore_errors=True)


def _record(
    caller: Caller,
    request: CreateRequest,
    parts: TaskParts,
    *,
    project_id: str,
    network: dict[str, Any],
    config: TaskConfig,
    warnings: list[str],
) -> NewTask:
    """The task's row."""
    repository, options, agents = parts.repository, parts.options, parts.agents
    return NewTask(
        id=new_task_id(),
        project_id=project_id,
        project_path=str(repository.project),
        title=title_of(request.description),
        description=request.description,
        base_branch=parts.base.branch,
        links=parts.base.links,
        base_commit=parts.commit,
        workflow=parts.entry.name,
        agent=agents[0],
        agent_binary=str(parts.binary) if parts.binary else None,
        model=options.model,
        engine=parts.engine.name,
        inputs=parts.inputs,
        auto_resume=request.options.auto_resume,
        request_key=caller.key(request.request_key),
        client_id=caller.client_id,
        owner=caller.user,
        # Worth nothing outside of the task's own gateway socket, so an agent may read it.
        gateway_token=f"rover-{secrets.token_hex(24)}",
        warnings=warnings,
        # None: no other agent may take over.
        agents=agents if len(agents) > 1 else None,
        network=network,
        budget=options.budget,
        config=config,
    )
