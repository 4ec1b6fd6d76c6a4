"""Pythons in other places: this one's program and library, hard-linked, and virtual environments."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import rover_mcp
from rover_mcp.sandbox import python_bundle

VERSION = f"python{sys.version_info[0]}.{sys.version_info[1]}"
_NOT_NEEDED = ("site-packages", "test", "tests", "idlelib", "tkinter", "config-*", "ensurepip")


def make_python(prefix: Path) -> Path:
    """Make a Python in the folder `prefix`, beside what is there already; its program."""
    program = prefix / "bin" / VERSION
    program.parent.mkdir(parents=True, exist_ok=True)
    _link(str(python_bundle.interpreter()), str(program))
    (program.parent / "python3").symlink_to(VERSION)
    standard, dynamic = python_bundle.standard_library()
    library = prefix / python_bundle.version_folder()
    ignored = shutil.ignore_patterns(*_NOT_NEEDED)
    shutil.copytree(standard, library, ignore=ignored, copy_function=_link, dirs_exist_ok=True)
    if dynamic is not None:
        shutil.copytree(dynamic, library / "lib-dynload", copy_function=_link, dirs_exist_ok=True)
    _install(library / "site-packages")
    return program


def make_environment(folder: Path, base: Path) -> Path:
    """Make a virtual environment of the interpreter `base`; its program."""
    program = folder / "bin" / "python3"
    program.parent.mkdir(parents=True)
    program.symlink_to(base)
    _install(folder / "lib" / VERSION / "site-packages")
    (folder / "pyvenv.cfg").write_text(f"home = {base.parent}\n")
    return program


def _install(packages: Path) -> None:
    """Have such a Python find this project and what it needs, as an editable installation does."""
    packages.mkdir(parents=True, exist_ok=True)
    source = Path(rover_mcp.__file__).parent.parent
    found = [str(source), *(path for path in sys.path if path.endswith("site-packages"))]
    (packages / "rover.pth").write_text("".join(f"{path}\n" for path in found))


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
