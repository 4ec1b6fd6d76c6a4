"""`rover`: the companion for terminals and scripts. A thin MCP client of the daemon."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from rover_mcp import __version__
from rover_mcp.cli import backup, commands, forget, hooks, images, render, service, tokens
from rover_mcp.cli import login as logins
from rover_mcp.cli.client import ClientError
from rover_mcp.cli.completion import SHELLS, script
from rover_mcp.cli.text import Paint, json_text
from rover_mcp.clients.known import CLIENTS
from rover_mcp.connect import DaemonUnavailable
from rover_mcp.errors import RoverError

# Not 2, which says "paused" (ACCEPTANCE A2): sysexits.h.
EXIT_USAGE = 64
STATUSES = "NEW IN_PROGRESS ITERATING PAUSED COMPLETED FAILED CANCELLED MERGED PUSHED"


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(EXIT_USAGE, f"{self.prog}: {message}\n")


Run = Callable[[argparse.Namespace], int]
Command = Callable[[str, Run | None, str], Parser]


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
    command = _commands(parser, "COMMAND")
    _add_demo(command("demo", commands.demo, "see the whole job work, in a temporary folder"))
    sub = command("doctor", commands.doctor_, "can a task run here, and what is missing if not")
    about = "build lost or damaged records of tasks anew from their files; no daemon may run"
    sub.add_argument("--repair", action="store_true", help=about)
    _add_create(command("create", commands.create, "hand over a task"))
    _add_list(command("list", commands.list_, "tasks of this repository, newest first"))
    _add_task_commands(command)
    sub = command("workflows", commands.workflows, "the workflows that a task may use")
    sub.add_argument("--repo", metavar="PATH", help="the repository (default: here)")
    _add_workflow(command("workflow", None, "check workflow files, print their JSON Schema"))
    _add_init(command("init", commands.init, "write a first .rover/config.yaml for a repository"))
    about = "show what a repository asks for beyond your defaults, and trust it"
    _add_trust(command("trust", commands.trust, about))
    about = "remove all that is kept of a project, and nothing of its repository; says first what"
    _add_forget(command("forget", forget.forget, about))
    about = "check a project's .rover/config.yaml, show it, print its JSON Schema"
    _add_config(command("config", None, about))
    about = "the images that sandboxes are made from: build, list, prune"
    _add_image(command("image", None, about))
    about = "who is told when a task pauses or ends: list, test, dead, retry"
    _add_hooks(command("hooks", None, about))
    about = "who may come over HTTP (rover-mcp --http): new, list, revoke"
    _add_token(command("token", None, about))
    _add_login(command)
    about = "have Rover started after a reboot, so that paused tasks continue: install, status"
    _add_service(command("service", None, about))
    about = "put rover into the assistants of this machine; without --write only show how"
    _add_setup(command("setup", commands.setup, about))
    sub = command("completion", completion, "a script that lets your shell complete rover's words")
    sub.add_argument("shell", choices=SHELLS, help="for example: source <(rover completion bash)")
    _add_backup(command)
    _add_explain(command)
    command("status", commands.status, "engines, agents, queue, disk, versions")
    return parser


def completion(args: argparse.Namespace) -> int:
    """Print the script for a shell."""
    print(script(build_parser(), args.shell), end="")
    return 0


def _add_login(command: Command) -> None:
    about = "keep a provider's key for tasks that go on without a client, in the system's keyring"
    sub = command("login", logins.login, about)
    about = f"one of {', '.join(logins.PROVIDERS)}"
    sub.add_argument("provider", metavar="PROVIDER", nargs="?", help=about)
    sub.add_argument("--name", metavar="NAME", help="of a further account of the provider")
    sub.add_argument("--stdin", action="store_true", help="read the key from standard input")
    sub.add_argument(
        "--base-url", metavar="URL", help="where its API is, if not at its own address"
    )
    sub.add_argument("--list", action="store_true", help="which keys are kept, and where")
    sub = command("logout", logins.logout, "remove a key that `rover login` keeps")
    sub.add_argument("provider", metavar="PROVIDER")
    sub.add_argument("--name", metavar="NAME")


def _add_service(sub: Parser) -> None:
    action = _commands(sub, "ACTION")
    about = "for systemd (--user) or launchd: at each log-in; with lingering at the machine's start"
    action("install", service.install, about)
    action("uninstall", service.uninstall, "remove it; what runs goes on")
    action("status", service.status, "whether it is installed, enabled and at work")


def _add_backup(command: Command) -> None:
    about = "all that the data folder keeps of your tasks as one file; a daemon may be at work"
    sub = command("backup", backup.backup, about)
    about = "a new file, or a folder that gets one: rover-backup-TIME.tar"
    sub.add_argument("target", metavar="FILE|DIR", help=about)
    about = "a backup in place of the data folder, which is kept beside it; no daemon may run"
    sub = command("restore", backup.restore, about)
    about = "what `rover backup` made; of a folder the newest"
    sub.add_argument("source", metavar="FILE|DIR", help=about)


def explain(args: argparse.Namespace) -> int:
    """See cli/explain.py, which is imported late: it brings the readers of a run with it."""
    from rover_mcp.cli.explain import run

    return run(args)


def _add_explain(command: Command) -> None:
    about = "what an error of a provider or an agent means: reason, rule, when it is tried again"
    sub = command("explain", explain, about)
    about = (
        "the error's text, or one JSON object a line (text, status, headers, reader, agent, "
        "provider, fields, now); default: standard input"
    )
    sub.add_argument("file", metavar="FILE|-", nargs="?", default="-", help=about)


def _shared() -> Parser:
    """The options that stand before or behind a command; unset, each leaves the other alone."""
    shared = Parser(add_help=False, argument_default=argparse.SUPPRESS)
    shared.add_argument("--json", action="store_true", help="print the tool's result as JSON")
    about = "the data folder (default: $ROVER_HOME, else ~/.local/share/rover)"
    shared.add_argument("--home", metavar="DIR", help=about)
    return shared


def _add_demo(sub: Parser) -> None:
    sub.add_argument("--engine", choices=("auto", "docker", "podman", "bubblewrap"), default="auto")
    sub.add_argument("--keep", action="store_true", help="leave its folders for you to look at")


def _add_create(sub: Parser) -> None:
    sub.add_argument("description", metavar="DESCRIPTION", help="what to do; - reads it from stdin")
    sub.add_argument("--repo", metavar="PATH", help="the repository (default: here)")
    sub.add_argument("--workflow", metavar="NAME", help="see `rover workflows` (default: swe)")
    sub.add_argument(
        "--agent",
        metavar="NAME[,NAME]",
        help="claude (default) or another of `rover doctor`; the next goes on while an account is "
        "closed",
    )
    sub.add_argument("--model", metavar="NAME", help="the agent's model (default: its own)")
    sub.add_argument("--base-branch", metavar="REF", help="where to start from (default: HEAD)")
    sub.add_argument("--engine", choices=("auto", "docker", "podman", "bubblewrap", "process"))
    modes = ("none", "providers", "allowlist", "open")
    sub.add_argument("--network", choices=modes, help="what the sandbox may reach")
    sub.add_argument(
        "--project-config",
        choices=("apply", "ignore"),
        help="ignore: without what the repository asks for and nobody trusted (rover trust)",
    )
    about = "what of its devcontainer.json counts: nothing, all but its commands, all"
    sub.add_argument("--devcontainer", choices=("off", "image", "all"), help=about)
    sub.add_argument("--input", metavar="NAME=VALUE", action="append", default=[])
    sub.add_argument("--script", metavar="FILE", help="what the agent `scripted` plays")
    sub.add_argument("--request-key", metavar="KEY", help="the same key makes no second task")
    _add_budget(sub)
    sub.add_argument("--no-auto-resume", action="store_true", help="after a pause wait for you")
    sub.add_argument("--watch", "--wait", action="store_true", help="stay until it stops")


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
    sub.add_argument("--cursor", metavar="TEXT", help="go on where a page ended")


def _add_task_commands(command: Command) -> None:
    def about_task(name: str, run: Run, about: str) -> Parser:
        sub = command(name, run, about)
        sub.add_argument("task", metavar="TASK", help="its id, or its number in this project")
        sub.add_argument("--repo", metavar="PATH", help="whose number (default: here)")
        return sub

    sub = about_task("inspect", commands.inspect, "one task: status, steps, pause, usage")
    sub.add_argument("--full", action="store_true", help="outputs, changes and events too")
    about_task("watch", commands.watch_, "its steps live; exit 0 completed, 1 failed, 2 paused")
    sub = about_task("resume", commands.resume, "go on from the checkpoint")
    sub.add_argument("--at-reset", action="store_true", help="when the provider allows it, not now")
    sub.add_argument("--agent", metavar="NAME", help="another one goes on (default: the same)")
    sub.add_argument("--accept", action="store_true", help="deliver what waits for a look")
    _add_budget(sub)
    about = "whether paused tasks go on by themselves"
    _add_switch(command("auto-resume", commands.auto_resume, about))
    about_task("pause", commands.pause, "stop it, to go on later")
    about_task("restart", commands.restart, "start a failed one over, from its base")
    about_task("cancel", commands.cancel, "end it; its work is kept, and resume lets it go on")
    sub = about_task("delete", commands.delete, "forget it; without --yes only say what is lost")
    sub.add_argument("--yes", action="store_true", help="do it")
    sub = about_task("logs", commands.logs, "what a step printed")
    sub.add_argument("--step", metavar="ID", help="default: the one that wrote last")
    sub.add_argument("--tail", type=int, metavar="N", help="lines from the end (default: 100)")
    sub = about_task("diff", commands.diff, "what it changed against its base")
    sub.add_argument("paths", metavar="PATH", nargs="*", default=[], help="only these")
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
    action = _commands(sub, "ACTION")
    about = "read workflow files; an error is told as file:line:column: message"
    check = action("check", commands.workflow_check, about)
    check.add_argument("files", metavar="FILE", nargs="+", help="- reads stdin")
    action("schema", commands.workflow_schema, "the language as JSON Schema, for editors")


def _add_init(sub: Parser) -> None:
    sub.add_argument("--repo", metavar="PATH", help="the repository (default: here)")
    sub.add_argument("--dry-run", action="store_true", help="print it, and write nothing")
    sub.add_argument("--force", action="store_true", help="keep the old one beside the new one")


def _add_trust(sub: Parser) -> None:
    sub.add_argument("path", metavar="PATH", nargs="?", help="the repository (default: here)")
    sub.add_argument("--base-branch", metavar="REF", help="as for a task that starts there")
    how = sub.add_mutually_exclusive_group()
    how.add_argument("--show", action="store_true", help="only show it")
    how.add_argument("--revoke", action="store_true", help="trust it no longer")


def _add_forget(sub: Parser) -> None:
    about = "the repository, or where it was (default: here)"
    sub.add_argument("path", metavar="PATH", nargs="?", help=about)
    about = "do it without a question; else only a yes at a terminal does it"
    sub.add_argument("--yes", action="store_true", help=about)


def _add_setup(sub: Parser) -> None:
    about = f"one of {', '.join(CLIENTS)} (default: those that are found)"
    sub.add_argument("clients", metavar="CLIENT", nargs="*", help=about)
    how = sub.add_mutually_exclusive_group()
    how.add_argument("--write", action="store_true", help="do it; each old file is kept beside it")
    how.add_argument("--dry-run", action="store_true", help="only show it (the default)")
    sub.add_argument("--remove", action="store_true", help="take rover out again")


def _add_config(sub: Parser) -> None:
    add = _commands(sub, "ACTION", dest="action")
    for name, about in (
        ("check", "read it; an error is told as file:line:column: message"),
        ("show", "what it says, as JSON"),
        ("schema", "its language as JSON Schema, for editors"),
    ):
        action = add(name, commands.config, about)
        if name != "schema":
            action.add_argument("file", metavar="FILE", nargs="?", help="default: of this project")


def _add_image(sub: Parser) -> None:
    action = _commands(sub, "ACTION")
    about = "build the image that a task of a project would have now, with the project's set-up"
    build = action("build", images.build, about)
    build.add_argument("--project", dest="repo", metavar="PATH", help="default: this folder")
    build.add_argument("--engine", help="docker or podman; default: as for a task")
    build.add_argument("--image", metavar="IMAGE", help="a base image in place of the project's")
    action("list", images.list_, "those that rover made, on every engine")
    about = "those that no task needs; says what it would remove"
    prune = action("prune", images.prune, about)
    prune.add_argument("--yes", action="store_true", help="remove them")


def _add_hooks(sub: Parser) -> None:
    action = _commands(sub, "ACTION")
    action("list", hooks.list_, "those of config.yaml, and how they do")
    test = action("test", hooks.test, "tell one, or all, that this is a test")
    test.add_argument("name", metavar="NAME", nargs="?", help="default: all")
    action("dead", hooks.dead, "deliveries that were given up")
    retry = action("retry", hooks.retry, "try one of these again")
    retry.add_argument("id", metavar="ID", help="see `rover hooks dead`")


def _add_token(sub: Parser) -> None:
    action = _commands(sub, "ACTION")
    new = action("new", tokens.new, "make a token and print it, this once")
    new.add_argument("name", metavar="NAME", help="the user, who sees the tasks of this name")
    scopes = ("read", "write")
    new.add_argument("--scope", choices=scopes, default="write", help="read: change nothing")
    action("list", tokens.list_, "whose tokens there are; never the tokens")
    gone = action("revoke", tokens.revoke, "the user's tokens count no longer, from now on")
    gone.add_argument("name", metavar="NAME")


def _commands(parser: Parser, metavar: str, dest: str = argparse.SUPPRESS) -> Command:
    """What adds a command to a parser; one without `run` has commands of its own."""
    subparsers = parser.add_subparsers(dest=dest, metavar=metavar, required=True)

    def command(name: str, run: Run | None, about: str) -> Parser:
        sub = subparsers.add_parser(name, help=about, description=about, parents=[_shared()])
        if run:
            sub.set_defaults(run=run)
        return sub

    return command


def main(argv: Sequence[str] | None = None) -> int:
    """The command `rover`. 0 done, 1 an error, 64 wrong usage; watch: see `exit_code`."""
    args = build_parser().parse_args(argv)
    try:
        status = args.run(args)
        # Here, where a full disk or a closed pipe can still be told of.
        sys.stdout.flush()
        return status
    except (ClientError, DaemonUnavailable) as error:
        return _complain(error, as_json=args.json)
    except RoverError as error:
        told = ClientError(error.message, code=error.code, hint=error.hint)
        return _complain(told, as_json=args.json)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # `rover list | head`: nobody reads on, and that is no error.
        _end_output()
        return 0
    except OSError as error:
        _end_output()
        return _complain(ClientError(str(error), code="io"), as_json=False)


def _end_output() -> None:
    """What is left in the buffer is not written, now or when the interpreter ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _complain(error: ClientError | DaemonUnavailable, *, as_json: bool) -> int:
    if isinstance(error, DaemonUnavailable):
        if error.log:
            print(error.log, file=sys.stderr)
        error = ClientError(error.message, code="daemon_unavailable", hint=error.hint)
    if as_json:
        print(json_text(error.as_json()))
    else:
        call = dict(error.next_call) if error.next_call else None
        lines = render.error(error.message, error.hint, call, Paint(sys.stderr))
        print("\n".join(lines), file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
