"""Copies this daemon's Python, so that it runs in an image that has none.

The bundle holds the interpreter, the part of its standard library that a runner can need, the
shared libraries of both and of the runner's dependencies, and the dynamic loader they were linked
for. It is started through that loader, with the path of the libraries as an argument, so that the
image may have another C library, an older one, or none:

    <TARGET>/shared/ld-linux-x86-64.so.2 --library-path <TARGET>/shared <TARGET>/bin/python3 ...

The path is an argument, not LD_LIBRARY_PATH: what the runner starts does not inherit it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from rover_mcp.domain.errors import EnvironmentFault

TARGET = Path("/opt/rover/python")
"""The place of the bundle inside an image."""

_LIST_TIMEOUT = 60.0
_COMPILE_TIMEOUT = 600.0
_NOT_COPIED = (
    "__pycache__", "*.pyc", "*.exe", "test", "tests", "site-packages", "dist-packages", "config-*",
    "ensurepip", "idlelib", "tkinter", "turtle*", "lib2to3", "pydoc_data", "pydoc.py", "venv",
    "distutils", "msilib", "curses", "dbm", "sqlite3", "wsgiref", "xmlrpc", "unittest",
    "doctest.py",
    # Extension modules that would bring libraries of their own.
    "_test*", "_tkinter*", "_curses*", "_dbm*", "_gdbm*", "_sqlite3*", "readline*", "nis*", "xx*",
)  # fmt: skip
_NOT_NEEDED = shutil.ignore_patterns(*_NOT_COPIED)
_RESOLVED = re.compile(rb"^\s+(\S+) => (/.*) \(0x[0-9a-f]+\)$", re.MULTILINE)
_PT_INTERP = 3
Progress = Callable[[str], None]


def bundle_argv() -> list[str]:
    """The arguments that start the bundled interpreter inside an image."""
    shared, python = TARGET / "shared", TARGET / "bin" / "python3"
    return [str(shared / loader().name), "--library-path", str(shared), str(python)]


def bundle_key(extensions: Iterable[Path]) -> str:
    """A digest of what decides a bundle's content: interpreter, this module, and extensions."""
    binary = interpreter()
    facts = binary.stat()
    parts: list[object] = [sys.version, str(binary), facts.st_size, facts.st_mtime_ns]
    parts += [sorted(path.name for path in extensions), Path(__file__).read_text("utf-8")]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]


def make_bundle(cache: Path, extensions: Sequence[Path], progress: Progress) -> Path:
    """The folder of the bundle in `cache`, made if it is missing. Its content belongs at TARGET.

    `extensions` are shared objects that it has to be able to load. Safe in several processes at
    once: the first that is finished wins, and a half-made one is never seen.

    Raises:
        EnvironmentFault: "image_unavailable", this interpreter cannot be copied.
    """
    target = cache / bundle_key(extensions)
    if target.is_dir():
        return target
    progress("making a Python for images that have none (once)")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix=".new-") as scratch:
            folder = Path(scratch, "python")
            _assemble(folder, extensions)
            try:
                folder.rename(target)
            except OSError:
                if not target.is_dir():
                    raise
    except (OSError, shutil.Error, subprocess.SubprocessError) as error:
        raise _fault(str(error)) from error
    return target


def interpreter_of(binary: Path) -> Path | None:
    """The dynamic loader that an ELF program names; None for a static one or another format."""
    with binary.open("rb") as file:
        head = file.read(64)
        if head[:4] != b"\x7fELF" or head[4] != 2:
            return None
        # elf(5), 64 bit: e_phoff, then e_phentsize and e_phnum.
        order = "<" if head[5] == 1 else ">"
        (table,) = struct.unpack_from(f"{order}Q", head, 32)
        size, count = struct.unpack_from(f"{order}HH", head, 54)
        for number in range(count):
            file.seek(table + number * size)
            entry = file.read(size)
            kind, _, offset, _, _, length = struct.unpack_from(f"{order}IIQQQQ", entry)
            if kind == _PT_INTERP:
                file.seek(offset)
                return Path(os.fsdecode(file.read(length).rstrip(b"\0")))
    return None


def shared_libraries(objects: Iterable[Path], loader: Path) -> dict[str, Path]:
    """Name -> file of all that these objects need, as this machine's loader finds it.

    Raises:
        EnvironmentFault: something is missing here too.
    """
    libraries: dict[str, Path] = {}
    for path in objects:
        listed = subprocess.run(
            [loader, "--list", path], stdin=subprocess.DEVNULL, capture_output=True,
            timeout=_LIST_TIMEOUT, check=False,
        )  # fmt: skip
        if listed.returncode != 0:
            raise _fault(listed.stderr.decode("utf-8", "replace").strip()[-200:])
        for name, file in _RESOLVED.findall(listed.stdout):
            libraries.setdefault(os.fsdecode(name), Path(os.fsdecode(file)))
    libraries.pop(loader.name, None)
    return libraries


def compile_tree(folder: Path, target: str) -> None:
    """Compile what is in `folder` for its place at `target` in an image: without that each start
    would do it again, on a root file system that is read-only.

    Hash-based and unchecked: an image's layers do not keep the times that Python would compare.

    Raises:
        EnvironmentFault: it cannot be compiled.
    """
    argv = [sys.executable, "-I", "-m", "compileall", "-q", "-s", str(folder), "-p", target]
    argv += ["--invalidation-mode", "unchecked-hash", str(folder)]
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True,
            timeout=_COMPILE_TIMEOUT, check=False,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        raise _fault(str(error)) from error
    if done.returncode != 0:
        raise _fault(done.stdout.decode("utf-8", "replace").strip()[-200:])


def _assemble(folder: Path, extensions: Sequence[Path]) -> None:
    binary, linker = interpreter(), loader()
    library = folder / version_folder()
    for part in (folder / "bin", library.parent, folder / "shared"):
        part.mkdir(parents=True, exist_ok=True)
    shutil.copy2(binary, folder / "bin" / "python3")
    standard, dynamic = standard_library()
    shutil.copytree(standard, library, ignore=_ignored, symlinks=False)
    if dynamic is not None:
        shutil.copytree(dynamic, library / "lib-dynload", ignore=_ignored, dirs_exist_ok=True)
    compile_tree(library, str(TARGET / version_folder()))
    objects = [binary, *sorted((library / "lib-dynload").glob("*.so")), *extensions]
    libraries = shared_libraries(objects, linker)
    for name, file in libraries.items():
        shutil.copy2(file, folder / "shared" / name)
    # The C library loads it itself when a thread ends, so that no program names it.
    helper = libraries["libc.so.6"].with_name("libgcc_s.so.1") if "libc.so.6" in libraries else None
    if helper is not None and helper.exists():
        shutil.copy2(helper, folder / "shared" / helper.name)
    shutil.copy2(linker, folder / "shared" / linker.name)


def _ignored(folder: str, names: list[str]) -> set[str]:
    """The names in a folder of the library that are not copied. A linked folder belongs to
    something else."""
    linked = {
        name for name in names if Path(folder, name).is_symlink() and Path(folder, name).is_dir()
    }
    return linked | _NOT_NEEDED(folder, names)


def interpreter() -> Path:
    """The real interpreter: not a virtual environment's link to it."""
    base = getattr(sys, "_base_executable", None) or sys.executable
    return Path(os.path.realpath(base))


def loader() -> Path:
    """The dynamic loader of this interpreter.

    Raises:
        EnvironmentFault: it is not dynamically linked.
    """
    program = interpreter_of(interpreter())
    if program is None:
        raise _fault(f"{interpreter()} is not a dynamically linked program")
    return program


def standard_library() -> tuple[Path, Path | None]:
    """The folder of the standard library, and that of its extension modules where it is another.

    They are looked for beside this interpreter: sysconfig holds the path at which a Python was
    built, and where it was moved, another Python may be there by now.
    """
    library = Path(os.__file__).resolve().parent
    beside = Path(sys.base_exec_prefix, version_folder(), "lib-dynload").resolve()
    built = Path(str(sysconfig.get_config_var("DESTSHARED"))).resolve()
    stdlib = next((folder for folder in (beside, built) if folder.is_dir()), None)
    return library, None if stdlib is None or stdlib.is_relative_to(library) else stdlib


def version_folder() -> Path:
    """Where an interpreter of this version looks for its library, within its prefix."""
    return Path(sys.platlibdir, f"python{sys.version_info[0]}.{sys.version_info[1]}")


def _fault(why: str) -> EnvironmentFault:
    return EnvironmentFault(
        f"rover's own Python cannot be brought into the image: {why}",
        hint="use an image that has Python "
        f"{sys.version_info[0]}.{sys.version_info[1]}, as rover's own is",
        code="image_unavailable",
    )
