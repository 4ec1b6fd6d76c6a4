"""The content of get_status and list_workflows: Rover itself, its engines, agents and queue."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from agent_runner.workflow.models import LoopStep, ParallelStep, Step
from rover_mcp import __version__
from rover_mcp.config import client_programs
from rover_mcp.domain.attempt_state import AttemptState
from rover_mcp.domain.task_status import RUNNING, TaskStatus
from rover_mcp.domain.usage_window import time_of
from rover_mcp.sandbox.protocol import Engine, EngineStatus
from rover_mcp.store.damaged_records import DamagedRecord
from rover_mcp.store.records import EVERYWHERE, EventRow, HoldRow
from rover_mcp.tasks.caller import Caller
from rover_mcp.tasks.catalog import Catalog, CatalogEntry
from rover_mcp.tasks.disk_use import DiskUse, use_view
from rover_mcp.tasks.quoted_text import quoted
from rover_mcp.tasks.service import TaskService
from rover_mcp.tasks.task_ports import AgentInventory, AgentProgram, StartObstacle
from rover_mcp.tasks.view_models import AttentionView
from rover_mcp.tasks.window_text import MOST_SHOWN, window_view

HOLD_MESSAGE_SHOWN = 200
OPERATOR = "whoever runs this server can help"


@dataclass
class StatusReport:
    """Reads only.

    `credentials` returns, for a caller and by provider, the name of the credential that can be
    used. `sign_in` says, for an agent, its provider, that name and a caller, how the agent signs
    in, or what to do where it cannot. `may_sign_in` says, for an agent and a caller, whether there
    is anything to sign in with, without starting a program to find out. `trouble` says why no task
    can be started, and what helps. `disk_use` is the last measurement, if there is one; it covers
    all projects, so it is for the user of this machine only.
    """

    tasks: TaskService
    catalog: Catalog
    engines: Mapping[str, Engine]
    agents: AgentInventory
    credentials: Callable[[Caller], Mapping[str, str | None]]
    sign_in: Callable[[str, str, str | None, Caller], tuple[str | None, str | None]]
    provider_of: Callable[[str], str | None]
    may_sign_in: Callable[[str, Caller], bool]
    notice: Callable[[Caller], str | None]
    trouble: Callable[[], StartObstacle | None]
    disk_use: Callable[[], DiskUse | None] = lambda: None

    def report(self, caller: Caller) -> dict[str, Any]:
        """The fields of the get_status result."""
        settings, store = self.tasks.settings, self.tasks.store
        credentials = dict(self.credentials(caller))
        queued = len(store.attempts.in_states((AttemptState.QUEUED,)))
        active = store.tasks.count((TaskStatus.NEW, *RUNNING))
        return {
            "version": __version__,
            "notice": self.notice(caller),
            "cannot_start": self._cannot_start(caller),
            "home": str(settings.home) if caller.user is None else None,
            "engines": [_engine(e.check()) for e in self.engines.values()],
            "agents": [self._agent(name, caller, credentials) for name in self.agents.known()],
            "credentials": {name: value is not None for name, value in credentials.items()},
            "unpriced": store.usage.unpriced([*map(str, RUNNING), str(TaskStatus.PAUSED)]),
            "queue": {
                "running": max(0, active - queued),
                "queued": queued,
                "paused": store.tasks.count((TaskStatus.PAUSED,)),
                "limit": settings.concurrency,
            },
            "holds": [self._hold(caller, hold) for hold in store.holds.all()],
            "windows": [
                window_view(window, self.tasks.account_name)
                for window in store.windows.all(self.tasks.now())[:MOST_SHOWN]
            ],
            "auto_resume": self._switches(caller),
            "disk": self._disk(caller),
        }

    def _cannot_start(self, caller: Caller) -> dict[str, str] | None:
        if (trouble := self.trouble()) is None:
            return None
        return asdict(trouble) if caller.user is None else asdict(trouble) | {"hint": OPERATOR}

    def _disk(self, caller: Caller) -> dict[str, Any]:
        view: dict[str, Any] = {"free_bytes": shutil.disk_usage(self.tasks.settings.home).free}
        use = self.disk_use() if caller.user is None else None
        return {**view, "used": use_view(use, self.tasks.now())} if use else view

    def _hold(self, caller: Caller, hold: HoldRow) -> dict[str, Any]:
        try:
            probe = self.tasks.store.tasks.get(hold.probe_task) if hold.probe_task else None
        except DamagedRecord:
            probe = None
        return {
            "account": self.tasks.account_name(hold.limit.account),
            "model": hold.limit.model,
            "provider": hold.provider,
            "reason": hold.reason,
            "message": quoted(hold.message, HOLD_MESSAGE_SHOWN),
            "since": time_of(hold.since),
            "until": time_of(hold.until),
            "waiting": self.tasks.store.holds.count_waiting(hold.account),
            "probe": probe.number if probe and caller.sees(probe.owner) else None,
        }

    def _switches(self, caller: Caller) -> dict[str, Any]:
        off = self.tasks.store.switches.scopes_off()
        paths = self.tasks.store.projects.paths(off - {EVERYWHERE})
        if caller.user is not None:
            served = {str(p.resolve()) for p in caller.projects}
            paths = [path for path in paths if path in served]
        return {
            "off_for_all": EVERYWHERE in off,
            "off_in_config": not self.tasks.settings.auto_resume,
            "off_in_projects": paths,
        }

    def _agent(
        self, name: str, caller: Caller, credentials: Mapping[str, str | None]
    ) -> dict[str, Any]:
        provider = self.provider_of(name)
        path = client_programs.search_path(caller.env.get("PATH"), caller.cwd)
        program = self.agents.program(name, path)
        credential, remedy = None, f"how {name} signs in: docs/agents.md"
        if provider:
            credential, remedy = self.sign_in(name, provider, credentials.get(provider), caller)
        signed_in = credential is not None or program.source == "built-in"
        return {
            "name": name,
            "installed": program.source not in (None, "image"),
            "signed_in": signed_in,
            "source": program.source,
            "version": program.version,
            "credential": credential,
            "path": str(program.path) if program.path and caller.user is None else None,
            "hint": _agent_hint(program, None if signed_in else remedy),
        }

    def workflows(self, caller: Caller, repo_path: str | None) -> list[dict[str, Any]]:
        """The fields of the list_workflows result."""
        return [_workflow(e) for e in self.catalog.entries(_place(caller, repo_path))]

    def workflow_text(self, caller: Caller, name: str) -> str:
        """A workflow's file, unchanged.

        Raises:
            NotFound: there is no workflow of that name.
        """
        return self.catalog.text(name, _place(caller, None))

    def event_views(self, events: Sequence[EventRow], caller: Caller) -> Sequence[AttentionView]:
        """See `TaskReader.event_views`."""
        return self.tasks.event_views(events, caller)


def _place(caller: Caller, repo_path: str | None) -> Path | None:
    """The repository whose workflows a caller means; None: none."""
    if repo_path is None and caller.user is not None and len(caller.projects) != 1:
        return None
    return caller.folder(repo_path)


def _agent_hint(program: AgentProgram, remedy: str | None) -> str | None:
    hints: list[str] = []
    if program.source is None:
        hints.append(f"install npm, or run: {program.install}")
    elif program.source == "image":
        hints.append("its program is not here: an image that holds it can be base_image")
    return "; ".join([*hints, *([remedy] if remedy else [])]) or None


def _engine(status: EngineStatus) -> dict[str, Any]:
    view = {k: v for k, v in asdict(status).items() if v != ""}
    return view | {"limits_not_applied": list(status.limits_not_applied)}


def _workflow(entry: CatalogEntry) -> dict[str, Any]:
    w = entry.workflow
    inputs = [
        {"name": i.name, "description": i.description, "required": i.required, "default": i.default}
        for i in (w.inputs if w else ())
    ]
    return {
        "name": entry.name,
        "source": entry.source,
        "shadowed": entry.shadowed,
        "description": w.description if w else None,
        "inputs": inputs,
        "steps": [_step(step) for step in w.steps] if w else [],
        "error": entry.error,
    }


def _step(step: Step) -> str:
    """`plan`, `fix (loop, at most 5: test, repair)`."""
    match step:
        case LoopStep():
            what = f"loop, at most {step.max_iterations}"
        case ParallelStep():
            what = f"parallel, {min(step.limit, len(step.steps))} at a time"
        case _:
            return step.id
    return f"{step.id} ({what}: {', '.join(_step(inner) for inner in step.steps)})"
