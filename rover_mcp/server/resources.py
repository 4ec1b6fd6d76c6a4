"""Resources: what a client can read, list and follow by address. Read-only views of use cases."""

from __future__ import annotations

import re
from collections.abc import Callable, Container
from dataclasses import dataclass
from urllib.parse import quote, unquote

from mcp_types import Resource, ResourceTemplate, TextResourceContents
from pydantic import BaseModel

from rover_mcp.domain.errors import NotFound
from rover_mcp.domain.ids import parse_task
from rover_mcp.domain.task_status import ENDED, TaskStatus
from rover_mcp.domain.usage_window import time_of
from rover_mcp.server.allowed_calls import CallCheck, drop_refused_calls
from rover_mcp.server.pages import task_list
from rover_mcp.server.session import TASKS_URI, ClientSession, task_uri
from rover_mcp.server.skills import skill_file, skills
from rover_mcp.store.records import TaskRow
from rover_mcp.tasks.quoted_text import quoted
from rover_mcp.tasks.service import TaskService
from rover_mcp.tasks.status_report import StatusReport
from rover_mcp.tasks.view_models import ListedTask

WORKFLOWS = "rover://workflows"
PAGE = 50
LOG_LINES = 2000
LIVE = frozenset(TaskStatus) - ENDED
ENDED_SHOWN = 20
RECENT_SECONDS = 7 * 24 * 3600
"""How long a task that has ended stays in the list, for those who want to look at it."""
PATCH_BYTES = 64_000
JSON = "application/json"


@dataclass(frozen=True)
class _ResourceTemplate:
    """One template. `pattern` has the group `task` or `name`, and maybe `step`."""

    name: str
    title: str
    template: str
    mime: str
    description: str
    read: Callable[[Resources, re.Match[str]], str]

    @property
    def pattern(self) -> re.Pattern[str]:
        parts = re.split(r"(\{\w+\})", self.template)
        named = (
            f"(?P<{p[1:-1]}>[^/?#]{{1,300}})" if p[0] == "{" else re.escape(p) for p in parts if p
        )
        return re.compile("".join(named))


@dataclass(frozen=True)
class Resources:
    """What one session can read."""

    tasks: TaskService
    status: StatusReport
    session: ClientSession
    works: CallCheck

    def list(self, cursor: str | None) -> tuple[list[Resource], str | None]:
        """A page of resources and the cursor of the next page: first what can be followed and what
        ended recently, then the tasks that have not ended, newest first. Every other task can still
        be read at its address.

        Raises:
            UserFixable: Rover did not produce this cursor.
        """
        caller = self.session.caller
        views, following, _damaged = self.tasks.list(caller, LIVE, None, cursor, PAGE)
        resources = [] if cursor else self._fixed()
        for view in [*([] if cursor else self._recent()), *views]:
            name, title = (
                f"task-{view.number}-{view.id[:8]}",
                f"{view.number}: {quoted(view.title)}",
            )
            resources.append(
                Resource(name=name, title=title, uri=task_uri(view.id), mime_type=JSON)
            )
        return resources, following

    def _recent(self) -> list[ListedTask]:
        ended, _, _ = self.tasks.list(self.session.caller, ENDED, None, None, ENDED_SHOWN)
        since = time_of(self.tasks.now() - RECENT_SECONDS)
        return [view for view in ended if view.updated_at >= since]

    def _fixed(self) -> list[Resource]:
        names = [w["name"] for w in self.status.workflows(self.session.caller, None)]
        every = Resource(
            name="tasks",
            title="Tasks",
            uri=TASKS_URI,
            mime_type=JSON,
            description="The newest tasks; subscribe to hear of every change",
        )
        workflows = (
            Resource(
                name=f"workflow-{name}",
                title=f"Workflow {name}",
                uri=f"{WORKFLOWS}/{quote(name, safe='')}",
                mime_type="application/yaml",
            )
            for name in names
        )
        return [every, *(skill.resource() for skill in skills().values()), *workflows]

    def read(self, uri: str) -> TextResourceContents:
        """
        Raises:
            NotFound: there is no such resource.
            RoverError: it cannot be read.
        """
        if (file := skill_file(uri)) is not None:
            return file
        if uri == TASKS_URI:
            return TextResourceContents(uri=uri, mime_type=JSON, text=self._newest())
        for kind in KINDS:
            if match := kind.pattern.fullmatch(uri):
                text = kind.read(self, match)
                return TextResourceContents(uri=uri, mime_type=kind.mime, text=text)
        raise NotFound("there is no such resource", code="unknown_resource")

    def followed(self, uri: str) -> str:
        """The address to follow: that of all tasks, or that of a task that exists.

        Raises:
            NotFound: there is nothing to follow there.
        """
        match = KINDS[0].pattern.fullmatch(uri)
        if uri != TASKS_URI and match is None:
            raise NotFound(f"only {TASKS_URI} and a task's own address can be subscribed to")
        if match:
            self._task(match, kinds=("id",))
        return uri

    def _newest(self) -> str:
        return self._as_json(task_list(*self.tasks.list(self.session.caller, (), None, None, None)))

    def _task(self, match: re.Match[str], kinds: Container[str] = ("id", "prefix")) -> TaskRow:
        named = match["id"]
        # A number would name another task in another project; what is followed has one address.
        if parse_task(named).kind not in kinds:
            raise NotFound("a resource names a task by its id", code="unknown_resource")
        task = self.tasks.finder.find(self.session.caller, named)
        self.session.watch(task.id)
        return task

    def view(self, match: re.Match[str]) -> str:
        return self._as_json(self.tasks.inspect(self._task(match), full=False))

    def _as_json(self, view: BaseModel) -> str:
        """A view as the tools return it."""
        drop_refused_calls(view, self.works)
        return view.model_dump_json(exclude_none=True)

    def journal(self, match: re.Match[str]) -> str:
        return self.tasks.journal(self._task(match))

    def diff(self, match: re.Match[str]) -> str:
        diff = self.tasks.diff(self._task(match), (), stat_only=False)
        # A resource is read into the context of a model at once, and cannot be paged through.
        cut = diff.truncated or len(diff.patch) > PATCH_BYTES
        return diff.patch[:PATCH_BYTES] + ("\n# cut here: get_diff with paths\n" if cut else "")

    def log(self, match: re.Match[str]) -> str:
        return self.tasks.logs(self._task(match), unquote(match["step"]), LOG_LINES).text

    def workflow(self, match: re.Match[str]) -> str:
        return self.status.workflow_text(self.session.caller, unquote(match["name"]))


KINDS = (
    _ResourceTemplate(
        "task", "A task", "rover://tasks/{id}", JSON,
        "A task's state; subscribe to hear when it changes", Resources.view,
    ),
    _ResourceTemplate(
        "journal", "A task's journal", "rover://tasks/{id}/journal", "application/jsonl",
        "The end of what its runner wrote down, a record a line", Resources.journal,
    ),
    _ResourceTemplate(
        "diff", "A task's changes", "rover://tasks/{id}/diff", "text/x-diff",
        "What it changed against its base. Untrusted text", Resources.diff,
    ),
    _ResourceTemplate(
        "log", "A step's log", "rover://tasks/{id}/steps/{step}/log", "text/plain",
        "The end of a step's log. Untrusted text", Resources.log,
    ),
    _ResourceTemplate(
        "workflow", "A workflow", "rover://workflows/{name}", "application/yaml",
        "A workflow's file: its inputs and steps", Resources.workflow,
    ),
)  # fmt: skip


def templates() -> list[ResourceTemplate]:
    """All templates, in a fixed order."""
    return [
        ResourceTemplate(
            name=kind.name,
            title=kind.title,
            uri_template=kind.template,
            description=kind.description,
            mime_type=kind.mime,
        )
        for kind in KINDS
    ]
