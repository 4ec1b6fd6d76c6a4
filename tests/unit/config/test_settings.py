"""Every limit has a name and a default; an unknown one is refused by name (A4, K7)."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from rover_mcp.config.load_settings import LAST_GOOD, have_changed, load_settings, settings_to_serve
from rover_mcp.config.settings import CredentialSource, Settings
from rover_mcp.domain.errors import EnvironmentFault
from tools.docs.settings_page import as_markdown


def load(home: Path, text: str | bytes) -> Settings:
    raw = text if isinstance(text, bytes) else text.encode()
    (home / "config.yaml").write_bytes(raw)
    return load_settings(home)


def test_the_defaults_are_those_that_are_promised(tmp_path: Path) -> None:
    """A4, K2, K3, K7, L7."""
    settings = load_settings(tmp_path)
    assert settings == Settings(home=tmp_path)
    retry = settings.retry
    assert (retry.max_auto_retries, settings.auto_resume) == (5, True)
    assert (retry.transient_first, retry.transient_most) == (60, 3600)
    assert (retry.credits_first, retry.credits_most) == (900, 6 * 3600)
    assert settings.sweep_interval == 30
    assert (settings.engine, settings.credentials) == ("auto", {})
    assert settings.concurrency >= 1


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "---\n", "{}"])
def test_an_empty_file_changes_nothing(tmp_path: Path, text: str) -> None:
    assert load(tmp_path, text) == Settings(home=tmp_path, text=text)


def test_any_of_them_can_be_set(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        """
        engine: bubblewrap
        concurrency: 2
        auto_resume: false
        retry: {max_auto_retries: 0, transient_first: 5}
        credentials:
          anthropic: {command: "pass show anthropic"}
          openai: {env: WORK_KEY}
        """,
    )
    assert (settings.engine, settings.concurrency, settings.auto_resume) == ("bubblewrap", 2, False)
    assert (settings.retry.max_auto_retries, settings.retry.transient_first) == (0, 5)
    assert settings.retry.transient_most == 3600
    assert settings.credentials["anthropic"] == CredentialSource(command="pass show anthropic")
    assert settings.credentials["openai"].env == "WORK_KEY"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("max_retries: 3", "unknown key 'max_retries'.*; known here: .*concurrency"),
        ("retry: {max_auto_retry: 3}", r"'max_auto_retry' \(did you mean 'max_auto_retries'\?\)"),
        ("retry: {max_auto_retries: -1}", r"retry\.max_auto_retries"),
        ("retry: {jitter: 2}", r"retry\.jitter"),
        ("engine: swarm", "engine"),
        ("concurrency: 0", "concurrency"),
        ("concurrency: many", "concurrency: must be a whole number"),
        ("retry: often", "retry: must be a mapping"),
        ("hooks: {}", "hooks: must be a list"),
        ("credentials: {anthropic: {key: sk-secret}}", "unknown key 'key'"),
        ("credentials: {anthropic: {}}", r"credentials\.anthropic: .*exactly one"),
        ("credentials: {anthropic: {env: A, file: b}}", r"credentials\.anthropic: .*exactly one"),
        ("1: 2", "a key must be a text"),
    ],
)
def test_what_is_wrong_is_named_with_its_file(tmp_path: Path, text: str, named: str) -> None:
    """A4: a typing mistake is never a silent default."""
    with pytest.raises(EnvironmentFault, match=rf"config.yaml:1: .*{named}") as caught:
        load(tmp_path, text)
    assert caught.value.hint == "correct or remove this setting"
    assert "sk-secret" not in caught.value.message


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("# first\nretry:\n  jitter: 0\n  max_auto_retry: 3\n", 4),
        ("concurrency: 2\nhooks:\n- {kind: desktop}\n- {kind: desktop, colour: red}\n", 4),
        ("credentials:\n  openai:\n    kez: A\n", 3),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, text: str, line: int) -> None:
    with pytest.raises(EnvironmentFault, match=rf"config.yaml:{line}: "):
        load(tmp_path, text)


@pytest.mark.parametrize(
    "text", ["- a list", "text", "a: [", "a: b: c", b"\xff\xfe\x00", "!!python/object:os.system {}"]
)
def test_a_file_that_is_no_mapping_is_a_clear_error(tmp_path: Path, text: str | bytes) -> None:
    """And YAML is loaded safely."""
    with pytest.raises(EnvironmentFault, match=r"config.yaml (cannot be read|must hold a mapping)"):
        load(tmp_path, text)


def test_a_folder_in_its_place_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").mkdir()
    with pytest.raises(EnvironmentFault, match="cannot be read"):
        load_settings(tmp_path)


def test_a_file_cannot_move_its_own_data_folder(tmp_path: Path) -> None:
    assert load(tmp_path, "home: /elsewhere").home == tmp_path


def test_settings_do_not_change_once_read(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load_settings(tmp_path).concurrency = 3


def test_every_setting_is_documented_and_the_page_is_the_code() -> None:
    """A4. Write it anew with: python -m tools.docs.settings_page > docs/settings.md"""
    page = Path(__file__).parents[3] / "docs" / "settings.md"
    assert page.read_text("utf-8") == as_markdown()
    assert "|  |\n" not in as_markdown(), "a setting without a meaning"


def test_a_mistake_in_config_yaml_stops_nothing_that_waits(tmp_path: Path) -> None:
    """A4: a daemon that starts goes by the last one that could be used, and says what is wrong."""
    config = tmp_path / "config.yaml"
    config.write_text("concurrency: 7\n")
    assert settings_to_serve(tmp_path).wrong == ""
    config.write_text("idle_exit: 60\nconcurency: 9\n")
    for _ in range(2):
        served = settings_to_serve(tmp_path)
        assert served.concurrency == 7
        assert f"{config}:2: " in served.wrong
        assert "concurrency" in served.wrong
        assert not have_changed(served), "no daemon takes its place before the file is another"
    config.write_bytes(b"\xff")
    assert settings_to_serve(tmp_path).concurrency == 7
    config.write_text("concurrency: 9\n")
    assert have_changed(served)
    assert (settings_to_serve(tmp_path).concurrency, settings_to_serve(tmp_path).wrong) == (9, "")
    assert (tmp_path / LAST_GOOD).stat().st_mode & 0o777 == 0o600


def test_without_one_that_could_be_used_a_mistake_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("concurency: 9\n")
    with pytest.raises(EnvironmentFault, match=r"config\.yaml:1: "):
        settings_to_serve(tmp_path)
