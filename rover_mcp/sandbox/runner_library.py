"""Collects the runner for an image: its code, what it imports, and what starts it."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import agent_runner
from rover_mcp.sandbox import python_bundle

ROOT = "/opt/rover"
LIBRARY = f"{ROOT}/lib"
PYTHON = f"{ROOT}/bin/python"
"""The program that runs the runner in every image, by the image's interpreter or the bundle's."""
# What agent_runner imports, with what that needs on Python 3.11 and later.
DEPENDENCIES = (
    "pydantic",
    "pydantic_core",
    "PyYAML",
    "anyio",
    "idna",
    "typing_extensions",
    "annotated-types",
    "typing-inspection",
    "agent-client-protocol",
)
# Images set LD_PRELOAD (for another malloc) and PYTHONHOME for their own programs; the runner would
# not start with them.
_STARTER = """#!/bin/sh
unset LD_PRELOAD PYTHONHOME
exec {argv} "$@"
"""
PROBE = (
    "import json,platform,sys;print(json.dumps([sys.implementation.name,*sys.version_info[:2],"
    "platform.libc_ver()[0] or 'musl',platform.machine(),sys.executable]))"
)
"""The program with which an image's Python describes itself, to be compared with `own_python`."""


def own_python() -> list[object]:
    """Implementation, version, libc and machine of the Python that runs this."""
    libc = platform.libc_ver()[0] or "musl"
    return [sys.implementation.name, *sys.version_info[:2], libc, platform.machine()]


def runner_identity() -> str:
    """A digest of everything that decides the content of the runner's layers."""
    versions = [f"{name}=={importlib.metadata.version(name)}" for name in DEPENDENCIES]
    parts = [_digest(_runner_files()), *versions, own_python()]
    parts += [python_bundle.bundle_key(extensions()), _digest([Path(__file__)])]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]


def extensions() -> list[Path]:
    """The dependencies' shared objects."""
    modules: list[Path] = []
    for name in DEPENDENCIES:
        files = importlib.metadata.distribution(name).files or []
        modules += [Path(str(f.locate())) for f in files if f.suffix == ".so"]
    return sorted(modules)


def own_interpreter(output: str) -> str | None:
    """Return the interpreter of an image that answered PROBE with `output`, if what is compiled for
    this daemon's own Python runs on it."""
    try:
        answer = json.loads(output.strip().splitlines()[-1])
        *facts, program = answer
    except (ValueError, IndexError, TypeError):
        return None
    fits = facts == own_python() and isinstance(program, str) and program.startswith("/")
    return program if fits else None


def fill_dependencies(folder: Path, argv: Sequence[str]) -> None:
    """Make what goes to ROOT and seldom changes: the dependencies, and PYTHON, which starts
    the interpreter `argv`."""
    library = folder / "lib"
    library.mkdir(parents=True)
    for name in DEPENDENCIES:
        _copy_distribution(name, library)
    python_bundle.compile_tree(library, LIBRARY)
    starter = folder / "bin" / "python"
    starter.parent.mkdir()
    starter.write_text(_STARTER.format(argv=" ".join(argv)), "utf-8")
    starter.chmod(0o755)


def fill_runner(folder: Path) -> None:
    """Make what goes to ROOT and changes with each version: the runner's own code."""
    source, target = Path(agent_runner.__file__).parent, folder / "lib" / "agent_runner"
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    python_bundle.compile_tree(folder / "lib", LIBRARY)


def _copy_distribution(name: str, folder: Path) -> None:
    for file in importlib.metadata.distribution(name).files or []:
        source = Path(str(file.locate()))
        # ".." first: console scripts and the like, outside site-packages.
        if file.parts[0] == ".." or "__pycache__" in file.parts or not source.is_file():
            continue
        target = folder.joinpath(*file.parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def _runner_files() -> list[Path]:
    """What decides how the runner behaves: its modules, and its shell scripts."""
    files = Path(agent_runner.__file__).parent.rglob("*")
    return sorted(file for file in files if file.suffix in (".py", ".sh"))


def _digest(files: Sequence[Path]) -> str:
    total = hashlib.sha256()
    for file in files:
        total.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return total.hexdigest()
