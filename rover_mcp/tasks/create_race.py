"""The use case of a race: several agents do the same task, each as a task of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from agent_runner.models import SCRIPTED
from rover_mcp.domain.ids import agent_named
from rover_mcp.store.records import TaskRow
from rover_mcp.tasks.caller import Caller
from rover_mcp.tasks.checked_task import CheckedTask
from rover_mcp.tasks.create import CreateTask
from rover_mcp.tasks.create_request import CreateRequest
from rover_mcp.tasks.race_links import in_a_race


@dataclass(frozen=True)
class CreateRace:
    """Creates a task for each of several agents: all of them or none."""

    create: CreateTask

    def __call__(
        self, caller: Caller, request: CreateRequest, agents: Sequence[str]
    ) -> list[TaskRow]:
        """Create the tasks and queue their first attempts. A repeated request key returns the first
        of them alone. Raises as CreateTask does, for the first agent that cannot take part."""
        # Only the first carries the request key, which is unique in a project; its links name the
        # others.
        if known := self.create.known(caller, request):
            return [known]
        known_agents = self.create.agents.known()
        names = [agent_named(agent, known_agents) for agent in agents]
        first, *others = [_asked_of(name, names, request) for name in names]
        plans = [self.create.plan(caller, first)]
        # The context is fetched once: each of them has to be given the same to read.
        for one in others:
            plan = self.create.plan(caller, replace(one, request_key=None), plans[0].pieces)
            plans.append(_on_the_same_commit(plan, plans[0]))
        linked = in_a_race([plan.new for plan in plans])
        checked = [replace(plan, new=new) for plan, new in zip(plans, linked, strict=True)]
        scripts = [one.script for one in (first, *others)]
        return self.create.write(list(zip(checked, scripts, strict=True)))


def _asked_of(agent: str, agents: Sequence[str], request: CreateRequest) -> CreateRequest:
    """What one of the agents is asked. Where none of them plays a script, the check of the first
    says so."""
    options = request.options.model_copy(update={"agents": (agent,)})
    plays = agent == SCRIPTED or SCRIPTED not in agents
    script = request.script if plays else None
    return replace(request, options=options, script=script, racers=len(agents))


def _on_the_same_commit(plan: CheckedTask, first: CheckedTask) -> CheckedTask:
    """The plan with the base of the first: the branch may have moved between the two."""
    base = {"base_commit": first.new.base_commit, "base_branch": first.new.base_branch}
    return replace(plan, new=replace(plan.new, **base, links=first.new.links))
