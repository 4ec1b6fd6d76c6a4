"""`rover`: the command for terminals and scripts. A thin MCP client of the daemon."""

from __future__ import annotations

import argparse
import os
import sys

from rover_mcp import __version__
from rover_mcp.cli.parser import build_parser

# `--help` and a completion need none of it.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rover_mcp.cli.client import ClientError
    from rover_mcp.launcher.daemon_client import DaemonUnavailable

    Run = Callable[[argparse.Namespace], int]


def version(args: argparse.Namespace) -> int:
    """Print the version, as --version does."""
    print(f"rover {__version__}")
    return 0


def help_(args: argparse.Namespace) -> int:
    """Print how a command is used, as --help does."""
    build_parser().parse_args([*args.words, "--help"])
    return 0


def completion(args: argparse.Namespace) -> int:
    """Print the completion script for a shell."""
    from rover_mcp.cli.completion import script

    print(script(build_parser(), args.shell), end="")
    return 0


def status_line(args: argparse.Namespace) -> int:
    """See glance.py, which cli/entry.py runs without the imports of this module."""
    return _glance("status-line", args)


def session_start(args: argparse.Namespace) -> int:
    """See glance.py, which cli/entry.py runs without the imports of this module."""
    return _glance("session-start", args)


def _glance(name: str, args: argparse.Namespace) -> int:
    from rover_mcp.launcher import glance

    home = ["--home", args.home] if args.home else []
    return glance.main([name, *home], glance.from_input())


def function(name: str) -> Run:
    """The function that "module:function" names; a module without a dot is one of this package."""
    from importlib import import_module

    module, _, attribute = name.partition(":")
    run: Run = getattr(
        import_module(module if "." in module else f"rover_mcp.cli.{module}"), attribute
    )
    return run


def main(argv: Sequence[str] | None = None) -> int:
    """The command `rover`. Its exit status is 0: done, 1: an error, 64: wrong usage; for watch see
    `exit_code`."""
    args = build_parser().parse_args(argv)
    # What --help does not need.
    from rover_mcp.cli.client import ClientError
    from rover_mcp.domain.errors import RoverError
    from rover_mcp.launcher.daemon_client import DaemonUnavailable

    try:
        status = function(args.run)(args)
        # Here, where a full disk or a closed pipe can still be reported.
        sys.stdout.flush()
        return status
    except (ClientError, DaemonUnavailable) as error:
        return _print_error(error, as_json=args.json)
    except RoverError as error:
        failure = ClientError(error.message, code=error.code, hint=error.hint)
        return _print_error(failure, as_json=args.json)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # `rover list | head`: nobody reads on, and that is no error.
        _end_output()
        return 0
    except OSError as error:
        _end_output()
        message, hint = _of_system(error)
        return _print_error(ClientError(message, code="io", hint=hint), as_json=False)


def _of_system(error: OSError) -> tuple[str, str | None]:
    """An error of the system without its number, and what to do."""
    try:
        os.getcwd()  # noqa: PTH109
    except FileNotFoundError:
        return "the current folder does not exist any more", "change to another one: cd"
    message = error.strerror or str(error)
    return (f"{error.filename}: {message}" if error.filename else message), None


def _end_output() -> None:
    """Make sure that what is left in the buffer is not written, now or when the interpreter
    ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _print_error(error: ClientError | DaemonUnavailable, *, as_json: bool) -> int:
    from rover_mcp.cli import render
    from rover_mcp.cli.client import ClientError
    from rover_mcp.cli.terminal_text import Paint, json_text

    if not isinstance(error, ClientError):
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
