"""The folders and the specification of an attempt's sandbox, from the task's record."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from agent_runner.authorities import FILE_NAME as AUTHORITIES
from agent_runner.models import Snapshot
from agent_runner.spec import (
    ContextFile,
    Disk,
    GatewaySpec,
    Paths,
    RunSpec,
    SwitchUser,
)
from agent_runner.workflow.agents import agents_of, chosen
from agent_runner.workflow.loader import WorkflowError, load_workflow
from agent_runner.worktree.disk_usage import kept_elsewhere
from agent_runner.worktree.local_files import FILE_NAME as COPIES
from agent_runner.worktree.worktree import IGNORED
from rover_mcp.config import certificate_authorities
from rover_mcp.config.limits import disk_limit, resource_limits, run_limits
from rover_mcp.config.settings import Settings
from rover_mcp.config.task_config import TaskConfig
from rover_mcp.config.task_options import TaskOptions
from rover_mcp.control.checkpoint import Checkpoint
from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.domain.ids import sandbox_name
from rover_mcp.domain.iteration import IterationInput
from rover_mcp.domain.network_policy import NetworkPolicy
from rover_mcp.domain.paths import TaskFolders
from rover_mcp.launcher.ownership import OTHERS_WRITE
from rover_mcp.sandbox.attempt_folder import remove_tree
from rover_mcp.sandbox.protocol import SandboxFolders, SandboxSpec
from rover_mcp.store.rebase_notes import rebase_notes
from rover_mcp.store.records import TaskRow
from rover_mcp.tasks.context import FOLDER as CONTEXT

_FOR_THE_RUNNER = tuple(
    TaskOptions.model_fields.keys() & TaskConfig.model_fields.keys() & RunSpec.model_fields.keys()
)
"""Options that are passed on from the task's configuration to the runner."""


def own_model(task: TaskRow) -> str | None:
    """The task's model, if its present agent is the first one, for which the model was given."""
    return task.model if task.agent == (task.agents or [task.agent])[0] else None


def make_folders(folders: TaskFolders, attempt: int) -> None:
    """Create the task's folders and copy the caller's files into the attempt's folder.

    Raises:
        EnvironmentFault: a folder exists that another user owns.
    """
    spec = folders.spec(attempt)
    # The base's folder too, although it is filled later: a spare sandbox mounts it before that.
    for folder in (spec, folders.run, folders.work, folders.agent_home, folders.base_objects):
        folder.mkdir(parents=True, exist_ok=True)
    folders.gateway_socket.parent.mkdir(exist_ok=True)
    owner = folders.home.stat().st_uid
    for folder in (spec, folders.run, folders.gateway_socket.parent):
        _keep_own(folder, owner)
    for folder in (folders.agent_home, spec):
        _write_authorities(folder / AUTHORITIES)
    for name in ("workflow.yaml", "script.yaml", COPIES, IGNORED):
        source = folders.input / name
        if source.exists():
            (spec / name).write_bytes(source.read_bytes())
    if (context := folders.input / CONTEXT).exists():
        shutil.copytree(context, spec / CONTEXT, dirs_exist_ok=True)


def _write_authorities(file: Path) -> None:
    """Write the trusted certificate authorities. A file that cannot be replaced, because the folder
    belongs to the sandbox's user by now, stays as it was written before."""
    # The agent can write in this folder: whatever is in the file's place is removed, and the file
    # is created without following a link.
    if trusted := certificate_authorities.bundle():
        with suppress(OSError):
            remove_tree(file)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            with os.fdopen(os.open(file, flags, 0o644), "w", encoding="ascii") as opened:
                opened.write(trusted)


def _keep_own(folder: Path, owner: int) -> None:
    """Take from other users the right to write in a folder, whatever the umask was at its
    creation."""
    facts = folder.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != owner:
        raise EnvironmentFault(
            f"{folder} is not a folder that belongs to the owner of the data folder",
            hint="look at what is there, remove it, and resume the task",
            code="data_folder",
        )
    if facts.st_mode & OTHERS_WRITE:
        folder.chmod(stat.S_IMODE(facts.st_mode) & ~OTHERS_WRITE)


def sandbox_spec(
    settings: Settings,
    task: TaskRow,
    attempt: int,
    checkpoint: Checkpoint,
) -> SandboxSpec:
    """The specification. The engine sets the paths, the isolation and the socket inside `run`."""
    folders = TaskFolders(settings.home, task.id, task.iteration)
    tools = _tools(folders.spec(attempt) / "workflow.yaml", task)
    return SandboxSpec(
        name=sandbox_name(task.id, attempt),
        task_id=task.id,
        project_id=task.project_id,
        attempt=attempt,
        run=_run_spec(settings, task, attempt, folders, checkpoint, {task.agent, *tools}),
        folders=SandboxFolders(
            spec=folders.spec(attempt),
            run=folders.run,
            work=folders.work,
            home=folders.agent_home,
            base_objects=folders.base_objects,
            gateway_socket=folders.gateway_socket,
        ),
        agent=task.agent,
        agent_binary=Path(task.agent_binary) if task.agent_binary else None,
        tools=tools,
        image=(task.config.image if task.config else None) or settings.base_image,
        limits=resource_limits(settings, task.config),
    )


def _tools(workflow: Path, task: TaskRow) -> tuple[str, ...]:
    """The agents that steps of the workflow need. The runner reports a workflow that cannot be
    read."""
    try:
        needed = agents_of(chosen(load_workflow(workflow), task.inputs), task.agent, None)
    except (WorkflowError, OSError):
        return ()
    return tuple(sorted({agent for agent, _ in needed}))


def _run_spec(
    settings: Settings,
    task: TaskRow,
    attempt: int,
    folders: TaskFolders,
    checkpoint: Checkpoint,
    used: Collection[str],
) -> RunSpec:
    return RunSpec(
        task_id=task.id,
        number=task.number,
        iteration=task.iteration,
        attempt=attempt,
        title=task.title,
        description=task.description,
        branch=task.branch,
        base_commit=task.base_commit,
        agent=task.agent,
        model=own_model(task),
        inputs=task.inputs,
        # Bytecode that tests write would get into snapshots, and into the branch for review.
        environment={"PYTHONDONTWRITEBYTECODE": "1"},
        authorities=bool(certificate_authorities.authorities(os.environ)),
        # Only the agents of this task, because an entry's environment may hold a login.
        agents={n: p for n, p in settings.agent_programs.items() if n in used},
        paths=Paths(spec=folders.spec(attempt), run=folders.run),
        gateway=_gateway(task, folders),
        # An engine that cannot change the user replaces this by its own kind of isolation.
        isolation=SwitchUser(uid=10001, gid=10001),
        limits=run_limits(settings, task.config),
        commits=settings.commits,
        disk=_disk(settings, task, folders),
        begin=_begin(task, folders),
        onto=task.onto,
        budget=task.budget,
        **_from_checkpoint(checkpoint),
        **_from_config(task.config or TaskConfig()),
        **_from_iteration(task.iteration_input),
    )


def _gateway(task: TaskRow, folders: TaskFolders) -> GatewaySpec:
    return GatewaySpec(
        socket=folders.gateway_socket,
        token=task.gateway_token,
        proxy=NetworkPolicy.stored(task.network).has_proxy,
    )


def _from_checkpoint(checkpoint: Checkpoint) -> dict[str, Any]:
    """The fields of the specification that say what earlier attempts left."""
    return {
        "restore": checkpoint.restore,
        "restart": checkpoint.restart,
        "begins_iteration": checkpoint.begins_iteration,
        "first_snapshot": checkpoint.first_snapshot,
        "rebundle": checkpoint.rebundle,
    }


def _from_config(config: TaskConfig) -> dict[str, Any]:
    """The fields of the specification that the task's configuration sets."""
    return {name: getattr(config, name) for name in _FOR_THE_RUNNER} | {
        "variables": config.environment,
        "copies": config.copies,
        "context": tuple(
            ContextFile(name=entry.name, origin=entry.origin, title=entry.title)
            for entry in config.context
        ),
        "hooks": config.hooks.as_spec(),
    }


def _from_iteration(given: IterationInput | None) -> dict[str, Any]:
    """The fields of the specification that a further iteration begins with."""
    if given is None:
        return {}
    return {
        "instructions": given.instructions,
        "sessions": given.sessions,
        "spent": given.usage,
        "carried": given.carried,
    }


def _begin(task: TaskRow, folders: TaskFolders) -> Snapshot | None:
    """What the iteration starts from, if that is not what the one before left: a snapshot that was
    named, or what the branch was rebased to since."""
    begin = task.iteration_input.begin if task.iteration_input else None
    if begin is None and folders.iteration > 1:
        notes = rebase_notes(replace(folders, iteration=folders.iteration - 1))
        begin = notes[-1].snapshot if notes else None
    return begin


def _disk(settings: Settings, task: TaskRow, folders: TaskFolders) -> Disk:
    elsewhere = kept_elsewhere(folders.root, folders.run)
    return disk_limit(settings, task.config).model_copy(
        update={
            "limit_files": settings.sandbox_files,
            "floor_files": settings.min_free_files,
            "elsewhere_bytes": elsewhere.size,
            "elsewhere_files": elsewhere.files,
        }
    )
