"""Fills the HOME of a task, which is a volume of the engine, and reads it once the agent has ended.

Everything goes through the engine's archive calls: a volume's folder on the host belongs to root,
and where the engine runs rootless this user cannot see it at all.
"""

from __future__ import annotations

import logging
import os
import tarfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.sandbox import docker_api, layout
from rover_mcp.sandbox.docker_api import NoSuchObject
from rover_mcp.sandbox.protocol import SandboxSpec

_CHUNK = 256 * 1024

log = logging.getLogger("rover.sandbox")


def fill(container: Any, folder: Path, address: str) -> None:
    """Copy the content of a folder of the host into the HOME of a container, as the agent's.

    Raises:
        EnvironmentFault: the engine refused.
        NoSuchObject: the container is gone.
    """
    with docker_api.errors("fill the HOME", address):
        container.put_archive(str(layout.HOME), archive_of(folder))


def begin(container: Any, spec: SandboxSpec, address: str) -> bool:
    """Copy what a HOME begins with into a new container. False if only a part was copied."""
    if spec.home_seed is None:
        return True
    try:
        fill(container, spec.home_seed, address)
    except (EnvironmentFault, NoSuchObject) as error:
        log.warning("%s begins with an empty HOME: %s", spec.name, error)
        return False
    return True


@contextmanager
def archive(address: str, name: str, folder: str) -> Generator[Iterator[bytes] | None]:
    """A folder of the HOME as a tar archive; None if there is no such folder or container.

    Raises:
        EnvironmentFault: the engine does not answer.
    """
    what, answers = f"read the HOME of {name}", list[Any]()
    with docker_api.errors(what, address):
        client = docker_api.connect(address)
    try:
        with docker_api.answers_of(client, answers):
            yield _stream(client, address, name, f"{layout.HOME}/{folder}", what)
    finally:
        client.close()


def _stream(client: Any, address: str, name: str, path: str, what: str) -> Iterator[bytes] | None:
    try:
        with docker_api.errors(what, address):
            pieces, _ = client.api.get_archive(name, path)
    except NoSuchObject:
        return None

    def read() -> Iterator[bytes]:
        with docker_api.errors(what, address):
            yield from cast("Iterator[bytes]", pieces)

    return read()


def archive_of(folder: Path) -> Iterator[bytes]:
    """The regular files and folders beneath a folder, as a tar archive of the agent's."""
    # Block by block, since the engine reads the archive while it is made: a large HOME needs
    # neither memory nor room on the disk.
    for at, folders, names in os.walk(folder):
        for name in sorted(folders):
            path = Path(at, name)
            yield _header(path.relative_to(folder), tarfile.DIRTYPE, 0o755, 0)
        for name in sorted(names):
            path = Path(at, name)
            with path.open("rb") as file:
                facts = os.fstat(file.fileno())
                mode, size = 0o755 if facts.st_mode & 0o100 else 0o644, facts.st_size
                yield _header(path.relative_to(folder), tarfile.REGTYPE, mode, size)
                while data := file.read(_CHUNK):
                    yield data
                yield bytes(-size % tarfile.BLOCKSIZE)
    # The end of an archive: two blocks of zeros.
    yield bytes(2 * tarfile.BLOCKSIZE)


def _header(path: Path, kind: bytes, mode: int, size: int) -> bytes:
    facts = tarfile.TarInfo(str(path))
    facts.type, facts.mode, facts.size = kind, mode, size
    facts.uid, facts.gid = layout.AGENT_UID, layout.AGENT_GID
    return facts.tobuf(tarfile.PAX_FORMAT)
