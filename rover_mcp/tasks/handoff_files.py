"""Files that a program on the host runs or obeys later, without being asked about each of them.

An agent cannot leave its sandbox, but its branch can carry such a file to where a person, an editor
or another agent picks it up. So these files are shown first, each with what would run it.

A pattern is a file's name, or a folder with everything in it ("name/"), at any depth; `*` stands
for any part of a name. Upper and lower case are the same. A link in the place of a folder counts.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from fnmatch import translate

from rover_mcp.domain.text import visible_line
from rover_mcp.tasks.quoted_text import named
from rover_mcp.tasks.view_models import ChangesView

HAND_OFF: Mapping[str, tuple[str, ...]] = {
    "Claude Code": (".claude/", ".mcp.json", "CLAUDE.md", "CLAUDE.local.md"),
    "Cursor": (".cursor/", ".cursorrules"),
    "VS Code": (".vscode/", "*.code-workspace"),
    "another agent": (
        ".codex/", ".gemini/", ".qwen/", ".opencode/", "opencode.json", "opencode.jsonc",
        ".copilot/", ".github/copilot-instructions.md", ".github/hooks/", ".github/agents/",
        ".github/instructions/", ".github/prompts/", ".kiro/", ".windsurf/", ".windsurfrules",
        ".clinerules", ".clinerules/", ".roo/", ".continue/", ".aider.conf.yml", ".amp/", ".junie/",
        ".goosehints", ".agents/", "AGENTS.md", "AGENT.md", "GEMINI.md", "QWEN.md", "mcp.json",
    ),
    "Rover": (".rover/",),
    "another editor": (
        ".idea/", ".fleet/", ".zed/", ".exrc", ".vimrc", ".nvimrc", ".nvim.lua", ".lvimrc",
        ".dir-locals.el", "*.sublime-project", ".vs/", ".project", ".settings/", ".helix/",
    ),
    "direnv": (".envrc", ".envrc.*", ".direnv/"),
    "a tool manager": (
        "mise.toml", ".mise.toml", "mise.*.toml", ".mise/", ".config/mise/", ".tool-versions",
        "devbox.json", "devenv.nix", "flake.nix", "shell.nix", "default.nix", ".flox/",
        ".asdfrc", ".sdkmanrc",
    ),
    "what reads .env": (".env", ".env.*", ".flaskenv"),
    "a dev container": (
        ".devcontainer/", ".devcontainer.json", ".gitpod.yml", ".gitpod.Dockerfile", "Vagrantfile",
    ),
    "git": (".gitmodules", ".gitattributes", ".lfsconfig", ".gitconfig", ".githooks/", ".hooks/"),
    "a hook manager": (
        ".husky/", ".huskyrc*", "lefthook.y*ml", ".lefthook.y*ml", "lefthook.toml", ".lefthook/",
        ".pre-commit-config.y*ml", ".pre-commit-hooks.y*ml", ".lintstagedrc*",
        "lint-staged.config.*", ".overcommit.yml", ".simple-git-hooks.*", ".captainhook.json",
        "captainhook.json",
    ),
    "CI": (
        ".github/workflows/", ".github/actions/", "action.yml", "action.yaml", ".gitlab-ci.yml",
        ".gitlab/", ".circleci/", ".buildkite/", "Jenkinsfile*", "azure-pipelines*.y*ml",
        ".azure-pipelines/", ".travis.yml", ".drone.y*ml", ".woodpecker.y*ml", ".woodpecker/",
        "bitbucket-pipelines.yml", "appveyor.yml", ".appveyor.yml", "cloudbuild.y*ml", ".teamcity/",
        ".forgejo/workflows/", ".gitea/workflows/", "buildspec.yml", ".semaphore/", "wercker.yml",
        "renovate.json*", ".renovaterc*", "dependabot.y*ml",
    ),
    "pytest": ("conftest.py", "pytest.ini", ".pytest.ini", "tox.ini", "noxfile.py"),
    "Python": (
        "sitecustomize.py", "usercustomize.py", "*.pth", "pyvenv.cfg", "site-packages/", "setup.py",
        "setup.cfg", "pyproject.toml", "hatch_build.py", ".pdbrc", "fabfile.py",
        "requirements*.txt", "Pipfile", "pip.conf",
        ".python-startup.py", "ipython_config.py",
    ),
    "npm and the like": (
        "package.json", ".npmrc", ".yarnrc", ".yarnrc.yml", ".yarn/", ".pnpmfile.*cjs",
        "pnpm-workspace.yaml", "bunfig.toml", "deno.json*", "node_modules/", "binding.gyp",
    ),
    "JavaScript tools": (
        "*.config.js", "*.config.cjs", "*.config.mjs", "*.config.ts", "*.config.cts",
        "*.config.mts", ".eslintrc*", ".prettierrc*", ".babelrc*", ".stylelintrc*", ".swcrc",
        "gulpfile.*", "Gruntfile.*", ".mocharc*", ".pluginrc*",
    ),
    "make and the like": (
        "Makefile", "GNUmakefile", "Makefile.*", "*.mk", "justfile", ".justfile", "*.just",
        "Taskfile.y*ml", "Taskfile.dist.y*ml", "Rakefile", "*.rake", "Earthfile", "Tiltfile",
        "SConstruct", "SConscript", "configure", "configure.ac", "bootstrap.sh", "autogen.sh",
    ),
    "another build tool": (
        "build.rs", ".cargo/", "Cargo.toml", "rust-toolchain*", "build.gradle*", "settings.gradle*",
        "init.gradle*", "gradle.properties", "gradle/", "gradlew*", "pom.xml", ".mvn/", "mvnw*",
        "build.xml", "build.sbt", "build.zig", "CMakeLists.txt",
        "CMakePresets.json", "*.cmake", "meson.build", "wscript", "Gemfile", "*.gemspec", "mix.exs",
        "composer.json", "Package.swift", "Podfile", "MODULE.bazel", "WORKSPACE*", ".bazelrc",
        "BUILD", "BUILD.bazel", "*.bzl", "*.csproj", "*.vbproj", "*.fsproj", "*.sln",
        "Directory.Build.*", "*.targets", "*.props", "nuget.config", "global.json", "go.work",
        ".goreleaser.y*ml", "buf.gen.yaml", "dune", "stack.yaml", "rebar.config",
    ),
    "docker": (
        "Dockerfile", "Dockerfile.*", "*.Dockerfile", "Containerfile*", "compose.y*ml",
        "compose.*.y*ml", "docker-compose*.y*ml", "docker-bake.*", "skaffold.yaml",
    ),
    "the desktop": ("*.desktop", ".directory", "autorun.inf", "desktop.ini", "*.lnk", "*.url"),
    "a shell": (".bashrc", ".bash_profile", ".profile", ".zshrc", ".zshenv", ".inputrc", ".netrc"),
}  # fmt: skip
"""What runs such files, and their patterns. Programs that ask for nothing come first."""

NAMED = 80
"""Characters of a file's name in a sentence."""

_ORDER = {who: place for place, who in enumerate(HAND_OFF)}


def _exact() -> dict[tuple[str, ...], str]:
    """The patterns without a star, by their parts."""
    exact: dict[tuple[str, ...], str] = {}
    for who, patterns in HAND_OFF.items():
        for pattern in patterns:
            if "*" not in pattern:
                exact.setdefault(tuple(pattern.lower().split("/")), who)
    return exact


def _globs() -> dict[str, re.Pattern[str]]:
    """The patterns with a star, as one expression for each program."""
    stars = {who: [p.lower() for p in all_of if "*" in p] for who, all_of in HAND_OFF.items()}
    return {who: re.compile("|".join(map(translate, some))) for who, some in stars.items() if some}


_EXACT, _GLOBS = _exact(), _globs()
_LONGEST = max(map(len, _EXACT))
_LINKS = {parts[:n]: who for parts, who in reversed(_EXACT.items()) for n in range(1, len(parts))}
"""Folders that lead to such a file: a change may put a link in their place."""


def run_by(path: str) -> str | None:
    """What may run this file of a repository, or None."""
    parts = tuple(path.lower().split("/"))
    return min(_found(parts), key=_ORDER.__getitem__, default=None)


def _found(parts: tuple[str, ...]) -> Iterator[str]:
    name = parts[-1]
    yield from (who for who, pattern in _GLOBS.items() if pattern.match(name))
    for start in range(len(parts)):
        for end in range(start + 1, min(len(parts), start + _LONGEST) + 1):
            some = parts[start:end]
            if end == len(parts):
                # A file of that name, or a link in the place of a folder.
                yield from (who for who in (_EXACT.get(some), _LINKS.get(some)) if who)
            elif (who := _EXACT.get((*some, ""))) is not None:
                yield who


def first_of_each(runs: Mapping[str, str]) -> list[str]:
    """The paths in an order in which each program's first file comes before any program's second,
    so that many files of one kind hide none of another."""
    count: Counter[str] = Counter()
    places: dict[str, tuple[int, int]] = {}
    for path, who in runs.items():
        places[path] = (count[who], _ORDER[who])
        count[who] += 1
    return sorted(runs, key=places.__getitem__)


def hand_off_warning(changes: ChangesView) -> list[str]:
    """A sentence about such files among what a task changed; nothing where there are none."""
    if not changes.run_by:
        return []
    shown = [(f.run_by, named(visible_line(f.path), NAMED)) for f in changes.paths if f.run_by]
    first = dict(reversed(shown))
    parts = [_program(who, count, first.get(who)) for who, count in changes.run_by.items()]
    return [f"Look at these before the branch is opened or checked out: {'; '.join(parts)}"]


def _program(who: str, count: int, path: str | None) -> str:
    """A program, its first file, and how many others it has."""
    if path is None or count > 1:
        others = f"{count} files" if path is None else f"{path} and {count - 1} more"
        return f"{others} (run by {who})"
    return f"{path} (run by {who})"
