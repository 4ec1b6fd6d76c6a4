#!/bin/sh
# The launcher that is installed here. Nothing is fetched: an index may hold another's program.
if command -v rover-mcp >/dev/null 2>&1; then exec rover-mcp; fi
echo "rover: rover-mcp is not on the path; install Rover as its README says, then restart Claude Code" >&2
exit 127
