#!/bin/sh
# The launcher that is installed here, else the published one.
if command -v rover-mcp >/dev/null 2>&1; then exec rover-mcp; fi
if command -v uvx >/dev/null 2>&1; then exec uvx rover-mcp; fi
echo "rover: neither rover-mcp nor uvx is on the path; install one of them, then restart Claude Code" >&2
exit 127
