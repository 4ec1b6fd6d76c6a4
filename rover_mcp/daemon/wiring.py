"""The one place that builds real objects."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from anyio.from_thread import BlockingPortal

from agent_runner.agents import agent_provider, define_agents
from agent_runner.models import RunState
from rover_mcp.control.attempts import Attempts
from rover_mcp.control.image_builds import ImageBuilds
from rover_mcp.control.leases import Leases
from rover_mcp.control.live import LiveStates
from rover_mcp.control.plane import ControlPlane, database_url
from rover_mcp.control.reconcile import Sweeper
from rover_mcp.control.spares import Spares
from rover_mcp.daemon.adapters import (
    Door,
    EngineChoice,
    HostAgents,
    PlaneControl,
    TaskLeftovers,
)
from rover_mcp.daemon.booking import booked_state, write_entries
from rover_mcp.daemon.credentials import Credentials
from rover_mcp.daemon.forgetting import ProjectFolders
from rover_mcp.daemon.garbage import Garbage
from rover_mcp.daemon.meter import DiskMeter
from rover_mcp.daemon.networks import TaskNetworks
from rover_mcp.daemon.places import Places
from rover_mcp.daemon.repositories import GitRepositories, HubWork
from rover_mcp.daemon.work_trees import WorkTrees
from rover_mcp.descriptors import share
from rover_mcp.gateway.gateway import Gateway
from rover_mcp.gateway.prices import price_list
from rover_mcp.hooks.runner import Hooks, sender_of
from rover_mcp.hooks.settings import WebhookHook
from rover_mcp.sandbox.docker import DockerEngine
from rover_mcp.sandbox.protocol import Engine
from rover_mcp.sandbox.select import engines
from rover_mcp.server.app import App
from rover_mcp.server.hub import EventHub
from rover_mcp.server.tools import Services
from rover_mcp.settings import Settings, load_settings
from rover_mcp.store.migrations import open_database
from rover_mcp.store.reserve import Reserve
from rover_mcp.store.store import Store
from rover_mcp.tasks.caller import Caller
from rover_mcp.tasks.catalog import Catalog
from rover_mcp.tasks.create import CreateTask
from rover_mcp.tasks.delete import DeleteTask
from rover_mcp.tasks.forget import ForgetProject
from rover_mcp.tasks.images import Images
from rover_mcp.tasks.ports import Trouble
from rover_mcp.tasks.service import TaskService
from rover_mcp.tasks.status import StatusReport
from rover_mcp.user_service import offers


@dataclass
class Parts:
    """What the daemon runs."""

    settings: Settings
    store: Store
    credentials: Credentials
    gateway: Gateway
    live: LiveStates
    plane: ControlPlane
    leases: Leases
    sweeper: Sweeper
    attempts: Attempts
    spares: Spares
    garbage: Garbage
    work_trees: WorkTrees
    hub: EventHub
    hooks: Hooks
    services: Services
    app: App


def open_store(home: Path) -> tuple[Settings, Store]:
    """Settings and store of a data folder.

    Raises:
        EnvironmentFault: it cannot be used, or a newer version wrote it.
    """
    settings = load_settings(home)
    define_agents(settings.agent_programs)
    for folder in ("tasks", "projects"):
        (home / folder).mkdir(exist_ok=True)
    # A disk that filled up while no daemon ran.
    Reserve(home).make_room()
    return settings, Store(open_database(database_url(home, settings.database)))


def secrets_of(settings: Settings) -> Iterator[str]:
    """What in the settings no log may hold."""
    for address in (urlsplit(h.url) for h in settings.hooks if isinstance(h, WebhookHook)):
        yield from (address.path, address.query)
    if settings.database:
        yield settings.database
        yield urlsplit(settings.database).password or ""


def build(
    settings: Settings,
    store: Store,
    portal: BlockingPortal,
    ring: Callable[[str], None],
    notice: Callable[[Caller], str | None],
    touch: Callable[[], None],
) -> Parts:
    """Build everything. `ring` is called when a task's runner rings its bell, `touch` when a
    client calls."""
    home = settings.home
    connections = share(settings.sandbox_connections, settings.concurrency)
    prices = price_list().with_own(settings.prices)
    write = partial(write_entries, store)
    gateway = Gateway(write=write, connections=connections, prices=prices)
    credentials = Credentials(settings)
    leases = Leases(home, store.executors if settings.database else None, lease=settings.lease)
    live = LiveStates(home, store)
    plane = ControlPlane(settings, store, database_url(home, settings.database), leases)
    places = Places(home, store)
    repositories = GitRepositories(home, places.project_path)
    all_engines = engines(home, settings)
    spares = Spares(settings, store, all_engines)
    networks = TaskNetworks(settings, store, credentials)
    door = Door(home, gateway, portal, store, credentials, networks, ring, plane.answered, prices)
    attempts = Attempts(
        settings=settings, store=store, engines=all_engines, hub_of=repositories.hub, gateway=door,
        live=live, spares=spares, offers_service=partial(offers, home),
    )  # fmt: skip
    control = PlaneControl(home, plane, store, attempts)
    create = CreateTask(
        settings, store, Catalog(home), repositories, EngineChoice(all_engines),
        HostAgents(prices), control, spares,
    )  # fmt: skip
    garbage = Garbage(repositories, store)
    work_trees = WorkTrees(settings, store, repositories, all_engines)
    delete = DeleteTask(store, TaskLeftovers(home, repositories, all_engines, garbage.collect))
    keepers = {n: e for n, e in all_engines.items() if isinstance(e, DockerEngine)}
    images = Images(home, store, keepers)
    forget = ForgetProject(
        store, DeleteTask(store, TaskLeftovers(home, repositories, all_engines, hub_goes=True)),
        ProjectFolders(home, repositories, spares.forget), create.book, images,
        [line.path.resolve() for line in settings.trusted_projects],
    )  # fmt: skip
    tasks = _tasks(create, HubWork(repositories, attempts), live)
    tasks.stalled = plane.patience.pause
    status = _status(create, tasks, all_engines, credentials, notice, plane.trouble)
    hub = EventHub(store, claude_channel=settings.claude_channel, most=settings.budget)
    hooks = _hooks(settings, store, leases)
    builds = ImageBuilds(settings, create, keepers, repositories.hub, door, spares)
    services = Services(tasks, status, hub, touch, images, hooks, delete, builds, forget)
    return Parts(
        settings, store, credentials, gateway, live, plane, leases, Sweeper(attempts, plane),
        attempts, spares, garbage, work_trees, hub, hooks, services, App(services),
    )  # fmt: skip


def _tasks(create: CreateTask, work: HubWork, live: LiveStates) -> TaskService:
    store = create.store

    def state_of(task_id: str) -> RunState | None:
        return booked_state(store, task_id, live.state(task_id))

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
        lambda agent, caller: credentials.is_named(agent_provider(agent), caller),
        notice,
        trouble,
        DiskMeter(create.settings.home, create.store).use,
    )


def _hooks(settings: Settings, store: Store, leases: Leases) -> Hooks:
    senders = {hook.name: sender_of(hook, os.environ) for hook in settings.hooks}
    return Hooks(settings, store, store.deliveries(leases.executor), senders)
