"""The first `.rover/config.yaml` of a repository: what counts, and in comments what could. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from agent_runner.printable import only_printable
from rover_mcp.project.detect import DetectedProject


def draft(facts: DetectedProject, agents: Sequence[str]) -> str:
    """The text of the file. `agents` are those that are ready on this machine."""
    return "\n".join(line.rstrip() for line in _lines(facts, agents)) + "\n"


def _lines(facts: DetectedProject, agents: Sequence[str]) -> Iterator[str]:
    yield "# How Rover's tasks of this repository run: docs/configuration.md."
    yield "# Checked by: rover config check. What begins with # does not count."
    for line in _about(facts):
        yield f"# {line}"
    yield "version: 1"
    yield from _agents(agents)
    yield ""
    yield "# The steps of a task: swe (plan, change, review), swe-tdd (tests first), quick."
    yield "# workflow: swe-tdd"
    if facts.tests:
        yield f"# Its tests: rover create ... --input test_command={_text(facts.tests[0])}"
    yield ""
    yield "# What a task may use; your own config.yaml is the maximum."
    yield "# limits: {memory: 2GiB, cpus: 2, agent_timeout: 45m}"
    yield "# budget: {usd: 5}"
    yield ""
    yield "# Beside the model's API, package registries and git hosts are open. Further hosts:"
    yield "# network: {allow: [example.org]}"
    yield from _setup(facts)
    yield ""
    yield "# Literal values, no secrets: this file is committed."
    # Everything that opens something is a comment, so that a first file needs no consent.
    yield "# environment: {NODE_ENV: development}"
    yield from _copies(facts)
    yield ""
    yield "# Commands that run in the sandbox, as steps of the task."
    yield "# hooks:"
    yield f"#   after_task: [{_text(facts.tests[0] if facts.tests else 'make lint')}]"


def _about(project: DetectedProject) -> Iterator[str]:
    facts = {
        "languages": project.languages,
        "package managers": project.managers,
        "lock files": project.lock_files,
        "tests": project.tests[:1],
        "CI": project.ci,
    }
    words = [f"{name} {', '.join(values)}" for name, values in facts.items() if values]
    if words:
        yield f"Found here: {'; '.join(map(_comment, words))}."


def _agents(agents: Sequence[str]) -> Iterator[str]:
    yield ""
    yield "# Who does the work; of several the next takes over while an account is closed."
    if not agents:
        yield "# No agent was found that is ready on this machine: rover doctor"
        yield "# agent: claude"
    elif len(agents) == 1:
        yield f"agent: {_text(agents[0])}"
    else:
        yield f"agent: {_text(agents[0])}"
        yield f"# agents: [{', '.join(map(_text, agents))}]"


def _setup(facts: DetectedProject) -> Iterator[str]:
    yield ""
    if facts.devcontainer:
        yield f"# There is a {facts.devcontainer}. To name an image yourself:"
    yield "# image: debian:bookworm-slim"
    if facts.installs:
        yield "# What is installed once, before the first task, and kept:"
        yield "# setup:"
        yield f"#   commands: [{', '.join(map(_text, facts.installs))}]"


def _copies(facts: DetectedProject) -> Iterator[str]:
    yield ""
    yield "# Files that git ignores and the agent shall see. They never get into a branch."
    yield f"# copy: [{', '.join(map(_text, facts.secrets or ('.env',)))}]"


def _text(value: str) -> str:
    """A text in YAML syntax, also inside a list."""
    plain = value.replace("-", "a").replace("_", "a").replace(".", "a").isalnum()
    return value if plain and value[0].isalpha() else json.dumps(value)


def _comment(value: str) -> str:
    """A comment that stays in one line, whatever a file's name contains."""
    return only_printable(value)[:300]
