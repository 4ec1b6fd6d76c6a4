"""Spawn to the answer of `initialize`: the launcher with a warm daemon, beside a bare server on
the same SDK and an idle Python. DESIGN.md section 13: under 1/10 of the bare server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.tables import Row, interleaved, median_ms, show

ROUNDS = 15
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "bench", "version": "0"},
    },
}
BARE_SERVER = """\
import anyio
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

async def main():
    server = Server("bare")
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())

anyio.run(main)
"""


def spawn_to_answer(argv: list[str], env: dict[str, str]) -> float:
    """Seconds from the start of a server on stdio to its answer to `initialize`."""
    begin = time.perf_counter()
    with subprocess.Popen(
        argv, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(INITIALIZE).encode() + b"\n")
        process.stdin.flush()
        answer = json.loads(process.stdout.readline())
        took = time.perf_counter() - begin
        assert answer["result"]["protocolVersion"] == "2025-11-25"
        process.stdin.close()
        process.wait(10)
    return took


def spawn_to_end(argv: list[str], env: dict[str, str]) -> float:
    begin = time.perf_counter()
    subprocess.run(argv, env=env, check=True)
    return time.perf_counter() - begin


def main() -> None:
    """Print the section of the table."""
    from rover_mcp.demo.demo_environment import end_daemon
    from rover_mcp.launcher.daemon_start import importable

    with tempfile.TemporaryDirectory(prefix="rover-bench-") as folder:
        home = Path(folder) / "home"
        env = importable({**os.environ, "ROVER_HOME": str(home)})
        launcher = [sys.executable, "-P", "-m", "rover_mcp.launcher.main"]
        # This one stays connected, so that the daemon does not end in between.
        anchor = subprocess.Popen(launcher, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            assert anchor.stdin is not None
            assert anchor.stdout is not None
            anchor.stdin.write(json.dumps(INITIALIZE).encode() + b"\n")
            anchor.stdin.flush()
            anchor.stdout.readline()
            times = interleaved(
                {
                    "bare": lambda: spawn_to_answer([sys.executable, "-c", BARE_SERVER], env),
                    "launcher": lambda: spawn_to_answer(launcher, env),
                    "idle": lambda: spawn_to_end([sys.executable, "-c", "pass"], env),
                },
                ROUNDS,
            )
        finally:
            anchor.send_signal(signal.SIGTERM)
            anchor.wait(10)
            for pipe in (anchor.stdin, anchor.stdout):
                if pipe is not None:
                    pipe.close()
            end_daemon(home)
    bare, ours, idle = (median_ms(times[name]) for name in ("bare", "launcher", "idle"))
    show(
        f"Spawn to the answer of initialize (median of {ROUNDS}, interleaved)",
        [
            Row("bare server on the same SDK", bare),
            Row("rover-mcp, daemon running", ours, "bare server", ours / bare, "0.10"),
            Row("python -c pass, to its end", idle),
            Row("rover-mcp without Python's own start", ours - idle),
        ],
    )


if __name__ == "__main__":
    main()
