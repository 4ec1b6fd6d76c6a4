"""The words of the command line: every command with its options, and which function runs it."""

from __future__ import annotations

import argparse
import os
import re
import sys

from rover_mcp import __version__
from rover_mcp.assistants.names import CLIENT_NAMES

# What only types need is not imported: `--help` and a completion are to come at once.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

# Not 2, which says "paused" (ACCEPTANCE A2): sysexits.h.
EXIT_USAGE = 64
SHELLS = ("bash", "zsh", "fish")
PROVIDERS = ("anthropic", "openai", "google")
"""Whose keys `rover login` keeps."""

STATUSES = "NEW IN_PROGRESS ITERATING PAUSED COMPLETED FAILED CANCELLED MERGED PUSHED"

WORKFLOW_NAMES = "see `rover workflows`"

ALIASES = {
    "list": ("ls", "ps"),
    "inspect": ("show",),
    "pause": ("stop",),
    "delete": ("rm",),
}
"""What gh, docker and git call the same."""

_UNKNOWN = r"argument [\w-]+: invalid choice: '(?P<word>[^']*)' \(choose from (?P<known>.*)\)"


class Help(argparse.HelpFormatter):
    """As wide as the terminal; argparse imports archives and compression to find that out."""

    def __init__(self, prog: str, **named: Any) -> None:
        named.setdefault("width", _columns() - 2)
        super().__init__(prog, **named)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """Examples keep their lines."""
        return text if "\n" in text else super()._fill_text(text, width, indent)


def _columns() -> int:
    if (told := os.environ.get("COLUMNS", "")).isdigit() and int(told) > 0:
        return int(told)
    try:
        return os.get_terminal_size(1).columns or 80
    except OSError:
        return 80


class Parser(argparse.ArgumentParser):
    """Options count only in full: an abbreviation may come to mean another one."""

    def __init__(self, **named: Any) -> None:
        named.setdefault("formatter_class", Help)
        super().__init__(**named)
        self.allow_abbrev = False

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(EXIT_USAGE, f"{self.prog}: {_with_suggestion(message)}\n")


def _with_suggestion(message: str) -> str:
    """An error of argparse with the word that was probably meant."""
    if not (unknown := re.fullmatch(_UNKNOWN, message)):
        return message
    word, known = unknown["word"], re.findall(r"[\w-]+", unknown["known"])
    import difflib

    near = difflib.get_close_matches(word.lower(), known, n=1)
    return f"there is no {word!r}; " + (
        f"did you mean {near[0]!r}?" if near else f"choose from: {', '.join(known)}"
    )


class Later:
    """A command's parser, which is made when somebody asks it for anything: a call of rover needs
    one of some sixty."""

    def __init__(self, fill: Callable[[Parser], None], run: str | None, **named: Any) -> None:
        self._fill, self._run, self._named = fill, run, named
        self._parser: Parser | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.whole(), name)

    def whole(self) -> Parser:
        """The parser itself."""
        if self._parser is None:
            # Late: only help shows them.
            from rover_mcp.cli.examples import epilog

            shown = epilog(self._named["prog"])
            self._parser = Parser(parents=[_shared()], epilog=shown, **self._named)
            if self._run:
                self._parser.set_defaults(run=self._run)
            self._fill(self._parser)
        return self._parser


def _nothing(sub: Parser) -> None:
    """A command without arguments of its own."""


class Commands:
    """Adds commands to a parser. Nothing of a command is imported before it runs: most of them
    need what the others do not."""

    def __init__(self, parser: Parser, metavar: str, dest: str = argparse.SUPPRESS) -> None:
        # A class that does not derive from a parser, and stands for one.
        later: Any = Later
        self._of = parser.add_subparsers(
            dest=dest, metavar=metavar, required=True, parser_class=later
        )

    def __call__(
        self, name: str, run: str | None, about: str, fill: Callable[[Parser], None] = _nothing
    ) -> Parser:
        """`run` is what runs it, as "module:function" of this package, None where it has commands
        of its own; `fill` adds its arguments when they are needed."""
        own: dict[str, Any] = {"fill": fill, "run": run}
        return self._of.add_parser(
            name, aliases=ALIASES.get(name, ()), help=about, description=about, **own
        )


def build_parser() -> Parser:
    """All commands and options."""
    parser = Parser(
        prog="rover",
        description="Hand coding tasks to background agents and get reviewable branches back.",
        epilog="Start with: rover doctor; rover demo. TASK is a task's id, or its number in the "
        "project of the working folder.",
        parents=[_shared()],
    )
    parser.add_argument("--version", action="version", version=f"rover {__version__}")
    parser.set_defaults(json=False, home=None)
    _add_commands(Commands(parser, "COMMAND"))
    return parser


def _add_commands(command: Commands) -> None:
    about = "see a whole task work, in a temporary folder"
    command("demo", "rover_mcp.demo.main:command", about, _add_demo)
    about = "check whether a task can run here, and say what is missing"
    command("doctor", "commands:doctor_", about, _add_doctor)
    command("create", "commands:create", "hand over a task", _add_create)
    command("list", "commands:list_", "list the tasks of this repository, newest first", _add_list)
    _add_task_commands(command)
    about = "list the workflows that a task may use"
    command("workflows", "commands:workflows", about, _add_repo)
    about = "write, check, show and copy workflow files; print their JSON Schema"
    command("workflow", None, about, _add_workflow)
    about = "write a first .rover/config.yaml for a repository"
    command("init", "commands:init", about, _add_init)
    about = "show what a repository asks for beyond your defaults, and trust it"
    command("trust", "commands:trust", about, _add_trust)
    about = "remove all that is kept of a project, and nothing of its repository; first say what"
    command("forget", "forget:forget", about, _add_forget)
    about = "check a project's .rover/config.yaml, show it, print its JSON Schema"
    command("config", None, about, _add_config)
    about = "build, list and prune the images that sandboxes are made from"
    command("image", None, about, _add_image)
    about = "who is notified when a task pauses or ends: list, test, dead, retry"
    command("hooks", None, about, _add_hooks)
    about = "who may connect over HTTP (rover-mcp --http): new, list, revoke"
    command("token", None, about, _add_token)
    about = "keep a provider's key in the system's keyring, for tasks that run without a client"
    command("login", "login:login", about, _add_login)
    command("logout", "login:logout", "remove a key that `rover login` keeps", _add_logout)
    about = "start Rover after a reboot, so that paused tasks continue: install, status"
    command("service", None, about, _add_service)
    about = "put rover into the assistants of this machine; without --write only show how"
    command("setup", "commands:setup", about, _add_setup)
    about = "print a script that lets your shell complete rover's words"
    command("completion", "main:completion", about, _add_completion)
    about = "write all that is kept of your tasks into one file; tasks may run meanwhile"
    command("backup", "backup:backup", about, _add_backup)
    about = "put a backup in place of the data folder, which is kept beside it; no daemon may run"
    command("restore", "backup:restore", about, _add_restore)
    about = "say what an error of a provider or an agent means, and when it is tried again"
    command("explain", "explain:run", about, _add_explain)
    about = "count the tasks that run and are paused, for an assistant's status line"
    command("status-line", "main:status_line", about)
    about = "say what paused or ended, for an assistant's hook at the start of a session"
    command("session-start", "main:session_start", about)
    about = "show engines, agents, queue, disk and versions"
    command("status", "commands:status", about, _add_status)
    about = "control what runs tasks in the background: status, stop, restart"
    command("daemon", None, about, _add_daemon)
    command("help", "main:help_", "show how a command is used", _add_help)
    command("version", "main:version", "print rover's version")


def _add_doctor(sub: Parser) -> None:
    about = "build lost or damaged records of tasks anew from their files; no daemon may run"
    sub.add_argument("--repair", action="store_true", help=about)


def _add_repo(sub: Parser) -> None:
    sub.add_argument("--repo", metavar="PATH", help="the repository (default: here)")


def _add_completion(sub: Parser) -> None:
    sub.add_argument("shell", choices=SHELLS, help="for example: source <(rover completion bash)")


def _add_help(sub: Parser) -> None:
    sub.add_argument("words", metavar="COMMAND", nargs="*", help="default: all of them")


def _add_login(sub: Parser) -> None:
    about = f"one of {', '.join(PROVIDERS)}"
    sub.add_argument("provider", metavar="PROVIDER", nargs="?", help=about)
    sub.add_argument("--name", metavar="NAME", help="of a further account of the provider")
    sub.add_argument("--stdin", action="store_true", help="read the key from standard input")
    sub.add_argument(
        "--base-url", metavar="URL", help="where its API is, if not at its own address"
    )
    sub.add_argument("--list", action="store_true", help="which keys are kept, and where")


def _add_logout(sub: Parser) -> None:
    sub.add_argument("provider", metavar="PROVIDER", help=f"one of {', '.join(PROVIDERS)}")
    sub.add_argument("--name", metavar="NAME", help="of a further account of the provider")


def _add_service(sub: Parser) -> None:
    action = Commands(sub, "ACTION")
    about = (
        "with systemd (--user) or launchd: at each log-in, or with lingering at the machine's start"
    )
    action("install", "service:install", about)
    action("uninstall", "service:uninstall", "remove it; running tasks continue")
    action("status", "service:status", "whether it is installed, enabled and at work")


def _add_daemon(sub: Parser) -> None:
    action = Commands(sub, "ACTION")
    action("status", "daemon:status", "whether one runs, and of which version; starts none")
    about = "end it; running tasks are checkpointed, and continue when it is started again"
    force = "end it hard if it does not end by itself"
    action("stop", "daemon:stop", about).add_argument("--force", action="store_true", help=force)
    about = "end it, and start one of this version"
    again = action("restart", "daemon:restart", about)
    again.add_argument("--force", action="store_true", help=force)


def _add_backup(sub: Parser) -> None:
    about = "a new file, or a folder that gets one: rover-backup-TIME.tar"
    sub.add_argument("target", metavar="FILE|DIR", help=about)


def _add_restore(sub: Parser) -> None:
    about = "what `rover backup` made; of a folder the newest"
    sub.add_argument("source", metavar="FILE|DIR", help=about)


def _add_explain(sub: Parser) -> None:
    about = (
        "the error's text, or one JSON object a line (text, status, headers, reader, agent, "
        "provider, fields, now); default: standard input"
    )
    sub.add_argument("file", metavar="FILE|-", nargs="?", default="-", help=about)


def _shared() -> Parser:
    """The options that stand before or behind a command; unset, each leaves the other alone."""
    shared = Parser(add_help=False, argument_default=argparse.SUPPRESS)
    shared.add_argument("--json", action="store_true", help="print the result as JSON")
    about = "the data folder (default: $ROVER_HOME, else ~/.local/share/rover)"
    shared.add_argument("--home", metavar="DIR", help=about)
    return shared


def _add_demo(sub: Parser) -> None:
    engines = ("auto", "docker", "podman", "bubblewrap")
    about = "what the sandbox is made with (default: auto, the first that works)"
    sub.add_argument("--engine", choices=engines, default="auto", help=about)
    sub.add_argument("--keep", action="store_true", help="leave its folders for you to look at")


def _add_create(sub: Parser) -> None:
    sub.add_argument("description", metavar="DESCRIPTION", help="what to do; - reads it from stdin")
    sub.add_argument("--repo", metavar="PATH", help="the repository (default: here)")
    sub.add_argument("--workflow", metavar="NAME", help="see `rover workflows` (default: swe)")
    sub.add_argument(
        "--agent",
        metavar="NAME[,NAME]",
        help="who works: claude (default) or another of `rover doctor`; the next one continues "
        "while an account is closed",
    )
    sub.add_argument("--model", metavar="NAME", help="the agent's model (default: its own)")
    sub.add_argument("--base-branch", metavar="REF", help="where to start from (default: HEAD)")
    engines = ("auto", "docker", "podman", "bubblewrap", "process")
    about = "what the sandbox is made with (default: auto, the first that works)"
    sub.add_argument("--engine", choices=engines, help=about)
    modes = ("none", "providers", "allowlist", "open")
    sub.add_argument("--network", choices=modes, help="what the sandbox may reach")
    sub.add_argument(
        "--project-config",
        choices=("apply", "ignore"),
        help="with ignore it runs without what the repository asks for and nobody trusted "
        "(see `rover trust`)",
    )
    about = "what of its devcontainer.json counts: nothing, all but its commands, all"
    sub.add_argument("--devcontainer", choices=("off", "image", "all"), help=about)
    about = "an input of the workflow; may be repeated"
    sub.add_argument("--input", metavar="NAME=VALUE", action="append", default=[], help=about)
    sub.add_argument("--script", metavar="FILE", help="what the agent `scripted` plays")
    sub.add_argument("--request-key", metavar="KEY", help="the same key makes no second task")
    _add_budget(sub)
    sub.add_argument("--no-auto-resume", action="store_true", help="after a pause wait for you")
    sub.add_argument("--watch", "--wait", action="store_true", help="stay until it stops")
    about = "only show which steps would run, with outputs made up; --workflow may be a file"
    sub.add_argument("--dry-run", action="store_true", help=about)


def _add_budget(sub: Parser) -> None:
    sub.add_argument(
        "--budget-usd", type=float, metavar="USD", help="what it may cost before it pauses and asks"
    )
    sub.add_argument("--budget-tokens", type=int, metavar="N", help="the same in tokens")


def _add_list(sub: Parser) -> None:
    sub.add_argument("--status", metavar="WORD", action="append", default=[], help=STATUSES)
    sub.add_argument("--all", action="store_true", help="of all repositories")
    sub.add_argument("--repo", metavar="PATH", help="of this repository")
    sub.add_argument("--limit", type=int, default=20, metavar="N", help="at most (default: 20)")
    sub.add_argument("--cursor", metavar="TEXT", help="continue where a page ended")
    _add_format(sub, "list", "{number} {status} {title}")


def _add_format(sub: Parser, kind: str, example: str) -> None:
    def read(text: str) -> object:
        # Only who asks for it needs it.
        from rover_mcp.cli.fields import KINDS, BadTemplate, template

        try:
            return template(text, KINDS[kind])
        except BadTemplate as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    about = f"print only fields, as '{example}'; a wrong one lists all"
    sub.add_argument("--format", metavar="TEMPLATE", type=read, help=about)


def _add_status(sub: Parser) -> None:
    _add_format(sub, "status", "{queue.running} {engines}")


def _add_task_commands(command: Commands) -> None:
    about = "show one task: status, steps, pause, usage"
    command("inspect", "commands:inspect", about, _add_inspect)
    about = "show its steps live; exit 0 completed, 1 failed, 2 paused"
    command("watch", "commands:watch_", about, _add_task)
    about = "wait until one pauses or ends; exit 0 completed, 1 failed, 2 paused, 3 none runs"
    command("wait", "wait:wait", about, _add_wait)
    command("resume", "verbs:resume", "continue from the checkpoint", _add_resume)
    about = "switch whether paused tasks continue by themselves"
    command("auto-resume", "commands:auto_resume", about, _add_switch)
    command("pause", "verbs:pause", "stop it, to continue later", _add_tasks)
    about = "start a failed task over, from its base"
    command("restart", "verbs:restart", about, _add_tasks)
    about = "end it; its work is kept, and resume continues it"
    command("cancel", "verbs:cancel", about, _add_tasks)
    about = "delete it; without --yes only say what would be lost"
    command("delete", "verbs:delete", about, _add_delete)
    about = "delete the tasks that are completed; without --yes only say which"
    command("prune", "verbs:prune", about, _add_prune)
    command("logs", "logs:logs", "show what a step printed", _add_logs)
    command("diff", "commands:diff", "show what it changed against its base", _add_diff)


def _add_task(sub: Parser) -> None:
    sub.add_argument("task", metavar="TASK", help="its id, or its number in this project")
    sub.add_argument("--repo", metavar="PATH", help="whose number (default: here)")


def _add_tasks(sub: Parser) -> None:
    about = "their ids, or their numbers in this project"
    sub.add_argument("tasks", metavar="TASK", nargs="+", help=about)
    sub.add_argument("--repo", metavar="PATH", help="whose numbers (default: here)")


def _add_prune(sub: Parser) -> None:
    sub.add_argument("--yes", action="store_true", help="do it")
    about = "of these statuses (default: COMPLETED, MERGED, PUSHED); may be repeated"
    sub.add_argument("--status", metavar="WORD", action="append", default=[], help=about)
    sub.add_argument("--all", action="store_true", help="of all repositories")
    sub.add_argument("--repo", metavar="PATH", help="of this repository (default: here)")


def _add_inspect(sub: Parser) -> None:
    _add_task(sub)
    sub.add_argument("--full", action="store_true", help="outputs, changes and events too")
    _add_format(sub, "inspect", "{status} {branch}")


def _add_wait(sub: Parser) -> None:
    sub.add_argument("tasks", metavar="TASK", nargs="*", help="the first of these that stops")
    sub.add_argument("--any", action="store_true", help="any that runs here")
    sub.add_argument("--repo", metavar="PATH", help="whose numbers (default: here)")


def _add_resume(sub: Parser) -> None:
    _add_tasks(sub)
    sub.add_argument("--at-reset", action="store_true", help="when the provider allows it, not now")
    sub.add_argument("--agent", metavar="NAME", help="another one continues (default: the same)")
    sub.add_argument("--model", metavar="NAME", help="another model (default: the same)")
    sub.add_argument("--accept", action="store_true", help="deliver what waits for a look")
    _add_budget(sub)
    sub.add_argument("--watch", "--wait", action="store_true", help="stay until it stops")


def _add_delete(sub: Parser) -> None:
    _add_tasks(sub)
    sub.add_argument("--yes", action="store_true", help="do it")


def _add_logs(sub: Parser) -> None:
    _add_task(sub)
    sub.add_argument("--step", metavar="ID", help="default: the one that wrote last")
    sub.add_argument("--tail", type=int, metavar="N", help="lines from the end (default: 100)")
    sub.add_argument("-f", "--follow", action="store_true", help="as it grows, until it stops")


def _add_diff(sub: Parser) -> None:
    _add_task(sub)
    sub.add_argument("paths", metavar="PATH", nargs="*", default=[], help="only these")
    sub.add_argument("--no-pager", action="store_true", help="all at once, also at a terminal")
    form = sub.add_mutually_exclusive_group()
    form.add_argument("--stat", action="store_true", help="totals and files only")
    form.add_argument("--patch", action="store_true", help="all of it, byte for byte: | git apply")


def _add_switch(sub: Parser) -> None:
    sub.add_argument("switch", choices=("on", "off"), help="off drops what is scheduled, at once")
    sub.add_argument("task", metavar="TASK", nargs="?", help="one task; or one of:")
    sub.add_argument("--project", action="store_true", help="every task of this project")
    sub.add_argument("--all", action="store_true", help="every task of every project")
    sub.add_argument("--repo", metavar="PATH", help="whose project or number (default: here)")


def _add_workflow(sub: Parser) -> None:
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


def _add_init(sub: Parser) -> None:
    sub.add_argument("--repo", metavar="PATH", help="the repository (default: here)")
    sub.add_argument("--dry-run", action="store_true", help="print it, and write nothing")
    sub.add_argument("--force", action="store_true", help="keep the old one beside the new one")


def _add_trust(sub: Parser) -> None:
    sub.add_argument("path", metavar="PATH", nargs="?", help="the repository (default: here)")
    sub.add_argument("--base-branch", metavar="REF", help="as for a task that starts there")
    how = sub.add_mutually_exclusive_group()
    how.add_argument("--show", action="store_true", help="only show it")
    how.add_argument("--revoke", action="store_true", help="stop trusting it")


def _add_forget(sub: Parser) -> None:
    about = "the repository, or where it was (default: here)"
    sub.add_argument("path", metavar="PATH", nargs="?", help=about)
    about = "do it without asking; otherwise only a yes at a terminal does it"
    sub.add_argument("--yes", action="store_true", help=about)


def _add_setup(sub: Parser) -> None:
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


def _add_config(sub: Parser) -> None:
    add = Commands(sub, "ACTION", dest="action")
    for name, about in (
        ("check", "read it; an error is shown as file:line:column: message"),
        ("show", "what it says, as JSON"),
        ("schema", "its language as JSON Schema, for editors"),
    ):
        action = add(name, "commands:config", about)
        if name != "schema":
            action.add_argument("file", metavar="FILE", nargs="?", help="default: of this project")


def _add_image(sub: Parser) -> None:
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


def _add_hooks(sub: Parser) -> None:
    action = Commands(sub, "ACTION")
    action("list", "hooks:list_", "list those of config.yaml, with what they delivered")
    test = action("test", "hooks:test", "send one, or all, a test message")
    test.add_argument("name", metavar="NAME", nargs="?", help="default: all")
    action("dead", "hooks:dead", "list deliveries that were given up")
    retry = action("retry", "hooks:retry", "try one of these again")
    retry.add_argument("id", metavar="ID", help="see `rover hooks dead`")


def _add_token(sub: Parser) -> None:
    action = Commands(sub, "ACTION")
    new = action("new", "tokens:new", "make a token and print it, this once")
    new.add_argument("name", metavar="NAME", help="the user, who sees the tasks of this name")
    scopes = ("read", "write")
    new.add_argument("--scope", choices=scopes, default="write", help="read: change nothing")
    action("list", "tokens:list_", "whose tokens there are; never the tokens")
    gone = action("revoke", "tokens:revoke", "make the user's tokens invalid, from now on")
    gone.add_argument("name", metavar="NAME", help="see `rover token list`")
