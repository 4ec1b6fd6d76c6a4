"""`rover race` and `rover choose`: how the tasks of a race compare, and keeping one of them."""

from __future__ import annotations

import argparse

from agent_runner.json_object import Json
from rover_mcp.cli.cli_wording import for_terminal
from rover_mcp.cli.client import ClientError
from rover_mcp.cli.copyable_command import is_here, next_command
from rover_mcp.cli.listing import dollars
from rover_mcp.cli.terminal_text import Paint, clean, local_times, table, when, wrap
from rover_mcp.cli.tool_commands import call, of_task, show
from rover_mcp.domain.durations import about

Arguments = argparse.Namespace


def race(args: Arguments) -> int:
    """Compare the tasks of a race.

    Raises:
        ClientError: the task is in none.
    """
    result = call(args, "inspect", **of_task(args))
    if not result.get("race"):
        raise ClientError(
            f"task {clean(args.task)} is not part of a race",
            code="no_race",
            hint="a race is created by rover create --agents a,b or rover fork 3 --agents a,b",
        )
    show(args, result, raced)
    return 0


def choose(args: Arguments) -> int:
    """Keep one task of a race; without --yes only say what would happen to the others."""
    given = of_task(args)
    result = call(args, "delete_task", **given, others=True, confirm=args.yes or None)
    show(args, result, _chosen)
    return 0


def begun(result: Json, paint: Paint) -> list[str]:
    """What was created: the tasks of a race, or a single one."""
    if result.get("race"):
        from rover_mcp.cli.render import warnings

        return [*raced(result, paint), "", *warnings(result["task"], paint)]
    from rover_mcp.cli.render import task

    return task(result, paint)


def check_follows_one(args: Arguments) -> None:
    """
    Raises:
        ClientError: --watch is given for several tasks.
    """
    names = [name for name in (args.agents or "").split(",") if name.strip()]
    if args.watch and len(names) > 1:
        raise ClientError(
            "--watch follows one task, and a race has several",
            code="invalid_arguments",
            hint="leave it out; rover race 3 compares them, rover wait --any waits",
        )


def raced(result: Json, paint: Paint) -> list[str]:
    """The tasks of a race in a table, how it stands, and what to do next."""
    view: Json = result["race"]
    racers: list[Json] = view["racers"]
    lines = table([_row(racer, paint) for racer in racers], paint, _HEADER)
    if common := view.get("common"):
        lines += ["", *wrap(f"All of them changed: {', '.join(map(clean, common))}", paint.width)]
    lines += ["", *wrap(f"The race is {clean(view['standing'])}.", paint.width, "")]
    if budget := view.get("budget"):
        lines += wrap(f"Budget: {clean(budget)}.", paint.width, "")
    return [*lines, "", *_next(result["task"], racers, paint)]


_DONE = ("COMPLETED", "MERGED", "PUSHED")
_HEADER = ("#", "agent", "status", "checks", "files", "common", "lines", "cost", "tokens",
           "worked", "waited", "phase")  # fmt: skip


def _row(racer: Json, paint: Paint) -> list[str]:
    files, cost, tokens = racer.get("files"), racer.get("cost_usd"), racer.get("tokens")
    model = f" {clean(racer['model'])}" if racer.get("model") else ""
    # The status and the checks say the same of a task that has ended.
    is_over = racer["status"] in (*_DONE, "CANCELLED")
    phase = "" if is_over else clean(for_terminal(racer["phase"]))
    if racer.get("waits_until"):
        phase = f"{phase}, until {when(racer['waits_until'], paint.now())}"
    if racer.get("in_trash_until"):
        phase = f"in the trash until {when(racer['in_trash_until'], paint.now())}"
    return [
        str(racer["number"]),
        clean(racer["agent"]) + model,
        racer["status"],
        clean(racer.get("checks") or ""),
        "" if files is None else str(files),
        "" if files is None else str(racer.get("in_common") or 0),
        "" if files is None else f"+{racer['added']} -{racer['removed']}",
        dollars(cost) if cost else "",
        f"{tokens:,}" if tokens else "",
        about(racer["worked_s"]),
        about(racer["waited_s"]),
        phase,
    ]


def _next(task: Json, racers: list[Json], paint: Paint) -> list[str]:
    left = [racer for racer in racers if not racer.get("in_trash_until")]
    done = [racer for racer in left if racer["status"] in _DONE]
    # The first proposal is one that the project's own checks found nothing wrong with.
    done.sort(key=lambda racer: str(racer.get("checks")).startswith("failed"))
    if not done:
        name = _name(task, left[0]) if left else "TASK"
        return next_command(f"rover watch {name}", "learn when it pauses or ends", paint)
    name = _name(task, done[0])
    if len(left) < 2:
        return next_command(f"rover merge {name}", "see what a merge would do", paint)
    return next_command(f"rover choose {name}", "see what choosing it would do", paint)


def _name(task: Json, racer: Json) -> str:
    return str(racer["number"]) if is_here(task["repo_path"]) else clean(racer["task"])


def _chosen(result: Json, paint: Paint) -> list[str]:
    until = result.get("until")
    goes = paint("trash", "yellow") if until else paint("lost ", "red")
    rows = [
        f"{paint('kept ', 'green') if i['kept'] else goes}  {clean(i['what'])}  "
        + clean(for_terminal(i["detail"]))
        for i in result["items"]
    ]
    if until:
        rows.append(f"What is in the trash can be restored until {local_times(until)}.")
    if result["chosen"]:
        return [*rows, "Chosen."]
    command = f"rover choose {clean(result['task'][:8])} --yes"
    return [*rows, "", f"Nothing is chosen yet. To choose it: {command}"]
