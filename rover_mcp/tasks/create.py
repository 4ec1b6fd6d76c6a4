"""The use case of creating a task: check everything first, then write, then enqueue."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from agent_runner.agents.scripted import ScriptError, load_script
from agent_runner.workflow.agents import agents_of, chosen
from agent_runner.worktree.local_files import FILE_NAME as COPIES
from agent_runner.worktree.local_files import LocalFile
from agent_runner.worktree.worktree import IGNORED
from rover_mcp.config.load_project import load_config
from rover_mcp.config.project import ProjectConfig
from rover_mcp.config.project_asks import CommittedFiles, narrowed
from rover_mcp.config.settings import Settings
from rover_mcp.config.task_config import TaskConfig
from rover_mcp.config.user_maximum import Wider, wider_script
from rover_mcp.context.pieces import Piece
from rover_mcp.domain.errors import EnvironmentFault, UserFixable
from rover_mcp.domain.ids import agent_named, new_task_id
from rover_mcp.domain.network_policy import NetworkMode, NetworkPolicy
from rover_mcp.domain.paths import TaskFolders
from rover_mcp.sandbox.protocol import Engine
from rover_mcp.store.records import NewTask, ProjectRow, TaskRow
from rover_mcp.store.store import Store
from rover_mcp.tasks.agent_checks import AgentChecks
from rover_mcp.tasks.budget_prices import check_prices
from rover_mcp.tasks.caller import Caller
from rover_mcp.tasks.catalog import FOLDER, Catalog, CatalogEntry
from rover_mcp.tasks.cautions import (
    config_left_out,
    first_cautions,
    setup_left_out,
)
from rover_mcp.tasks.checkout_files import check_outputs, read_copies, write_copies
from rover_mcp.tasks.consent import check_consent
from rover_mcp.tasks.context import FOLDER as CONTEXT
from rover_mcp.tasks.context import context_call, entries_of, write_pieces
from rover_mcp.tasks.create_request import (
    CreateRequest,
    check_works_without,
    inputs_of,
    title_of,
)
from rover_mcp.tasks.disk_space import check_space
from rover_mcp.tasks.folder_argument import NOT_A_PATH
from rover_mcp.tasks.missing_programs import lacking_programs
from rover_mcp.tasks.options import ResolvedOptions, settle
from rover_mcp.tasks.programs import unseen_programs
from rover_mcp.tasks.task_ports import (
    AgentInventory,
    ContextSource,
    Control,
    Engines,
    Repositories,
    Repository,
    SpareSandboxes,
)
from rover_mcp.tasks.trust import AskView, ProjectTrust, TrustBook

__all__ = ["CheckedTask", "CreateRequest", "CreateTask"]


@dataclass(frozen=True)
class CheckedTask:
    """A task that has been checked and not been written."""

    new: NewTask
    entry: CatalogEntry
    copies: Sequence[LocalFile]
    repository: Repository
    pieces: Sequence[Piece] = ()


@dataclass(frozen=True)
class _Chosen:
    """What is looked at before anybody's consent is needed."""

    repository: Repository
    commit: str
    settled: ResolvedOptions
    entry: CatalogEntry
    engine: Engine


def always(agent: str, caller: Caller) -> bool:
    """Every agent has a log-in."""
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
    spares: SpareSandboxes
    context: ContextSource
    signed_in: Callable[[str, Caller], bool] = always
    """whether there is a key or a log-in for an agent"""
    book: TrustBook = field(init=False)

    def __post_init__(self) -> None:
        self.book = TrustBook(self.settings.home)

    @property
    def trust(self) -> ProjectTrust:
        """What projects ask for, and who has consented."""
        return ProjectTrust(self.settings, self.catalog, self.repositories, self.book)

    @property
    def agent_checks(self) -> AgentChecks:
        """Whether agents are known here, may be used, and can be started."""
        return AgentChecks(self.settings, self.agents, self.engines, self.signed_in)

    def __call__(self, caller: Caller, request: CreateRequest) -> TaskRow:
        """Create the task and queue its first attempt.

        Raises:
            UserFixable: something in the request, with what to do.
            EnvironmentFault: no engine, no agent, no disk.
        """
        if key := caller.key(request.request_key):
            title_of(request.description)
            repository = self.repositories.inspect(caller.folder(request.repo_path))
            if known := self._known(repository, key):
                return known
        plan = self.plan(caller, request)
        spare = self.spares.take(plan.new.project_id, plan.new.engine)
        if spare is not None:
            plan = replace(plan, new=replace(plan.new, id=spare))
        return self._write(plan, request.script)

    def plan(self, caller: Caller, request: CreateRequest) -> CheckedTask:
        """What the task would be, after all checks. Nothing is written but the project's hub, and
        what a person has just consented to. Raises as the call does."""
        title = title_of(request.description)
        if self.settings.wrong:
            hint = "correct config.yaml: `rover config check`"
            raise EnvironmentFault(self.settings.wrong, hint=hint, code="invalid_config")
        known = self.agents.known()
        agents = [agent_named(agent, known) for agent in request.options.agents]
        options = request.options.model_copy(update={"agents": tuple(dict.fromkeys(agents))})
        request = replace(request, options=options)
        repository = self._repository(caller, request.repo_path)
        self.repositories.check_delivery(repository, self.settings.branch_prefix)
        base = request.base_branch
        commit = self.repositories.resolve(repository, base) if base else repository.head_commit
        settled, entry = self._settled(caller, request, repository)
        inputs = inputs_of(entry, request)
        agents, checks = settled.agents, self.agent_checks
        checks.check_chosen(agents, request.script)
        checks.check_steps(entry, agents)
        budget, model = settled.budget, settled.model
        unpriced = check_prices(entry.workflow, agents, model, budget, self.agents)
        engine, binary = checks.engine(caller, settled, agents, repository.root)
        chosen = _Chosen(repository, commit, settled, entry, engine)
        settled = self._consented(caller, request, chosen)
        copies, warnings = self._copies(repository, commit, entry, settled.decided)
        network = self._network(settled.network, repository, entry, agents)
        warnings += self.repositories.absent(repository, commit)
        check_space(self.settings, lambda: self.repositories.size(repository, commit))
        # The last check, since it takes longest and asks other machines.
        pieces = self._pieces(caller, request, repository)
        project = self._project(repository)
        decided = settled.decided.model_copy(
            update={
                "copies": tuple(copy.path for copy in copies),
                "context": entries_of(pieces, datetime.now(UTC)),
            }
        )
        new = NewTask(
            id=new_task_id(),
            project_id=project.id,
            project_path=str(repository.project),
            title=title,
            description=request.description,
            base_branch=base or repository.branch,
            base_commit=commit,
            workflow=entry.name,
            agent=agents[0],
            agent_binary=str(binary) if binary else None,
            model=model,
            engine=engine.name,
            inputs=inputs,
            auto_resume=options.auto_resume,
            request_key=caller.key(request.request_key),
            client_id=caller.client_id,
            owner=caller.user,
            gateway_token=f"rover-{secrets.token_hex(24)}",
            warnings=[
                *first_cautions(engine, repository, entry),
                *checks.cautions(caller, agents),
                *settled.warnings,
                *warnings,
                *unpriced,
                *self._missing_programs(
                    caller, engine, self.repositories.files(repository, commit)
                ),
            ],
            agents=agents if len(agents) > 1 else None,
            network=network.model_dump(mode="json"),
            budget=budget,
            config=decided,
        )
        return CheckedTask(new, entry, copies, repository, pieces)

    def _pieces(
        self, caller: Caller, request: CreateRequest, repository: Repository
    ) -> Sequence[Piece]:
        """What the task is given to read; nothing is fetched for nothing."""
        if not request.context:
            return ()
        remotes = self.repositories.remotes(repository.root)
        call = context_call(caller, repository.root, remotes, request.context_authors)
        return self.context.read(request.context, call)

    def _repository(self, caller: Caller, repo_path: str | None) -> Repository:
        """The repository that is named. Where it is none, and the caller works in one, the error
        says so; nothing is done there unasked."""
        try:
            return self.repositories.inspect(caller.folder(repo_path))
        except UserFixable as error:
            if repo_path is None or caller.user is not None or error.code == NOT_A_PATH:
                raise
            self._say_what_is_here(error, caller, repo_path)
            raise

    def _say_what_is_here(self, error: UserFixable, caller: Caller, repo_path: str) -> None:
        """Add to an error that names no repository the one that a file lies in, else the
        caller's."""
        for folder, named in ((caller.cwd / Path(repo_path).parent, True), (caller.cwd, False)):
            try:
                here = self.repositories.inspect(folder)
            except UserFixable:
                continue
            if named:
                error.instead = {"repo_path": str(here.root)}
            else:
                error.hint = f"{error.hint}; without repo_path it is {here.root}"
                error.instead = {"repo_path": None}
            return

    def _project(self, repository: Repository) -> ProjectRow:
        project_id = self.repositories.project_id(repository.project)
        self.repositories.open_hub(project_id, repository.project)
        return self.store.projects.register(project_id, str(repository.project))

    def _settled(
        self, caller: Caller, request: CreateRequest, repository: Repository
    ) -> tuple[ResolvedOptions, CatalogEntry]:
        # A bare repository has no checkout, so nothing that its user could have looked at.
        project_file = None if repository.bare else load_config(repository.root)
        ignored = request.options.project_config == "ignore"
        warnings: list[str] = []
        if project_file is not None and ignored:
            warnings = config_left_out(project_file.config, self.settings)
            narrowed_config = self._narrowed(project_file.config)
            project_file = replace(project_file, config=narrowed_config)
        remote = caller.user is not None
        settled = settle(request.options, project_file, self.settings, remote=remote)
        if caller.user is not None:
            self._check(caller, repository, settled.wider, (), None)
        entry = self.catalog.find(settled.workflow, None if ignored else repository.root)
        if entry.workflow:
            entry = replace(entry, workflow=chosen(entry.workflow, request.inputs or {}))
        own = f"{FOLDER}/{entry.path.name}" if entry.source == "project" else None
        kept = {"ignored": ignored, "workflow_file": own}
        decided = settled.decided.model_copy(update=kept)
        return replace(settled, decided=decided, warnings=[*settled.warnings, *warnings]), entry

    def _narrowed(self, config: ProjectConfig) -> ProjectConfig:
        """The configuration without what needs consent, a workflow of the project's included."""
        config = narrowed(config, self.settings)
        known = config.workflow in {entry.name for entry in self.catalog.entries(None)}
        return config if known else config.model_copy(update={"workflow": None})

    def _consented(
        self, caller: Caller, request: CreateRequest, chosen: _Chosen
    ) -> ResolvedOptions:
        """The settings as a person has allowed them: all that goes beyond the user's own
        configuration; or without the set-up, where only that lacks a consent that nobody there
        can give.

        Raises:
            NeedsConsent, UserFixable: nobody has.
        """
        settled, entry, engine = chosen.settled, chosen.entry, chosen.engine.name
        repository, commit = chosen.repository, chosen.commit
        agents = set(settled.agents)
        if entry.workflow:
            agents |= {a for n in settled.agents for a, _ in agents_of(entry.workflow, n, None)}
        wider = [*settled.wider, *wider_script(agents, engine, self.settings)]
        needed = self.trust.needed(repository, commit, settled, entry, engine)
        missing, every = self.trust.missing(repository, commit, needed)
        spared = self.trust.can_do_without(repository, commit, needed) if missing else []
        if spared and not wider and (request.unasked or caller.user is not None):
            decided = settled.decided.model_copy(update={"without_setup": True})
            warnings = [*settled.warnings, setup_left_out(repository.root, spared)]
            return replace(settled, decided=decided, warnings=warnings)
        self._check(caller, repository, wider, missing, request.consent, spared=bool(spared))
        if missing:
            self.trust.book.write(repository.root, every)
        return settled

    def _check(
        self,
        caller: Caller,
        repository: Repository,
        wider: Sequence[Wider],
        missing: Sequence[AskView],
        consent: str | None,
        *,
        spared: bool = False,
    ) -> None:
        config = self.settings.home / "config.yaml"
        spared = spared and not wider
        check_consent(
            caller, config, repository.root, wider, missing, consent, can_do_without=spared
        )

    def _missing_programs(self, caller: Caller, engine: Engine, files: CommittedFiles) -> list[str]:
        if engine.programs is None:
            return []
        lacking = lacking_programs(files, engine.programs)
        if self.settings.toolchains is not None:
            return lacking
        return [*lacking, *unseen_programs(caller.env.get("PATH"), Path.home())]

    def _copies(
        self, repository: Repository, commit: str, entry: CatalogEntry, decided: TaskConfig
    ) -> tuple[list[LocalFile], list[str]]:
        names = decided.copies
        if not names:
            return [], []
        if entry.workflow:
            check_outputs(entry.workflow, names)
        tracked = self.repositories.tracked(repository, commit, names)
        return read_copies(repository.root, names, tracked)

    def _known(self, repository: Repository, key: str) -> TaskRow | None:
        project = self.store.projects.at(str(repository.project))
        return self.store.tasks.by_request(project.id, key) if project else None

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

    def _write(
        self,
        plan: CheckedTask,
        script: str | None,
    ) -> TaskRow:
        new, copies = plan.new, plan.copies
        folders = TaskFolders(self.settings.home, new.id, 1)
        try:
            folders.input.mkdir(parents=True)
            # As it was read and consented to: the file may be another by now.
            (folders.input / "workflow.yaml").write_bytes(plan.entry.data)
            if script is not None:
                (folders.input / "script.yaml").write_text(script, "utf-8")
                load_script(folders.input / "script.yaml")
            if ignored := self.repositories.ignored(plan.repository):
                (folders.input / IGNORED).write_bytes(ignored)
            if copies:
                write_copies(folders.input / COPIES, copies)
            if new.config is not None:
                write_pieces(folders.input / CONTEXT, new.config.context, plan.pieces)
            task, is_new = self.store.tasks.create(
                new, plan.repository.branches, self.settings.branch_prefix
            )
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
        attempt = self.store.attempts.get(task.id, 1)
        if attempt is not None:
            self.control.enqueue(attempt)
        return task

    def _undo(self, folders: TaskFolders) -> None:
        self.spares.discard(folders.task_id)
        shutil.rmtree(folders.root, ignore_errors=True)
