"""The real codex and opencode, stopped while a tool of theirs runs: nothing of the tree lives on.

opencode leaves its tools behind, whoever is signalled. As in a
container, where the agent is another user than the runner, and as in bubblewrap, where it has a
process namespace of its own. The network is shared, so that no gateway is needed.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import anyio
import anyio.abc
import pytest

from agent_runner.agents import make_agent
from agent_runner.agents.protocol import AgentRequest
from agent_runner.process.spawn import make_commands
from agent_runner.spec import GatewaySpec, Paths, RunSpec, SwitchUser, WrapCommand
from rover_mcp.sandbox import agent_programs
from tests.integration.test_claude_through_gateway import bwrap
from tests.support.fake_models import FakeModels
from tests.support.models.turns import bash
from tests.support.runs import own_task_id
from tests.unit.agent_runner.conftest import in_own_thread, worker_uid

pytestmark = pytest.mark.real_agent

SECONDS = 300.0


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that another user can come to, with the agents' programs beside the work."""
    made = Path(tempfile.mkdtemp(prefix="rover-test-", dir="/var/tmp"))
    made.chmod(0o755)
    for name in ("work", "home"):
        (made / name).mkdir()
        os.chown(made / name, worker_uid(), worker_uid())
    yield made
    shutil.rmtree(made)


def linked(source: str, target: str) -> None:
    """A second name for the file: a program has hundreds of megabytes. A copy on another disk."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def isolation(name: str, folder: Path) -> SwitchUser | WrapCommand:
    if name == "another user":
        return SwitchUser(uid=worker_uid(), gid=worker_uid())
    prefix = [bwrap(), "--unshare-pid", "--die-with-parent", "--bind", "/", "/"]
    prefix += ["--proc", "/proc", "--dev", "/dev", "--chdir", str(folder / "work")]
    return WrapCommand(prefix=prefix, forwarder=[])


def alive(argument: str) -> list[int]:
    """Processes that have it on their command line, as an argument of its own."""
    found: list[int] = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if argument.encode() in words and b"sleep" in words[0]:
            found.append(int(path.parent.name))
    return found


@pytest.mark.parametrize("how", ["another user", "bubblewrap"])
@pytest.mark.parametrize("agent", ["codex", "opencode"])
def test_nothing_of_a_stopped_agents_tree_lives_on(folder: Path, agent: str, how: str) -> None:
    """E1: not even what a tool started in a session of its own."""
    program = folder / "program"
    source = agent_programs.obtain(agent, None, print).folder
    shutil.copytree(source, program, symlinks=True, copy_function=linked)
    long = str(3_000_000 + int(own_task_id(folder)[:5], 16))
    spec = RunSpec(
        task_id=own_task_id(folder),
        number=1,
        iteration=1,
        attempt=1,
        title="t",
        description="d",
        branch="rover/1-t",
        base_commit="a" * 40,
        agent=agent,
        environment={"PATH": f"{program}/bin:/usr/bin:/bin"},
        paths=Paths(spec=folder, run=folder, workspace=folder / "work", home=folder / "home"),
        gateway=GatewaySpec(socket=folder / "gateway.sock", port=0, token="token"),
        isolation=isolation(how, folder),
    )
    with FakeModels([bash(f"setsid sleep {long} & sleep {long}")]) as provider:
        request = AgentRequest(
            step_id="s",
            prompt="Sleep.",
            session_id=str(uuid.uuid4()),
            resume=None,
            model=None,
            base_url=provider.url,
            token="token",
            silence=SECONDS,
            timeout=SECONDS,
            on_session=lambda _: None,
            on_usage=lambda _: None,
            on_log=lambda _: None,
        )

        async def until_it_sleeps(group: anyio.abc.TaskGroup) -> None:
            with anyio.fail_after(SECONDS):
                while len(alive(long)) < 2:  # noqa: ASYNC110 - nobody tells
                    await anyio.sleep(0.05)
            group.cancel_scope.cancel()

        async def work() -> None:
            async with anyio.create_task_group() as group:
                group.start_soon(until_it_sleeps, group)
                await make_agent(agent, folder).run(request, make_commands(spec))

        in_own_thread(work)
    assert alive(long) == []
