"""Fetch the sources of a project from its registry, and make a git repository of them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.real_projects.projects import Project
from tests.support.docker_env import cache_folder

DEBIAN = "deb-src http://deb.debian.org/debian bookworm main\n"
# No packing in the background either.
WHO = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "gc.auto=0")


def fetched(project: Project) -> Path:
    """The unpacked archive, in the tests' cache; it is fetched once."""
    folder = cache_folder() / "real-projects" / project.name
    if not folder.is_dir():
        parts = folder.with_name(f"{project.name}.parts")
        shutil.rmtree(parts, ignore_errors=True)
        parts.mkdir(parents=True)
        _FETCH[project.registry](project.package, parts)
        (archive,) = [p for p in parts.iterdir() if p.is_file() and ".tar." in p.name]
        unpacked = parts / "unpacked"
        unpacked.mkdir()
        _run(["tar", "-xf", str(archive), "-C", str(unpacked), "--strip-components=1"])
        unpacked.rename(folder)
        shutil.rmtree(parts)
    return folder


def _from_pypi(package: str, into: Path) -> None:
    name = package.partition("==")[0]
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", name]
    _run([*pip, "--dest", str(into), package])


def _from_debian(package: str, into: Path) -> None:
    """Debian's copy of what the project published: the first archive, without Debian's changes."""
    lists, sources = into / "lists", into / "sources.list"
    (lists / "partial").mkdir(parents=True)
    sources.write_text(DEBIAN)
    apt = ["apt-get", "-qq", "-o", f"Dir::Etc::sourcelist={sources}"]
    apt += ["-o", "Dir::Etc::sourceparts=/dev/null", "-o", f"Dir::State::lists={lists}"]
    _run([*apt, "update"])
    _run([*apt, "source", "--download-only", "--tar-only", package], into)
    for extra in into.glob("*.orig-*"):
        extra.unlink()


_FETCH = {"PyPI": _from_pypi, "Debian": _from_debian}


def make_repository(project: Project, at: Path) -> None:
    """A checkout as a user of the project has it, with two commits and a tag."""
    shutil.copytree(fetched(project), at, symlinks=True)
    # What the packing added is not in the project's own repository.
    for packed in (at / "PKG-INFO", *at.rglob("*.egg-info")):
        shutil.rmtree(packed) if packed.is_dir() else packed.unlink(missing_ok=True)
    if project.drop:
        shutil.rmtree(at / project.drop)
    if project.submodule:
        _make_submodule(at, at / project.submodule)
    _git(at, "init", "--quiet", "--initial-branch=main")
    if project.lfs:
        _git(at, "lfs", "install", "--local")
        _git(at, "lfs", "track", project.lfs)
    if project.ignore:
        (at / ".gitignore").write_text(project.ignore)
    if project.submodule:
        origin = at.with_name(f"{at.name}-submodule")
        allow = ("-c", "protocol.file.allow=always")
        _git(at, *allow, "submodule", "--quiet", "add", str(origin), project.submodule)
    # The archive has all that its own repository has, ignored or not.
    _git(at, "add", "--all", "--force")
    _git(at, "commit", "--quiet", "--message", "As published")
    _git(at, "tag", "v1.0.0")
    (at / "ROVER.md").write_text("A second commit.\n")
    _git(at, "add", "ROVER.md")
    _git(at, "commit", "--quiet", "--message", "A second commit")
    # As a clone has it.
    _git(at, "gc", "--quiet")


def _make_submodule(at: Path, folder: Path) -> None:
    origin = at.with_name(f"{at.name}-submodule")
    shutil.move(folder, origin)
    _git(origin, "init", "--quiet", "--initial-branch=main")
    _git(origin, "add", "--all", "--force")
    _git(origin, "commit", "--quiet", "--message", "As published")


def git(at: Path, *arguments: str) -> str:
    """What a git command prints."""
    return _git(at, *arguments)


def _git(at: Path, *arguments: str) -> str:
    return _run(["git", *WHO, *arguments], at)


def _run(command: list[str], at: Path | None = None) -> str:
    done = subprocess.run(command, cwd=at, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:6])}: {done.stderr[-2000:]}")
    return done.stdout
