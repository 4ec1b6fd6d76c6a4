"""`rover-mcp`: what an assistant starts. It connects its stdin and stdout to the daemon's socket.

It starts the daemon if none runs, continues with another one if it dies, and ends at once when the
client does. Standard library only.
"""

from __future__ import annotations

import os
import signal
import sys
from collections import deque

from rover_mcp import __version__
from rover_mcp.launcher.daemon_client import DaemonUnavailable
from rover_mcp.launcher.frame_pump import Launcher, print_error
from rover_mcp.launcher.handshake import TOOL_SETS, TOOLS, data_folder_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

USAGE = f"""\
usage: rover-mcp [--home DIR] [--read-only | --tools SETS] [--foreground | --http [HOST:PORT]]
                 [--version] [--help]

Rover's MCP server on stdin and stdout, for assistants to start. At a terminal, use `rover`.

  --home DIR     the data folder (default: $ROVER_HOME, or ~/.local/share/rover)
  --tools SETS   offer only these sets of tools, separated by commas: read (look at tasks),
                 run (create, resume, pause, cancel, restart), admin (switches, delete)
  --read-only    the same as --tools read
  --foreground   serve in this process, without a daemon (for containers and CI)
  --http [HOST:PORT]
                 serve Streamable HTTP (default: 127.0.0.1:8765) to users with a token
                 (`rover token new NAME`); see docs/http.md
  --version      print the version ({__version__})
  --help         print this help
"""


def parse_arguments(arguments: list[str]) -> tuple[str, bool, str | None]:
    """The data folder, whether to serve in one process, and the address for HTTP. Ends the
    process for --help, --version (status 0) and for what it does not know (status 2)."""
    home, foreground, http = data_folder_name(os.environ), False, None
    rest = deque(arguments)
    while rest:
        option, equals, value = rest.popleft().partition("=")
        if option == "--home" and (value or (rest and not equals)):
            home = os.path.abspath(os.path.expanduser(value or rest.popleft()))  # noqa: PTH100, PTH111
        elif option == "--read-only" and not equals:
            os.environ[TOOLS] = TOOL_SETS[0]
        elif option == "--tools" and (value or (rest and not equals)):
            os.environ[TOOLS] = _sets(value or rest.popleft())
        elif option == "--foreground" and not equals:
            foreground = True
        elif option == "--http":
            follows = not equals and rest and not rest[0].startswith("-")
            http = rest.popleft() if follows else value
        elif option in ("--help", "-h", "--version"):
            os.write(1, (USAGE if option != "--version" else f"{__version__}\n").encode())
            raise SystemExit(0)
        else:
            print_error(f"rover-mcp: unknown option {option!r}, or its value is missing\n\n{USAGE}")
            raise SystemExit(2)
    if os.environ.get(TOOLS):
        os.environ[TOOLS] = _sets(os.environ[TOOLS])
    if http is not None and os.environ.get(TOOLS):
        print_error(
            "rover-mcp: with --http, a token's scope limits its tools: rover token new --scope"
        )
        raise SystemExit(2)
    if foreground and http is not None:
        print_error("rover-mcp: --http and --foreground cannot be combined")
        raise SystemExit(2)
    return home, foreground, http


def _sets(value: str) -> str:
    """The sets of an option or of $ROVER_TOOLS. Ends the process if one is unknown (status 2)."""
    names = [name.strip() for name in value.split(",")]
    if wrong := [name for name in names if name not in TOOL_SETS]:
        print_error(
            f"rover-mcp: {wrong[0]!r} is not a set of tools; choose from {', '.join(TOOL_SETS)}"
        )
        raise SystemExit(2)
    return ",".join(names)


def serve_in_foreground(home: str) -> NoReturn:
    """Become the daemon, with the client's own stdin, stdout and environment."""
    from rover_mcp.launcher.daemon_start import importable

    environ = importable(dict(os.environ))
    # -P: a file in the user's working folder must not be imported as a module.
    arguments = [sys.executable, "-P", "-m", "rover_mcp.daemon", "--foreground"]
    os.execve(sys.executable, arguments, {**environ, "ROVER_HOME": home})  # noqa: S606


def _end(_number: int, _frame: object) -> None:
    os._exit(0)


def main() -> NoReturn:
    """The command `rover-mcp`."""
    # Claude Code sends SIGINT and kills the process 0.1 s later, so nothing is cleaned up here:
    # whatever has to survive is in the daemon.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)
    home, foreground, http = parse_arguments(sys.argv[1:])
    if http is not None:
        from rover_mcp.launcher.http_listener import serve_http

        os._exit(serve_http(home, http))
    if foreground:
        serve_in_foreground(home)
    try:
        if os.isatty(0):
            print_error(
                "rover-mcp speaks MCP, one JSON message per line. At a terminal, use `rover`."
            )
        launcher = Launcher(home)
    except (OSError, DaemonUnavailable) as error:
        print_error(f"rover-mcp: cannot serve: {error}")
        raise SystemExit(1) from None
    launcher.run()
    launcher.finish_output()
    os._exit(0)


if __name__ == "__main__":
    main()
