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
from rover_mcp.control.warm_pool import WarmPool
from rover_mcp.daemon.credentials import Credentials
from rover_mcp.daemon.disk_meter import DiskMeter
from rover_mcp.daemon.gateway_adapter import GatewayAdapter
from rover_mcp.daemon.git_adapters import GitRepositories, HubWork
from rover_mcp.daemon.host_adapters import EngineChoice, HostAgents
from rover_mcp.daemon.host_merges import HostMerges
from rover_mcp.daemon.hub_garbage import Garbage
from rover_mcp.daemon.login_renewals import Renewals
from rover_mcp.daemon.plane_adapter import PlaneControl
from rover_mcp.daemon.project_folders import ProjectFolders
from rover_mcp.daemon.project_registry import ProjectRegistry
from rover_mcp.daemon.task_leftovers import TaskLeftovers
from rover_mcp.daemon.task_networks import TaskNetworks
from rover_mcp.daemon.trash import Trash
from rover_mcp.daemon.usage_recording import write_entries
from rover_mcp.daemon.work_trees import WorkTrees
from rover_mcp.domain.attempt_state import HELD_BACK, OPEN
from rover_mcp.gateway.gateway import Gateway
from rover_mcp.gateway.prices import price_list
from rover_mcp.hooks.runner import HookRunner, sender_of
from rover_mcp.launcher.user_service import offers
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
from rover_mcp.tasks.create import CreateTask
from rover_mcp.tasks.delete import DeleteTask
from rover_mcp.tasks.forget import ForgetProject
from rover_mcp.tasks.images import RoverImages
from rover_mcp.tasks.merge import MergeTask
from rover_mcp.tasks.operation_log import OperationLog
from rover_mcp.tasks.service import TaskService
from rover_mcp.tasks.status_report import StatusReport
from rover_mcp.tasks.task_ports import Trouble
from rover_mcp.tasks.usage import state_with_usage

LOGIN_STATES = (*OPEN, *HELD_BACK)
"""States of attempts that may need a log-in yet."""


@dataclass
class DaemonParts:
    """What the daemon runs."""

    settings: Settings
    store: Store
    credentials: Credentials
    renewals: Renewals
    gateway: Gateway
    live: JournalWatch
    plane: ControlPlane
    leases: Leases
    sweeper: Reconciler
    attempts: Attempts
    spares: WarmPool
    garbage: Garbage
    work_trees: WorkTrees
    trash: Trash
    hub: EventBroadcaster
    hooks: HookRunner
    operations: OperationLog
    services: Services
    app: App


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
    home = settings.home
    connections = share(settings.sandbox_connections, settings.concurrency)
    prices = price_list().with_own(settings.prices)
    write = partial(write_entries, store)
    gateway = Gateway(write=write, connections=connections, prices=prices)
    credentials = Credentials(settings)
    renewals = Renewals(credentials.logins, lambda: bool(store.attempts.in_states(LOGIN_STATES)))
    leases = Leases(home, store.executors if settings.database else None, lease=settings.lease)
    live = JournalWatch(home, store)
    plane = ControlPlane(settings, store, database_url(home, settings.database), leases)
    places = ProjectRegistry(home, store)
    repositories = GitRepositories(home, places.project_path)
    all_engines = engines(home, settings)
    spares = WarmPool(settings, store, all_engines)
    networks = TaskNetworks(settings, store, credentials)
    door = GatewayAdapter(
        home, gateway, portal, store, credentials, networks, ring, plane.answered, prices
    )
    credentials.obstacle = renewals.obstacle
    attempts = Attempts(AttemptContext(
        settings=settings, store=store, engines=all_engines, hub_of=repositories.hub, gateway=door,
        live=live, spares=spares, offers_service=partial(offers, home),
    ))  # fmt: skip
    control = PlaneControl(home, plane, store, attempts, credentials, door)
    create = CreateTask(
        settings, store, Catalog(home), repositories, EngineChoice(all_engines),
        HostAgents(prices), control, spares, ContextReader(settings.network.allow),
        partial(_may_sign_in, credentials),
    )  # fmt: skip
    garbage = Garbage(repositories, store)
    work_trees = WorkTrees(settings, store, repositories, all_engines)
    trash = Trash(home, all_engines)
    keepers = {n: e for n, e in all_engines.items() if isinstance(e, DockerEngine)}
    images = RoverImages(home, store, keepers)
    leftovers = partial(TaskLeftovers, home, repositories, all_engines, trash)
    delete = DeleteTask(store, leftovers(garbage.collect))
    folders = ProjectFolders(home, repositories, spares.forget, trash)
    forget = _forget(create, DeleteTask(store, leftovers(hub_goes=True)), folders, images)
    tasks = _tasks(create, HubWork(repositories, attempts), live)
    tasks.stalled = plane.patience.pause
    tasks.account_name = credentials.account_name
    status = _status(create, tasks, all_engines, credentials, notice, plane.trouble)
    hub = EventBroadcaster(store, claude_channel=settings.claude_channel, most=settings.budget)
    hooks = _hooks(settings, store, leases)
    builds = ImageBuilds(settings, create, keepers, repositories.hub, door, spares)
    operations = OperationLog(store.operations(leases.executor))
    merge = MergeTask(store, HostMerges(repositories), operations)
    services = Services(tasks, status, hub, touch, images, hooks, delete, builds, forget, merge)
    return DaemonParts(
        settings, store, credentials, renewals, gateway, live, plane, leases,
        Reconciler(attempts, plane), attempts, spares, garbage, work_trees, trash, hub, hooks,
        operations, services, App(services),
    )  # fmt: skip


def _forget(
    create: CreateTask, delete: DeleteTask, folders: ProjectFolders, images: RoverImages
) -> ForgetProject:
    trusted = [line.path.resolve() for line in create.settings.trusted_projects]
    return ForgetProject(create.store, delete, folders, create.book, images, trusted)


def _tasks(create: CreateTask, work: HubWork, live: JournalWatch) -> TaskService:
    store = create.store

    def state_of(task_id: str) -> RunState | None:
        return state_with_usage(store, task_id, live.state(task_id))

    return TaskService(
        create.settings, store, create, create.repositories, create.control, work, state_of
    )


def _status(
    create: CreateTask,
    tasks: TaskService,
    all_engines: Mapping[str, Engine],
    credentials: Credentials,
    notice: Callable[[Caller], str | None],
    trouble: Callable[[], Trouble | None],
) -> StatusReport:
    return StatusReport(
        tasks,
        create.catalog,
        all_engines,
        create.agents,
        credentials.found,
        credentials.sign_in,
        agent_provider,
        partial(_may_sign_in, credentials),
        notice,
        trouble,
        DiskMeter(create.settings.home, create.store).use,
    )


def _may_sign_in(credentials: Credentials, agent: str, caller: Caller) -> bool:
    """Whether an agent may sign in; one that works offline needs nothing for that."""
    provider = agent_provider(agent)
    return provider is None or credentials.is_named(provider, caller)


def _hooks(settings: Settings, store: Store, leases: Leases) -> HookRunner:
    senders = {hook.name: sender_of(hook, os.environ) for hook in settings.hooks}
    return HookRunner(settings, store, store.deliveries(leases.executor), senders)
