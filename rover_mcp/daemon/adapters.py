"""Real things behind the use cases' ports."""

from __future__ import annotations

import logging
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from anyio.from_thread import BlockingPortal

from agent_runner.agents import agent_names, agent_provider
from agent_runner.workflow.agents import agents_of
from agent_runner.workflow.loader import load_workflow
from agent_runner.workflow.models import WorkflowError
from rover_mcp.control.accounts import NoCredential, Use
from rover_mcp.control.attempts import Attempts
from rover_mcp.control.handover import has_checkpoint
from rover_mcp.control.plane import ControlPlane
from rover_mcp.control.ports import Account, Expiry
from rover_mcp.control.specify import own_model
from rover_mcp.daemon import logins
from rover_mcp.daemon.booking import over_budget, settle_left, standing_of
from rover_mcp.daemon.credentials import Credentials
from rover_mcp.daemon.keys_seen import KeysSeen
from rover_mcp.daemon.networks import NOTHING, TaskNetworks
from rover_mcp.daemon.repositories import GitRepositories
from rover_mcp.errors import EnvironmentFault, UserFixable
from rover_mcp.gateway.gateway import Gateway
from rover_mcp.gateway.models import Answer, GatewayLease, ProviderAccess
from rover_mcp.gateway.prices import PriceList, price_list
from rover_mcp.gateway.refusals import RefusedHost, RefusedHosts
from rover_mcp.gateway.world import UpstreamProxy
from rover_mcp.git.hub import Hub
from rover_mcp.sandbox import bundles
from rover_mcp.sandbox.agent_table import default_models
from rover_mcp.sandbox.attempt_folder import remove_tree
from rover_mcp.sandbox.protocol import Engine, SandboxState
from rover_mcp.sandbox.select import select_engine
from rover_mcp.store.rows import AttemptRow, Limit, NewTask, TaskRow
from rover_mcp.store.store import Store
from rover_mcp.tasks.delete import Leftover
from rover_mcp.tasks.folders import TaskFolders
from rover_mcp.tasks.network import refused_lines
from rover_mcp.tasks.ports import AgentProgram

STOP_GRACE_SECONDS = 5.0
MOST_USED = 1000
"""attempts and providers of which it is remembered which account they used last"""

log = logging.getLogger("rover.daemon")


class TaskLeftovers:
    """All that is kept of a task: in the hub, in the data folder, by its engine."""

    def __init__(
        self,
        home: Path,
        repositories: GitRepositories,
        engines: Mapping[str, Engine],
        collect: Callable[[Hub, str], object] = lambda _hub, _task_id: None,
        *,
        hub_goes: bool = False,
    ) -> None:
        """`hub_goes`: the hub is removed as a whole afterwards, so that a damaged one is no
        hindrance."""
        self._hub_goes = hub_goes
        self._home = home
        self._collect = collect
        self._repositories = repositories
        self._engines = engines

    def find(self, task: TaskRow) -> Leftover:
        hub = self._repositories.hub(task.project_id)
        tip, root = self._tip(task), self._root(task)
        return Leftover(
            branch=tip is not None,
            delivered=tip is not None and tip == hub.head(task.id),
            snapshots=self._snapshots(hub, task.id, root),
            size=_size(root),
        )

    def _snapshots(self, hub: Hub, task_id: str, root: Path) -> int:
        try:
            return len(hub.snapshots(task_id))
        except EnvironmentFault:
            if not self._hub_goes:
                raise
            return sum(1 for _ in root.glob("iterations/*/run/bundles/*.bundle"))

    def _drop(self, hub: Hub, task_id: str) -> bool:
        try:
            return hub.drop_task(task_id)
        except EnvironmentFault as fault:
            if not self._hub_goes:
                raise
            log.info("the snapshots of task %s go with its hub: %s", task_id, fault)
            return False

    def _tip(self, task: TaskRow) -> str | None:
        """Where the task's branch stands in the user's repository; None: there is none."""
        try:
            repository = self._repositories.inspect(Path(task.project_path))
            if task.branch in repository.branches:
                return self._repositories.resolve(repository, task.branch)
        except UserFixable as error:
            log.info("the branch of task %s cannot be looked at: %s", task.number, error)
        return None

    def _root(self, task: TaskRow) -> Path:
        return TaskFolders(self._home, task.id, task.iteration).root

    def remove(self, task: TaskRow) -> None:
        if task.engine not in self._engines:
            self.remove_by_id(task.id)
            return
        self._engines[task.engine].remove_task(task.id)
        hub = self._repositories.hub(task.project_id)
        self._drop(hub, task.id)
        self._remove_files(task.id)
        self._collect(hub, task.id)

    def make_room(self, task: TaskRow) -> None:
        folder = TaskFolders(self._home, task.id, task.iteration).work
        try:
            remove_tree(folder)
        except OSError as error:
            log.warning("%s cannot be removed: %s", folder, error)

    def find_by_id(self, task_id: str) -> Leftover:
        root = TaskFolders(self._home, task_id, 1).root
        hubs = self._repositories.hubs()
        snapshots = max((self._snapshots(hub, task_id, root) for hub in hubs), default=0)
        return Leftover(branch=False, delivered=False, snapshots=snapshots, size=_size(root))

    def remove_by_id(self, task_id: str) -> None:
        for name, engine in self._engines.items():
            try:
                for info in engine.list():
                    if info.task_id == task_id and info.state is SandboxState.RUNNING:
                        engine.stop(info.name, STOP_GRACE_SECONDS)
                engine.remove_task(task_id)
            except EnvironmentFault as fault:
                # An engine that does not answer may never have had it.
                log.warning("%s is not asked for task %s: %s", name, task_id, fault.message)
        # Which project's it is may not be known.
        found = [hub for hub in self._repositories.hubs() if self._drop(hub, task_id)]
        self._remove_files(task_id)
        for hub in found:
            self._collect(hub, task_id)

    def _remove_files(self, task_id: str) -> None:
        try:
            shutil.rmtree(TaskFolders(self._home, task_id, 1).root)
        except FileNotFoundError:
            return
        except OSError as error:
            raise EnvironmentFault(
                f"not all files of task {task_id} can be removed: {error}",
                hint="see to that, then call delete_task again",
                code="not_removed",
            ) from error


_BLOCK = 512
"""Bytes of one of `st_blocks`, whatever the file system (stat(2))."""


def _size(folder: Path) -> int:
    """Bytes that a folder takes on the disk: many small files take more than they hold. What
    cannot be seen is left out."""
    total = 0
    for root, folders, names in os.walk(folder):
        for name in (*folders, *names):
            with suppress(OSError):
                total += Path(root, name).lstat().st_blocks * _BLOCK
    return total


class EngineChoice:
    """The engines of this machine."""

    def __init__(self, engines: Mapping[str, Engine]) -> None:
        self._engines = engines

    def select(self, wanted: str) -> Engine:
        return select_engine(self._engines, wanted)


class HostAgents:
    """Agents that the runner can drive, where their programs are on this host, and what the models
    cost that they ask for."""

    def __init__(self, prices: PriceList | None = None) -> None:
        self._prices = prices or price_list()

    def known(self) -> Collection[str]:
        return agent_names()

    def binary(self, agent: str, path: str | None) -> Path | None:
        if agent_provider(agent) is None:
            return None
        found = shutil.which(bundles.program_of(agent) or agent, path=path)
        return Path(found) if found else None

    def program(self, agent: str, path: str | None) -> AgentProgram:
        if agent in bundles.BUILT_IN_AGENTS:
            return AgentProgram("built-in")
        name = bundles.program_of(agent) or agent
        pinned = bundles.pinned_version(name)
        found = shutil.which(name, path=path)
        if own := bundles.own_program(name, Path(found) if found else None):
            return AgentProgram("own", bundles.version_of(own, own.stat().st_mtime_ns), own)
        if bundles.cached_bundle(name):
            return AgentProgram("fetched", pinned)
        if pinned is None:
            return AgentProgram("image")
        # The daemon fetches it, with the npm that it finds.
        source = "npm" if shutil.which("npm") else None
        return AgentProgram(source, pinned, install=bundles.install_command(name))

    def unpriced(self, agent: str, model: str | None) -> Sequence[tuple[str, str]]:
        provider = agent_provider(agent, model)
        if provider is None:
            return ()
        # Without a digit it is an alias, of which the program alone knows what it stands for.
        names = ([model] if re.search(r"\d", model) else []) if model else default_models(agent)
        return [(provider, name) for name in names if self._prices.find(provider, name) is None]


class Door:
    """The gateway, for the control plane's threads."""

    def __init__(
        self,
        home: Path,
        gateway: Gateway,
        portal: BlockingPortal,
        store: Store,
        credentials: Credentials,
        networks: TaskNetworks,
        on_bell: Callable[[str], None],
        on_model: Callable[[str, int, str | None], None],
        prices: PriceList | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._prices = prices or price_list()
        self._now = now
        self._opened: set[str] = set()
        self._home = home
        self._gateway = gateway
        self._portal = portal
        self._store = store
        self._credentials = credentials
        self._networks = networks
        self._on_bell = on_bell
        self._on_model = on_model
        self._heard: dict[str, set[tuple[int, str | None]]] = {}
        self._used: dict[tuple[str, int, str], str] = {}
        """kept when a door closes: what follows from its end asks for it"""
        self._refused: dict[str, RefusedHosts] = {}
        self._keys = KeysSeen()

    def open(self, task_id: str, attempt: int, socket: Path, token: str, agent: str) -> None:
        task = self._store.task(task_id)
        if task_id not in self._opened:
            self._opened.add(task_id)
            settle_left(self._store, task_id, self._prices, self._now())

        def credentials(provider: str) -> ProviderAccess | None:
            task = self._store.task(task_id)
            found = self._chosen(provider, task, attempt, of_call=True) if task else None
            if found is None:
                self._keys.lacked(task_id, attempt)
            return found

        lease = GatewayLease(
            task_id=task_id,
            attempt=attempt,
            socket_path=socket,
            token=token,
            providers=self._providers(task, agent) if task else frozenset(),
            credentials=credentials,
            on_bell=self._on_bell,
            on_answer=lambda _task, answer: self._answered(task_id, attempt, answer),
            used_up=partial(over_budget, self._store, task_id) if task and task.budget else None,
            standing=partial(standing_of, self._store, task_id) if task and task.budget else None,
            network=self._networks.policy(task) if task else NOTHING,
            own_hosts=self._networks.own_hosts,
            upstream_proxy=lambda host: self._networks.proxy(task_id, attempt, host),
            on_refused=self._networks.refused,
            sent=partial(self._networks.sent, task_id),
            on_sent=self._networks.record_sent,
        )
        self._portal.call(self._gateway.open, lease)

    def open_for_setup(self, task: NewTask, socket: Path, environment: Mapping[str, str]) -> None:
        """Serve a set-up that belongs to no task: the project's network, and no provider."""
        refused = self._refused[task.id] = RefusedHosts()

        def count(_task: str, host: RefusedHost) -> None:
            refused.add(host)

        lease = GatewayLease(
            task_id=task.id,
            attempt=1,
            socket_path=socket,
            token=task.gateway_token,
            providers=frozenset(),
            credentials=lambda _provider: None,
            on_bell=lambda _task: None,
            on_answer=lambda _task, _answer: None,
            network=self._networks.policy(task),
            own_hosts=self._networks.own_hosts,
            upstream_proxy=lambda host: UpstreamProxy.of(environment, host),
            on_refused=count,
        )
        self._portal.call(self._gateway.open, lease)

    def close_setup(self, task_id: str) -> list[str]:
        """End it; what it was refused, a line each."""
        self._portal.call(self._gateway.close, task_id)
        refused = self._refused.pop(task_id, RefusedHosts())
        return refused_lines(refused.as_json())

    def _providers(self, task: TaskRow, agent: str) -> frozenset[str]:
        """Those of the attempt's agents, and no others (M2)."""
        workflow = TaskFolders(self._home, task.id, task.iteration).input / "workflow.yaml"
        model = own_model(task)
        try:
            used = agents_of(load_workflow(workflow), agent, model)
        except (OSError, WorkflowError):
            used = frozenset({(agent, model)})  # the runner will say what is wrong with it
        found = (agent_provider(name, model) for name, model in used)
        return frozenset(name for name in found if name)

    def _answered(self, task_id: str, attempt: int, answer: Answer) -> None:
        """The first call of each model in an attempt that went well is told, in a thread: the
        gateway's loop waits for nobody."""
        if answer.account is not None:
            self._used[task_id, attempt, answer.provider] = answer.account
            if len(self._used) > MOST_USED:
                del self._used[next(iter(self._used))]
        if answer.status in (401, 403):
            self._credentials.refused(answer.provider, answer.account)
        self._keys.answered(task_id, attempt, answer)
        went_well = answer.status is not None and 200 <= answer.status < 300 and not answer.error
        heard = self._heard.setdefault(task_id, set())
        if not went_well or answer.usage is None or (attempt, answer.model) in heard:
            return
        heard.add((attempt, answer.model))
        args = (task_id, attempt, answer.model)
        threading.Thread(target=self._on_model, args=args, daemon=True).start()

    def close(self, task_id: str) -> None:
        self._heard.pop(task_id, None)
        self._portal.call(self._gateway.close, task_id)
        self._opened.discard(task_id)
        self._networks.flush(task_id)
        settle_left(self._store, task_id, self._prices, self._now())
        self._store.books.fold(task_id)

    def expiry(self, task_id: str, attempt: int, agent: str) -> Expiry | None:
        with suppress(EnvironmentFault):
            access = self._access(task_id, attempt, agent)
            if access and access.log_in and access.expires:
                return Expiry(access.log_in, access.expires, logins.lasting(access.log_in))
        return None

    def refused_keys(self, task_id: str, attempt: int, agent: str) -> list[str]:
        refused = self._keys.refused(task_id, attempt)
        if refused is not None:
            return refused
        # Nobody here saw the refusal: it concerns what the agent would use.
        with suppress(EnvironmentFault):
            access = self._access(task_id, attempt, agent)
            return [access.digest] if access else []
        return []

    def _access(self, task_id: str, attempt: int, agent: str) -> ProviderAccess | None:
        task = self._store.task(task_id)
        provider = _provider(task, agent)
        if task is None or provider is None:
            return None
        return self._chosen(provider, task, attempt)

    def _chosen(
        self, provider: str, task: TaskRow, attempt: int, *, of_call: bool = False
    ) -> ProviderAccess | None:
        """The credential of the account that the attempt was given. A step of another provider's
        agent has that provider's first account that is open."""
        row = self._store.attempt(task.id, attempt)
        account = Limit.of(task.account).account if task.account else None
        if account is not None and account.startswith((f"{provider}:", f"{provider}-")):
            return self._credentials.access(provider, task, row, account=account, of_call=of_call)
        limits = [hold.limit for hold in self._store.holds()]
        closed = {limit.account for limit in limits if limit.model is None}
        return self._credentials.access(provider, task, row, closed=closed, of_call=of_call)

    def used(self, task_id: str, attempt: int, provider: str) -> str | None:
        return self._used.get((task_id, attempt, provider))

    def accounts(self, task_id: str, attempt: int, agent: str) -> Iterator[Account]:
        task = self._store.task(task_id)
        provider = _provider(task, agent)
        if task is None or provider is None:
            yield Account()
            return
        row, found = self._store.attempt(task_id, attempt), False
        try:
            for access in self._credentials.accesses(provider, task, row):
                found = True
                unfit = self._credentials.unfit(provider, agent, access)
                yield Account(missing=unfit) if unfit else Account(access.account)
        except EnvironmentFault as fault:
            yield Account(missing=f"{fault.message}; {fault.hint}")
            return
        if not found:
            yield Account(missing=self._credentials.missing(provider, task))


def _provider(task: TaskRow | None, agent: str) -> str | None:
    """Whose models an agent calls for a task."""
    return agent_provider(agent, own_model(task) if task and task.agent == agent else None)


class PlaneControl:
    """Enqueue and stop, for the use cases."""

    def __init__(self, home: Path, plane: ControlPlane, store: Store, attempts: Attempts) -> None:
        self._home = home
        self._plane = plane
        self._store = store
        self._attempts = attempts

    def enqueue(self, attempt: AttemptRow, delay: float = 0) -> None:
        self._plane.enqueue(attempt, delay)

    def schedule(self, task: TaskRow) -> bool:
        made = self._attempts.schedule(task)
        if made is None:
            return False
        self._plane.schedule(made)
        return True

    def has_checkpoint(self, task: TaskRow) -> bool:
        return has_checkpoint(TaskFolders(self._home, task.id, task.iteration).journal)

    def cannot_sign_in(self, task: TaskRow, agent: str) -> str | None:
        found = self._attempts.takes_over(task, agent)
        return found.missing if isinstance(found, NoCredential) else None

    def can_take_over(self, task: TaskRow, agent: str) -> bool:
        return isinstance(self._attempts.takes_over(task, agent), Use)

    def stop(self, task: TaskRow) -> None:
        attempt = self._store.attempt(task.id, task.attempt)
        if attempt is None or attempt.state not in ("starting", "running"):
            return
        stop = threading.Thread(
            target=self._attempts.stop, args=(task, attempt.sandbox), daemon=True
        )
        stop.start()
