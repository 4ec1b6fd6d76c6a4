"""Adapts the gateway to the control plane: one way out per attempt, with its credentials."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from anyio.from_thread import BlockingPortal

from agent_runner.agents import agent_provider
from agent_runner.workflow.agents import agents_of, chosen
from agent_runner.workflow.loader import load_workflow
from agent_runner.workflow.models import WorkflowError
from rover_mcp.control.control_ports import Account, LoginExpiry
from rover_mcp.control.sandbox_spec import own_model
from rover_mcp.daemon.credentials import Credentials
from rover_mcp.daemon.key_refusals import KeyRefusals
from rover_mcp.daemon.provider_access import is_the_providers, lacks_credential
from rover_mcp.daemon.served_models import ServedModels
from rover_mcp.daemon.task_networks import NOTHING, TaskNetworks
from rover_mcp.daemon.usage_recording import budget_state_of, estimate_cut_calls, over_budget
from rover_mcp.daemon.window_recorder import WindowRecorder
from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.domain.network_policy import NetworkMode
from rover_mcp.domain.paths import TaskFolders
from rover_mcp.gateway.gateway import Gateway
from rover_mcp.gateway.grant import GatewayGrant, ProviderAccess, ProviderAnswer
from rover_mcp.gateway.internet import UpstreamProxy
from rover_mcp.gateway.prices import PriceList, price_list
from rover_mcp.gateway.providers import PROVIDERS
from rover_mcp.gateway.refusals import RefusedHost, RefusedHosts
from rover_mcp.store.records import Limit, NewTask, TaskRow
from rover_mcp.store.store import Store
from rover_mcp.tasks.network import refused_lines

MOST_USED = 1000
"""the number of attempts and providers whose last account is remembered"""


class GatewayAdapter:
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
        self._reported: dict[str, set[tuple[int, str | None]]] = {}
        self._used: dict[tuple[str, int, str], str] = {}
        """kept when a grant is closed: what follows from the end of an attempt asks for it"""
        self._refused: dict[str, RefusedHosts] = {}
        self._keys = KeyRefusals()
        self._windows = WindowRecorder(store, credentials.account_name)
        self._served = ServedModels(lambda p, access: portal.call(gateway.served, p, access))

    def open(self, task_id: str, attempt: int, socket: Path, token: str, agent: str) -> None:
        task = self._store.tasks.get(task_id)
        # Calls that a killed daemon left without an end, before this attempt makes calls of its
        # own.
        if task_id not in self._opened:
            self._opened.add(task_id)
            estimate_cut_calls(self._store, task_id, self._prices, self._now())

        def credentials(provider: str) -> ProviderAccess | None:
            # Read again at each call: the task's account may have changed since.
            task = self._store.tasks.get(task_id)
            access = self._chosen(provider, task, attempt, of_call=True) if task else None
            if access is None:
                # Remembered, so that the pause says that a key was missing and not that one was
                # refused.
                self._keys.lacked(task_id, attempt)
            return access

        lease = GatewayGrant(
            task_id=task_id,
            attempt=attempt,
            socket_path=socket,
            token=token,
            providers=self._providers(task, agent) if task else frozenset(),
            credentials=credentials,
            on_bell=self._on_bell,
            on_answer=lambda _task, answer: self._answered(task_id, attempt, answer),
            used_up=partial(over_budget, self._store, task_id) if task and task.budget else None,
            budget_state=partial(budget_state_of, self._store, task_id)
            if task and task.budget
            else None,
            network=self._networks.policy(task) if task else NOTHING,
            own_hosts=self._networks.own_hosts,
            upstream_proxy=lambda host: self._networks.proxy(task_id, attempt, host),
            on_refused=self._networks.refused,
            sent=partial(self._networks.sent, task_id),
            on_sent=self._networks.record_sent,
        )
        self._portal.call(self._gateway.open, lease)

    def open_for_setup(self, task: NewTask, socket: Path, environment: Mapping[str, str]) -> None:
        """Serve a setup that does not belong to a task: the project's network, but no provider."""
        refused = self._refused[task.id] = RefusedHosts()

        def count(_task: str, host: RefusedHost) -> None:
            refused.add(host)

        lease = GatewayGrant(
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
        """Close the grant of a setup, and return a line for each host that was refused to it."""
        self._portal.call(self._gateway.close, task_id)
        refused = self._refused.pop(task_id, RefusedHosts())
        return refused_lines(refused.as_json())

    def _providers(self, task: TaskRow, agent: str) -> frozenset[str]:
        """The providers of the attempt's agents, and no others."""
        # An agent whose prompt was hijacked must not spend what the user has at providers that this
        # task does not use.
        workflow = TaskFolders(self._home, task.id, task.iteration).input / "workflow.yaml"
        model = own_model(task)
        try:
            used = agents_of(chosen(load_workflow(workflow), task.inputs), agent, model)
        except (OSError, WorkflowError):
            used = frozenset({(agent, model)})  # the runner will say what is wrong with it
        providers = (agent_provider(name, model) for name, model in used)
        return frozenset(name for name in providers if name)

    def _answered(self, task_id: str, attempt: int, answer: ProviderAnswer) -> None:
        """Note an answer. The first successful call of each model in an attempt is reported, in a
        thread, because the gateway's loop serves every sandbox and must not wait."""
        if answer.account is not None:
            self._used[task_id, attempt, answer.provider] = answer.account
            if len(self._used) > MOST_USED:
                # The oldest: a dictionary keeps the order of insertion.
                del self._used[next(iter(self._used))]
        # The command that printed the key may print another one now.
        if answer.status in (401, 403):
            self._credentials.refused(answer.provider, answer.account)
        self._keys.answered(task_id, attempt, answer)
        self._windows.answered(task_id, answer)
        went_well = answer.status is not None and 200 <= answer.status < 300 and not answer.error
        reported = self._reported.setdefault(task_id, set())
        if not went_well or answer.usage is None or (attempt, answer.model) in reported:
            return
        reported.add((attempt, answer.model))
        args = (task_id, attempt, answer.model)
        threading.Thread(target=self._on_model, args=args, daemon=True).start()

    def close(self, task_id: str) -> None:
        self._reported.pop(task_id, None)
        self._portal.call(self._gateway.close, task_id)
        self._opened.discard(task_id)
        # All of it before the attempt's end is reported: whoever reads that sees its usage as well.
        self._windows.written()
        self._networks.flush(task_id)
        estimate_cut_calls(self._store, task_id, self._prices, self._now())
        self._store.usage.fold(task_id)

    def expiry(self, task_id: str, attempt: int, agent: str) -> LoginExpiry | None:
        with suppress(EnvironmentFault):
            access = self._access(task_id, attempt, agent)
            return self._credentials.expiry(access.account) if access else None
        return None

    def asks_provider(self, task: TaskRow) -> bool:
        """Whether a task's calls go to its provider itself rather than to another service with the
        same API."""
        with suppress(EnvironmentFault):
            access = self._access(task.id, task.attempt, task.agent)
            return is_the_providers(access, PROVIDERS.get(_provider(task, task.agent) or ""))
        return False

    def served_models(self, task: TaskRow) -> Sequence[str]:
        """The models that the service behind a task's `base_url` says it serves."""
        provider = PROVIDERS.get(_provider(task, task.agent) or "")
        if provider is not None and self._networks.policy(task).mode is not NetworkMode.NONE:
            with suppress(EnvironmentFault):
                access = self._access(task.id, task.attempt, task.agent)
                if access is not None and not is_the_providers(access, provider):
                    return self._served.of(provider, access)
        return ()

    def refused_keys(self, task_id: str, attempt: int, agent: str) -> list[str]:
        refused = self._keys.refused(task_id, attempt)
        if refused is not None:
            return refused
        # An earlier daemon saw the refusal: it concerns what the agent would use now.
        with suppress(EnvironmentFault):
            access = self._access(task_id, attempt, agent)
            return [access.digest] if access else []
        return []

    def _access(self, task_id: str, attempt: int, agent: str) -> ProviderAccess | None:
        task = self._store.tasks.get(task_id)
        provider = _provider(task, agent)
        if task is None or provider is None:
            return None
        return self._chosen(provider, task, attempt)

    def _chosen(
        self, provider: str, task: TaskRow, attempt: int, *, of_call: bool = False
    ) -> ProviderAccess | None:
        """The credential of the account that the attempt was given. A step of another provider's
        agent has that provider's first account that is open."""
        row = self._store.attempts.get(task.id, attempt)
        # A task waits for a limit, which may be one model's only. The credential is that of the
        # whole account.
        account = Limit.of(task.account).account if task.account else None
        if account is not None and account.startswith((f"{provider}:", f"{provider}-")):
            return self._credentials.access(provider, task, row, account=account, of_call=of_call)
        limits = [hold.limit for hold in self._store.holds.all()]
        closed = {limit.account for limit in limits if limit.model is None}
        return self._credentials.access(provider, task, row, closed=closed, of_call=of_call)

    def used(self, task_id: str, attempt: int, provider: str) -> str | None:
        return self._used.get((task_id, attempt, provider))

    def accounts(self, task_id: str, attempt: int, agent: str) -> Iterator[Account]:
        task = self._store.tasks.get(task_id)
        provider = _provider(task, agent)
        if task is None or provider is None:
            yield Account()
            return
        row, has_any = self._store.attempts.get(task_id, attempt), False
        try:
            for access in self._credentials.accesses(provider, task, row):
                has_any = True
                unfit = self._credentials.unfit(provider, agent, access)
                yield Account(missing=unfit) if unfit else Account(access.account)
        except EnvironmentFault as fault:
            yield Account(missing=f"{fault.message}; {fault.hint}")
            return
        if not has_any:
            yield Account(missing=lacks_credential(provider, task))


def _provider(task: TaskRow | None, agent: str) -> str | None:
    """Whose models an agent calls for a task."""
    return agent_provider(agent, own_model(task) if task and task.agent == agent else None)
