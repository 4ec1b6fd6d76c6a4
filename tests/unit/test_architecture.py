"""Who may import whom, read from the sources."""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STANDARD = sys.stdlib_module_names


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@functools.cache
def imports(path: Path) -> tuple[str, ...]:
    return tuple(_imports(path))


def _imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, at any depth of it, by absolute name."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide from this test"
            assert node.module is not None
            children = [ROOT.joinpath(*node.module.split("."), a.name) for a in node.names]
            named = [
                f"{node.module}.{c.name}"
                for c in children
                if c.with_suffix(".py").exists() or c.is_dir()
            ]
            yield from named or [node.module]


def within(name: str, packages: frozenset[str]) -> bool:
    return any(name == p or name.startswith(f"{p}.") for p in packages)


def used(package: str) -> dict[str, set[str]]:
    """Imported module -> files of `package` that import it."""
    found: dict[str, set[str]] = {}
    place = ROOT.joinpath(*package.split("."))
    files = sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
    assert files, package
    for path in files:
        for name in imports(path):
            found.setdefault(name, set()).add(str(path.relative_to(ROOT)))
    return found


def offences(
    package: str, forbidden: frozenset[str], allowed: frozenset[str] = frozenset()
) -> dict[str, set[str]]:
    return {
        n: f for n, f in used(package).items() if within(n, forbidden) and not within(n, allowed)
    }


def test_the_runner_imports_nothing_of_the_host() -> None:
    assert not offences("agent_runner", frozenset({"rover_mcp"}))


def test_the_runner_needs_three_packages_and_no_more() -> None:
    """What has to be inside every sandbox. The driver for the Agent Client Protocol
    adds its types, and is imported by name, where such an agent runs."""
    modules = used("agent_runner")
    third_party = {name.split(".")[0] for name in modules} - STANDARD
    assert third_party - {"agent_runner"} <= {"pydantic", "yaml", "anyio", "acp"}
    users = {f for n in modules if within(n, frozenset({"acp"})) for f in modules[n]}
    assert users == {"agent_runner/agents/acp.py"}
    assert "agent_runner.agents.acp" not in modules


def test_packages_import_only_from_the_layers_below_them() -> None:
    """The contracts stand in pyproject.toml; `make check` tells which import breaks one."""
    done = subprocess.run(
        [sys.executable, "-m", "importlinter.cli", "lint-imports", "--no-cache"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_launcher_needs_the_standard_library_only() -> None:
    """It starts with every assistant. The module of locks is the runner's, and needs no more."""
    own = frozenset({"rover_mcp.launcher", "agent_runner.process.locks"})
    names = [*used("rover_mcp.launcher"), *used("agent_runner.process.locks")]
    heavy = {
        name
        for name in names
        if name.split(".")[0] not in STANDARD and name != "rover_mcp" and not within(name, own)
    }

    assert not heavy


def test_the_supervisor_needs_the_standard_library_only() -> None:
    """It runs as a file, without the folder of installed packages."""
    shared = frozenset({"agent_runner.atomic_write", "agent_runner.process.locks"})
    modules = ["rover_mcp.sandbox.supervise", *shared]
    heavy = {
        name
        for module in modules
        for name in used(module)
        if name.split(".")[0] not in STANDARD and name not in shared
    }

    assert not heavy


def test_only_the_control_plane_knows_dbos_and_only_the_engine_docker() -> None:
    """A seam is one file wide."""
    users = used("rover_mcp")
    assert all(
        f.startswith("rover_mcp/control/")
        for n in users
        if within(n, frozenset({"dbos"}))
        for f in users[n]
    )
    assert all(
        f.startswith("rover_mcp/sandbox/docker")
        for n in users
        if within(n, frozenset({"docker"}))
        for f in users[n]
    )


def test_no_package_imports_the_tests() -> None:
    for package in ("rover_mcp", "agent_runner"):
        assert not offences(package, frozenset({"tests", "pytest", "hypothesis"}), frozenset())


def test_the_reader_of_imports_sees_what_is_hidden_in_functions(tmp_path: Path) -> None:
    hidden = tmp_path / "hidden.py"
    hidden.write_text(
        "def f():\n    if 1:\n        from rover_mcp.git import hub\n        import docker.errors\n"
    )
    assert set(imports(hidden)) == {"rover_mcp.git.hub", "docker.errors"}
    assert module_name(ROOT / "rover_mcp" / "git" / "__init__.py") == "rover_mcp.git"


def test_a_web_server_is_imported_only_where_http_is_asked_for() -> None:
    """The SDK itself loads both with its server; what we build on them waits."""
    for module in ("starlette", "uvicorn"):
        users = {f for name, files in imported(module) for f in files}
        assert users <= {
            "rover_mcp/daemon/http_service.py",
            "rover_mcp/server/board/board_endpoint.py",
            "rover_mcp/server/http/http_endpoint.py",
            "rover_mcp/server/http/middleware.py",
        }
    code = "import sys, rover_mcp.daemon.daemon, rover_mcp.cli.command_line; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    loaded = set(done.stdout.split())
    assert not {"rover_mcp.daemon.http_service", "rover_mcp.server.http.http_endpoint"} & loaded


def imported(package: str) -> list[tuple[str, set[str]]]:
    every = used("rover_mcp")
    return [(n, files) for n, files in every.items() if within(n, frozenset({package}))]


@pytest.mark.known_escape(22)
def test_nothing_judges_a_command_by_reading_it() -> None:
    """A sandbox confines whatever runs; a filter of commands is talked round. So no command is
    taken apart but the user's own: the one that prints a credential, and $EDITOR. Agents run
    without a filter."""
    parsers = frozenset({"bashlex", "pyparsing", "tree_sitter", "shellcheck"})
    for package in ("rover_mcp", "agent_runner"):
        assert not offences(package, parsers)
    taken_apart = {
        str(path.relative_to(ROOT))
        for package in ("rover_mcp", "agent_runner")
        for path in (ROOT / package).rglob("*.py")
        if {"shlex.split", "shlex.shlex"} & calls(path)
    }
    assert taken_apart == {
        "rover_mcp/cli/checkout_command.py",
        "rover_mcp/cli/text_editor.py",
        "rover_mcp/daemon/key_commands.py",
    }
    agents = {
        path.stem: path.read_text("utf-8") for path in (ROOT / "agent_runner/agents").glob("*.py")
    }
    for agent, unasked in {
        "claude": "--dangerously-skip-permissions",
        "codex": "--dangerously-bypass-approvals-and-sandbox",
        "gemini": "yolo",
        "qwen": "yolo",
    }.items():
        assert unasked in agents[agent]


def calls(path: Path) -> set[str]:
    """What a file calls, as it is written there."""
    tree = ast.parse(path.read_text("utf-8"))
    return {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}


@pytest.mark.known_escape(13)
def test_every_listener_is_in_a_file_that_is_known_to_keep_to_this_machine() -> None:
    """The two on loopback are an agent's own way to the gateway; http_front's place is judged
    against `allow_remote`; the others are unix sockets in folders of the user's alone."""
    binding = frozenset(
        {"bind", "create_server", "start_server", "start_unix_server", "create_tcp_listener",
         "create_unix_listener"}
    )  # fmt: skip
    # Those of a container's mounts are no listeners.
    mounts = {"bind", "containers.bind"}
    found = {
        str(path.relative_to(ROOT)): named
        for package in ("rover_mcp", "agent_runner")
        for path in (ROOT / package).rglob("*.py")
        if (named := {c for c in calls(path) if c.rpartition(".")[2] in binding} - mounts)
    }
    assert found == {
        "agent_runner/process/forward.py": {"socket.create_server"},
        "agent_runner/run/shell_session.py": {"listener.bind"},
        "rover_mcp/daemon/connections.py": {"anyio.create_unix_listener"},
        "rover_mcp/daemon/early_answers.py": {"listener.bind"},
        "rover_mcp/gateway/unix_socket.py": {"listener.bind"},
        "rover_mcp/gateway/internet.py": {"probe.bind"},
        "rover_mcp/launcher/http_listener.py": {"sock.bind"},
        "rover_mcp/sandbox/process_engine.py": {"socket.create_server"},
    }
    for path in ("agent_runner/process/forward.py", "rover_mcp/sandbox/process_engine.py"):
        assert 'create_server(("127.0.0.1", ' in (ROOT / path).read_text("utf-8")
