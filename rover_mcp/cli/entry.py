"""The program `rover`. Commands that run again and again, such as a status line, import little."""

from __future__ import annotations

import sys

_GLANCES = ("status-line", "session-start")


# An assistant's status line runs every few seconds, and a session hook delays the first prompt.
def main() -> int:
    """See `rover_mcp.cli.command_line`."""
    argv = sys.argv[1:]
    if argv in (["--version"], ["version"]):
        from rover_mcp import __version__

        print(f"rover {__version__}")
        return 0
    if argv == ["complete-tasks"]:  # what TAB asks, in the script of `rover completion`
        import os

        from rover_mcp.launcher import glance, handshake

        print("\n".join(glance.task_numbers(handshake.data_folder_name(os.environ))))
        return 0
    if argv == ["complete-workflows"]:
        import os

        from rover_mcp.cli.shell_completion import workflow_names
        from rover_mcp.launcher import handshake

        home = handshake.data_folder_name(os.environ)
        print("\n".join(workflow_names(home, os.getcwd())))  # noqa: PTH109
        return 0
    if argv and argv[0] in _GLANCES and not {"-h", "--help"} & {*argv}:
        from rover_mcp.launcher import glance

        return glance.main(argv, glance.from_input())
    from rover_mcp.cli.command_line import main as whole

    return whole()


if __name__ == "__main__":
    sys.exit(main())
