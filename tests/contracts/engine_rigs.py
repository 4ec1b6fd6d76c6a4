"""The engines under test, each with a way to tell its runner what to do."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

from agent_runner.spec import GatewaySpec, Paths, RunSpec, SwitchUser
from rover_mcp.domain.resource_limits import ResourceLimits
from rover_mcp.sandbox.bubblewrap import BubblewrapEngine
from rover_mcp.sandbox.docker import DockerEngine
from rover_mcp.sandbox.podman import PodmanEngine
from rover_mcp.sandbox.process_engine import ProcessEngine
from rover_mcp.sandbox.protocol import Engine, SandboxFolders, SandboxSpec
from rover_mcp.testing.fake_engine import FakeEngine, FakeEngineState
from tests.support import stand_in_runner
from tests.support.hangs import HANG_SECONDS
from tests.support.podman_env import USER

RUNNER = ("{spec}/runner.py", "{spec}")
_BOUND = HANG_SECONDS


def wait_for(happened: Callable[[], bool], what: str) -> None:
    """Wait for another process, with a bound."""
    end = time.monotonic() + _BOUND
    while not happened():
        if time.monotonic() > end:
            raise AssertionError(f"waited {_BOUND} s for {what}")
        time.sleep(0.005)


def make_spec(root: Path, task_id: str, attempt: int = 1, agent: str = "scripted") -> SandboxSpec:
    """A task's folders as the control plane makes them, and one attempt's spec."""
    task = root / "tasks" / task_id
    base = root / "base" / "objects"
    folders = SandboxFolders(
        spec=task / f"spec-{attempt}",
        run=task / "run",
        work=task / "work",
        home=task / "home",
        base_objects=base,
        gateway_socket=task / "gateway" / "gateway.sock",
    )
    for folder in (folders.spec, folders.run, folders.work, folders.home, base):
        folder.mkdir(parents=True, exist_ok=True)
    folders.gateway_socket.parent.mkdir(exist_ok=True)
    (folders.spec / "workflow.yaml").write_text("name: x\n")
    shutil.copyfile(Path(stand_in_runner.__file__), folders.spec / "runner.py")
    run = RunSpec(
        task_id=task_id,
        number=1,
        iteration=1,
        attempt=attempt,
        title="t",
        description="d",
        branch="rover/1-t",
        base_commit="1" * 40,
        agent=agent,
        paths=Paths(spec=folders.spec, run=folders.run),
        gateway=GatewaySpec(socket=folders.gateway_socket, token="token"),
        isolation=SwitchUser(uid=1, gid=1),
    )
    return SandboxSpec(
        name=f"rover-{task_id[:12]}-{attempt}",
        task_id=task_id,
        project_id="p" * 8,
        attempt=attempt,
        run=run,
        folders=folders,
        agent=agent,
        limits=ResourceLimits(
            memory_bytes=256 * 1024**2, cpus=1.0, pids=64, tmp_bytes=2**20, shm_bytes=2**21
        ),
    )


class Rig(Protocol):
    """One engine, and a way to play its runner."""

    isolates: bool

    def engine(self) -> Engine:
        """A new engine object on the same sandboxes, as a new daemon has."""
        ...

    def spec(self, task_id: str, attempt: int = 1) -> SandboxSpec: ...

    def started(self, spec: SandboxSpec) -> int:
        """How often a runner was started, once at least one is up."""
        ...

    def finish(self, spec: SandboxSpec, code: int) -> None: ...

    def ignore_term(self, spec: SandboxSpec) -> None: ...

    def kill(self, spec: SandboxSpec) -> None: ...

    def saw_term(self, spec: SandboxSpec) -> bool: ...

    def write_place(self, engine: Engine, spec: SandboxSpec, place: str, text: str) -> None: ...

    def read_place(self, engine: Engine, spec: SandboxSpec, place: str) -> str: ...

    def close(self) -> None: ...


@dataclass
class FakeRig:
    root: Path
    isolates: bool = False
    world: FakeEngineState = field(default_factory=FakeEngineState)

    def engine(self) -> Engine:
        return FakeEngine(self.world)

    def spec(self, task_id: str, attempt: int = 1) -> SandboxSpec:
        return make_spec(self.root, task_id, attempt)

    def started(self, spec: SandboxSpec) -> int:
        return self.world.starts.count(spec.name)

    def finish(self, spec: SandboxSpec, code: int) -> None:
        self.world.end(spec.name, code)

    def ignore_term(self, spec: SandboxSpec) -> None:
        self.world.sandboxes[spec.name].ignores_term = True

    def kill(self, spec: SandboxSpec) -> None:
        self.world.end(spec.name, None)

    def saw_term(self, spec: SandboxSpec) -> bool:
        return self.world.sandboxes[spec.name].terminated

    def write_place(self, engine: Engine, spec: SandboxSpec, place: str, text: str) -> None:
        engine.exec(spec.name, ["write", place, text])

    def read_place(self, engine: Engine, spec: SandboxSpec, place: str) -> str:
        return engine.exec(spec.name, ["read", place]).stdout.decode()

    def close(self) -> None:
        pass


class RealRig:
    """What the real engines share: orders go through a FIFO in the run folder."""

    isolates = True

    def __init__(self, root: Path) -> None:
        self.root = root
        self.tasks: list[str] = []
        self.gateway = None

    def engine(self) -> Engine:
        raise NotImplementedError

    def spec(self, task_id: str, attempt: int = 1) -> SandboxSpec:
        spec = make_spec(self.root, task_id, attempt)
        self.tasks.append(task_id)
        if not (spec.folders.run / "orders").exists():
            os.mkfifo(spec.folders.run / "orders")
        return spec

    def started(self, spec: SandboxSpec) -> int:
        path = spec.folders.run / "started"
        wait_for(lambda: path.exists() and path.read_text().endswith("\n"), "the runner's start")
        return len(path.read_text().splitlines())

    def finish(self, spec: SandboxSpec, code: int) -> None:
        self._order(spec, f"exit {code}\n")

    def ignore_term(self, spec: SandboxSpec) -> None:
        self._order(spec, "ignore\n")
        wait_for((spec.folders.run / "ignoring").exists, "the runner to ignore SIGTERM")

    def saw_term(self, spec: SandboxSpec) -> bool:
        return (spec.folders.run / "terminated").exists()

    def write_place(self, engine: Engine, spec: SandboxSpec, place: str, text: str) -> None:
        done = engine.exec(spec.name, ["sh", "-c", f"printf %s '{text}' > {place}/kept"])
        assert done.code == 0, done.stderr

    def read_place(self, engine: Engine, spec: SandboxSpec, place: str) -> str:
        return engine.exec(spec.name, ["cat", f"{place}/kept"]).stdout.decode()

    def close(self) -> None:
        for task_id in dict.fromkeys(self.tasks):
            self.engine().remove_task(task_id)

    def _order(self, spec: SandboxSpec, text: str) -> None:
        self.started(spec)
        with (spec.folders.run / "orders").open("w") as orders:
            orders.write(text)


class BubblewrapRig(RealRig):
    def engine(self, toolchains: Sequence[Path] = ()) -> Engine:
        runner = [shutil.which("python3") or "", *RUNNER]
        return BubblewrapEngine(self.root, runner_argv=runner, toolchains=toolchains)

    def kill(self, spec: SandboxSpec) -> None:
        self.started(spec)
        pid = (spec.folders.run / "started").read_text().splitlines()[-1]
        os.kill(int(pid), signal.SIGKILL)


class ProcessRig(BubblewrapRig):
    """No isolation, so places inside are places of the host."""

    isolates = False

    def engine(self, toolchains: Sequence[Path] = ()) -> Engine:
        return ProcessEngine(self.root, runner_argv=[shutil.which("python3") or "", *RUNNER])

    def write_place(self, engine: Engine, spec: SandboxSpec, place: str, text: str) -> None:
        super().write_place(engine, spec, self._on_host(spec, place), text)

    def read_place(self, engine: Engine, spec: SandboxSpec, place: str) -> str:
        return super().read_place(engine, spec, self._on_host(spec, place))

    def _on_host(self, spec: SandboxSpec, place: str) -> str:
        return str({"/workspace": spec.folders.work, "/home/agent": spec.folders.home}[place])


class DockerRig(RealRig):
    def __init__(self, root: Path, address: str) -> None:
        super().__init__(root)
        self.address = address

    def engine(self) -> DockerEngine:
        return DockerEngine(self.root, address=self.address, runner_argv=["python3", *RUNNER])

    def kill(self, spec: SandboxSpec) -> None:
        self.started(spec)
        self.docker("kill", "-s", "KILL", spec.name)

    def docker(self, *argv: str) -> str:
        command = ["docker", "-H", self.address, *argv]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout


class PodmanRig(DockerRig):
    kind = PodmanEngine
    facts: ClassVar[dict[str, Mapping[str, Any]]] = {}

    def engine(self) -> PodmanEngine:
        made = self.kind(self.root, address=self.address, runner_argv=["python3", *RUNNER])
        # A daemon asks once; podman starts half a dozen programs to answer.
        if self.address not in self.facts:
            self.facts[self.address] = made._host()
        made._facts = self.facts[self.address]
        return made

    def kill_runner(self, spec: SandboxSpec) -> None:
        """The runner alone; the first process is our init."""
        self.started(spec)
        pid = (spec.folders.run / "started").read_text().splitlines()[-1]
        self.docker("exec", "-u", "0", spec.name, "sh", "-c", f"kill -KILL {pid}")


class _OfThatUser(PodmanEngine):
    """What the daemon makes before a start belongs to podman's user, as it would."""

    def _start(self, container: Any, name: str) -> None:
        _give_to_user(self._folder)
        super()._start(container, name)


def _give_to_user(root: Path) -> None:
    for path in (root, *root.rglob("*")):
        shutil.chown(path, USER, USER)


class RootlessPodmanRig(PodmanRig):
    """The daemon would be that user's, as the folders are. The tests' root only looks on."""

    kind = _OfThatUser

    def spec(self, task_id: str, attempt: int = 1) -> SandboxSpec:
        spec = super().spec(task_id, attempt)
        _give_to_user(self.root)
        return spec


@contextlib.contextmanager
def gateway(path: Path):
    """A listener in the gateway's place, which says hello."""
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as server:
        # The path may be longer than a socket's address holds.
        here = os.open(path.parent, os.O_PATH)
        server.bind(f"/proc/self/fd/{here}/{path.name}")
        os.close(here)
        server.listen(1)
        server.settimeout(_BOUND)
        yield server


def new_task() -> str:
    return secrets.token_hex(16)


class SandboxShell:
    """A running sandbox and a shell in it."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.engine: Engine = rig.engine()
        self.spec: SandboxSpec = rig.spec(new_task())
        (self.spec.folders.base_objects / "object").write_text("base\n")
        self.spec.folders.run.chmod(0o755)
        self.engine.prepare(self.spec, lambda _: None)
        self.engine.ensure(self.spec)
        rig.started(self.spec)

    def run(self, *argv: str) -> tuple[int, str]:
        done = self.engine.exec(self.spec.name, argv)
        return done.code, (done.stdout + done.stderr).decode("utf-8", "replace")

    def sh(self, script: str) -> tuple[int, str]:
        return self.run("sh", "-c", script)

    def python(self, script: str) -> tuple[int, str]:
        return self.sh(f"exec python3 -c '{script}'")
