"""`.rover/config.yaml`: what is read, and what is refused, with its place (B4)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from rover_mcp.config.load_project import ConfigError, load_config, parse_config
from rover_mcp.config.project import ProjectConfig
from rover_mcp.config.safe_read import FileRefused, read_beneath

FULL = """\
version: 1
agents: [claude, codex]
model: opus
workflow: swe-tdd
engine: bubblewrap
image: registry.example.org:5000/team/image@sha256:0123
limits: {memory: 1.5GiB, cpus: 2, pids: 512, disk: 10GB, agent_timeout: 45m, agent_silence: 30}
network:
  mode: allowlist
  allow: [example.org, "*.example.org"]
environment:
  PORT: 8080
  DEBUG: yes
  WORD: text
copy: [.env, config/local.json]
setup: {script: scripts/setup.sh}
hooks:
  before_agent: ["make deps"]
  after_task: ["make lint"]
budget: {usd: 5, tokens: 1000000}
"""


def parse(text: str) -> ProjectConfig:
    return parse_config(text.encode(), "f")


def test_everything_that_can_be_said_is_read() -> None:
    config = parse(FULL)
    assert config.agent_names == ["claude", "codex"]
    assert config.limits.memory == 1536 * 1024**2
    assert (config.limits.disk, config.limits.agent_timeout) == (10 * 10**9, 2700)
    assert config.limits.agent_silence == 30
    assert config.environment == {"PORT": "8080", "DEBUG": "yes", "WORD": "text"}
    assert config.copy_files == [".env", "config/local.json"]
    assert config.hooks.as_spec().after_task == ("make lint",)
    assert config.budget.usd == 5


def test_keys_whose_lines_are_all_comments_say_nothing() -> None:
    assert parse("version: 1\nlimits:\n  # memory: 1GiB\ncopy:\n") == ProjectConfig()


@pytest.mark.parametrize(
    ("text", "line", "column", "says"),
    [
        ("", 1, 1, "the configuration is empty"),
        ("- 1", 1, 1, "must be a mapping"),
        ("version: 2", 1, 10, "version: must be one of 1"),
        ("version: 1\nfoo: 1", 2, 1, "unknown key 'foo'; known here: version, agent, "),
        (
            "limits:\n  memry: 1",
            2,
            3,
            "unknown key 'memry' (did you mean 'memory'?); known here: memory, cpus",
        ),
        ("agent: a\nagent: b", 2, 1, "'agent' occurs twice"),
        ("agent: a\nagents: [b]", 1, 1, "either agent or agents"),
        ("limits:\n  memory: 4 gigs", 2, 11, "a size is"),
        ("limits: {agent_timeout: 3 days}", 1, 25, "a time is"),
        ("limits: {memory: 0}", 1, 18, "must be more than 0"),
        ("limits: {cpus: two}", 1, 16, "limits.cpus: must be a number"),
        ("engine: process", 1, 9, "'auto', 'docker', 'podman' or 'bubblewrap'"),
        ("image: -x", 1, 8, "image: "),
        ("network: {mode: all}", 1, 17, "network.mode: "),
        ("network: {allow: [localhost]}", 1, 18, "'localhost': a name without a dot"),
        ("copy: [../x]", 1, 8, "relative to the repository's root"),
        ("copy: [/etc/passwd]", 1, 8, "relative to the repository's root"),
        ("copy: ['*.env']", 1, 8, "patterns are not allowed"),
        ("copy: [-x]", 1, 8, "patterns are not allowed"),
        ("copy: [a/./b]", 1, 8, "patterns are not allowed"),
        ('copy: ["a\\nb"]', 1, 8, "patterns are not allowed"),
        ("copy: [.git/config]", 1, 8, "files in .git"),
        ("copy: [sub/.GIT/config]", 1, 8, "files in .git"),
        ("copy: [a, a/b]", 1, 7, "a occurs twice, or is a folder of another one"),
        ("setup: {}", 1, 8, "either script or commands"),
        ("hooks: {before_agent: [' ']}", 1, 24, "the command is empty"),
        ('hooks: {after_task: ["a\\0b"]}', 1, 22, "NUL"),
        ("hooks: {on_merge: [x]}", 1, 9, "unknown key 'on_merge'"),
        ("budget: {usd: .inf}", 1, 15, "finite"),
        ("budget: {usd: -1}", 1, 15, "must be more than 0"),
        ("a: &a [*a]", 1, 4, "more than 8 levels"),
        ("agent: !!python/object:os.system x", 1, 8, "must be a text"),
        ("agent: {a: [", 1, 13, "not valid YAML"),
        ("x: " + "[" * 40, 1, 35, "more than 32 levels"),
        ("agent: \x00", 1, 8, "not valid YAML"),
        ("# " + "x" * 300_000, 1, 1, "larger than 256000 bytes"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, line: int, column: int, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    error = caught.value
    assert (error.line, error.column) == (line, column), error.message
    assert says in error.reason
    assert error.message.startswith(f"f:{line}:{column}: ")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("API_KEY", "x"), ("GITHUB_TOKEN", "x"), ("DB_PASSWORD", "x"), ("SECRET_SAUCE", "x"),
        ("stripe_key", "x"), ("X", "sk-ant-api03-abcdefghijkl"), ("X", "ghp_abcdefghijklmnop"),
        ("DATABASE_URL", "postgres://user:hunter2@db/x"), ("X", "-----BEGIN RSA PRIVATE KEY-----"),
    ],
)  # fmt: skip
def test_what_looks_like_a_secret_is_refused_with_the_way_to_do_it(name: str, value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(f"environment:\n  A: b\n  {name}: {value!r}\n")
    assert (caught.value.line, caught.value.column) == (3, 3)
    assert f"{name} looks like a secret" in caught.value.reason
    assert "`copy`" in caught.value.reason
    assert "`credentials`" in caught.value.reason
    assert value == "x" or value not in caught.value.message


@pytest.mark.parametrize("name", ["MONKEY", "KEYBOARD", "AUTHOR", "PASSAGE", "TOKENIZER", "PORT"])
def test_other_names_are_not_secrets(name: str) -> None:
    assert parse(f"environment: {{{name}: x}}").environment == {name: "x"}


@pytest.mark.parametrize(
    "name",
    ["PATH", "HOME", "LD_PRELOAD", "LD_LIBRARY_PATH", "BASH_ENV", "ENV", "GIT_DIR", "ROVER_PATH",
     "https_proxy", "NO_PROXY", "ANTHROPIC_BASE_URL", "OPENAI_BASE_URL", "GLIBC_TUNABLES", "A-B", "1A"],
)  # fmt: skip
def test_names_that_would_change_what_is_ours_are_refused(name: str) -> None:
    with pytest.raises(ConfigError):
        parse(f"environment: {{{name}: x}}")


# Reading beneath the root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "repo"
    (root / ".rover").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "config.yaml").write_text("agent: evil\n")
    return root


def test_a_project_without_a_configuration_has_none(root: Path) -> None:
    assert load_config(root) is None
    (root / ".rover").rmdir()
    assert load_config(root) is None


def test_the_configuration_is_read_with_a_digest(root: Path) -> None:
    file = root / ".rover" / "config.yaml"
    file.write_text("agent: codex\n")
    first = load_config(root)
    assert first is not None
    assert first.config.agent == "codex"
    file.write_text("agent: claude\n")
    second = load_config(root)
    assert second is not None
    assert second.digest != first.digest


def linked_file(root: Path) -> None:
    (root / ".rover" / "config.yaml").symlink_to(root.parent / "outside" / "config.yaml")


def linked_folder(root: Path) -> None:
    (root / ".rover").rmdir()
    (root / ".rover").symlink_to(root.parent / "outside")


def a_fifo(root: Path) -> None:
    os.mkfifo(root / ".rover" / "config.yaml")


def a_folder(root: Path) -> None:
    (root / ".rover" / "config.yaml").mkdir()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (linked_file, "symbolic link"),
        (linked_folder, "symbolic link"),
        (a_fifo, "not a regular file"),
        (a_folder, "not a regular file"),
    ],
)
def test_nothing_but_a_file_beneath_the_root_is_read(root: Path, make: Any, says: str) -> None:
    make(root)
    with pytest.raises(ConfigError, match=says):
        load_config(root)


@pytest.mark.parametrize("path", ["../outside/config.yaml", "a/../../x", "", "a//b", "./a", ".."])
def test_a_path_that_leaves_the_root_is_not_opened(root: Path, path: str) -> None:
    with pytest.raises(FileRefused, match="not a path beneath"):
        read_beneath(root, path, 10)


def test_a_file_over_the_limit_is_not_read(root: Path) -> None:
    (root / "big").write_bytes(b"x" * 11)
    with pytest.raises(FileRefused, match="larger than 10 bytes"):
        read_beneath(root, "big", 10)
    (root / "fits").write_bytes(b"x" * 10)
    (root / "fits").chmod(0o755)
    found = read_beneath(root, "fits", 10)
    assert (found.data, found.executable) == (b"x" * 10, True)
