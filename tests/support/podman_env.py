"""A real podman for tests, root's or rootless, with the base image in it.

In a conftest: `from tests.support.podman_env import podman_host, podman_rootless_host`. Its store
is kept between runs; its service ends an hour after its last caller.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest

from tests.support.docker_env import BASE_IMAGE, cache_folder
from tests.support.hangs import HANG_SECONDS

CONTENT_LABEL = "rover-tests.content"
CONTENT = "2"
"""As in start_docker.sh, which makes the root file system."""
USER = "rover-tests"
ROOTLESS = Path("/var/tmp/rover-tests-rootless")
"""Where that user, who may not look into root's cache, keeps everything."""
_SUBORDINATE = "700000-765535"
_IDLE_SECONDS = 3600
"""Longer than the suite takes: files that use it may be far apart, and it is started once."""
# Debian's crun refuses mixed cgroups, and podman's own default limits need CAP_SYS_RESOURCE.
_CONTAINERS = """[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""


@dataclass(frozen=True)
class Podman:
    """One podman's folder and the argument list that becomes its user."""

    folder: Path
    become: Sequence[str] = ()

    @property
    def address(self) -> str:
        return f"unix://{self.folder}/podman.sock"

    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "XDG_RUNTIME_DIR": str(self.folder / "run"),
            "CONTAINERS_CONF": str(self.folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(self.folder / "storage.conf"),
            # As Rover starts it: podman_service.py says why.
            "DPKG_ADMINDIR": "/nonexistent",
        }

    def start(self) -> None:
        """Have its service answer and hold the base image."""
        with (self.folder / "start.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not self._answers():
                (self.folder / "podman.sock").unlink(missing_ok=True)
                service = ["podman", "system", "service", f"--time={_IDLE_SECONDS}", self.address]
                with (self.folder / "log").open("wb") as log:
                    subprocess.run(
                        ["setsid", "--fork", *self.become, *service],
                        env=self.environment(), cwd=self.folder, stdin=subprocess.DEVNULL,
                        stdout=log, stderr=log, check=True,
                    )  # fmt: skip
                end = time.monotonic() + HANG_SECONDS
                while not self._answers():
                    if time.monotonic() > end:
                        said = (self.folder / "log").read_text()[-2000:]
                        raise RuntimeError(f"no podman for tests:\n{said}")
                    time.sleep(0.05)
            self._import()

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as tried, contextlib.suppress(OSError):
            tried.connect(str(self.folder / "podman.sock"))
            return True
        return False

    def _import(self) -> None:
        with contextlib.closing(
            docker.DockerClient(base_url=self.address, timeout=HANG_SECONDS)
        ) as client:
            name, _, tag = BASE_IMAGE.partition(":")
            with contextlib.suppress(docker.errors.ImageNotFound):
                if client.images.get(BASE_IMAGE).labels.get(CONTENT_LABEL) == CONTENT:
                    return
            with (cache_folder() / f"rootfs-{CONTENT}.tar").open("rb") as packed:
                client.api.import_image_from_data(
                    packed, repository=name, changes=[f"LABEL {CONTENT_LABEL}={CONTENT}"]
                )
            client.images.get(f"{name}:latest").tag(f"docker.io/library/{name}", tag)


def root_podman() -> Podman:
    """Root's, in the tests' cache."""
    podman = Podman(cache_folder() / "podman")
    _configure(podman.folder)
    return podman


def rootless_podman() -> Podman:
    """An ordinary user's, made with ranges of subordinate ids where there is none yet."""
    try:
        pwd.getpwnam(USER)
    except KeyError:
        command = ["useradd", "--system", "--user-group", "--home-dir", str(ROOTLESS), USER]
        subprocess.run(command, check=True)
    if f"{USER}:" not in Path("/etc/subuid").read_text():
        ranges = ["--add-subuids", _SUBORDINATE, "--add-subgids", _SUBORDINATE]
        subprocess.run(["usermod", *ranges, USER], check=True)
    _configure(ROOTLESS)
    for path in (ROOTLESS, ROOTLESS / "run"):
        shutil.chown(path, USER, USER)
    become = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups"]
    return Podman(ROOTLESS, become)


def _configure(folder: Path) -> None:
    (folder / "run").mkdir(parents=True, exist_ok=True, mode=0o700)
    (folder / "containers.conf").write_text(_CONTAINERS)
    (folder / "storage.conf").write_text(
        f'[storage]\ndriver = "overlay"\ngraphroot = "{folder}/graph"\n'
        f'runroot = "{folder}/run/containers"\n'
    )


@contextlib.contextmanager
def folder_of_user() -> Iterator[Path]:
    """A folder that the rootless podman's user owns and can reach."""
    folder = Path(tempfile.mkdtemp(prefix="tasks-", dir=ROOTLESS))
    shutil.chown(folder, USER, USER)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def podman_host() -> str:
    """The address of root's podman."""
    podman = root_podman()
    podman.start()
    return podman.address


@pytest.fixture(scope="session")
def podman_rootless_host() -> str:
    """The address of a rootless podman."""
    podman = rootless_podman()
    podman.start()
    return podman.address
