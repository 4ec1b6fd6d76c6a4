"""Files that a program on the host runs later are known by their names."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from rover_mcp.tasks.hand_off_rules import HAND_OFF_RULES
from rover_mcp.tasks.handoff_files import HAND_OFF, first_of_each, hand_off_warning, run_by
from rover_mcp.tasks.view_models import ChangesView, FileChange
from tools.docs.hand_off_page import as_markdown

RUN = {
    ".claude/settings.json": "Claude Code",
    "sub/.claude/hooks/x.sh": "Claude Code",
    ".mcp.json": "Claude Code",
    ".cursor/mcp.json": "Cursor",
    ".vscode/tasks.json": "VS Code",
    "My.code-workspace": "VS Code",
    ".devcontainer/devcontainer.json": "a dev container",
    ".envrc": "direnv",
    ".husky/pre-commit": "a hook manager",
    ".pre-commit-config.yaml": "a hook manager",
    ".github/workflows/ci.yml": "CI",
    ".gitlab-ci.yml": "CI",
    "Makefile": "make and the like",
    "package.json": "npm and the like",
    "deep/er/package.json": "npm and the like",
    "conftest.py": "pytest",
    "venv/pyvenv.cfg": "Python",
    "x/sitecustomize.py": "Python",
    "evil.pth": "Python",
    ".rover/config.yaml": "Rover",
    ".rover/workflows/swe.yaml": "Rover",
    ".codex/config.toml": "another agent",
    "AGENTS.md": "another agent",
    ".idea/workspace.xml": "another editor",
    "mise.local.toml": "a tool manager",
    ".mise.local.toml": "a tool manager",
    ".config/mise.toml": "a tool manager",
    "mise-tasks/build": "a tool manager",
    "lefthook-local.yml": "a hook manager",
    ".lefthook.json": "a hook manager",
    ".config/lefthook.jsonc": "a hook manager",
    ".lefthook-local/pre-commit/x.sh": "a hook manager",
    ".cline/rules/x.md": "another agent",
    ".env.local": "what reads .env",
    ".gitmodules": "git",
    ".gitattributes": "git",
    "build.rs": "another build tool",
    "vite.config.ts": "JavaScript tools",
    "docker-compose.override.yml": "docker",
    ".zed/tasks.json": "another editor",
    ".vim/after/plugin/x.vim": "another editor",
    ".gemini/settings.json": "another agent",
    ".pylintrc": "a linter",
    ".gdbinit": "a debugger or console",
    "infra/main.tf": "an infrastructure tool",
}
ORDINARY = ("src/main.py", "README.md", "docs/claude.txt", "makefiles.md", "a/vscode/tasks.json",
            "package.json.md", "environment.py", ".github/ISSUE_TEMPLATE.md", "calc.py")  # fmt: skip


@pytest.mark.known_escape(1)
@pytest.mark.parametrize("path", RUN)
def test_a_file_that_a_program_runs_is_known_in_any_case_and_at_any_depth(path: str) -> None:
    assert run_by(path) == RUN[path]
    assert run_by(path.upper()) == RUN[path]
    assert run_by(f"packages/one/{path}") == RUN[path]


def test_ordinary_files_are_not_marked() -> None:
    assert [path for path in ORDINARY if run_by(path)] == []


@pytest.mark.known_escape(1)
@pytest.mark.parametrize("path", [".vscode", "x/.claude", ".github", ".husky"])
def test_a_link_in_the_place_of_such_a_folder_is_marked(path: str) -> None:
    assert run_by(path)


def test_patterns_are_written_in_one_way() -> None:
    for patterns in HAND_OFF.values():
        for pattern in patterns:
            assert not pattern.startswith(("/", "**"))
            assert "*" not in pattern or "/" not in pattern


def test_every_rule_names_its_source_and_no_name_stands_twice() -> None:
    """N11"""
    for rule in HAND_OFF_RULES:
        assert re.match(r"https://[\w.-]+/|docs/[\w-]+\.md$", rule.source), rule
    patterns = [pattern.lower() for rule in HAND_OFF_RULES for pattern in rule.patterns]
    assert len(set(patterns)) == len(patterns)


def test_the_page_has_every_rule() -> None:
    """N11. Write it again with: make docs-from-code"""
    page = Path(__file__).parents[3] / "docs" / "hand-off.md"
    assert page.read_text("utf-8") == as_markdown()


def test_a_name_of_any_length_takes_no_time() -> None:
    begun = time.process_time()
    run_by("/".join(["a.config"] * 400) + "*" * 200)
    run_by("." * 4000 + ".config.")
    assert time.process_time() - begun < 1


@pytest.mark.known_escape(1)
def test_many_files_of_one_kind_hide_none_of_another() -> None:
    runs = {f".claude/commands/{n:03}.md": "Claude Code" for n in range(200)}
    runs |= {"Makefile": "make and the like", "z/.envrc": "direnv"}
    assert first_of_each(runs)[:3] == [".claude/commands/000.md", "z/.envrc", "Makefile"]


def test_a_sentence_names_each_program_with_a_file_of_its_own() -> None:
    paths = [
        FileChange(path=".envrc\n\u202e", added=1, removed=0, run_by="direnv"),
        FileChange(path=".vscode/tasks.json", added=1, removed=0, run_by="VS Code"),
        FileChange(path="a.py", added=1, removed=0),
    ]
    counts = {"direnv": 1, "VS Code": 3, "CI": 2}
    (told,) = hand_off_warning(ChangesView(files=7, added=7, removed=0, run_by=counts, paths=paths))
    assert told.endswith(
        r".envrc\n\u202e (run by direnv); .vscode/tasks.json and 2 more (run by VS Code); "
        "2 files (run by CI)"
    )
    assert hand_off_warning(ChangesView(files=1, added=1, removed=0, paths=paths[2:])) == []
