"""The options and arguments of the commands that are not for one task."""

from __future__ import annotations

from rover_mcp.assistants.names import CLIENT_NAMES
from rover_mcp.cli.command_parser import Commands, Parser

SHELLS = ("bash", "zsh", "fish")
PROVIDERS = ("anthropic", "openai", "google")
"""Whose keys `rover login` keeps."""

WORKFLOW_NAMES = "see `rover workflows`"


def add_doctor(sub: Parser) -> None:
    about = "build lost or damaged records of tasks anew from their files; no daemon may run"
    sub.add_argument("--repair", action="store_true", help=about)


def add_repo(sub: Parser) -> None:
    sub.add_argument("--repo", metavar="PATH", help="the repository (default: here)")


def add_completion(sub: Parser) -> None:
    sub.add_argument("shell", choices=SHELLS, help="for example: source <(rover completion bash)")


def add_help(sub: Parser) -> None:
    sub.add_argument("words", metavar="COMMAND", nargs="*", help="default: all of them")


def add_login(sub: Parser) -> None:
    about = f"one of {', '.join(PROVIDERS)}"
    sub.add_argument("provider", metavar="PROVIDER", nargs="?", help=about)
    sub.add_argument("--name", metavar="NAME", help="of a further account of the provider")
    sub.add_argument("--stdin", action="store_true", help="read the key from standard input")
    sub.add_argument(
        "--base-url", metavar="URL", help="where its API is, if not at its own address"
    )
    sub.add_argument("--list", action="store_true", help="which keys are kept, and where")


def add_logout(sub: Parser) -> None:
    sub.add_argument("provider", metavar="PROVIDER", help=f"one of {', '.join(PROVIDERS)}")
    sub.add_argument("--name", metavar="NAME", help="of a further account of the provider")


def add_service(sub: Parser) -> None:
    action = Commands(sub, "ACTION")
    about = (
        "with systemd (--user) or launchd: at each log-in, or with lingering at the machine's start"
    )
    action("install", "service:install", about)
    action("uninstall", "service:uninstall", "remove it; running tasks continue")
    action("status", "service:status", "whether it is installed, enabled and at work")


def add_daemon(sub: Parser) -> None:
    action = Commands(sub, "ACTION")
    action("status", "daemon:status", "whether one runs, and of which version; starts none")
    about = "end it; running tasks are checkpointed, and continue when it is started again"
    force = "end it hard if it does not end by itself"
    action("stop", "daemon:stop", about).add_argument("--force", action="store_true", help=force)
    about = "end it, and start one of this version"
    again = action("restart", "daemon:restart", about)
    again.add_argument("--force", action="store_true", help=force)


def add_backup(sub: Parser) -> None:
    about = "a new file, or a folder that gets one: rover-backup-TIME.tar"
    sub.add_argument("target", metavar="FILE|DIR", help=about)


def add_restore(sub: Parser) -> None:
    about = "what `rover backup` made; of a folder the newest"
    sub.add_argument("source", metavar="FILE|DIR", help=about)


def add_explain(sub: Parser) -> None:
    about = (
        "the error's text, or one JSON object a line (text, status, headers, reader, agent, "
        "provider, fields, now); default: standard input"
    )
    sub.add_argument("file", metavar="FILE|-", nargs="?", default="-", help=about)


def add_demo(sub: Parser) -> None:
    engines = ("auto", "docker", "podman", "bubblewrap")
    about = "what the sandbox is made with (default: auto, the first that works)"
    sub.add_argument("--engine", choices=engines, default="auto", help=about)
    sub.add_argument("--keep", action="store_true", help="leave its folders for you to look at")


def add_workflow(sub: Parser) -> None:
    action = Commands(sub, "ACTION")
    about = "read workflow files; an error is shown as file:line:column: message"
    check = action("check", "commands:workflow_check", about)
    check.add_argument("files", metavar="FILE", nargs="+", help="- reads stdin")
    action("schema", "commands:workflow_schema", "the language as JSON Schema, for editors")
    about = "print a workflow's file, as a task of this repository would use it"
    show = action("show", "workflow_files:show", about)
    about = "write a first workflow into .rover/workflows, for you to change"
    new = action("new", "workflow_files:new", about)
    about = "copy a workflow there, for you to change; under its own name it takes its place"
    copy = action("copy", "workflow_files:copy", about)
    for one in (show, new, copy):
        about = "the name of the new one" if one is new else WORKFLOW_NAMES
        one.add_argument("name", metavar="NAME", help=about)
        one.add_argument("--repo", metavar="PATH", help="the repository (default: here)")
    copy.add_argument("new_name", metavar="NEW_NAME", nargs="?", help="default: the same")
    for one in (new, copy):
        about = "for all your repositories: into the data folder"
        one.add_argument("--user", action="store_true", help=about)


def add_init(sub: Parser) -> None:
    sub.add_argument("--repo", metavar="PATH", help="the repository (default: here)")
    sub.add_argument("--dry-run", action="store_true", help="print it, and write nothing")
    sub.add_argument("--force", action="store_true", help="keep the old one beside the new one")


def add_trust(sub: Parser) -> None:
    sub.add_argument("path", metavar="PATH", nargs="?", help="the repository (default: here)")
    sub.add_argument("--base-branch", metavar="REF", help="as for a task that starts there")
    how = sub.add_mutually_exclusive_group()
    how.add_argument("--show", action="store_true", help="only show it")
    how.add_argument("--revoke", action="store_true", help="stop trusting it")


def add_forget(sub: Parser) -> None:
    about = "the repository, or where it was (default: here)"
    sub.add_argument("path", metavar="PATH", nargs="?", help=about)
    about = "do it without asking; otherwise only a yes at a terminal does it"
    sub.add_argument("--yes", action="store_true", help=about)


def add_setup(sub: Parser) -> None:
    about = f"one of {', '.join(CLIENT_NAMES)} (default: those that are found)"
    sub.add_argument("clients", metavar="CLIENT", nargs="*", help=about)
    how = sub.add_mutually_exclusive_group()
    how.add_argument("--write", action="store_true", help="do it; each old file is kept beside it")
    how.add_argument("--dry-run", action="store_true", help="only show it (the default)")
    sub.add_argument("--remove", action="store_true", help="take rover out again")
    about = "tell the model of paused and ended tasks before its first word, where a hook can"
    sub.add_argument("--session-hooks", action="store_true", help=about)
    about = "no notifications on the desktop, which are otherwise on where there is a desktop"
    sub.add_argument("--no-notifications", action="store_true", help=about)


def add_config(sub: Parser) -> None:
    add = Commands(sub, "ACTION", dest="action")
    for name, about in (
        ("check", "read it; an error is shown as file:line:column: message"),
        ("show", "what it says, as JSON"),
        ("schema", "its language as JSON Schema, for editors"),
    ):
        action = add(name, "commands:config", about)
        if name != "schema":
            action.add_argument("file", metavar="FILE", nargs="?", help="default: of this project")


def add_image(sub: Parser) -> None:
    action = Commands(sub, "ACTION")
    about = "build the image that a task of a project would have now, with the project's set-up"
    build = action("build", "images:build", about)
    build.add_argument("--project", dest="repo", metavar="PATH", help="default: this folder")
    build.add_argument("--engine", help="docker or podman; default: as for a task")
    build.add_argument("--image", metavar="IMAGE", help="a base image in place of the project's")
    action("list", "images:list_", "those that rover made, on every engine")
    about = "those that no task needs; says what it would remove"
    prune = action("prune", "images:prune", about)
    prune.add_argument("--yes", action="store_true", help="remove them")


def add_hooks(sub: Parser) -> None:
    action = Commands(sub, "ACTION")
    action("list", "hooks:list_", "list those of config.yaml, with what they delivered")
    test = action("test", "hooks:test", "send one, or all, a test message")
    test.add_argument("name", metavar="NAME", nargs="?", help="default: all")
    action("dead", "hooks:dead", "list deliveries that were given up")
    retry = action("retry", "hooks:retry", "try one of these again")
    retry.add_argument("id", metavar="ID", help="see `rover hooks dead`")


def add_token(sub: Parser) -> None:
    action = Commands(sub, "ACTION")
    new = action("new", "tokens:new", "make a token and print it, this once")
    new.add_argument("name", metavar="NAME", help="the user, who sees the tasks of this name")
    scopes = ("read", "write")
    new.add_argument("--scope", choices=scopes, default="write", help="read: change nothing")
    action("list", "tokens:list_", "whose tokens there are; never the tokens")
    gone = action("revoke", "tokens:revoke", "make the user's tokens invalid, from now on")
    gone.add_argument("name", metavar="NAME", help="see `rover token list`")
