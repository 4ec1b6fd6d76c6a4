"""Who wins: the call, the project, the user's config.yaml, the default; and who may not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent_runner.models import Budget
from agent_runner.spec import Disk, RunLimits
from rover_mcp.config.limits import disk_limit, resource_limits, run_limits
from rover_mcp.config.load_project import FoundConfig, parse_config
from rover_mcp.config.settings import Settings
from rover_mcp.config.task_config import Origin, TaskConfig
from rover_mcp.config.task_options import TaskOptions
from rover_mcp.tasks.options import ResolvedOptions, resolve_options


def decide(project: str = "", asked: TaskOptions | None = None, **mine: Any) -> ResolvedOptions:
    found = FoundConfig(parse_config(project.encode()), "d") if project else None
    settings = Settings.model_validate({"home": Path("/h"), **mine})
    return resolve_options(asked or TaskOptions(), found, settings)


def test_with_nothing_said_the_defaults_count() -> None:
    settled = decide()
    assert (settled.agents, settled.model, settled.workflow, settled.engine, settled.budget) == (
        ["claude"], None, "swe", "auto", None,
    )  # fmt: skip
    assert set(settled.config.origins.values()) == {Origin.DEFAULT}
    assert settled.warnings == []


def test_the_call_goes_before_the_project_and_that_before_the_user() -> None:
    mine = {"agents": ["c"], "workflow": "cw", "budget": {"usd": 9}}
    project = "agent: p\nworkflow: pw\nengine: docker\n"
    assert decide(**mine).agents == ["c"]
    assert decide(project, **mine).agents == ["p"]
    asked = TaskOptions(
        agents=("a", "b"), workflow="aw", engine="bubblewrap", budget=Budget(usd=99)
    )
    settled = decide(project, asked, **mine)
    assert (settled.agents, settled.workflow, settled.engine) == (["a", "b"], "aw", "bubblewrap")
    assert settled.budget == Budget(usd=99)
    assert settled.config.origins["agent"] is Origin.CALL
    assert decide(project, **mine).config.origins["workflow"] is Origin.PROJECT


@pytest.mark.parametrize(
    ("project", "asked", "model"),
    [
        ("agent: p\nmodel: m\n", TaskOptions(), "m"),
        ("agent: p\nmodel: m\n", TaskOptions(agents=("other",)), None),
        ("agent: p\nmodel: m\n", TaskOptions(agents=("p",)), "m"),
        ("model: m\n", TaskOptions(), "m"),
        ("model: m\n", TaskOptions(agents=("claude",)), "m"),
        ("agent: p\nmodel: m\n", TaskOptions(model="x"), "x"),
    ],
)
def test_a_model_is_its_agents_own(project: str, asked: TaskOptions, model: str | None) -> None:
    assert decide(project, asked).model == model


@pytest.mark.parametrize(
    ("mine", "engine", "warns"),
    [
        ("auto", "bubblewrap", False),
        ("docker", "docker", True),
        ("bubblewrap", "bubblewrap", False),
    ],
)
def test_an_engine_that_the_user_named_goes_before_the_projects(
    mine: str, engine: str, warns: bool
) -> None:
    settled = decide("engine: bubblewrap\n", engine=mine)
    assert settled.engine == engine
    assert bool(settled.warnings) is warns


def test_limits_go_down_and_never_above_the_users() -> None:
    project = "limits: {memory: 8GiB, cpus: 1, pids: 64, agent_timeout: 10m, agent_silence: 2h}\n"
    settled = decide(project)
    settings = Settings(home=Path("/h"))
    limits = resource_limits(settings, settled.config)
    assert (limits.memory_bytes, limits.cpus, limits.pids) == (4 * 2**30, 1, 64)
    of_run = run_limits(settings, settled.config)
    assert (of_run.agent_timeout, of_run.agent_silence) == (600, 600)
    assert settled.warnings == [
        ".rover/config.yaml: limits.memory 8 GiB is cut to 4 GiB, your own maximum",
        ".rover/config.yaml: limits.agent_silence 7200 s is cut to 600 s, your own maximum",
    ]


def test_a_user_who_lowers_a_limit_later_is_heard() -> None:
    decided = decide("limits: {memory: 2GiB}\n").config
    smaller = Settings(home=Path("/h"), sandbox_memory_bytes=2**30)
    assert resource_limits(smaller, decided).memory_bytes == 2**30
    assert resource_limits(smaller, None).memory_bytes == 2**30
    assert run_limits(smaller, None) == RunLimits()


def test_a_projects_budget_can_only_lower_the_users() -> None:
    assert decide("budget: {usd: 3}\n").budget == Budget(usd=3)
    settled = decide("budget: {usd: 30, tokens: 5}\n", budget={"usd": 10})
    assert settled.budget == Budget(usd=10, tokens=5)
    assert settled.warnings == [".rover/config.yaml: budget.usd 30.0 is cut to 10.0, your own"]


def test_an_image_of_the_project_is_told() -> None:
    [told] = decide("image: evil/image\n").warnings
    assert "made from the image evil/image" in told


def test_what_was_decided_is_the_same_after_it_was_stored() -> None:
    project = (
        "limits: {memory: 1GiB, agent_timeout: 45m}\nenvironment: {A: 1}\ncopy: [.env]\n"
        "hooks: {after_task: [x]}\nsetup: {script: s.sh}\n"
    )
    decided = decide(project).config
    assert TaskConfig.model_validate(decided.model_dump(mode="json")) == decided


@pytest.mark.parametrize(
    ("mine", "theirs", "asked", "mode", "says"),
    [
        (None, None, None, "allowlist", None),
        (None, "open", None, "open", "every public host can be reached"),
        (None, "providers", None, "providers", None),
        ("providers", "open", None, "providers", "your config.yaml says providers"),
        ("providers", "none", None, "none", None),
        ("open", "open", None, "open", "every public host can be reached"),
        ("none", "open", "open", "open", None),
        (None, "none", "providers", "providers", None),
    ],
)
def test_a_mode_that_the_user_named_is_the_most_that_a_project_opens(
    mine: str | None, theirs: str | None, asked: str | None, mode: str, says: str | None
) -> None:
    settings = {"network": {"mode": mine}} if mine else {}
    project = f"network: {{mode: {theirs}}}\n" if theirs else ""
    settled = decide(project, TaskOptions(network=asked), **settings)
    assert settled.network.mode == mode
    assert bool(settled.warnings) == bool(says)
    assert (says or "") in " ".join(settled.warnings)


def test_further_hosts_of_a_project_are_told_where_they_count() -> None:
    project = "network: {allow: [example.org]}\n"
    settled = decide(project)
    assert settled.network.allow == ("example.org",)
    assert settled.warnings == [".rover/config.yaml opens the network to example.org"]
    closed = decide(project, TaskOptions(network="providers"))
    assert (closed.network.allow, closed.warnings) == ((), [])


def test_a_disk_limit_goes_down_and_never_above_the_users() -> None:
    settings = Settings(home=Path("/h"), sandbox_disk_bytes=2 * 2**30, min_free_bytes=7)
    less = decide("limits: {disk: 1GiB}\n", sandbox_disk_bytes=2 * 2**30)
    assert less.warnings == []
    assert disk_limit(settings, less.config) == Disk(limit_bytes=2**30, floor_bytes=7)
    more = decide("limits: {disk: 8GiB}\n", sandbox_disk_bytes=2 * 2**30)
    assert more.warnings == [
        ".rover/config.yaml: limits.disk 8 GiB is cut to 2 GiB, your own maximum"
    ]
    assert disk_limit(settings, more.config).limit_bytes == 2 * 2**30
