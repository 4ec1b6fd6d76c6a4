"""Hooks in config.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from rover_mcp.config.hooks import wrong_url
from rover_mcp.config.load_settings import load_settings
from rover_mcp.config.settings import Settings
from rover_mcp.domain.errors import EnvironmentFault

WEBHOOK = {"kind": "webhook", "url": "https://example.org/hook", "secret_file": "~/.secret"}


def load(folder: Path, *hooks: dict[str, Any]) -> Settings:
    (folder / "config.yaml").write_text(yaml.safe_dump({"hooks": list(hooks)}))
    return load_settings(folder)


def test_hooks_are_named_after_their_kind_and_tell_of_pauses_and_ends(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        {"kind": "desktop"},
        {**WEBHOOK, "events": ["step"]},
        {"kind": "command", "name": "say", "run": ["say", "it"]},
    )
    assert [hook.name for hook in settings.hooks] == ["desktop", "webhook", "say"]
    assert settings.hooks[0].kinds == {
        "task.paused", "task.failed", "task.completed", "task.resume_failed",
        "task.window_warning",
    }  # fmt: skip
    assert settings.hooks[1].kinds == {"task.step"}


@pytest.mark.parametrize(
    ("hook", "wrong"),
    [
        ({"kind": "smoke"}, "desktop"),
        ({**WEBHOOK, "secret_env": "X"}, "exactly one of"),
        ({"kind": "webhook", "url": "https://example.org"}, "exactly one of"),
        ({**WEBHOOK, "url": "http://example.org"}, "unencrypted"),
        ({**WEBHOOK, "events": ["exploded"]}, "no event 'exploded'"),
        ({"kind": "command", "run": []}, "run"),
        ({"kind": "command", "run": "rm -rf /"}, "run"),
        ({"kind": "desktop", "name": "../x"}, "name"),
        ({"kind": "desktop", "colour": "red"}, "colour"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_place(
    tmp_path: Path, hook: dict[str, Any], wrong: str
) -> None:
    with pytest.raises(EnvironmentFault, match=r"config\.yaml:\d+: ") as caught:
        load(tmp_path, hook)
    assert wrong in str(caught.value)


def test_two_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match="two hooks are named webhook"):
        load(tmp_path, WEBHOOK, WEBHOOK)
    load(tmp_path, WEBHOOK, {**WEBHOOK, "name": "second"})


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:8000/x", "http://[::1]/x", "http://localhost/x", "https://example.org:8443"],
)
def test_http_may_stay_on_this_machine(url: str) -> None:
    assert wrong_url(url, allow_http=False) is None


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost.example.org/", "http://127.0.0.1.example.org/", "http://0.0.0.0/",
        "http://10.0.0.1/", "https://user:word@example.org/", "https:///x", "file:///etc/passwd",
        "https://[::1/", "https://example.org:99999/", "https://example.org/a b", "",
        "https://example.org/#x",
    ],
)  # fmt: skip
def test_other_addresses_are_refused(url: str) -> None:
    assert wrong_url(url, allow_http=False) is not None


def test_http_goes_further_only_where_that_is_said() -> None:
    assert wrong_url("http://10.0.0.1/", allow_http=True) is None


def test_a_project_cannot_name_hooks_of_the_host() -> None:
    """Its `hooks` are commands inside the sandbox, and know no such kind."""
    from rover_mcp.config.project import ProjectConfig

    assert not {"hook_retry", "claude_channel"} & set(ProjectConfig.model_fields)
    text = str(ProjectConfig.model_json_schema())
    assert "webhook" not in text
