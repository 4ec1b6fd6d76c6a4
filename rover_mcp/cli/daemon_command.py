"""`rover daemon`: shows, stops and restarts the daemon. Showing it does not start it."""

from __future__ import annotations

import argparse
import json
import os
import select
import signal
import socket
import struct
from contextlib import closing, suppress
from datetime import UTC, datetime

from agent_runner.json_object import Json
from rover_mcp import __version__
from rover_mcp.cli.client import ClientError, McpClient
from rover_mcp.cli.terminal_text import Paint, clean, clock, zone
from rover_mcp.cli.tool_commands import home_of, show
from rover_mcp.launcher import glance
from rover_mcp.launcher.handshake import MAX_PREAMBLE_BYTES, PROTOCOL, socket_name

NOT_RUNNING = 3
"""The exit status of `systemctl status` for a service that is not running."""
ANSWER_SECONDS = 20.0
"""A daemon that has just been started answers only after it has imported what it serves with."""
END_SECONDS = 30.0
KILL_SECONDS = 10.0


def status(args: argparse.Namespace) -> int:
    """Show whether a daemon is running, since when, and whether it has this version."""
    state = read_status(home_of(args))
    show(args, state, _status)
    return 0 if state["running"] else NOT_RUNNING


def stop(args: argparse.Namespace) -> int:
    """Stop the daemon. There is no question, as with `systemctl stop docker`, because nothing is
    lost."""
    show(args, _stopped(home_of(args), force=args.force), _stop_lines)
    return 0


def restart(args: argparse.Namespace) -> int:
    """Stop the daemon if one is running, and start this version."""
    home = home_of(args)
    stopped = _stopped(home, force=args.force)
    McpClient.connect(home).close()
    show(args, {**read_status(home), "stopped": stopped["stopped"]}, _status)
    return 0


def read_status(home: str) -> Json:
    """What is known of a data folder's daemon without connecting as a client: an idle daemon of
    another version would end to make room for a client's."""
    state: Json = {
        "running": False, "pid": None, "version": None, "since": None, "home": home,
        "tasks": _tasks(home), "client_version": __version__,
    }  # fmt: skip
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(ANSWER_SECONDS)
        try:
            sock.connect(socket_name(home))
        except OSError:
            return state
        pid = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
        return {**state, "running": True, "pid": pid, **_since(home), **_version(sock)}


def _version(sock: socket.socket) -> Json:
    """The daemon's version. It reports that even to those whose protocol it does not know, and
    refuses."""
    with suppress(OSError, ValueError, KeyError, TypeError), closing(sock.makefile("rb")) as answer:
        sock.sendall(json.dumps({"rover": -PROTOCOL}).encode() + b"\n")
        return {"version": str(json.loads(answer.readline(MAX_PREAMBLE_BYTES))["version"])}
    return {}


def _since(home: str) -> Json:
    """When the daemon started: it writes to its lock file then."""
    with suppress(OSError):
        begun = os.stat(os.path.join(home, "daemon.lock")).st_mtime  # noqa: PTH116, PTH118
        return {"since": datetime.fromtimestamp(int(begun), UTC).isoformat().replace("+00:00", "Z")}
    return {}


def _tasks(home: str) -> Json | None:
    counts = glance.counts(home)
    if counts is None:
        return None
    running = sum(counts.get(status, 0) for status in glance.RUNNING)
    return {"running": running, "paused": counts.get("PAUSED", 0)}


def _stopped(home: str, *, force: bool) -> Json:
    """Stop the daemon.

    Raises:
        ClientError: it does not end.
    """
    state = read_status(home)
    if not state["running"]:
        return {**state, "stopped": None}
    pid: int = state["pid"]
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return {**state, "running": False, "stopped": pid}
    try:
        ended = _ends(process, signal.SIGTERM, END_SECONDS)
        if not ended and force:
            ended = _ends(process, signal.SIGKILL, KILL_SECONDS)
    finally:
        os.close(process)
    if not ended:
        raise ClientError(
            f"the daemon (process {pid}) did not stop within {END_SECONDS:.0f} s",
            code="daemon_runs",
            hint="rover daemon stop --force kills it; what it has recorded is kept",
        )
    return {**state, "running": False, "stopped": pid}


def _ends(process: int, number: signal.Signals, seconds: float) -> bool:
    """Send a signal to a process through its descriptor; whether it has ended in time."""
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(process, number)
    return bool(select.select([process], [], [], seconds)[0])


def _status(state: Json, paint: Paint) -> list[str]:
    if not state["running"]:
        text = f"No daemon is running for {clean(state['home'])}."
        return [text, "The next command that needs one starts it."]
    now = paint.now()
    since = f", since {clock(state['since'], now)} {zone(now)}" if state["since"] else ""
    version = state["version"] or "unknown: it does not answer"
    lines = [f"The daemon is running: process {state['pid']}, version {clean(version)}{since}."]
    if state["version"] not in (None, __version__):
        other = f"This command is of version {__version__}: the daemon is replaced as soon as it "
        lines.append(
            paint(f"{other}has nothing to do, or now, with: rover daemon restart", "yellow")
        )
    lines += [f"Data folder: {clean(state['home'])} (its log is daemon.log there)"]
    if tasks := state["tasks"]:
        lines.append(f"Tasks: {tasks['running']} running, {tasks['paused']} paused")
    return lines


def _stop_lines(state: Json, paint: Paint) -> list[str]:
    if state["stopped"] is None:
        return [f"No daemon is running for {clean(state['home'])}: nothing to stop."]
    lines = [f"Stopped the daemon (process {state['stopped']})."]
    if running := state["tasks"] and state["tasks"]["running"]:
        tasks = "1 task is" if running == 1 else f"{running} tasks are"
        text = f"{tasks} unfinished. The work is checkpointed, and continues when a daemon "
        lines.append(paint(f"{text}runs again: rover daemon restart", "yellow"))
    return [*lines, "Any command that needs a daemon, and any assistant with Rover, starts it."]
