"""Builds the real objects and connects them; no other module does."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from anyio.from_thread import BlockingPortal

from agent_runner.agents import agent_provider
from agent_runner.models import RunState
from rover_mcp.config.descriptors import share
from rover_mcp.config.settings import Settings
from rover_mcp.context.reader import ContextReader
from rover_mcp.control.attempt_context import AttemptContext
from rover_mcp.control.attempt_runner import Attempts
from rover_mcp.control.daemon_lease import Leases
from rover_mcp.control.image_build import ImageBuilds
from rover_mcp.control.journal_watch import JournalWatch
from rover_mcp.control.plane import ControlPlane
from rover_mcp.control.reconciler import Reconciler
from rover_mcp.control.task_shells import TaskShells
from rover_mcp.control.warm_pool import WarmPool
from rover_mcp.daemon.credentials import Credentials
from rover_mcp.daemon.disk_meter import DiskMeter
from rover_mcp.daemon.gateway_adapter import GatewayAdapter
from rover_mcp.daemon.git_adapters import GitRepositories, HubWork
from rover_mcp.daemon.host_adapters import EngineChoice, HostAgents
from rover_mcp.daemon.host_branches import HostBranches
from rover_mcp.daemon.host_checkouts import HostCheckouts
from rover_mcp.daemon.host_merges import HostMerges
from rover_mcp.daemon.host_pushes import HostPushes
from rover_mcp.daemon.host_rebases import HostRebases
from rover_mcp.daemon.host_resolutions import HostResolutions
from rover_mcp.daemon.hub_garbage import HubGarbage
from rover_mcp.daemon.login_renewals import LoginRenewals
from rover_mcp.daemon.plane_adapter import PlaneControl
from rover_mcp.daemon.project_folders import ProjectFolders
from rover_mcp.daemon.project_registry import ProjectRegistry
from rover_mcp.daemon.space_sources import (
    FinishedTrees,
    OrphanFolders,
    PackageCaches,
    SecondCopies,
    TrashedTasks,
    UnneededImages,
    UnsentReviews,
    WaitingSandboxes,
)
from rover_mcp.daemon.task_leftovers import TaskLeftovers
from rover_mcp.daemon.task_networks import TaskNetworks
from rover_mcp.daemon.task_secrets import TaskSecrets
from rover_mcp.daemon.trash import Trash
from rover_mcp.daemon.trash_expiry import TrashExpiry
from rover_mcp.daemon.unfinished_tasks import UnfinishedTasks
from rover_mcp.daemon.usage_recording import write_entries
from rover_mcp.daemon.work_trees import WorkTrees
from rover_mcp.domain.attempt_state import HELD_BACK, OPEN
from rover_mcp.gateway.gateway import Gateway
from rover_mcp.gateway.prices import PriceList, price_list
from rover_mcp.hooks.runner import HookRunner, sender_of
from rover_mcp.launcher.user_service import offers
from rover_mcp.report.gather_report import GatherReport
from rover_mcp.sandbox.docker import DockerEngine
from rover_mcp.sandbox.engines import engines
from rover_mcp.sandbox.protocol import Engine
from rover_mcp.server.app import App
from rover_mcp.server.event_broadcast import EventBroadcaster
from rover_mcp.server.tool_call import Services
from rover_mcp.store.migrations import database_url
from rover_mcp.store.store import Store
from rover_mcp.tasks.caller import Caller
from rover_mcp.tasks.catalog import Catalog
from rover_mcp.tasks.checkout import CheckoutTask
from rover_mcp.tasks.choose import ChooseTask
from rover_mcp.tasks.create import CreateTask
from rover_mcp.tasks.delete import DeleteTask
from rover_mcp.tasks.forget import ForgetProject
from rover_mcp.tasks.free_space import FreeSpace, SpaceSource
from rover_mcp.tasks.images import RoverImages
from rover_mcp.tasks.merge import MergeTask
from rover_mcp.tasks.operation_log import OperationLog
from rover_mcp.tasks.push import PushTask
from rover_mcp.tasks.rebase import RebaseTask
from rover_mcp.tasks.resolve_conflicts import ResolveConflicts
from rover_mcp.tasks.service import TaskService
from rover_mcp.tasks.shell import OpenShell
from rover_mcp.tasks.status_report import StatusReport
from rover_mcp.tasks.task_trash import TaskTrash
from rover_mcp.tasks.usage import state_with_usage

LOGIN_STATES = (*OPEN, *HELD_BACK)
"""States of attempts that may still need a login."""


@dataclass
class DaemonParts:
    """What the daemon runs."""

    settings: Settings
    store: Store
    credentials: Credentials
    renewals: LoginRenewals
    gateway: Gateway
    live: JournalWatch
    plane: ControlPlane
    leases: Leases
    sweeper: Reconciler
    attempts: Attempts
    warm_pool: WarmPool
    garbage: HubGarbage
    work_trees: WorkTrees
    trash: Trash
    trash_expiry: TrashExpiry
    unfinished: UnfinishedTasks
    broadcaster: EventBroadcaster
    hooks: HookRunner
    operations: OperationLog
    services: Services
    app: App


@dataclass(frozen=True)
class _Core:
    """What most of the other parts are built on."""

    settings: Settings
    store: Store
    prices: PriceList
    credentials: Credentials
    gateway: Gateway
    gateway_adapter: GatewayAdapter
    live: JournalWatch
    plane: ControlPlane
    leases: Leases
    repositories: GitRepositories
    engines: Mapping[str, Engine]
    warm_pool: WarmPool
    trash: Trash


def build(
    settings: Settings,
    store: Store,
    portal: BlockingPortal,
    ring: Callable[[str], None],
    notice: Callable[[Caller], str | None],
    touch: Callable[[], None],
) -> DaemonParts:
    """Build everything. `ring` is called when a task's runner rings its bell, `touch` when a
    client calls."""
    core = _core(settings, store, portal, ring)
    credentials, plane, leases = core.credentials, core.plane, core.leases
    renewals = _renewals(credentials, store)
    attempts = _attempts(core)
    create = _create(core, attempts)
    garbage = HubGarbage(core.repositories, store)
    work_trees = WorkTrees(settings, store, core.repositories, core.engines)
    tasks = _tasks(create, HubWork(core.repositories, attempts), core)
    broadcaster = _broadcaster(settings, store)
    hooks = _hooks(settings, store, leases)
    operations = OperationLog(store.operations(leases.executor))
    status = _status(create, tasks, core, notice)
    services = _services(
        core, attempts, create, tasks, status, garbage, work_trees, operations, broadcaster, hooks,
        touch,
    )  # fmt: skip
    trash_expiry = TrashExpiry(settings.home, services.trash, shared=bool(settings.database))
    unfinished = UnfinishedTasks(settings.home, store, services.trash.delete.leftovers)
    return DaemonParts(
        settings, store, credentials, renewals, core.gateway, core.live, plane, leases,
        Reconciler(attempts, plane), attempts, core.warm_pool, garbage, work_trees, core.trash,
        trash_expiry, unfinished, broadcaster, hooks, operations, services, App(services),
    )  # fmt: skip


def _broadcaster(settings: Settings, store: Store) -> EventBroadcaster:
    return EventBroadcaster(store, claude_channel=settings.claude_channel, most=settings.budget)


def _renewals(credentials: Credentials, store: Store) -> LoginRenewals:
    renewals = LoginRenewals(
        credentials.logins, lambda: bool(store.attempts.in_states(LOGIN_STATES))
    )
    # The two need each other: a renewal reads the logins, and a login that cannot be renewed is
    # reported by the credentials.
    credentials.obstacle = renewals.obstacle
    return renewals


def _core(
    settings: Settings, store: Store, portal: BlockingPortal, ring: Callable[[str], None]
) -> _Core:
    home = settings.home
    prices = price_list().with_own(settings.prices)
    gateway = Gateway(
        write=partial(write_entries, store),
        connections=share(settings.sandbox_connections, settings.concurrency),
        prices=prices,
    )
    credentials = Credentials(settings)
    leases = Leases(home, store.executors if settings.database else None, lease=settings.lease)
    plane = ControlPlane(settings, store, database_url(home, settings.database), leases)
    all_engines = engines(home, settings)
    networks = TaskNetworks(settings, store, credentials)
    adapter = GatewayAdapter(
        home, gateway, portal, store, credentials, networks, ring, plane.answered, prices
    )
    return _Core(
        settings, store, prices, credentials, gateway, adapter, JournalWatch(home, store), plane,
        leases, GitRepositories(home, ProjectRegistry(home, store).project_path), all_engines,
        WarmPool(settings, store, all_engines), Trash(home, all_engines),
    )  # fmt: skip


def _attempts(core: _Core) -> Attempts:
    return Attempts(AttemptContext(
        settings=core.settings, store=core.store, engines=core.engines,
        hub_of=core.repositories.hub, gateway=core.gateway_adapter, live=core.live,
        warm_pool=core.warm_pool, offers_service=partial(offers, core.settings.home),
    ))  # fmt: skip


def _create(core: _Core, attempts: Attempts) -> CreateTask:
    settings, store, credentials = core.settings, core.store, core.credentials
    control = PlaneControl(
        settings.home, core.plane, store, attempts, credentials, core.gateway_adapter
    )
    return CreateTask(
        settings, store, Catalog(settings.home), core.repositories, EngineChoice(core.engines),
        HostAgents(core.prices), control, core.warm_pool, ContextReader(settings.network.allow),
        partial(_may_sign_in, credentials),
    )  # fmt: skip


def _services(
    core: _Core,
    attempts: Attempts,
    create: CreateTask,
    tasks: TaskService,
    status: StatusReport,
    garbage: HubGarbage,
    work_trees: WorkTrees,
    operations: OperationLog,
    broadcaster: EventBroadcaster,
    hooks: HookRunner,
    touch: Callable[[], None],
) -> Services:
    """The use cases that tools and commands call."""
    home, store, repositories = core.settings.home, core.store, core.repositories
    keepers = {n: e for n, e in core.engines.items() if isinstance(e, DockerEngine)}
    images = RoverImages(home, store, keepers)
    leftovers = partial(TaskLeftovers, home, repositories, core.engines, core.trash)
    collected = leftovers(garbage.collect)
    trash = _trash(core, collected, operations)
    sources = _space_sources(core, images, work_trees, trash, collected)
    folders = ProjectFolders(home, repositories, core.warm_pool.forget, core.trash)
    forget = _forget(create, DeleteTask(store, leftovers(hub_goes=True)), folders, images)
    builds = ImageBuilds(
        core.settings, create, keepers, repositories.hub, core.gateway_adapter, core.warm_pool
    )
    merge, push = _merge_and_push(core, operations)
    host_rebases = HostRebases(home, repositories, attempts.finish.import_snapshots)
    rebase = RebaseTask(store, host_rebases, operations)
    resolutions = HostResolutions(home, store, repositories, rebase)
    attempts.context.rounds = resolutions
    resolve = ResolveConflicts(create, rebase, resolutions)
    checkout = CheckoutTask(store, HostCheckouts(repositories, home), operations)
    return Services(
        tasks, status, broadcaster, touch, images, hooks, trash, FreeSpace(sources, operations),
        builds, forget, merge, push, rebase, checkout, _shell(core, attempts),
        ChooseTask(store, trash.delete, operations), resolve,
        GatherReport(tasks, TaskSecrets(home, core.credentials).hider),
    )  # fmt: skip


def _trash(core: _Core, leftovers: TaskLeftovers, operations: OperationLog) -> TaskTrash:
    return TaskTrash(
        core.store, DeleteTask(core.store, leftovers), operations, core.settings.trash_days,
        HostBranches(core.repositories),
    )  # fmt: skip


def _merge_and_push(core: _Core, operations: OperationLog) -> tuple[MergeTask, PushTask]:
    store, home, repositories = core.store, core.settings.home, core.repositories
    search = TaskSecrets(home, core.credentials).search  # what one finds out, the other knows
    merges, pushes = HostMerges(repositories, search), HostPushes(repositories, home, search)
    return (
        MergeTask(store, merges, operations, HostBranches(repositories)),
        PushTask(store, pushes, operations, core.settings.allowed_secrets),
    )


def _shell(core: _Core, attempts: Attempts) -> OpenShell:
    return OpenShell(TaskShells(
        core.settings, core.engines, core.repositories.hub, core.gateway_adapter, core.warm_pool,
        attempts.finish.import_snapshots,
    ))  # fmt: skip


def _space_sources(
    core: _Core,
    images: RoverImages,
    work_trees: WorkTrees,
    trash: TaskTrash,
    leftovers: TaskLeftovers,
) -> list[SpaceSource]:
    """What `rover gc` can remove, in the order in which it lists it."""
    home, store = core.settings.home, core.store
    return [
        WaitingSandboxes(core.warm_pool),
        UnneededImages(images),
        PackageCaches(home, store, core.trash),
        FinishedTrees(home, store, work_trees),
        SecondCopies(home, store, core.repositories, core.trash),
        TrashedTasks(home, trash),
        OrphanFolders(home, store, core.warm_pool, leftovers),
        UnsentReviews(home),
    ]


def _forget(
    create: CreateTask, delete: DeleteTask, folders: ProjectFolders, images: RoverImages
) -> ForgetProject:
    trusted = [line.path.resolve() for line in create.settings.trusted_projects]
    return ForgetProject(create.store, delete, folders, create.consents, images, trusted)


def _tasks(create: CreateTask, work: HubWork, core: _Core) -> TaskService:
    store = create.store

    def state_of(task_id: str) -> RunState | None:
        return state_with_usage(store, task_id, core.live.state(task_id))

    tasks = TaskService(
        create.settings, store, create, create.repositories, create.control, work, state_of
    )
    tasks.stalled = core.plane.disk_full_wait.pause
    tasks.account_name = core.credentials.account_name
    return tasks


def _status(
    create: CreateTask, tasks: TaskService, core: _Core, notice: Callable[[Caller], str | None]
) -> StatusReport:
    credentials = core.credentials
    return StatusReport(
        tasks,
        create.catalog,
        core.engines,
        create.agents,
        credentials.found,
        credentials.sign_in,
        agent_provider,
        partial(_may_sign_in, credentials),
        notice,
        core.plane.trouble,
        DiskMeter(create.settings.home, create.store).use,
    )


def _may_sign_in(credentials: Credentials, agent: str, caller: Caller) -> bool:
    """Whether an agent may sign in; one that works offline needs nothing for that."""
    provider = agent_provider(agent)
    return provider is None or credentials.is_named(provider, caller)


def _hooks(settings: Settings, store: Store, leases: Leases) -> HookRunner:
    senders = {hook.name: sender_of(hook, os.environ) for hook in settings.hooks}
    return HookRunner(settings, store, store.deliveries(leases.executor), senders)
