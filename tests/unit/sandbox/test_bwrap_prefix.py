"""What a bubblewrap sandbox is made of, decided by pure functions."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rover_mcp.sandbox import bwrap_prefix, layout
from rover_mcp.sandbox.agent_bundle import AgentBundle
from rover_mcp.sandbox.bwrap_prefix import HostLayout, host_layout
from rover_mcp.sandbox.host_python import HostPython
from rover_mcp.sandbox.protocol import SandboxFolders

MERGED = HostLayout(
    links=[("usr/bin", "/bin")],
    folders=["/usr", "/lib32"],
    etc=["ssl/certs"],
    python=HostPython(
        ("/opt/rover/python/bin/python3",),
        [(Path("/home/u/py/lib/python3.11"), Path("/opt/rover/python/lib/python3.11"))],
        [Path("/opt/rover/python/lib/python3.11/site-packages")],
        Path("/opt/rover/python/bin"),
    ),
    hidden=[Path("/usr/local/rover")],
)
FOLDERS = SandboxFolders(
    spec=Path("/d/spec"),
    run=Path("/d/run"),
    work=Path("/d/work"),
    home=Path("/d/home"),
    base_objects=Path("/d/base/objects"),
    gateway_socket=Path("/d/gateway/g.sock"),
)


CLAUDE = AgentBundle("claude", "1", Path("/x/claude-1-x64"))


def _prefix(*agents: AgentBundle) -> list[str]:
    return bwrap_prefix.prefix(
        Path("/usr/bin/bwrap"), MERGED, FOLDERS, etc=Path("/d/etc"), tmp_bytes=5, agents=agents
    )


def _binds(arguments: list[str]) -> dict[str, tuple[str, str]]:
    return {
        arguments[i + 2]: (option, arguments[i + 1])
        for i, option in enumerate(arguments)
        if option in ("--bind", "--ro-bind")
    }


@pytest.mark.known_escape(10)
def test_nothing_is_mounted_or_made_below_what_an_agent_writes() -> None:
    """CVE-2026-87766: in an older bubblewrap, a link that an agent left there would be followed
    onto the host when the next attempt's sandbox is made."""
    arguments = _prefix(CLAUDE)
    options = {"--bind": 2, "--ro-bind": 2, "--symlink": 2, "--tmpfs": 1, "--dir": 1, "--dev": 1,
               "--proc": 1, "--file": 2, "--ro-bind-data": 2, "--bind-data": 2}  # fmt: skip
    made = [
        Path(arguments[at + options[option]])
        for at, option in enumerate(arguments)
        if option in options
    ]
    writable = (layout.WORKSPACE, layout.HOME, Path("/tmp"), Path("/dev/shm"))
    assert {*writable} <= {*made}
    assert [p for p in made if any(folder in p.parents for folder in writable)] == []


def test_only_work_and_home_can_be_written() -> None:
    binds = _binds(_prefix())
    writable = {target: source for target, (option, source) in binds.items() if option == "--bind"}
    assert writable == {"/workspace": "/d/work", "/home/agent": "/d/home"}


@pytest.mark.known_escape(10)
def test_nothing_is_mounted_beneath_what_an_agent_writes() -> None:
    """CVE-2026-87766: bubblewrap before 0.12 makes the place of such a mount through a link."""
    arguments = _prefix(CLAUDE)
    options = ("--bind", "--ro-bind", "--tmpfs", "--dev", "--proc", "--symlink", "--file", "--dir")
    targets = [
        arguments[i + (1 if option in ("--tmpfs", "--dev", "--proc", "--dir") else 2)]
        for i, option in enumerate(arguments)
        if option in options
    ]
    written = ("/workspace", "/home/agent")
    first = min(targets.index(place) for place in written)
    assert not [t for t in targets[first:] if t.startswith(tuple(f"{w}/" for w in written))]


def test_neither_the_journal_nor_the_hosts_secrets_are_mounted() -> None:
    sources = {source for _, source in _binds(_prefix()).values()}
    assert "/d/run" not in sources
    assert not sources & {"/", "/etc", "/root", "/home", "/var", "/run", "/sys", "/proc", "/dev"}
    assert all(not s.startswith("/etc/") or s == "/etc/ssl/certs" for s in sources)


def test_the_gateways_folder_is_mounted_not_the_socket() -> None:
    assert _binds(_prefix())["/rover/gateway"] == ("--ro-bind", "/d/gateway")


def test_every_namespace_is_its_own_and_every_privilege_dropped() -> None:
    arguments = _prefix()
    for option in ("--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent", "--new-session"):  # fmt: skip
        assert option in arguments
    assert arguments[arguments.index("--cap-drop") + 1] == "ALL"
    assert "--share-net" not in arguments


def test_the_root_and_proc_are_sealed_after_everything_is_mounted() -> None:
    arguments = _prefix(CLAUDE)
    last_mount = max(i for i, a in enumerate(arguments) if a in ("--bind", "--ro-bind", "--tmpfs"))
    sealed = [i for i, a in enumerate(arguments) if a == "--remount-ro"]
    last = {arguments[i + 1] for i in sealed if i > last_mount}
    assert last == {"/", "/proc"}
    assert arguments[-1] == "--"


def test_an_agents_program_is_a_folder_that_cannot_be_written_on_the_path() -> None:
    assert _binds(_prefix(CLAUDE))["/opt/rover/agents/claude"] == (
        "--ro-bind",
        "/x/claude-1-x64",
    )
    assert bwrap_prefix.search_path(MERGED, [CLAUDE]).startswith("/opt/rover/agents/claude/bin:")


def test_a_python_outside_usr_is_mounted_part_by_part() -> None:
    arguments = _prefix()
    assert _binds(arguments)["/opt/rover/python/lib/python3.11"] == (
        "--ro-bind",
        "/home/u/py/lib/python3.11",
    )
    assert "/home/u/py" not in arguments
    emptied = arguments.index("/opt/rover/python/lib/python3.11/site-packages")
    assert arguments[emptied - 1] == "--tmpfs"
    assert arguments[emptied + 1 : emptied + 3] == ["--remount-ro", arguments[emptied]]
    assert bwrap_prefix.search_path(MERGED, []).endswith(":/opt/rover/python/bin")
    assert bwrap_prefix.forwarder(MERGED, Path("/d/gateway/g.sock"), 8377) == [
        "/opt/rover/python/bin/python3", "-I", "-S", "/opt/rover/forward.py",
        "/rover/gateway/g.sock", "8377", "--",
    ]  # fmt: skip


def test_a_private_folder_beneath_the_system_is_shown_empty() -> None:
    arguments = _prefix()
    hidden = arguments.index("/usr/local/rover")
    assert arguments[hidden - 3 : hidden] == ["--size", "4096", "--tmpfs"]
    assert hidden > arguments.index("/usr")
    assert hidden < arguments.index("/workspace")


def test_this_hosts_layout_has_a_shell_and_no_secret(tmp_path: Path) -> None:
    host = host_layout(tmp_path)
    assert "/usr" in host.folders
    assert {"shadow", "gshadow", "ssl", "ssl/private", "ssh"}.isdisjoint(host.etc)
    assert all(source.exists() for source in host.sources())


@pytest.mark.parametrize(
    "name", ["passwd", "group", "hosts", "nsswitch.conf", "resolv.conf", "profile"]
)
def test_users_and_names_are_made_up(name: str) -> None:
    assert _binds(_prefix())[f"/etc/{name}"] == ("--ro-bind", f"/d/etc/{name}")
    assert name in bwrap_prefix.SYNTHETIC_ETC


def test_a_program_of_the_users_own_is_copied_and_another_ones_is_not(tmp_path: Path) -> None:
    """From inside it is /proc/1/exe, whose mode and times its owner may change."""
    program = tmp_path / "program"
    program.write_bytes(b"bwrap")
    folder = tmp_path / "attempt"
    folder.mkdir()
    for _ in range(2):
        copy = bwrap_prefix.own_program(program, folder)
        assert copy == folder / "bwrap"
        assert copy.read_bytes() == b"bwrap"
        assert copy.stat().st_mode & 0o777 == 0o500
    if os.geteuid() != 0:
        assert bwrap_prefix.own_program(Path("/usr/bin/env"), folder) == Path("/usr/bin/env")
