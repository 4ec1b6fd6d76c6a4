"""The options and arguments of the commands that are not for one task."""

from __future__ import annotations

from argparse import ArgumentTypeError

from rover_mcp.assistants.assistant_names import CLIENT_NAMES
from rover_mcp.cli.command_parser import Commands, Parser

SHELLS = ("bash", "zsh", "fish")
PROVIDERS = ("anthropic", "openai", "google")
"""The providers whose keys `rover login` stores."""

WORKFLOW_NAMES = "see `rover workflows`"


def add_doctor(sub: Parser) -> None:
    about = "rebuild lost or damaged task records from their files; the daemon must be stopped"
    sub.add_argument("--repair", action="store_true", help=about)


def add_repo(sub: Parser) -> None:
    sub.add_argument("--repo", metavar="PATH", help="the repository (default: the current folder)")


def add_completion(sub: Parser) -> None:
    sub.add_argument("shell", choices=SHELLS, help="for example: source <(rover completion bash)")


def add_help(sub: Parser) -> None:
    sub.add_argument(
        "words", metavar="COMMAND", nargs="*", help="the command (default: an overview)"
    )


def add_login(sub: Parser) -> None:
    about = f"one of {', '.join(PROVIDERS)}"
    sub.add_argument("provider", metavar="PROVIDER", nargs="?", help=about)
    sub.add_argument(
        "--name", metavar="NAME", help="which account of the provider, if there are several"
    )
    sub.add_argument("--stdin", action="store_true", help="read the key from standard input")
    sub.add_argument(
        "--base-url", metavar="URL", help="the API's address, if it is not the provider's own"
    )
    sub.add_argument(
        "--list", action="store_true", help="list the stored keys and where each is kept"
    )


def add_logout(sub: Parser) -> None:
    sub.add_argument("provider", metavar="PROVIDER", help=f"one of {', '.join(PROVIDERS)}")
    sub.add_argument(
        "--name", metavar="NAME", help="which account of the provider, if there are several"
    )


def add_service(sub: Parser) -> None:
    action = Commands(sub, "ACTION")
    about = (
        "install it with systemd (--user) or launchd: starts at login, or at boot with lingering"
    )
    action("install", "service_command:install", about)
    action("uninstall", "service_command:uninstall", "remove it; running tasks continue")
    action("status", "service_command:status", "show whether it is installed, enabled and running")


def add_daemon(sub: Parser) -> None:
    action = Commands(sub, "ACTION")
    action(
        "status",
        "daemon_command:status",
        "show whether the daemon is running, and its version; does not start it",
    )
    about = "stop the daemon; running tasks are checkpointed, and resume when it starts again"
    force = "kill it if it does not stop"
    action("stop", "daemon_command:stop", about).add_argument(
        "--force", action="store_true", help=force
    )
    about = "stop the daemon, and start it in this version"
    again = action("restart", "daemon_command:restart", about)
    again.add_argument("--force", action="store_true", help=force)


def add_backup(sub: Parser) -> None:
    about = "a new file, or a folder in which rover-backup-TIME.tar is created"
    sub.add_argument("target", metavar="FILE|DIR", help=about)


def add_restore(sub: Parser) -> None:
    about = "a backup, or a folder whose newest backup is used"
    sub.add_argument("source", metavar="FILE|DIR", help=about)


def add_explain(sub: Parser) -> None:
    about = (
        "a file with the error's text, or one JSON object per line (text, status, headers, "
        "reader, agent, provider, fields, now); default: standard input"
    )
    sub.add_argument("file", metavar="FILE|-", nargs="?", default="-", help=about)


def add_demo(sub: Parser) -> None:
    engines = ("auto", "docker", "podman", "bubblewrap")
    about = "the sandbox engine (default: auto, the first that works)"
    sub.add_argument("--engine", choices=engines, default="auto", help=about)
    sub.add_argument(
        "--keep", action="store_true", help="keep its folders, so that you can look at them"
    )


def add_workflow(sub: Parser) -> None:
    action = Commands(sub, "ACTION")
    about = "check workflow files; errors are shown as file:line:column: message"
    check = action("check", "tool_commands:workflow_check", about)
    check.add_argument(
        "files", metavar="FILE", nargs="+", help="a workflow file; - for standard input"
    )
    action(
        "schema",
        "tool_commands:workflow_schema",
        "print the JSON Schema of workflow files, for editors",
    )
    about = "show the steps of a workflow as a task of this repository would use it"
    show = action("show", "workflow_files:show", about)
    how = show.add_mutually_exclusive_group()
    how.add_argument("--yaml", action="store_true", help="print its file")
    how.add_argument("--mermaid", action="store_true", help="print it as a Mermaid diagram")
    about = "create a workflow in .rover/workflows, for you to edit"
    new = action("new", "workflow_files:new", about)
    about = "copy a workflow there, for you to edit; under the same name it replaces the original"
    copy = action("copy", "workflow_files:copy", about)
    for one in (show, new, copy):
        about = "the name of the new workflow" if one is new else WORKFLOW_NAMES
        one.add_argument("name", metavar="NAME", help=about)
        one.add_argument(
            "--repo", metavar="PATH", help="the repository (default: the current folder)"
        )
    copy.add_argument("new_name", metavar="NEW_NAME", nargs="?", help="default: the same name")
    for one in (new, copy):
        about = "for all your repositories: in the data folder"
        one.add_argument("--user", action="store_true", help=about)


def add_init(sub: Parser) -> None:
    sub.add_argument("--repo", metavar="PATH", help="the repository (default: the current folder)")
    sub.add_argument("--dry-run", action="store_true", help="print it, and write nothing")
    sub.add_argument(
        "--force", action="store_true", help="overwrite an existing one, which is kept beside it"
    )


def add_trust(sub: Parser) -> None:
    sub.add_argument(
        "path", metavar="PATH", nargs="?", help="the repository (default: the current folder)"
    )
    sub.add_argument(
        "--base-branch",
        metavar="REF",
        help="what a task that starts from this branch would ask for",
    )
    how = sub.add_mutually_exclusive_group()
    how.add_argument("--show", action="store_true", help="only show it")
    how.add_argument("--revoke", action="store_true", help="stop trusting it")


def add_forget(sub: Parser) -> None:
    about = "the repository, or where it used to be (default: the current folder)"
    sub.add_argument("path", metavar="PATH", nargs="?", help=about)
    about = "do not ask for confirmation, which needs a terminal"
    sub.add_argument("--yes", action="store_true", help=about)


GC_ONLY_BY_NAME = ("trash", "orphans", "reviews")
"""Kinds that may hold what exists nowhere else."""
GC_KINDS = ("sandboxes", "images", "caches", "work-trees", "bundles", *GC_ONLY_BY_NAME)


def _gc_kind(word: str) -> str:
    """One of the kinds. `choices` would refuse that none is given."""
    if word not in GC_KINDS:
        raise ArgumentTypeError(f"{word!r} is not one of: {', '.join(GC_KINDS)}")
    return word


def add_gc(sub: Parser) -> None:
    about = f"one of {', '.join(GC_KINDS)} (default: all but {', '.join(GC_ONLY_BY_NAME)})"
    sub.add_argument("kinds", metavar="KIND", nargs="*", type=_gc_kind, help=about)
    sub.add_argument("--yes", action="store_true", help="free it")


def add_board(sub: Parser) -> None:
    about = "the port on 127.0.0.1 (default: one that is free)"
    sub.add_argument("--port", metavar="PORT", type=int, default=0, help=about)


USAGE_KEYS = ("project", "day", "agent", "model", "task")


def add_usage(sub: Parser) -> None:
    about = f"what a line is for: one of {', '.join(USAGE_KEYS)} (default: project)"
    sub.add_argument("--by", metavar="KEY", choices=USAGE_KEYS, default="project", help=about)
    about = "only what was used since then: 2026-11-01, '2026-11-01 14:00', today, 12h, 7d or 4w"
    sub.add_argument("--since", metavar="WHEN", help=about)
    about = "print the usage, and nothing else, as CSV for a spreadsheet"
    sub.add_argument("--csv", action="store_true", help=about)


def add_setup(sub: Parser) -> None:
    about = f"one of {', '.join(CLIENT_NAMES)} (default: all that are installed)"
    sub.add_argument("clients", metavar="CLIENT", nargs="*", help=about)
    how = sub.add_mutually_exclusive_group()
    how.add_argument(
        "--write",
        action="store_true",
        help="make the changes; a copy of each changed file is kept beside it",
    )
    how.add_argument("--dry-run", action="store_true", help="only show the changes (the default)")
    sub.add_argument("--remove", action="store_true", help="remove Rover again")
    about = (
        "report paused and ended tasks to the model at the start of each session, where supported"
    )
    sub.add_argument("--session-hooks", action="store_true", help=about)
    about = "do not turn on desktop notifications"
    sub.add_argument("--no-notifications", action="store_true", help=about)


def add_config(sub: Parser) -> None:
    add = Commands(sub, "ACTION", dest="action")
    for name, about in (
        ("check", "check it; errors are shown as file:line:column: message"),
        ("show", "print its settings as JSON"),
        ("schema", "print its JSON Schema, for editors"),
    ):
        action = add(name, "tool_commands:config", about)
        if name != "schema":
            action.add_argument("file", metavar="FILE", nargs="?", help="default: this project's")


def add_image(sub: Parser) -> None:
    action = Commands(sub, "ACTION")
    about = "build the image that a task of the project would use, with the project's setup"
    build = action("build", "image_command:build", about)
    build.add_argument(
        "--project", dest="repo", metavar="PATH", help="the project (default: the current folder)"
    )
    build.add_argument("--engine", help="docker or podman (default: as for a task)")
    build.add_argument(
        "--image", metavar="IMAGE", help="a base image to use instead of the project's"
    )
    action("list", "image_command:list_", "list the images that Rover built, on every engine")
    about = "remove images that no task needs; without --yes, only list them"
    prune = action("prune", "image_command:prune", about)
    prune.add_argument("--yes", action="store_true", help="remove them")


def add_hooks(sub: Parser) -> None:
    action = Commands(sub, "ACTION")
    action(
        "list", "hooks_command:list_", "list the hooks of config.yaml and their latest deliveries"
    )
    test = action("test", "hooks_command:test", "send a test message to one hook, or to all")
    test.add_argument("name", metavar="NAME", nargs="?", help="the hook (default: all)")
    action("dead", "hooks_command:dead", "list deliveries that were given up")
    retry = action("retry", "hooks_command:retry", "retry one of them")
    retry.add_argument("id", metavar="ID", help="see `rover hooks dead`")


def add_token(sub: Parser) -> None:
    action = Commands(sub, "ACTION")
    new = action("new", "token_command:new", "create a token and print it; it is not shown again")
    new.add_argument("name", metavar="NAME", help="the user, who sees only their own tasks")
    scopes = ("read", "write")
    new.add_argument(
        "--scope",
        choices=scopes,
        default="write",
        help="what the token allows; read: no changes (default: write)",
    )
    action(
        "list", "token_command:list_", "list the users that have tokens; the tokens are not shown"
    )
    gone = action("revoke", "token_command:revoke", "revoke all tokens of a user")
    gone.add_argument("name", metavar="NAME", help="see `rover token list`")
