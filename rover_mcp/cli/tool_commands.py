"""What each command does: it calls one tool and shows the result as text or as the tool's own
JSON."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from agent_runner.json_object import Json
from rover_mcp.cli import render
from rover_mcp.cli.client import ClientError, McpClient
from rover_mcp.cli.copyable_command import name_of, next_step
from rover_mcp.cli.pauses import pause_lines
from rover_mcp.cli.render_diff import diff_lines
from rover_mcp.cli.render_status import status_lines
from rover_mcp.cli.terminal_text import Paint, clean, json_text
from rover_mcp.launcher.daemon_client import has_person
from rover_mcp.launcher.handshake import data_folder_name

Render = Callable[[Json, Paint], list[str]]
MAX_SCRIPT = 1_000_000
Arguments = argparse.Namespace


def home_of(args: Arguments) -> str:
    """The data folder that the command uses."""
    given = getattr(args, "home", None)
    return _absolute(os.path.expanduser(given)) if given else data_folder_name(os.environ)  # noqa: PTH111


def _absolute(path: str) -> str:
    # Without pathlib, whose import would be a good part of what a list takes.
    return os.path.join(os.getcwd(), path) if path else os.getcwd()  # noqa: PTH109, PTH118


def connect(args: Arguments, *, asks: bool = False, only: Json | None = None) -> McpClient:
    """A session with the daemon, whose notice is printed to stderr. `asks`: a question that only
    the user can answer is asked at the terminal, where there is one. `only`: `asks` of
    `McpClient.connect`."""
    home = home_of(args)
    if only is not None:
        client = McpClient.connect(home, asks=only)
    else:
        with_person = asks and has_person()
        client = McpClient.connect(home, ask_person) if with_person else McpClient.connect(home)
    if notice := client.server.get("notice"):
        print(f"rover: {notice}", file=sys.stderr)
    return client


def ask_person(question: str, prompt: str = "Allow it?") -> bool:
    """Ask the person at the terminal; anything but yes means no."""
    # On stderr, because stdout may be a pipe, or JSON for a program.
    print("\n".join(map(clean, question.split("\n"))), file=sys.stderr)
    print(f"{prompt} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def call(args: Arguments, tool: str, **arguments: object) -> Json:
    given = {name: value for name, value in arguments.items() if value is not None}
    # Sent with the first line, so that a daemon that is still starting can answer it at once.
    only = {"tool": tool, "arguments": given} if tool == "list_tasks" else None
    # Only these two can need a person's consent. Being asked is announced when a session opens.
    client = connect(args, asks=tool in ("create_task", "resume_task"), only=only)
    try:
        return client.call(tool, **given) if client.answer is None else client.answer
    finally:
        client.close()


def call_for_long(args: Arguments, tool: str, **arguments: object) -> Json:
    """As `call`, for a tool that depends on how fast another machine is."""
    client = connect(args)
    try:
        return client.call_for_long(tool, **arguments)
    finally:
        client.close()


def with_hint(error: ClientError, paint: Paint) -> list[str]:
    """An error and what to do, as lines."""
    call = dict(error.next_call) if error.next_call else None
    return render.error(error.message, error.hint, call, paint)


def show(args: Arguments, result: Json, render_it: Render) -> None:
    """Print a result, as JSON if the user asked for that."""
    if args.json:
        print(json_text(result))
    else:
        print("\n".join(render_it(result, Paint(sys.stdout))).rstrip("\n"))


def show_fields(args: Arguments, result: Json, things: Sequence[Json], render_it: Render) -> int:
    """Print a result or, with --format, a line of fields for each object in it. The rest of the
    result goes to stderr then.

    Raises:
        ClientError: --json is given too, or a field does not have the type that its format is for.
    """
    if not args.format:
        show(args, result, render_it)
        return 0
    from rover_mcp.cli.fields import BadTemplate

    if args.json:
        raise ClientError("give either --format or --json", code="invalid_arguments")
    try:
        lines = [args.format.fill(thing) for thing in things]
    except BadTemplate as error:
        raise ClientError(f"--format: {error}", code="invalid_arguments") from error
    if lines:
        print("\n".join(lines))
    more = render.more_pages(result, Paint(sys.stderr))
    for line in [*more, *render.attention(result, Paint(sys.stderr))]:
        print(line, file=sys.stderr)
    return 0


def of_task(args: Arguments) -> Json:
    """The arguments that name a task in a tool call: numbers count within a project."""
    # A number counts within a project, so the working folder is sent with it. An id counts
    # everywhere, and works from any folder; 32 digits are an id that happens to have no letters.
    where = args.repo or (_absolute("") if args.task.isdigit() and len(args.task) < 32 else None)
    return {"task": args.task, "repo_path": where}


def create(args: Arguments) -> int:
    description = sys.stdin.read() if args.description == "-" else args.description
    if args.dry_run:
        from rover_mcp.cli import rehearse

        return rehearse.dry_run(args, description, parse_inputs(args.input) or {})
    from rover_mcp.cli.race_command import begun, check_follows_one

    check_follows_one(args)
    result = call(
        args,
        "create_task",
        description=description,
        repo_path=_absolute(args.repo or ""),
        inputs=parse_inputs(args.input),
        auto_resume=False if args.no_auto_resume else None,
        request_key=args.request_key,
        script=read_script(args.script),
        context=args.context or None,
        after=args.after or None,
        context_authors=args.context_author or None,
        **{name: getattr(args, name) for name in args.options},
    )
    if not args.watch:
        show(args, result, begun)
        return 0
    args.task, args.repo = result["task"]["id"], None
    return follow(args, result["task"])


def parse_inputs(pairs: Sequence[str]) -> dict[str, str] | None:
    """`k=v` pairs as a mapping.

    Raises:
        ClientError: one has no `=`.
    """
    inputs: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise ClientError(
                f"--input {pair}: expected name=value",
                code="invalid_arguments",
                hint="for example --input test_command='make test'",
            )
        inputs[name] = value
    return inputs or None


def read_script(path: str | None) -> str | None:
    """The text of a script for the agent `scripted`.

    Raises:
        ClientError: the file cannot be read.
    """
    if path is None:
        return None
    from pathlib import Path

    from rover_mcp.config.safe_read import FileRefused, read_regular

    try:
        return read_regular(Path(path), MAX_SCRIPT).decode()
    except (FileRefused, UnicodeDecodeError) as error:
        raise ClientError(f"--script {path}: {error}", code="invalid_arguments") from error


def list_(args: Arguments) -> int:
    # As git: inside a repository a command is about that repository.
    here = None if args.all else repository_here()
    result = call(
        args,
        "list_tasks",
        status=[word.upper() for word in args.status] or None,
        repo_path=args.repo or here,
        cursor=args.cursor,
        limit=args.limit,
        all_projects=args.all or None,
    )
    return show_fields(args, result, result["tasks"], render.listing)


def repository_here() -> str | None:
    """The working folder, if it is inside a repository."""
    here = os.getcwd()  # noqa: PTH109
    parts = here.split("/")
    above = ("/".join(parts[:n]) for n in range(len(parts), 0, -1))
    return here if any(os.path.exists(f"{folder}/.git") for folder in above) else None  # noqa: PTH110


def inspect(args: Arguments) -> int:
    detail = "full" if args.full else None
    result = call(args, "inspect", **of_task(args), detail=detail)
    return show_fields(args, result, [result["task"]], render.task)


def watch_(args: Arguments) -> int:
    return follow(args, call(args, "inspect", **of_task(args))["task"])


def follow(args: Arguments, task: Json) -> int:
    """Show the task until it stops. With --json only the end is printed to stdout."""
    from rover_mcp.cli.watch_command import exit_code, watch

    try:
        result = watch(lambda: connect(args), task, sys.stderr if args.json else sys.stdout)
    # Ctrl-C ends the watching only, as with `docker logs -f`.
    except KeyboardInterrupt:
        print(f"\nThe task keeps running. To watch it again: rover watch {name_of(task)}")
        return 130
    if args.json:
        show(args, result, render.task)
    else:
        paint, view = Paint(sys.stdout), result["task"]
        lines = [*pause_lines(view, paint), *render.error_lines(view, paint)]
        # Without a terminal, each warning was printed as it came.
        lines = [*(render.warnings(view, paint) if sys.stdout.isatty() else ()), *lines]
        lines += render.attention(result, paint)
        print("\n".join(["", *lines, "", *next_step(view, paint)]).rstrip())
    return exit_code(result["task"])


def auto_resume(args: Arguments) -> int:
    """Switch automatic resumes for a task, a project or all tasks, depending on what is given.

    Raises:
        ClientError: nothing is given, or more than one of these.
    """
    # argparse can make options exclude each other, but not an option and an argument that may be
    # left out.
    if [args.task is not None, args.project, args.all].count(True) != 1:
        raise ClientError(
            "give exactly one of TASK, --project and --all",
            code="invalid_arguments",
            hint=f"for example rover auto-resume {args.switch} --all",
        )
    enabled = args.switch == "on"
    if args.task is not None:
        result = call(args, "set_auto_resume", enabled=enabled, **of_task(args))
    else:
        scope = "all" if args.all else "project"
        where = _absolute(args.repo or "") if args.project else None
        result = call(args, "set_auto_resume", enabled=enabled, scope=scope, repo_path=where)
    show(args, result, render.switched)
    return 0


def diff(args: Arguments) -> int:
    if args.patch:
        from rover_mcp.cli.diff_patch import patch

        return patch(args)
    wanted = {**of_task(args), "paths": args.paths or None}
    if not args.stat:
        result = call(args, "get_diff", **wanted)
        # As git: a pager is for people, never for a pipe.
        if args.json or args.no_pager or not sys.stdout.isatty():
            show(args, result, diff_lines)
            return 0
        from rover_mcp.cli.pager import page

        return page(diff_lines(result, Paint(sys.stdout)), os.environ)
    result = call(args, "get_diff", **wanted, stat_only=True)
    changes, last = result["changes"], result["changes"]
    # A call lists some files only, as much as an assistant should read; a person asked for all.
    while last.get("truncated") and last.get("paths"):
        offset = len(changes["paths"])
        last = call(args, "get_diff", **wanted, stat_only=True, offset=offset)["changes"]
        changes["paths"] += last.get("paths") or []
    changes["truncated"] = last.get("truncated", False)
    show(args, result, diff_lines)
    return 0


def workflows(args: Arguments) -> int:
    result = call(args, "list_workflows", repo_path=args.repo or repository_here())
    show(args, result, render.workflows)
    return 0


def workflow_check(args: Arguments) -> int:
    from rover_mcp.cli import workflow_command

    return workflow_command.check(args)


def workflow_schema(args: Arguments) -> int:
    from rover_mcp.cli import workflow_command

    return workflow_command.schema(args)


def init(args: Arguments) -> int:
    from rover_mcp.cli.init_command import init as write

    return write(args, lambda: connect(args))


def trust(args: Arguments) -> int:
    from rover_mcp.cli.trust_command import trust as decide

    return decide(args)


def setup(args: Arguments) -> int:
    from rover_mcp.cli.setup_command import setup as set_up

    return set_up(args)


def config(args: Arguments) -> int:
    from rover_mcp.cli import config_command as project

    actions = {"check": project.check, "schema": project.schema, "show": project.show}
    return actions[args.action](args)


def status(args: Arguments) -> int:
    result = call(args, "get_status")
    return show_fields(args, result, [result], status_lines)


def doctor_(args: Arguments) -> int:
    if args.repair:
        return repair(args)
    from rover_mcp.cli import doctor_command

    checks, result = doctor_command.run_checks(lambda: connect(args), home_of(args))
    if args.json:
        print(json_text(doctor_command.as_json(checks, result)))
    else:
        print("\n".join(doctor_command.lines(checks, Paint(sys.stdout))))
    return 0 if doctor_command.is_ready(checks) else 1


def repair(args: Arguments) -> int:
    """Rebuild tasks' records from their files."""
    from rover_mcp.cli.offline import run_offline

    done: list[str] = run_offline("repair", home_of(args))
    if args.json:
        print(json_text({"done": done}))
    else:
        print("\n".join([*done, f"{len(done)} repairs." if done else "Nothing to repair."]))
    return 0
