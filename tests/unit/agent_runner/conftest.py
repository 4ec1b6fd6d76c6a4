"""A run spec whose commands are started without a sandbox: process control is what is tested."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from agent_runner.spec import GatewaySpec, Paths, RunLimits, RunSpec, SwitchUser, WrapCommand
from tests.support.runs import own_task_id


def worker_uid() -> int:
    """A user that is nobody else's: a sweep of its processes may not touch another's on a shared
    machine. Asked for at run time, since the workers of `make test` are forked after the import."""
    return 20_000 + os.getpid() % 40_000


def make_spec(folder: Path, isolation: SwitchUser | WrapCommand, **changes: Any) -> RunSpec:
    return RunSpec(
        task_id=own_task_id(folder),
        number=1,
        iteration=1,
        attempt=3,
        title="t",
        description="d",
        branch="rover/1-t",
        base_commit="a" * 40,
        agent="claude",
        environment={"FROM_SPEC": "yes"},
        paths=Paths(spec=folder, run=folder, workspace=folder, home=folder),
        gateway=GatewaySpec(socket=folder / "gateway.sock", port=0, token="token"),
        isolation=isolation,
        limits=RunLimits(stop_grace=0.2),
        **changes,
    )


@pytest.fixture
def bare(tmp_path: Path) -> RunSpec:
    """Commands as the present user, with nothing between."""
    return make_spec(tmp_path, WrapCommand(prefix=["/usr/bin/env"], forwarder=[]))


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """A folder that other users can come to. Not in pytest's own, which every pytest that starts
    on this machine closes to others."""
    folder = Path(tempfile.mkdtemp(prefix="rover-test-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def switched(shared_folder: Path) -> RunSpec:
    """Commands as another user; tests with it need root, as the runner in a container is."""
    return make_spec(shared_folder, SwitchUser(uid=worker_uid(), gid=worker_uid()))


def in_own_thread(work: Callable[[], Awaitable[None]]) -> None:
    """Run `work` on an event loop in a thread of its own: what it gives up of its rights
    (no_new_privs, the bounding set) ends with that thread, and not for all later tests."""
    failures: list[BaseException] = []

    def body() -> None:
        try:
            anyio.run(work)
        except BaseException as error:  # noqa: BLE001 - handed to the test
            failures.append(error)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
