"""One tool call: the services that it uses, the session that it comes from, and the tool."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import anyio.to_thread
from mcp_types import Tool

from rover_mcp.report.gather_report import GatherReport
from rover_mcp.server import arguments as a
from rover_mcp.server import results as r
from rover_mcp.server.event_broadcast import EventBroadcaster
from rover_mcp.server.private_methods import HooksControl
from rover_mcp.server.session import ClientSession
from rover_mcp.store.damaged_records import DamagedRecord
from rover_mcp.store.records import TaskRow
from rover_mcp.tasks.checkout import CheckoutTask
from rover_mcp.tasks.choose import ChooseTask
from rover_mcp.tasks.forget import ForgetProject
from rover_mcp.tasks.free_space import FreeSpace
from rover_mcp.tasks.images import BuildImage, RoverImages
from rover_mcp.tasks.merge import MergeTask
from rover_mcp.tasks.push import PushTask
from rover_mcp.tasks.rebase import RebaseTask
from rover_mcp.tasks.resolve_conflicts import ResolveConflicts
from rover_mcp.tasks.service import TaskService
from rover_mcp.tasks.shell import OpenShell
from rover_mcp.tasks.status_report import StatusReport
from rover_mcp.tasks.task_trash import TaskTrash

Progress = Callable[[float, str], Awaitable[None]]


@dataclass(frozen=True)
class Services:
    """The services that tools use. `touch` is called at each call, so that the daemon looks for new
    work more often while a client waits for it."""

    tasks: TaskService
    status: StatusReport
    broadcaster: EventBroadcaster
    touch: Callable[[], None]
    images: RoverImages
    hooks: HooksControl
    trash: TaskTrash
    free_space: FreeSpace
    builds: BuildImage
    forget: ForgetProject
    merge: MergeTask
    push: PushTask
    rebase: RebaseTask
    checkout: CheckoutTask
    shell: OpenShell
    choose: ChooseTask
    resolve: ResolveConflicts
    report: GatherReport


@dataclass(frozen=True)
class Call:
    """One tool call: its session, and how to report progress."""

    session: ClientSession
    services: Services
    progress: Progress
    consent: str | None = None
    """the digest of the question that a person has just said yes to"""
    unasked: bool = False
    """there was a question, and no user who could be asked"""
    agreed: bool = False
    """the user was shown what happens to their files, and has said yes"""
    wants_progress: bool = True
    """the client asked for it; without that, `progress` sends nothing"""

    async def find(
        self, arguments: a.TaskArguments, *, changes: bool = False, deleted: bool = False
    ) -> TaskRow:
        """The named task, which the session watches from now on. For the flags see TaskFinder."""
        find, caller = self.services.tasks.finder.find, self.session.caller
        task = await anyio.to_thread.run_sync(
            lambda: find(
                caller, arguments.task, arguments.repo_path, changes=changes, deleted=deleted
            )
        )
        # From the first call on, the events of the task are the session's business.
        self.session.watch(task.id)
        return task

    async def find_or_damage(self, arguments: a.TaskArguments) -> TaskRow | DamagedRecord:
        """As `find` for a change, but a record that cannot be read is returned as such."""
        try:
            return await self.find(arguments, changes=True)
        except DamagedRecord as damaged:
            return damaged


Handler = Callable[[Call, Any], Awaitable[r.Result]]


@dataclass(frozen=True)
class ToolEntry:
    """A tool as it is listed and called. `starts`: it starts or continues a task, and a client of
    the Tasks extension gets a handle to that task. `describe` makes the tool as it is listed."""

    name: str
    describe: Callable[[], Tool]
    arguments: type[a.Arguments]
    result: type[r.Result]
    handler: Handler
    starts: bool
    tool_set: str
    """one of TOOL_SETS"""
    runs: bool
    """whether an agent works after the call"""

    @cached_property
    def tool(self) -> Tool:
        """The tool with its schemas. To make those of all tools takes a quarter of a daemon's
        start, and most daemons are never asked for them: cold_start.json answers the first list."""
        return self.describe()
