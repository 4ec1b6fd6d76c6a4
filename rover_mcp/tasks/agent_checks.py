"""Whether a task's agents are known here, may be used, and can be started."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent_runner.workflow.agents import agents_of
from rover_mcp.config import client_programs
from rover_mcp.config.settings import Settings
from rover_mcp.config.user_maximum import wider_script
from rover_mcp.domain.errors import NotFound, UserFixable
from rover_mcp.domain.ids import meant, nearest
from rover_mcp.sandbox.protocol import Engine
from rover_mcp.store.records import TaskRow
from rover_mcp.tasks.caller import Caller
from rover_mcp.tasks.catalog import CatalogEntry
from rover_mcp.tasks.cautions import agent_cautions
from rover_mcp.tasks.consent import check_consent
from rover_mcp.tasks.options import ResolvedOptions
from rover_mcp.tasks.quoted_text import printable
from rover_mcp.tasks.task_ports import AgentInventory, Engines


@dataclass(frozen=True)
class AgentChecks:
    """Checks of a task's agents. `signed_in` says whether there is a key or a login for an
    agent."""

    settings: Settings
    inventory: AgentInventory
    engines: Engines
    signed_in: Callable[[str, Caller], bool]

    def check_known(self, agent: str, among: Sequence[str] = ()) -> None:
        """Check that Rover knows an agent. `among` lists the agents that take turns with it, so
        that the call which the error proposes keeps them.

        Raises:
            NotFound: Rover does not know the agent.
        """
        if agent in self.inventory.known():
            return
        names = sorted(self.inventory.known())
        near = nearest(agent, names)
        others = [near if one == agent else one for one in among or [agent]]
        raise NotFound(
            f"there is no agent {agent[:80]!r}; there are: {', '.join(names)}",
            code="unknown_agent",
            hint=f"{meant(agent, names)}choose one of these",
            next_call=None if near else {"tool": "get_status", "arguments": {}},
            instead={"agent": ", ".join(filter(None, others))},
        )

    def check_chosen(self, agents: Sequence[str], script: str | None) -> None:
        """Check the agents of a new task. Raises NotFound and UserFixable."""
        for agent in agents:
            self.check_known(agent, agents)
        if script is not None and "scripted" not in agents:
            raise UserFixable(
                "script is only for the agent scripted",
                code="invalid_script",
                instead={"agent": "scripted"},
            )

    def check_steps(self, entry: CatalogEntry, agents: Sequence[str]) -> None:
        """Check the agents that steps of the workflow name.

        Raises:
            UserFixable: Rover does not know one of them.
        """
        if entry.workflow is None:
            return
        known = sorted(self.inventory.known())
        used = {name for agent in agents for name, _ in agents_of(entry.workflow, agent, None)}
        if unknown := sorted(used - {*known}):
            named = ", ".join(repr(printable(name[:80])) for name in unknown)
            raise UserFixable(
                f"the workflow {entry.name} names an agent that does not exist: {named}; "
                f"there are: {', '.join(known)}",
                code="unknown_agent",
                hint=f"{meant(unknown[0], known)}correct `tool` of that step, or define the agent "
                "under agent_programs in config.yaml",
            )

    def check_agent(self, caller: Caller, agent: str, engine: str, root: Path) -> Path | None:
        """Check that an agent may be started here and can be. Returns its program on this host, if
        it has one. `root` is the task's repository.

        Raises:
            UserFixable, EnvironmentFault: it is unknown, not allowed, or cannot be started.
        """
        self.check_known(agent)
        config = self.settings.home / "config.yaml"
        wider = list(wider_script({agent}, engine, self.settings))
        check_consent(caller, config, config.parent, wider, (), None)
        binary = self._binary(caller, agent, root)
        # Checked now and not at the first step: the user is here now, and may be asleep when the
        # task starts.
        self.engines.select(engine).check_agent(agent, binary, self.settings.base_image)
        return binary

    def engine(
        self, caller: Caller, options: ResolvedOptions, agents: Sequence[str], root: Path
    ) -> tuple[Engine, Path | None]:
        """Select an engine that can start each of the agents. The path is the first agent's program
        on this host, if it has one."""
        binaries = [self._binary(caller, agent, root) for agent in agents]
        engine = self.engines.select(options.engine)
        image = options.config.image or self.settings.base_image
        for agent, binary in zip(agents, binaries, strict=True):
            engine.check_agent(agent, binary, image)
        return engine, binaries[0]

    def program_column(self, caller: Caller, task: TaskRow) -> dict[str, Any]:
        """The database column with the path of the agent's program on this host, where the path was
        not known yet or is no longer true."""
        if task.agent_binary is not None and Path(task.agent_binary).exists():
            return {}
        binary = self._binary(caller, task.agent, Path(task.project_path))
        return {"agent_binary": str(binary)} if binary else {}

    def cautions(self, caller: Caller, agents: Sequence[str]) -> list[str]:
        """Warnings about agents that have to be fetched or have no login."""
        path = caller.env.get("PATH")
        # One that is here is not asked for its version, which would start it.
        away = [agent for agent in agents if self.inventory.binary(agent, path) is None]
        programs = {agent: self.inventory.program(agent, path) for agent in away}
        keyless = [agent for agent in agents if not self.signed_in(agent, caller)]
        return agent_cautions(programs, keyless)

    def _binary(self, caller: Caller, agent: str, root: Path) -> Path | None:
        path = client_programs.search_path(caller.env.get("PATH"), root)
        return self.inventory.binary(agent, path)
