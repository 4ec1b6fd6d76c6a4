"""Every command of `rover`, and which function runs it."""

from __future__ import annotations

from rover_mcp import __version__
from rover_mcp.cli import host_arguments as host
from rover_mcp.cli import setup_arguments as others
from rover_mcp.cli import task_arguments as tasks
from rover_mcp.cli.command_parser import Commands, Parser, no_arguments, shared_options

COMMANDS = (
    (
        "demo",
        "rover_mcp.demo.demo_run:command",
        "run an example task from start to finish, in a temporary folder",
        others.add_demo,
    ),
    (
        "doctor",
        "tool_commands:doctor_",
        "check whether tasks can run here, and report what is missing",
        others.add_doctor,
    ),
    ("create", "tool_commands:create", "create a task for a background agent", tasks.add_create),
    (
        "list",
        "tool_commands:list_",
        "list the tasks of this repository, newest first",
        tasks.add_list,
    ),
    (
        "inspect",
        "tool_commands:inspect",
        "show a task: status, steps, pause, usage",
        tasks.add_inspect,
    ),
    (
        "report",
        "report_command:report",
        "write a page about a task: result, cost, waiting, timeline, changes, logs",
        tasks.add_report,
    ),
    (
        "watch",
        "tool_commands:watch_",
        "follow a task live; exit status 0: completed, 1: failed, 2: paused",
        tasks.add_task,
    ),
    (
        "wait",
        "wait_command:wait",
        "wait until a task pauses or ends; exit status as for watch, 3: no task is running",
        tasks.add_wait,
    ),
    ("resume", "several_tasks:resume", "continue a task from its checkpoint", tasks.add_resume),
    (
        "auto-resume",
        "tool_commands:auto_resume",
        "choose whether paused tasks resume automatically",
        tasks.add_switch,
    ),
    (
        "pause",
        "several_tasks:pause",
        "stop a task at a checkpoint, to be resumed later",
        tasks.add_tasks,
    ),
    (
        "iterate",
        "iterate_command:iterate",
        "give a task that has ended new instructions, on the same branch",
        tasks.add_iterate,
    ),
    (
        "review",
        "review_command:review",
        "comment on a task's diff in your editor; the comments are its next instructions",
        tasks.add_review,
    ),
    (
        "history",
        "history_command:history",
        "list a task's snapshots, or show what one of them changed",
        tasks.add_history,
    ),
    (
        "rewind",
        "history_command:rewind",
        "give a task that has ended new instructions, starting from an earlier snapshot",
        tasks.add_rewind,
    ),
    (
        "fork",
        "history_command:fork",
        "create a task that starts from a snapshot of another one",
        tasks.add_fork,
    ),
    (
        "race",
        "race_command:race",
        "compare the tasks of a race: checks, changes, cost, time",
        tasks.add_task,
    ),
    (
        "choose",
        "race_command:choose",
        "keep one task of a race, the others go into the trash; without --yes, only show it",
        tasks.add_choose,
    ),
    (
        "restart",
        "several_tasks:restart",
        "start a failed task again from its base commit",
        tasks.add_tasks,
    ),
    (
        "cancel",
        "several_tasks:cancel",
        "end a task; its work is kept, and it can still be resumed",
        tasks.add_tasks,
    ),
    (
        "merge",
        "host_verbs:merge",
        "merge a task's branch into yours; without --yes, only show what would happen",
        host.add_merge,
    ),
    (
        "rebase",
        "host_verbs:rebase",
        "replay a task's branch on the current state of its base; without --yes, only show it",
        host.add_rebase,
    ),
    (
        "push",
        "host_verbs:push",
        "push a task's branch to a remote; without --yes, only show what would happen",
        host.add_push,
    ),
    (
        "checkout",
        "checkout_command:checkout",
        "check out a task's branch; without --yes, only show what would happen",
        host.add_checkout,
    ),
    (
        "open",
        "checkout_command:open_",
        "open a task's branch in your editor; without --yes, only show what would happen",
        host.add_open,
    ),
    (
        "shell",
        "shell_command:shell",
        "open a shell in a sandbox, on a copy of a task's files",
        host.add_shell,
    ),
    (
        "delete",
        "several_tasks:delete",
        "put a task into the trash; without --yes, only show what would be lost",
        tasks.add_delete,
    ),
    (
        "undelete",
        "several_tasks:undelete",
        "restore a deleted task from the trash",
        tasks.add_tasks,
    ),
    (
        "trash",
        "space_command:trash",
        "list deleted tasks that can be restored, of all projects",
        no_arguments,
    ),
    (
        "gc",
        "space_command:gc",
        "show what disk space could be freed; without --yes, only show it",
        others.add_gc,
    ),
    (
        "prune",
        "several_tasks:prune",
        "delete completed tasks; without --yes, only list them",
        tasks.add_prune,
    ),
    ("logs", "logs_command:logs", "show the log of a step", tasks.add_logs),
    (
        "diff",
        "tool_commands:diff",
        "show what a task changed, compared with its base",
        tasks.add_diff,
    ),
    (
        "workflows",
        "tool_commands:workflows",
        "list the workflows that are available",
        others.add_repo,
    ),
    (
        "workflow",
        None,
        "check, show, create and copy workflow files; print their JSON Schema",
        others.add_workflow,
    ),
    (
        "init",
        "tool_commands:init",
        "write a first .rover/config.yaml for a repository",
        others.add_init,
    ),
    (
        "trust",
        "tool_commands:trust",
        "show what a repository asks for beyond your defaults, and approve it",
        others.add_trust,
    ),
    (
        "forget",
        "forget_command:forget",
        "delete everything that Rover keeps for a project; its repository is not touched",
        others.add_forget,
    ),
    (
        "config",
        None,
        "check or show a project's .rover/config.yaml; print its JSON Schema",
        others.add_config,
    ),
    (
        "image",
        None,
        "build, list and remove the images that sandboxes use",
        others.add_image,
    ),
    (
        "hooks",
        None,
        "list and test the notification hooks; retry failed deliveries",
        others.add_hooks,
    ),
    (
        "token",
        None,
        "manage the tokens for access over HTTP (rover-mcp --http)",
        others.add_token,
    ),
    (
        "login",
        "login_command:login",
        "store a provider's API key in the system keyring, for tasks that run without a client",
        others.add_login,
    ),
    ("logout", "login_command:logout", "remove a key that `rover login` stored", others.add_logout),
    (
        "service",
        None,
        "start Rover after a reboot, so that paused tasks resume",
        others.add_service,
    ),
    (
        "setup",
        "tool_commands:setup",
        "add Rover to the assistants on this machine; without --write, only show the changes",
        others.add_setup,
    ),
    (
        "completion",
        "command_line:completion",
        "print the completion script for a shell",
        others.add_completion,
    ),
    (
        "backup",
        "backup_command:backup",
        "back up the data folder to one file; tasks may keep running",
        others.add_backup,
    ),
    (
        "restore",
        "backup_command:restore",
        "restore a backup; the current data folder is kept beside it. The daemon must be stopped",
        others.add_restore,
    ),
    (
        "explain",
        "explain_command:run",
        "explain an error message of a provider or an agent, and when Rover would retry",
        others.add_explain,
    ),
    (
        "status-line",
        "command_line:status_line",
        "print how many tasks are running and paused, for an assistant's status line",
        no_arguments,
    ),
    (
        "session-start",
        "command_line:session_start",
        "print what paused or ended, for an assistant's session-start hook",
        no_arguments,
    ),
    (
        "status",
        "tool_commands:status",
        "show engines, agents, queue, disk and versions",
        tasks.add_status,
    ),
    (
        "board",
        "board_command:board",
        "show in a browser which tasks need you, live; until Ctrl-C",
        others.add_board,
    ),
    (
        "usage",
        "usage_command:usage",
        "show what tasks used and how long they waited, with the cost where a price is known",
        others.add_usage,
    ),
    (
        "daemon",
        None,
        "control the background process: status, stop, restart",
        others.add_daemon,
    ),
    ("help", "command_line:help_", "show the help of a command", others.add_help),
    ("version", "command_line:version", "print rover's version", no_arguments),
)
"""In the order of `rover --help`: the name, the function that runs the command ("module:function"),
what it does, and what adds its arguments. A command without a function has commands of its own."""


def build_parser() -> Parser:
    """All commands and options."""
    parser = Parser(
        prog="rover",
        description="Hand coding tasks to background agents and get reviewable branches back.",
        epilog="Start with: rover doctor; rover demo. TASK is a task's id, or its number in the "
        "project of the current folder.",
        parents=[shared_options()],
    )
    parser.add_argument("--version", action="version", version=f"rover {__version__}")
    parser.set_defaults(json=False, home=None)
    command = Commands(parser, "COMMAND")
    for name, run, about, fill in COMMANDS:
        command(name, run, about, fill)
    return parser
