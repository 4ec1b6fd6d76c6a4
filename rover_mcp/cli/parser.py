"""Every command of `rover`, and which function runs it."""

from __future__ import annotations

from rover_mcp import __version__
from rover_mcp.cli import setup_arguments as others
from rover_mcp.cli import task_arguments as tasks
from rover_mcp.cli.command_parser import Commands, Parser, no_arguments, shared_options

COMMANDS = (
    (
        "demo",
        "rover_mcp.demo.main:command",
        "see a whole task work, in a temporary folder",
        others.add_demo,
    ),
    (
        "doctor",
        "commands:doctor_",
        "check whether a task can run here, and say what is missing",
        others.add_doctor,
    ),
    ("create", "commands:create", "hand over a task", tasks.add_create),
    ("list", "commands:list_", "list the tasks of this repository, newest first", tasks.add_list),
    (
        "inspect",
        "commands:inspect",
        "show one task: status, steps, pause, usage",
        tasks.add_inspect,
    ),
    (
        "watch",
        "commands:watch_",
        "show its steps live; exit 0 completed, 1 failed, 2 paused",
        tasks.add_task,
    ),
    (
        "wait",
        "wait:wait",
        "wait until one pauses or ends; exit 0 completed, 1 failed, 2 paused, 3 none runs",
        tasks.add_wait,
    ),
    ("resume", "verbs:resume", "continue from the checkpoint", tasks.add_resume),
    (
        "auto-resume",
        "commands:auto_resume",
        "switch whether paused tasks continue by themselves",
        tasks.add_switch,
    ),
    ("pause", "verbs:pause", "stop it, to continue later", tasks.add_tasks),
    ("restart", "verbs:restart", "start a failed task over, from its base", tasks.add_tasks),
    (
        "cancel",
        "verbs:cancel",
        "end it; its work is kept, and resume continues it",
        tasks.add_tasks,
    ),
    (
        "delete",
        "verbs:delete",
        "delete it; without --yes only say what would be lost",
        tasks.add_delete,
    ),
    (
        "prune",
        "verbs:prune",
        "delete the tasks that are completed; without --yes only say which",
        tasks.add_prune,
    ),
    ("logs", "logs:logs", "show what a step printed", tasks.add_logs),
    ("diff", "commands:diff", "show what it changed against its base", tasks.add_diff),
    ("workflows", "commands:workflows", "list the workflows that a task may use", others.add_repo),
    (
        "workflow",
        None,
        "write, check, show and copy workflow files; print their JSON Schema",
        others.add_workflow,
    ),
    ("init", "commands:init", "write a first .rover/config.yaml for a repository", others.add_init),
    (
        "trust",
        "commands:trust",
        "show what a repository asks for beyond your defaults, and trust it",
        others.add_trust,
    ),
    (
        "forget",
        "forget:forget",
        "remove all that is kept of a project, and nothing of its repository; first say what",
        others.add_forget,
    ),
    (
        "config",
        None,
        "check a project's .rover/config.yaml, show it, print its JSON Schema",
        others.add_config,
    ),
    (
        "image",
        None,
        "build, list and prune the images that sandboxes are made from",
        others.add_image,
    ),
    (
        "hooks",
        None,
        "who is notified when a task pauses or ends: list, test, dead, retry",
        others.add_hooks,
    ),
    (
        "token",
        None,
        "who may connect over HTTP (rover-mcp --http): new, list, revoke",
        others.add_token,
    ),
    (
        "login",
        "login:login",
        "keep a provider's key in the system's keyring, for tasks that run without a client",
        others.add_login,
    ),
    ("logout", "login:logout", "remove a key that `rover login` keeps", others.add_logout),
    (
        "service",
        None,
        "start Rover after a reboot, so that paused tasks continue: install, status",
        others.add_service,
    ),
    (
        "setup",
        "commands:setup",
        "put rover into the assistants of this machine; without --write only show how",
        others.add_setup,
    ),
    (
        "completion",
        "main:completion",
        "print a script that lets your shell complete rover's words",
        others.add_completion,
    ),
    (
        "backup",
        "backup:backup",
        "write all that is kept of your tasks into one file; tasks may run meanwhile",
        others.add_backup,
    ),
    (
        "restore",
        "backup:restore",
        "put a backup in place of the data folder, which is kept beside it; no daemon may run",
        others.add_restore,
    ),
    (
        "explain",
        "explain:run",
        "say what an error of a provider or an agent means, and when it is tried again",
        others.add_explain,
    ),
    (
        "status-line",
        "main:status_line",
        "count the tasks that run and are paused, for an assistant's status line",
        no_arguments,
    ),
    (
        "session-start",
        "main:session_start",
        "say what paused or ended, for an assistant's hook at the start of a session",
        no_arguments,
    ),
    (
        "status",
        "commands:status",
        "show engines, agents, queue, disk and versions",
        tasks.add_status,
    ),
    (
        "daemon",
        None,
        "control what runs tasks in the background: status, stop, restart",
        others.add_daemon,
    ),
    ("help", "main:help_", "show how a command is used", others.add_help),
    ("version", "main:version", "print rover's version", no_arguments),
)
"""In the order of `rover --help`: the name, the function that runs it ("module:function"), what it
does, and what adds its arguments. A command without a function has commands of its own."""


def build_parser() -> Parser:
    """All commands and options."""
    parser = Parser(
        prog="rover",
        description="Hand coding tasks to background agents and get reviewable branches back.",
        epilog="Start with: rover doctor; rover demo. TASK is a task's id, or its number in the "
        "project of the working folder.",
        parents=[shared_options()],
    )
    parser.add_argument("--version", action="version", version=f"rover {__version__}")
    parser.set_defaults(json=False, home=None)
    command = Commands(parser, "COMMAND")
    for name, run, about, fill in COMMANDS:
        command(name, run, about, fill)
    return parser
