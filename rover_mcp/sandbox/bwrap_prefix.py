"""The bubblewrap argument list: what a command inside sees, and nothing else (bwrap(1) 0.8)."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agent_runner import forward
from rover_mcp.sandbox import bundles, layout
from rover_mcp.sandbox.bundles import AgentBundle
from rover_mcp.sandbox.protocol import SandboxFolders

FORWARDER = Path("/opt/rover/forward.py")
UID = 1000
_TOP = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")

# Nothing that holds a secret: as host root the agent's files are root's, so that all of /etc
# would show it /etc/shadow and private keys.
_ETC = (
    "alternatives",
    "bash.bashrc",
    "ca-certificates",
    "fonts",
    "inputrc",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "mime.types",
    "perl",
    "pki/ca-trust/extracted",
    "pki/tls/certs",
    "protocols",
    "services",
    "ssl/certs",
    "ssl/openssl.cnf",
    "terminfo",
    "timezone",
)
SYNTHETIC_ETC = {
    "passwd": (
        f"root:x:0:0:root:/:/usr/sbin/nologin\nagent:x:{UID}:{UID}:agent:{layout.HOME}:/bin/bash\n"
    ),
    "group": f"root:x:0:\nagent:x:{UID}:\n",
    "hosts": "127.0.0.1 localhost rover\n::1 localhost\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
    "resolv.conf": "",
    # The host's would replace PATH in login shells.
    "profile": "",
}


@dataclass(frozen=True)
class HostLayout:
    """What of the host's system a sandbox needs: pure data, so that the rest is a function.

    `links` are the symbolic links at the top (merged /usr), `folders` real ones. `python` is
    the interpreter without its virtual environment, `python_prefix` its folder if that is
    outside /usr.
    """

    links: Sequence[tuple[str, str]]
    folders: Sequence[str]
    etc: Sequence[str]
    python: Path
    python_prefix: Path | None


def host_layout() -> HostLayout:
    """This host's layout."""
    tops = [Path("/", name) for name in _TOP]
    prefix = Path(sys.base_prefix).resolve()
    return HostLayout(
        links=[(str(top.readlink()), str(top)) for top in tops if top.is_symlink()],
        folders=["/usr", *(str(t) for t in tops if t.is_dir() and not t.is_symlink())],
        etc=[name for name in _ETC if Path("/etc", name).exists()],
        python=Path(os.path.realpath(sys.executable)),
        python_prefix=None if prefix.is_relative_to("/usr") else prefix,
    )


def base_arguments(bwrap: Path, host: HostLayout, tmp_bytes: int) -> list[str]:
    """Namespaces, privileges and the read-only system, without any folder of a task."""
    arguments = [str(bwrap), "--unshare-all", "--unshare-user", "--disable-userns"]
    arguments += ["--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    arguments += ["--uid", str(UID), "--gid", str(UID), "--hostname", "rover"]
    for folder in host.folders:
        arguments += ["--ro-bind", folder, folder]
    for target, link in host.links:
        arguments += ["--symlink", target, link]
    if host.python_prefix is not None:
        arguments += ["--ro-bind", str(host.python_prefix), str(host.python_prefix)]
    for name in host.etc:
        arguments += ["--ro-bind", f"/etc/{name}", f"/etc/{name}"]
    arguments += ["--proc", "/proc", "--dev", "/dev"]
    return [*arguments, "--size", str(tmp_bytes), "--perms", "1777", "--tmpfs", "/tmp"]  # noqa: S108


def own_program(bwrap: Path, folder: Path) -> Path:
    """The program to start a sandbox with: a copy in `folder`, where the user owns it.

    bubblewrap is the first process inside, so its program is seen there as /proc/1/exe, through a
    mount of the host's that can be written. Who owns a program may change its mode and times, and
    the user inside is this user outside.
    """
    if bwrap.stat().st_uid != os.geteuid():
        return bwrap
    copy = folder / "bwrap"
    copy.unlink(missing_ok=True)
    shutil.copyfile(bwrap, copy)
    copy.chmod(0o500)
    return copy


def sealing_arguments() -> list[str]:
    """What comes last. Without it a sandbox of host root could write /proc/sys, and with that
    run programs on the host (kernel.core_pattern): its files belong to host root's id."""
    return ["--remount-ro", "/proc", "--remount-ro", "/"]


def prefix(
    bwrap: Path,
    host: HostLayout,
    folders: SandboxFolders,
    *,
    etc: Path,
    tmp_bytes: int,
    agents: Sequence[AgentBundle],
) -> list[str]:
    """The whole argument list, up to where the command begins.

    `etc` is the folder with the SYNTHETIC_ETC files, `agents` are the programs it may need.
    """
    arguments = base_arguments(bwrap, host, tmp_bytes)
    for name in SYNTHETIC_ETC:
        arguments += ["--ro-bind", str(etc / name), f"/etc/{name}"]
    mounts = [
        ("--bind", folders.work, layout.WORKSPACE),
        ("--bind", folders.home, layout.HOME),
        ("--ro-bind", folders.spec, layout.SPEC),
        ("--ro-bind", folders.base_objects, layout.BASE_OBJECTS),
        ("--ro-bind", folders.gateway_socket.parent, layout.GATEWAY),
        ("--ro-bind", Path(forward.__file__), FORWARDER),
    ]
    mounts += [("--ro-bind", bundle.folder, bundles.INSIDE / bundle.agent) for bundle in agents]
    for option, source, target in mounts:
        arguments += [option, str(source), str(target)]
    return [*arguments, *sealing_arguments(), "--chdir", str(layout.WORKSPACE), "--"]


def forwarder(host: HostLayout, socket: Path, port: int) -> list[str]:
    """What makes the gateway reachable on a loopback port of a sandbox."""
    inside = layout.GATEWAY / socket.name
    return [str(host.python), "-I", "-S", str(FORWARDER), str(inside), str(port), "--"]


def search_path(host: HostLayout, agents: Sequence[AgentBundle]) -> str:
    """PATH inside."""
    folders = bundles.search_path([bundle.agent for bundle in agents])
    folders += ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
    if host.python_prefix is not None:
        folders.append(str(host.python_prefix / "bin"))
    return ":".join(folders)
