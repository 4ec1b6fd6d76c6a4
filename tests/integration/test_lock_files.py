"""A lock file of one side of a conflict is renewed by its own program: what the other side requires
is in it afterwards, and what both had stays. The real programs, without a network."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from rover_mcp.git.conflicts import LOCK_FILES
from rover_mcp.git.resolved_stops import lock_command
from tests.support.docker_env import cache_folder
from tests.support.fetched import made_once, npm_modules, run

YARN, YARN_4, PNPM, UV = "yarn@1.22.22", "@yarnpkg/cli-dist@4.18.1", "pnpm@9.8.0", "uv==0.13.9"
POETRY = "poetry==2.5.1"
ENVIRONMENT = {
    "YARN_ENABLE_TELEMETRY": "0", "COMPOSER_ALLOW_SUPERUSER": "1", "UV_OFFLINE": "1",
    "UV_PYTHON": sys.executable,
    "RUSTUP_HOME": os.environ.get("RUSTUP_HOME", str(Path.home() / ".rustup")),
}  # fmt: skip


def npm_programs(package: str) -> Callable[[], Path]:
    name = package.strip("@").replace("/", "-").replace("@", "-")
    return lambda: npm_modules(name, package) / ".bin"


def uv() -> Path:
    folder = cache_folder() / UV.replace("==", "-")
    with made_once(folder) as missing:
        if missing:
            run(
                sys.executable,
                "-m",
                "pip",
                "install",
                "--quiet",
                "--no-deps",
                "--target",
                folder,
                UV,
            )
    return folder / "bin"


def poetry() -> Path:
    folder = cache_folder() / POETRY.replace("==", "-")
    with made_once(folder) as missing:
        if missing:
            run(sys.executable, "-m", "venv", "--without-pip", folder)
            into = ("--python", folder / "bin/python", "install", "--quiet", "--no-compile")
            run(sys.executable, "-m", "pip", *into, POETRY)
    return folder / "bin"


def installed() -> Path:
    return Path("/usr/bin")


def cargo() -> Path:
    """Debian's, or one that rustup has installed in the user's HOME."""
    program = shutil.which("cargo")
    assert program is not None, "cargo is missing: tools/test-components.sh installs it"
    return Path(program).parent


def javascript(*packages: str) -> Mapping[str, str]:
    own = {"name": "own", "version": "1.0.0", "dependencies": {p: f"file:./{p}" for p in packages}}
    files = {f"{p}/package.json": json.dumps({"name": p, "version": "1.0.0"}) for p in packages}
    return {"package.json": json.dumps(own), **files}


def python(*packages: str) -> Mapping[str, str]:
    head = '[project]\nname = "{}"\nversion = "1.0.0"\nrequires-python = ">=3.11"\n'
    build = '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
    sources = "".join(f'{p} = {{path = "{p}"}}\n' for p in packages)
    own = f"{head.format('own')}dependencies = {json.dumps(packages)}\n[tool.uv.sources]\n{sources}"
    return {
        "pyproject.toml": own,
        **{f"{p}/pyproject.toml": head.format(p) + build for p in packages},
    }


def python_of_poetry(*packages: str) -> Mapping[str, str]:
    paths = "".join(f'{p} = {{path = "{p}"}}\n' for p in packages)
    files = python(*packages)
    own = f"{files['pyproject.toml']}[tool.poetry.dependencies]\n{paths}"
    return {**files, "pyproject.toml": own}


def rust(*packages: str) -> Mapping[str, str]:
    head = '[package]\nname = "{}"\nversion = "1.0.0"\nedition = "2021"\n'
    own = "".join(f'{p} = {{path = "{p}"}}\n' for p in packages)
    files = {"Cargo.toml": f"{head.format('own')}[dependencies]\n{own}", "src/lib.rs": ""}
    for p in packages:
        files |= {f"{p}/Cargo.toml": head.format(p), f"{p}/src/lib.rs": ""}
    return files


def php(*packages: str) -> Mapping[str, str]:
    def described(name: str) -> dict[str, str]:
        return {"name": f"x/{name}", "version": "1.0.0"}

    repositories = [*({"type": "path", "url": p} for p in packages), {"packagist.org": False}]
    own = {**described("own"), "repositories": repositories,
           "require": {f"x/{p}": "1.0.0" for p in packages}}  # fmt: skip
    files = {f"{p}/composer.json": json.dumps(described(p)) for p in packages}
    return {"composer.json": json.dumps(own), **files}


def ruby(*packages: str) -> Mapping[str, str]:
    def described(name: str) -> str:
        facts = f"s.name = '{name}'; s.version = '1.0.0'; s.summary = 'x'; s.authors = ['x']"
        return f"Gem::Specification.new {{ |s| {facts} }}\n"

    own = "".join(f"gem '{p}', path: '{p}'\n" for p in packages)
    return {"Gemfile": own, **{f"{p}/{p}.gemspec": described(p) for p in packages}}


@dataclass(frozen=True)
class Manager:
    """A program that writes a lock file. `first` writes it where there is none; `named` is how the
    file has a package."""

    lock: str
    programs: Callable[[], Path]
    files: Callable[..., Mapping[str, str]]
    first: str = ""
    named: str = "{}"


MANAGERS = {
    "npm": Manager("package-lock.json", installed, javascript, named='"node_modules/{}"'),
    "yarn 1": Manager("yarn.lock", npm_programs(YARN), javascript, named='"{}@file:'),
    "yarn 4": Manager("yarn.lock", npm_programs(YARN_4), javascript, named='"{}@file:'),
    "pnpm": Manager("pnpm-lock.yaml", npm_programs(PNPM), javascript, named="{}@file:"),
    "uv": Manager("uv.lock", uv, python, named='name = "{}"\n'),
    "poetry": Manager("poetry.lock", poetry, python_of_poetry, named='name = "{}"\n'),
    "cargo": Manager("Cargo.lock", cargo, rust, "cargo generate-lockfile", 'name = "{}"\n'),
    "composer": Manager(
        "composer.lock", installed, php, "composer update --no-install", '"name": "x/{}"'
    ),
    "bundler": Manager("Gemfile.lock", installed, ruby, named="  remote: {}\n"),
}


def call(command: str, folder: Path, programs: Path) -> None:
    """Run it as a step would, on a machine without a network."""
    home = Path(f"{folder}-home")
    home.mkdir(exist_ok=True)
    path = f"{programs}:{os.environ['PATH']}"
    done = subprocess.run(
        ["unshare", "-rn", "bash", "-c", command], cwd=folder, check=False, text=True,
        env={"PATH": path, "HOME": str(home), "LANG": "C.UTF-8", **ENVIRONMENT},
        capture_output=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}"


def write(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


@pytest.mark.parametrize("name", MANAGERS)
def test_a_lock_file_of_one_side_gets_what_the_other_side_requires(
    tmp_path: Path, name: str
) -> None:
    """N2: and the command works in the file's folder, whatever that is called."""
    manager, folder = MANAGERS[name], tmp_path / "a b"
    programs = manager.programs()
    write(folder, manager.files("one"))
    call(manager.first or LOCK_FILES[manager.lock], folder, programs)
    of_one = (folder / manager.lock).read_text()
    assert manager.named.format("one") in of_one
    assert manager.named.format("two") not in of_one
    write(folder, manager.files("one", "two"))
    call(lock_command([f"{folder.name}/{manager.lock}"]), tmp_path, programs)
    of_both = (folder / manager.lock).read_text()
    assert manager.named.format("one") in of_both
    assert manager.named.format("two") in of_both
