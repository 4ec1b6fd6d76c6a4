"""An engine that runs nothing: for tests of what uses one. It passes the contract suite's part
that is not about isolation.

    state = FakeEngineState()
    engine = FakeEngine(state)
    engine.ensure(spec)
    state.end(spec.name, code=2)     # the runner paused
    state.end(spec.name, code=None)  # it was killed
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from rover_mcp.domain.cancellation import CancelToken
from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.sandbox.protocol import (
    EngineStatus,
    ExecResult,
    SandboxExit,
    SandboxInfo,
    SandboxSpec,
    SandboxState,
)


@dataclass
class FakeSandbox:
    """One sandbox of a FakeEngineState. `exit` is None while it runs."""

    spec: SandboxSpec
    started_at: datetime
    exit: SandboxExit | None = None
    ignores_term: bool = False
    terminated: bool = False


@dataclass
class FakeEngineState:
    """What outlives an engine object, as containers outlive a daemon.

    `on_start` is called for each sandbox that is started, in a thread of its own: it plays the
    runner and returns its exit code; None leaves the sandbox running until `end`. `fault` is
    raised by every method while it is set. `agents` are the agents that can be started.
    """

    on_start: Callable[[SandboxSpec], int | None] | None = None
    fault: EnvironmentFault | None = None
    agents: frozenset[str] = frozenset({"claude", "scripted"})
    prepared: list[str] = field(default_factory=list[str])
    ready: dict[str, SandboxSpec] = field(default_factory=dict[str, SandboxSpec])
    starts: list[str] = field(default_factory=list[str])
    sandboxes: dict[str, FakeSandbox] = field(default_factory=dict[str, FakeSandbox])
    volumes: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    changed: threading.Condition = field(default_factory=threading.Condition)

    def end(self, name: str, code: int | None, *, out_of_memory: bool = False) -> None:
        """Let a sandbox end, if it runs."""
        with self.changed:
            sandbox = self.sandboxes.get(name)
            if sandbox is not None and sandbox.exit is None:
                sandbox.exit = SandboxExit(code, out_of_memory)
                self.changed.notify_all()

    def unreachable(self) -> None:
        """From now on no call reaches the engine; `fault = None` ends that."""
        self.fault = EnvironmentFault(
            "the fake engine cannot be reached", hint="start it", code="engine_unreachable"
        )
        with self.changed:
            self.changed.notify_all()


class FakeEngine:
    """See protocol.Engine."""

    shares_disk = True
    warning = ""
    programs: str | None = None

    def __init__(self, world: FakeEngineState, name: str = "fake") -> None:
        self.name = name
        self.world = world

    def check(self) -> EngineStatus:
        """See protocol.Engine."""
        if self.world.fault is not None:
            return EngineStatus(self.name, False, reason=self.world.fault.message, hint="start it")
        return EngineStatus(self.name, True, version="1", limits_not_applied=("memory", "cpu"))

    def check_agent(self, agent: str, binary: Path | None, image: str | None) -> None:
        """See protocol.Engine."""
        self._reach()
        if agent not in self.world.agents:
            raise EnvironmentFault(
                f"there is no agent {agent!r}", hint="agents: scripted", code="agent_missing"
            )

    def prepare(
        self, spec: SandboxSpec, progress: Callable[[str], None], stop: CancelToken | None = None
    ) -> None:
        """See protocol.Engine."""
        self._reach()
        progress(f"preparing {spec.name}")
        self.world.prepared.append(spec.name)

    def ready(self, spec: SandboxSpec, wait: float) -> None:
        """See protocol.Engine."""
        self._reach()
        with self.world.changed:
            self.world.ready[spec.name] = spec

    def ensure(self, spec: SandboxSpec) -> None:
        """See protocol.Engine."""
        self._reach()
        with self.world.changed:
            if spec.name in self.world.sandboxes:
                return
            self.world.ready.pop(spec.name, None)
            self.world.sandboxes[spec.name] = FakeSandbox(spec, datetime.now(UTC))
            self.world.starts.append(spec.name)
            self.world.volumes.setdefault(spec.task_id, {})
        if self.world.on_start is not None:
            threading.Thread(target=self._play, args=(spec,), daemon=True).start()

    def follow(self, name: str) -> SandboxExit:
        """See protocol.Engine."""
        with self.world.changed:
            while True:
                self._reach()
                sandbox = self.world.sandboxes.get(name)
                if sandbox is None:
                    return SandboxExit(None, detail="the sandbox is gone")
                if sandbox.exit is not None:
                    return sandbox.exit
                self.world.changed.wait()

    def stop(self, name: str, grace: float) -> None:
        """See protocol.Engine. A runner that ignores SIGTERM is killed at once: no clock here."""
        self._reach()
        sandbox = self.world.sandboxes.get(name)
        if sandbox is None or sandbox.exit is not None:
            return
        sandbox.terminated = not sandbox.ignores_term
        self.world.end(name, 137 if sandbox.ignores_term else 2)

    def remove(self, name: str) -> None:
        """See protocol.Engine."""
        self._reach()
        self.world.end(name, 137)
        with self.world.changed:
            self.world.sandboxes.pop(name, None)
            self.world.ready.pop(name, None)
            self.world.changed.notify_all()

    def remove_task(self, task_id: str) -> None:
        """See protocol.Engine."""
        for name in [n for n, s in self.world.sandboxes.items() if s.spec.task_id == task_id]:
            self.remove(name)
        self._reach()
        self.world.volumes.pop(task_id, None)

    def drop_work(self, task_id: str) -> None:
        """See protocol.Engine."""
        self._reach()
        self.world.volumes.pop(task_id, None)

    def holds_work(self, task_id: str) -> bool:
        """See protocol.Engine."""
        self._reach()
        return task_id in self.world.volumes

    def logs(self, name: str, tail: int) -> str:
        """See protocol.Engine."""
        self._reach()
        sandbox = self.world.sandboxes.get(name)
        return f"runner of attempt {sandbox.spec.attempt}" if sandbox and tail > 0 else ""

    def list(self) -> Sequence[SandboxInfo]:
        """See protocol.Engine."""
        self._reach()
        return [
            SandboxInfo(
                name=name,
                task_id=sandbox.spec.task_id,
                attempt=sandbox.spec.attempt,
                state=SandboxState.EXITED if sandbox.exit else SandboxState.RUNNING,
                started_at=sandbox.started_at,
            )
            for name, sandbox in self.world.sandboxes.items()
        ] + [
            SandboxInfo(name, spec.task_id, spec.attempt, SandboxState.RUNNING)
            for name, spec in self.world.ready.items()
        ]

    def exec(
        self, name: str, argv: Sequence[str], env: Mapping[str, str] | None = None
    ) -> ExecResult:
        """See protocol.Engine. Knows `write PLACE TEXT` and `read PLACE`, no more."""
        self._reach()
        sandbox = self.world.sandboxes.get(name)
        if sandbox is None or sandbox.exit is not None:
            raise EnvironmentFault(f"the sandbox {name} is not running", code="not_running")
        volume = self.world.volumes[sandbox.spec.task_id]
        match list(argv):
            case ["write", place, text]:
                volume[place] = text
                return ExecResult(0, b"", b"")
            case ["read", place] if place in volume:
                return ExecResult(0, volume[place].encode(), b"")
            case _:
                return ExecResult(1, b"", b"the fake engine knows write and read")

    def _reach(self) -> None:
        if self.world.fault is not None:
            raise self.world.fault

    def _play(self, spec: SandboxSpec) -> None:
        code = self.world.on_start(spec) if self.world.on_start else None
        if code is not None:
            self.world.end(spec.name, code)
