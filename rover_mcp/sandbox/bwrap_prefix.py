"""Builds the argument list of bubblewrap, which names all that a command sees (bwrap(1) 0.8)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agent_runner.process import forward, init
from rover_mcp.domain.resource_limits import ResourceLimits
from rover_mcp.sandbox import agent_bundle, layout, mount_policy
from rover_mcp.sandbox import toolchains as toolchain_folders
from rover_mcp.sandbox.agent_bundle import AgentBundle
from rover_mcp.sandbox.host_python import HostPython, host_python
from rover_mcp.sandbox.protocol import SandboxFolders

FORWARDER = Path("/opt/rover/forward.py")
INIT = Path("/opt/rover/init.py")
UID = 1000
COPY = "bwrap"
SHM_BYTES = ResourceLimits().shm_bytes
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
    # The host's may name modules (sss, systemd) that ask services which are not there.
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
    # There is no network. A name server of the host's would only make each lookup wait.
    "resolv.conf": "",
    # The host's would replace PATH in login shells.
    "profile": "",
}


@dataclass(frozen=True)
class HostLayout:
    """What of the host's system a sandbox needs: pure data, so that the rest is a function.

    `links` are the symbolic links at the top (merged /usr), `folders` real ones. `hidden` are
    folders beneath those that must not be seen inside.
    """

    links: Sequence[tuple[str, str]]
    folders: Sequence[str]
    etc: Sequence[str]
    python: HostPython
    hidden: Sequence[Path] = ()

    def sources(self) -> list[Path]:
        """Everything of the host's system that is mounted."""
        etc = [Path("/etc", name) for name in self.etc]
        return [*map(Path, self.folders), *etc, *(source for source, _ in self.python.mounts)]


def host_layout(home: Path) -> HostLayout:
    """This host's layout; `home` is the data folder.

    Raises:
        EnvironmentFault: its Python cannot be brought into a sandbox.
    """
    tops = [Path("/", name) for name in _TOP]
    folders = ["/usr", *(str(t) for t in tops if t.is_dir() and not t.is_symlink())]
    private = mount_policy.private_folders(home, os.environ)
    return HostLayout(
        links=[(str(top.readlink()), str(top)) for top in tops if top.is_symlink()],
        folders=folders,
        etc=[name for name in _ETC if Path("/etc", name).exists()],
        python=host_python(folders),
        hidden=mount_policy.hidden_folders(folders, private),
    )


def base_arguments(
    bwrap: Path, host: HostLayout, tmp_bytes: int, shm_bytes: int = SHM_BYTES
) -> list[str]:
    """Namespaces, privileges and the read-only system, without any folder of a task."""
    # --unshare-all only tries to make a user namespace, and --disable-userns needs one: it keeps
    # the agent from making more of them, in which it would have capabilities and reach kernel code
    # that is closed to it otherwise.
    arguments = [str(bwrap), "--unshare-all", "--unshare-user", "--disable-userns"]
    # A shared terminal could be written to with TIOCSTI, as if its user had typed: hence the new
    # session. --die-with-parent ends all of it with the runner.
    arguments += ["--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    arguments += ["--uid", str(UID), "--gid", str(UID), "--hostname", "rover"]
    for folder in host.folders:
        arguments += ["--ro-bind", folder, folder]
    for target, link in host.links:
        arguments += ["--symlink", target, link]
    # A sandbox that would see a private folder is refused before it starts. The folder is covered
    # all the same, in case a mount appears between that check and the start.
    arguments += _empty(host.hidden)
    for source, target in host.python.mounts:
        arguments += ["--ro-bind", str(source), str(target)]
    arguments += _empty(host.python.emptied)
    for name in host.etc:
        arguments += ["--ro-bind", f"/etc/{name}", f"/etc/{name}"]
    arguments += ["--proc", "/proc", "--dev", "/dev"]
    for folder, size in (("/dev/shm", shm_bytes), ("/tmp", tmp_bytes)):  # noqa: S108
        arguments += ["--size", str(size), "--perms", "1777", "--tmpfs", folder]
    # The tmpfs that bubblewrap makes for /dev has no size limit, and belongs to the user inside.
    return [*arguments, "--remount-ro", "/dev"]


def own_program(bwrap: Path, folder: Path) -> Path:
    """The program to start a sandbox with: a copy in `folder`, where the user owns it.

    bubblewrap is the first process inside, so its program is seen there as /proc/1/exe, through a
    mount of the host's that can be written. Who owns a program may change its mode and times, and
    the user inside is this user outside.
    """
    if bwrap.stat().st_uid != os.geteuid():
        return bwrap
    copy = folder / COPY
    copy.unlink(missing_ok=True)
    shutil.copyfile(bwrap, copy)
    copy.chmod(0o500)
    return copy


def _empty(folders: Sequence[Path]) -> list[str]:
    """The arguments that show folders as empty and read-only."""
    arguments: list[str] = []
    for folder in folders:
        arguments += ["--size", "4096", "--tmpfs", str(folder), "--remount-ro", str(folder)]
    return arguments


def sealing_arguments() -> list[str]:
    """The last arguments, which make /proc and / read-only.

    Without them a sandbox that host root started could write /proc/sys, whose files belong to host
    root's id, and with kernel.core_pattern run programs on the host.
    """
    return ["--remount-ro", "/proc", "--remount-ro", "/"]


def prefix(
    bwrap: Path,
    host: HostLayout,
    folders: SandboxFolders,
    *,
    etc: Path,
    tmp_bytes: int,
    shm_bytes: int = SHM_BYTES,
    agents: Sequence[AgentBundle],
    toolchains: Sequence[Path] = (),
) -> list[str]:
    """Return the complete argument list, up to where the command begins.

    `etc` is the folder with the SYNTHETIC_ETC files, `agents` are the programs it may need,
    `toolchains` further folders of programs.
    """
    arguments = base_arguments(bwrap, host, tmp_bytes, shm_bytes)
    for folder in toolchains:
        arguments += ["--ro-bind", str(folder), str(folder)]
    for option, source, target in mounts(folders, etc, agents):
        arguments += [option, str(source), str(target)]
    return [*arguments, *sealing_arguments(), "--chdir", str(layout.WORKSPACE), "--"]


def mounts(
    folders: SandboxFolders, etc: Path, agents: Sequence[AgentBundle]
) -> list[tuple[str, Path, Path]]:
    """What a task's sandbox sees beside the system: option, source and target."""
    own = [
        *(("--ro-bind", etc / name, Path("/etc", name)) for name in SYNTHETIC_ETC),
        ("--bind", folders.work, layout.WORKSPACE),
        ("--bind", folders.home, layout.HOME),
        ("--ro-bind", folders.spec, layout.SPEC),
        ("--ro-bind", folders.base_objects, layout.BASE_OBJECTS),
        ("--ro-bind", folders.gateway_socket.parent, layout.GATEWAY),
        ("--ro-bind", Path(forward.__file__), FORWARDER),
        ("--ro-bind", Path(init.__file__), INIT),
    ]
    return [*own, *(("--ro-bind", b.folder, agent_bundle.INSIDE / b.agent) for b in agents)]


def forwarder(host: HostLayout, socket: Path, port: int) -> list[str]:
    """The command that makes the gateway reachable on a loopback port of a sandbox."""
    inside = layout.GATEWAY / socket.name
    return [*host.python.argv, "-I", "-S", str(FORWARDER), str(inside), str(port), "--"]


def first_process(host: HostLayout) -> list[str]:
    """The command that reports how a command in a sandbox ended."""
    return [*host.python.argv, "-I", "-S", str(INIT)]


def search_path(
    host: HostLayout, agents: Sequence[AgentBundle], toolchains: Sequence[Path] = ()
) -> str:
    """PATH inside the sandbox."""
    folders = agent_bundle.search_path([bundle.agent for bundle in agents])
    folders += toolchain_folders.search_path(toolchains)
    folders += ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
    if host.python.folder is not None:
        folders.append(str(host.python.folder))
    return ":".join(folders)
