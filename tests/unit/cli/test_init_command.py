"""`rover init`: what it finds in real trees, and what it writes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rover_mcp.cli.client import McpClient
from rover_mcp.cli.command_line import main
from rover_mcp.config.load_project import load_config
from rover_mcp.launcher.daemon_client import DaemonUnavailable

Json = dict[str, Any]
TREES: dict[str, Json] = {
    "uv": {
        "pyproject.toml": "[dependency-groups]\ndev = ['pytest']\n", "uv.lock": "",
        ".github/workflows/ci.yml": "", ".env": "K=v",
    },
    "pip": {"requirements.txt": "requests\n", "conftest.py": ""},
    "npm": {"package.json": '{"scripts": {"test": "jest"}}', "package-lock.json": "{}"},
    "pnpm": {"package.json": '{"scripts": {"test": "echo no test specified"}}',
             "pnpm-lock.yaml": "", "tsconfig.json": "{}"},
    "go": {"go.mod": "module x\n", "go.sum": ""},
    "rust": {"Cargo.toml": "[package]", "Cargo.lock": "", ".devcontainer/devcontainer.json": "{}"},
    "mixed": {"go.mod": "", "package.json": "not json", "Makefile": "all:\ntest: all\n\tgo test\n"},
    "empty": {},
    "hostile": {"package.json": "[1]", "Jenkinsfile": "", ".github/workflows/a\nagent: x\n.yml": ""},
}  # fmt: skip
FOUND: dict[str, Json] = {
    "uv": {"languages": ["Python"], "managers": ["uv"], "lock_files": ["uv.lock"],
           "installs": ["uv sync"], "tests": ["uv run pytest"], "secrets": [".env"],
           "ci": [".github/workflows/ci.yml"], "devcontainer": None},
    "pip": {"managers": ["pip"], "tests": ["python3 -m pytest"],
            "installs": ["pip install -r requirements.txt"]},
    "npm": {"languages": ["JavaScript"], "managers": ["npm"], "installs": ["npm ci"],
            "tests": ["npm test"]},
    "pnpm": {"languages": ["TypeScript"], "managers": ["pnpm"], "tests": []},
    "go": {"languages": ["Go"], "tests": ["go test ./..."], "lock_files": ["go.sum"]},
    "rust": {"languages": ["Rust"], "tests": ["cargo test"],
             "devcontainer": ".devcontainer/devcontainer.json"},
    "mixed": {"languages": ["JavaScript", "Go"], "tests": ["make test", "go test ./..."]},
    "empty": {"languages": [], "managers": [], "tests": [], "secrets": [], "ci": []},
    "hostile": {"languages": ["JavaScript"], "tests": []},
}  # fmt: skip


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    def make(name: str) -> Path:
        (tmp_path / ".git").mkdir()
        for path, text in TREES[name].items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text)
        monkeypatch.chdir(tmp_path)
        return tmp_path

    def no_daemon(_home: str) -> McpClient:
        raise DaemonUnavailable("it cannot start", "none")

    monkeypatch.setattr(McpClient, "connect", no_daemon)
    return make


@pytest.mark.parametrize("name", TREES)
def test_it_finds_what_is_there_and_writes_a_file_that_loads(
    name: str, tree: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    root = tree(name)
    assert main(["init", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert {key: result["found"][key] for key in FOUND[name]} == FOUND[name]
    assert (root / ".rover" / "config.yaml").read_text() == result["text"]
    loaded = load_config(root)
    assert loaded is not None
    # Nothing that was found is let in by itself.
    assert loaded.config.copy_files == []
    assert loaded.config.agent is None


@pytest.mark.parametrize("name", TREES)
def test_what_is_commented_out_loads_too(
    name: str, tree: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Take away the # of a setting and it counts."""
    root = tree(name)
    assert main(["init"]) == 0
    file = root / ".rover" / "config.yaml"
    lines = file.read_text().splitlines()
    keys = ("# workflow:", "# limits:", "# budget:", "# network:", "# image:", "# environment:",
            "# copy:", "# agent:", "# hooks:", "# setup:", "#   ")  # fmt: skip
    file.write_text("\n".join(x[2:] if x.startswith(keys) else x for x in lines))
    capsys.readouterr()
    assert main(["config", "check"]) == 0, capsys.readouterr().err
    assert "workflow, image, limits, network, environment, copy" in capsys.readouterr().out


def test_a_file_that_is_there_is_never_lost(
    tree: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    root = tree("empty")
    file = root / ".rover" / "config.yaml"
    file.parent.mkdir()
    file.write_text("mine")
    assert main(["init"]) == 1
    assert "--force" in capsys.readouterr().err
    assert main(["init", "--dry-run"]) == 0
    assert "version: 1" in capsys.readouterr().out
    assert file.read_text() == "mine"
    assert main(["init", "--force"]) == 0
    assert main(["init", "--force"]) == 0
    kept = [p.read_text() for p in sorted(file.parent.glob("config.yaml.bak*"))]
    assert kept[0] == "mine"
    assert len(kept) == 2


def test_it_writes_through_no_symbolic_link(
    tree: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> None:
    root, outside = tree("empty"), tmp_path_factory.mktemp("outside")
    (root / ".rover").symlink_to(outside)
    assert main(["init", "--force"]) == 1
    assert list(outside.iterdir()) == []


def test_outside_a_repository_it_says_so(
    tree: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    (tree("empty") / ".git").rmdir()
    assert main(["init"]) == 1
    assert "not in a git repository" in capsys.readouterr().err


def test_the_agents_that_are_ready_are_named(
    tree: Callable[[str], Path], fake: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tree("go")
    ready = {"installed": True, "signed_in": True}
    agents = [
        {"name": "scripted", **ready}, {"name": "gemini", "installed": True, "signed_in": False},
        {"name": "codex", **ready}, {"name": "claude", **ready},
    ]  # fmt: skip
    fake(lambda _tool, _arguments: {"agents": agents})
    assert main(["init"]) == 0
    loaded = load_config(root)
    assert loaded is not None
    assert loaded.config.agent == "codex"
    assert "# agents: [codex, claude]" in (root / ".rover" / "config.yaml").read_text()
