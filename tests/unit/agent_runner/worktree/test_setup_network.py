"""A project's setup in a task's own sandbox: its network, its log, and what a failure means."""

from __future__ import annotations

import functools

import anyio
import pytest

from agent_runner.process.spawn import make_commands
from agent_runner.spec import RunSpec, Setup
from agent_runner.worktree.project_setup import SetupFailed, SetupOutput, run_commands, set_up_task


def test_set_up_commands_find_the_proxy(bare: RunSpec) -> None:
    gateway = bare.gateway.model_copy(update={"proxy": True, "port": 8377})
    commands = make_commands(bare.model_copy(update={"gateway": gateway}))
    heard: list[str] = []
    setup = Setup(commands=("echo $https_proxy $HTTPS_PROXY",), key="k", timeout=300)
    anyio.run(run_commands, setup, commands, SetupOutput(heard.append, heard.append))
    assert heard[-1].split() == ["http://rover:token@127.0.0.1:8377"] * 2


def test_a_command_that_is_only_tried_fails_with_a_warning(bare: RunSpec) -> None:
    """V5. On 4ed2e71 the first of them failed the task."""
    tried = ("only-the-image-has-it sync", "echo second > second")
    setup = Setup(tried=tried, commands=("cat second",), key="k", timeout=300)
    spec = bare.model_copy(update={"setup": setup})
    warned: list[str] = []
    run = functools.partial(set_up_task, spec, make_commands(spec), warned.append, new_tree=True)
    anyio.run(run)
    [warning] = warned
    assert "'only-the-image-has-it sync' failed with status 127" in warning
    assert "command not found" in warning
    assert "devcontainer: image" in warning, "what helps"
    log = (spec.paths.run / "logs" / "setup.log").read_text()
    assert "$ only-the-image-has-it sync" in log
    assert log.endswith("$ cat second\nsecond\n")


def test_a_failed_set_up_says_where_its_output_is_and_it_is_there(bare: RunSpec) -> None:
    """V5. On 4ed2e71 nothing that the commands printed was kept."""
    setup = Setup(commands=("seq 100; false",), key="k", timeout=300)
    spec = bare.model_copy(update={"setup": setup})
    run = functools.partial(set_up_task, spec, make_commands(spec), lambda _: None, new_tree=True)
    with pytest.raises(SetupFailed, match="status 1") as caught:
        anyio.run(run)
    assert "log of step setup" in str(caught.value)
    assert "create the task again" in str(caught.value)
    log = (spec.paths.run / "logs" / "setup.log").read_text().splitlines()
    assert (log[0], log[1], log[100]) == ("$ seq 100; false", "1", "100")


def test_a_failed_set_up_names_the_cause_however_long_ago_it_was_printed(bare: RunSpec) -> None:
    """A.5: the last twenty lines did not have it."""
    printed = "echo 'x509: certificate signed by unknown authority'; seq 100; false"
    for setup in (
        Setup(commands=(printed,), key="k", timeout=300),
        Setup(tried=(printed,), commands=(), key="k", timeout=300),
    ):
        warned: list[str] = []
        run = functools.partial(
            run_commands, setup, make_commands(bare), SetupOutput(lambda _: None, warned.append)
        )
        if setup.tried:
            anyio.run(run)
            [said] = warned
        else:
            with pytest.raises(SetupFailed) as caught:
                anyio.run(run)
            said = str(caught.value).splitlines()[0]
        assert "failed with status 1: x509: certificate signed by unknown authority" in said
