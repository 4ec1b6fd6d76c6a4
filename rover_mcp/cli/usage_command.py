"""`rover usage`: what tasks used and how long they waited, as tables, CSV or JSON."""

from __future__ import annotations

import argparse
import re
from datetime import date, datetime, time, timedelta

from agent_runner.duration_grammar import parse_duration
from agent_runner.json_object import Json
from rover_mcp.cli.client import ClientError
from rover_mcp.cli.terminal_text import clean
from rover_mcp.cli.tool_commands import connect, show
from rover_mcp.cli.usage_csv import usage_csv
from rover_mcp.cli.usage_text import usage_lines

DAYS_SHOWN = 366
"""How many days have a line of their own if no --since is given."""
MOST_DAYS = 4000
_DAYS = re.compile(r"(?P<count>\d{1,4}) ?(?P<unit>d|days?|w|weeks?)")
_WORDS = {"today": 0, "yesterday": 1}


def usage(args: argparse.Namespace) -> int:
    """Print what tasks used.

    Raises:
        ClientError: --since cannot be read, or both --csv and --json are given.
    """
    if args.csv and args.json:
        raise ClientError("give either --csv or --json", code="invalid_arguments")
    now = datetime.now().astimezone()
    since = since_time(args.since, now) if args.since else None
    wanted: Json = {"by": args.by, "since": since.timestamp() if since else 0}
    if args.by == "day":
        wanted["days"] = days(since, now)
    client = connect(args)
    try:
        result = client.request_for_long("rover/usage", wanted)
    finally:
        client.close()
    if args.csv:
        print(usage_csv(result), end="")
    else:
        show(args, result, usage_lines)
    return 0


def since_time(text: str, now: datetime) -> datetime:
    """The time that `--since` names, in the time zone of the user.

    Raises:
        ClientError: it cannot be read, or is not in the past.
    """
    moment = _moment(text.strip(), now)
    if moment is None:
        raise ClientError(
            f"{clean(text)[:60]!r} is not a time",
            code="invalid_arguments",
            hint="give a day or a time (2026-11-01, '2026-11-01 14:00'), today, or how long ago: "
            "12h, 7d, 4w",
        )
    if moment.timestamp() < 0 or moment > now:
        raise ClientError(f"{clean(text)[:60]!r} is not in the past", code="invalid_arguments")
    return moment


def _moment(text: str, now: datetime) -> datetime | None:
    if text in _WORDS:
        return _start_of(now.date() - timedelta(days=_WORDS[text]))
    if match := _DAYS.fullmatch(text):
        weeks = match["unit"].startswith("w")
        return (now - timedelta(days=int(match["count"]) * (7 if weeks else 1))).astimezone()
    if (seconds := parse_duration(text)) is not None:
        return (now - timedelta(seconds=min(seconds, 1e9))).astimezone()
    try:
        # Without an offset it is a time on the user's own clock.
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError, OSError):
        return None


def days(since: datetime | None, now: datetime) -> list[Json]:
    """The days from `since` to now with their beginnings, in the time zone of the user. Without a
    `since` the last DAYS_SHOWN; MOST_DAYS at most."""
    first = since.date() if since else now.date() - timedelta(days=DAYS_SHOWN - 1)
    first = max(first, now.date() - timedelta(days=MOST_DAYS - 1))
    count = (now.date() - first).days + 1
    listed = [first + timedelta(days=n) for n in range(count)]
    return [{"day": day.isoformat(), "at": _start_of(day).timestamp()} for day in listed]


def _start_of(day: date) -> datetime:
    # A time without a zone is the local one, whose offset differs from day to day.
    return datetime.combine(day, time.min).astimezone()
