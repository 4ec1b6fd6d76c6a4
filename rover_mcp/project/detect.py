"""Finds out what a repository is made of, from its files' names and a few of their lines. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any, cast

Read = Callable[[str], str]
"""Reads the beginning of a file; empty where it cannot be read."""


@dataclass(frozen=True)
class DetectedProject:
    """What `rover init` writes about. `installs` and `tests` are commands, the most likely
    first."""

    languages: tuple[str, ...] = ()
    managers: tuple[str, ...] = ()
    lock_files: tuple[str, ...] = ()
    installs: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    devcontainer: str | None = None
    ci: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Language:
    """A language, by the file that every project in it has. Each manager has its lock file, its
    name, the command that installs, and the command that runs the tests."""

    marks: tuple[str, ...]
    language: str
    managers: tuple[tuple[str, str, str, str], ...]


_KINDS = (
    _Language(
        ("pyproject.toml", "setup.py", "setup.cfg", "requirements.txt"),
        "Python",
        (
            ("uv.lock", "uv", "uv sync", "uv run pytest"),
            ("poetry.lock", "poetry", "poetry install", "poetry run pytest"),
            ("pdm.lock", "pdm", "pdm install", "pdm run pytest"),
            ("Pipfile.lock", "pipenv", "pipenv sync --dev", "pipenv run pytest"),
            ("requirements.txt", "pip", "pip install -r requirements.txt", "python3 -m pytest"),
            ("", "pip", "pip install -e .", "python3 -m pytest"),
        ),
    ),
    _Language(
        ("package.json",),
        "JavaScript",
        (
            ("pnpm-lock.yaml", "pnpm", "pnpm install --frozen-lockfile", "pnpm test"),
            ("yarn.lock", "yarn", "yarn install --immutable", "yarn test"),
            ("bun.lock", "bun", "bun install --frozen-lockfile", "bun run test"),
            ("bun.lockb", "bun", "bun install --frozen-lockfile", "bun run test"),
            ("package-lock.json", "npm", "npm ci", "npm test"),
            ("", "npm", "npm install", "npm test"),
        ),
    ),
    _Language(
        ("go.mod",),
        "Go",
        (
            ("go.sum", "go", "go mod download", "go test ./..."),
            ("", "go", "go mod download", "go test ./..."),
        ),
    ),
    _Language(
        ("Cargo.toml",),
        "Rust",
        (
            ("Cargo.lock", "cargo", "cargo fetch --locked", "cargo test"),
            ("", "cargo", "cargo fetch", "cargo test"),
        ),
    ),
    _Language(
        ("Gemfile",),
        "Ruby",
        (
            ("Gemfile.lock", "bundler", "bundle install", "bundle exec rake test"),
            ("", "bundler", "bundle install", "bundle exec rake test"),
        ),
    ),
    _Language(
        ("composer.json",),
        "PHP",
        (
            ("composer.lock", "composer", "composer install", "composer test"),
            ("", "composer", "composer install", "composer test"),
        ),
    ),
    _Language(
        ("pom.xml",), "Java", (("", "maven", "mvn -B dependency:go-offline", "mvn -B test"),)
    ),
    _Language(
        ("build.gradle", "build.gradle.kts"),
        "Java",
        (("", "gradle", "./gradlew dependencies", "./gradlew test"),),
    ),
    _Language(
        ("mix.exs",),
        "Elixir",
        (("mix.lock", "mix", "mix deps.get", "mix test"), ("", "mix", "mix deps.get", "mix test")),
    ),
)
_DEVCONTAINERS = (".devcontainer/devcontainer.json", ".devcontainer.json")
_CI = (
    ".github/workflows/*.y*ml", ".gitlab-ci.yml", ".circleci/config.yml", "Jenkinsfile",
    "azure-pipelines.yml", ".ci/*",
)  # fmt: skip
_SECRETS = (".env", ".env.local", ".env.test", ".env.development", ".envrc", ".npmrc", ".pypirc")
_TARGET = re.compile(r"^test\s*:", re.MULTILINE)


def detect(names: Collection[str], read: Read) -> DetectedProject:
    """What the files, named by their paths from the root, say about the project."""
    kinds = [kind for kind in _KINDS if any(mark in names for mark in kind.marks)]
    # A lock file says which manager the project's own people use; the last entry of each language
    # has none.
    managers = [next(m for m in kind.managers if not m[0] or m[0] in names) for kind in kinds]
    tests = [
        manager[3]
        for kind, manager in zip(kinds, managers, strict=True)
        if _has_tests(kind.language, names, read)
    ]
    return DetectedProject(
        languages=tuple(dict.fromkeys(_languages(kinds, names))),
        managers=tuple(dict.fromkeys(manager[1] for manager in managers)),
        lock_files=tuple(manager[0] for manager in managers if manager[0]),
        installs=tuple(manager[2] for manager in managers),
        tests=(*_targets(names, read), *tests),
        devcontainer=next((name for name in _DEVCONTAINERS if name in names), None),
        ci=tuple(n for n in sorted(names) if any(fnmatch(n, pattern) for pattern in _CI)),
        # By name only: the draft proposes to copy them, and their content is nobody's business
        # here.
        secrets=tuple(name for name in _SECRETS if name in names),
    )


def _languages(kinds: list[_Language], names: Collection[str]) -> Iterator[str]:
    for kind in kinds:
        typed = kind.language == "JavaScript" and "tsconfig.json" in names
        yield "TypeScript" if typed else kind.language


def _targets(names: Collection[str], read: Read) -> Iterator[str]:
    """A target of the project's own is the best evidence of how its tests are run."""
    for file, command in (("Makefile", "make test"), ("justfile", "just test")):
        if file in names and _TARGET.search(read(file)):
            yield command


def _has_tests(language: str, names: Collection[str], read: Read) -> bool:
    if language == "JavaScript":
        command = _scripts(read("package.json")).get("test")
        # `npm init` writes a script `test` that prints this and fails.
        return isinstance(command, str) and "no test specified" not in command
    if language == "Python":
        files = ("pyproject.toml", "requirements.txt", "setup.cfg", "tox.ini")
        named = any("pytest" in read(file) for file in files if file in names)
        return named or bool({"pytest.ini", "conftest.py", "tests"} & set(names))
    return True


def _scripts(text: str) -> dict[str, Any]:
    try:
        package: object = json.loads(text)
    except ValueError:
        return {}
    scripts: object = (
        cast("dict[str, object]", package).get("scripts") if isinstance(package, dict) else None
    )
    return cast("dict[str, Any]", scripts) if isinstance(scripts, dict) else {}
