"""A project's set-up installs packages: it has the proxy where the policy offers one."""

from __future__ import annotations

import anyio

from agent_runner.process import make_commands
from agent_runner.setup import run_commands
from agent_runner.spec import RunSpec, Setup


def test_set_up_commands_find_the_proxy(bare: RunSpec) -> None:
    gateway = bare.gateway.model_copy(update={"proxy": True, "port": 8377})
    commands = make_commands(bare.model_copy(update={"gateway": gateway}))
    heard: list[str] = []
    setup = Setup(commands=("echo $https_proxy $HTTPS_PROXY",), key="k", timeout=20)
    anyio.run(run_commands, setup, commands, heard.append)
    assert heard[-1].split() == ["http://rover:token@127.0.0.1:8377"] * 2
