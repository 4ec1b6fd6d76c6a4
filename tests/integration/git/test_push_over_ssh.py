"""Pushing over ssh to a real sshd: with a key agent, and with keys of the server's that ssh knows,
does not know, or knows otherwise."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from rover_mcp.domain.errors import EnvironmentFault
from tests.integration.git.conftest import git
from tests.integration.git.push_stage import BRANCH, PushScenario, own_git, stage
from tests.integration.git.test_merge import everything
from tests.support.git_server import bare

__all__ = ["own_git", "stage"]

SSHD = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin") or "sshd"
CONFIG = """\
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/user.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
"""


@dataclass(frozen=True)
class SshServer:
    """`known` is the file of the keys that the user's ssh knows; `agent` the user's key agent."""

    folder: Path
    port: int
    remote: Path
    known: Path
    agent: Path

    @property
    def name(self) -> str:
        return f"[127.0.0.1]:{self.port}"

    def know(self, key: str) -> None:
        self.known.write_text(f"{self.name} {(self.folder / f'{key}.pub').read_text()}")


def key(path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@pytest.fixture
def ssh(stage: PushScenario, tmp_path: Path, own_git: Callable[..., None]) -> Iterator[SshServer]:
    """The server, as the repository's origin, and an agent that has the user's key."""
    folder, port = tmp_path / "ssh", free_port()
    folder.mkdir()
    for name in ("host", "user", "other"):
        key(folder / name)
    (folder / "config").write_text(CONFIG.format(port=port, folder=folder))
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    remote = bare(tmp_path / "over-ssh.git", stage.repo)
    git(remote, "branch", "-D", BRANCH)
    server = SshServer(folder, port, remote, folder / "known_hosts", folder / "agent.sock")
    client = f"ssh -F /dev/null -o UserKnownHostsFile={server.known} -o IdentityFile=none"
    own_git(("core.sshCommand", f"{client} -o GlobalKnownHostsFile=/dev/null"))
    git(stage.repo, "remote", "add", "origin", f"ssh://127.0.0.1:{port}{remote}")
    with (
        subprocess.Popen(
            [SSHD, "-D", "-e", "-f", folder / "config"], stderr=subprocess.PIPE
        ) as sshd,
        subprocess.Popen(["ssh-agent", "-D", "-a", server.agent], stdout=subprocess.PIPE) as agent,
    ):
        try:
            assert sshd.stderr
            assert agent.stdout
            assert b"Server listening" in sshd.stderr.readline()
            agent.stdout.readline()
            environment = {**os.environ, "SSH_AUTH_SOCK": str(server.agent)}
            subprocess.run(["ssh-add", "-q", folder / "user"], env=environment, check=True)
            (folder / "user").unlink()
            yield server
        finally:
            sshd.kill()
            agent.kill()


def refused(stage: PushScenario, server: SshServer) -> EnvironmentFault:
    """The error of a push, which has changed nothing on either side."""
    known = server.known.read_bytes() if server.known.exists() else None
    before = (everything(stage.repo), everything(server.remote))
    with pytest.raises(EnvironmentFault) as error:
        stage.push()
    assert (everything(stage.repo), everything(server.remote)) == before
    assert (server.known.read_bytes() if server.known.exists() else None) == known
    return error.value


def test_a_key_agent_and_a_known_server_are_all_that_a_push_needs(
    stage: PushScenario, ssh: SshServer
) -> None:
    """N10"""
    ssh.know("host")
    stage.environ["SSH_AUTH_SOCK"] = str(ssh.agent)
    assert stage.push().plan.address == f"ssh://127.0.0.1:{ssh.port}{ssh.remote}"
    assert git(ssh.remote, "rev-parse", BRANCH) == stage.tip()


def test_a_server_whose_key_ssh_does_not_know_is_refused(
    stage: PushScenario, ssh: SshServer
) -> None:
    """N10"""
    stage.environ["SSH_AUTH_SOCK"] = str(ssh.agent)
    error = refused(stage, ssh)
    assert error.code == "unknown_host_key"
    assert "compare the key" in (error.hint or "")


def test_a_server_with_another_key_than_ssh_knows_is_refused(
    stage: PushScenario, ssh: SshServer
) -> None:
    """N10: the hint is not to connect once more, which is what an attacker waits for."""
    ssh.know("other")
    stage.environ["SSH_AUTH_SOCK"] = str(ssh.agent)
    error = refused(stage, ssh)
    assert error.code == "changed_host_key"
    assert "may be another machine" in error.message
    assert re.search(r"only if they changed it, .*ssh-keygen -R", error.hint or "")


def test_without_an_agent_the_push_says_what_git_needs(
    stage: PushScenario, ssh: SshServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """N10"""
    ssh.know("host")
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    error = refused(stage, ssh)
    assert error.code == "no_credentials"
    assert "ssh-agent" in (error.hint or "")


def test_an_agent_without_the_right_key_is_refused(stage: PushScenario, ssh: SshServer) -> None:
    ssh.know("host")
    environment = {**os.environ, "SSH_AUTH_SOCK": str(ssh.agent)}
    subprocess.run(["ssh-add", "-q", "-D"], env=environment, check=True)
    subprocess.run(["ssh-add", "-q", ssh.folder / "other"], env=environment, check=True)
    stage.environ["SSH_AUTH_SOCK"] = str(ssh.agent)
    assert refused(stage, ssh).code == "no_credentials"
