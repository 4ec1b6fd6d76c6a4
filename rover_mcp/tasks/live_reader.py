"""Shows tasks where the control plane and the agents can be asked, too."""

from __future__ import annotations

from dataclasses import replace

from rover_mcp.domain.task_status import ENDED, TaskStatus
from rover_mcp.store.records import TaskRow
from rover_mcp.tasks.cautions import no_key
from rover_mcp.tasks.pause_view import CLOSED, Policy
from rover_mcp.tasks.proposals import Proposals
from rover_mcp.tasks.task_ports import AgentInventory, Control
from rover_mcp.tasks.task_reader import TaskReader
from rover_mcp.tasks.view_models import TaskView


class LiveTaskReader(TaskReader):
    """Reads only, for the use cases of a whole daemon. Calls may block."""

    control: Control

    @property
    def inventory(self) -> AgentInventory:
        """The agents that are known here."""
        raise NotImplementedError

    def login_expiry(self, task: TaskRow) -> str | None:
        return self.control.login_expiry(task)

    def policy_of(self, task: TaskRow) -> Policy:
        """The policy with the agents and models that could take over from a paused task now."""
        proposals = Proposals(self.settings, self.inventory, self.control)
        policy = replace(self.policy(), agents=proposals.known())
        if task.pause is None or task.pause.reason not in CLOSED:
            return policy
        return replace(policy, agents=proposals.agents(task), models=proposals.models(task))

    def with_cautions(self, task: TaskRow) -> TaskView:
        """The view of a task that was created or resumed, with a warning where none of its agents
        can sign in: the task would pause at once. The warning is true now only, so it is not
        stored."""
        view = self.view(task)
        if task.status in ENDED or task.status is TaskStatus.PAUSED:
            return view
        warnings = view.warnings or []
        if any(warning.startswith(no_key(task.agent)) for warning in warnings):
            return view  # its creation has warned of the same
        lacking = [self.control.cannot_sign_in(task, a) for a in task.agents or [task.agent]]
        if all(lacking):
            what = f"{task.agent} cannot sign in, so the task pauses until it can: {lacking[0]}"
            view.warnings = [what, *warnings]
        return view
