"""Edits, done with nothing but the file system, so that they are the same wherever they are done."""

# Names are bytes, of which pathlib knows nothing.
# ruff: noqa: PTH101, PTH103, PTH104, PTH108, PTH110, PTH113, PTH114, PTH116, PTH118, PTH120, PTH123, PTH211

from __future__ import annotations

import atexit
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache

from tests.integration.differential.scenes import MADE, Edit
from tests.support.runs import GIT


def do_all(top: bytes, edits: Sequence[Edit]) -> None:
    """Do the edits in the folder `top`; one that is not possible there is left out."""
    for edit in edits:
        with suppress(OSError):
            _KINDS[edit.kind](top, edit)


def files_below(top: bytes) -> list[bytes]:
    """Files and links, by path from `top`, without those of git."""
    found: list[bytes] = []
    for folder, folders, files in os.walk(top):
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        folders[:] = [name for name in folders if name not in (b".git", *links)]
        found += [os.path.join(folder, name) for name in (*files, *links) if name != b".git"]
    return sorted(os.path.relpath(path, top) for path in found)


def _chosen(top: bytes, edit: Edit, *, plain: bool = False) -> bytes:
    found = [os.path.join(top, path) for path in files_below(top)]
    if plain:
        found = [path for path in found if stat.S_ISREG(os.lstat(path).st_mode)]
    if not found:
        raise FileNotFoundError
    return found[edit.which % len(found)]


def _write(path: bytes, content: bytes) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if os.path.islink(path):
        os.unlink(path)
    with open(path, "wb") as file:
        file.write(content)


def _create(top: bytes, edit: Edit) -> None:
    path = os.path.join(top, edit.name)
    if not os.path.realpath(os.path.dirname(path)).startswith(os.path.realpath(top)):
        raise FileExistsError
    _write(path, edit.content)


def _with(change: str) -> Callable[[bytes, Edit], None]:
    def do(top: bytes, edit: Edit) -> None:
        path = _chosen(top, edit, plain=True)
        with open(path, "rb") as file:
            data = file.read()
        match change:
            case "append":
                data += edit.content or b"more\n"
            case "prepend":
                data = b"more\n" + data
            case "replace":
                data = edit.content
            case "ends-crlf":
                data = data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
            case "ends-lf":
                data = data.replace(b"\r\n", b"\n")
            case _:
                os.unlink(path)
        mode = os.stat(path).st_mode if os.path.exists(path) else 0o644
        _write(path, data)
        os.chmod(path, stat.S_IMODE(mode))

    return do


def _delete(top: bytes, edit: Edit) -> None:
    os.unlink(_chosen(top, edit))


def _rename(top: bytes, edit: Edit) -> None:
    source, target = _chosen(top, edit), os.path.join(top, edit.name)
    if os.path.realpath(os.path.dirname(target)).startswith(os.path.realpath(top)):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.rename(source, target)


def _other_case(top: bytes, edit: Edit) -> None:
    source = _chosen(top, edit)
    folder, name = os.path.split(source)
    os.rename(source, os.path.join(folder, name.swapcase()))


def _chmod(top: bytes, edit: Edit) -> None:
    path = _chosen(top, edit, plain=True)
    os.chmod(path, os.stat(path).st_mode ^ 0o111)


def _to_link(top: bytes, edit: Edit) -> None:
    path = _chosen(top, edit)
    os.unlink(path)
    os.symlink(b"nowhere" if edit.which % 2 else b"..", path)


def _to_folder(top: bytes, edit: Edit) -> None:
    path = _chosen(top, edit)
    os.unlink(path)
    _write(os.path.join(path, b"inside"), edit.content)


def _folder_of(top: bytes, edit: Edit) -> bytes:
    folder = os.path.dirname(_chosen(top, edit))
    if folder == top or os.path.relpath(folder, top) == b".":
        raise FileNotFoundError
    return folder


def _to_file(top: bytes, edit: Edit) -> None:
    folder = _folder_of(top, edit)
    shutil.rmtree(folder)
    _write(folder, edit.content)


def _remove_folder(top: bytes, edit: Edit) -> None:
    shutil.rmtree(_folder_of(top, edit))


def _empty_folder(top: bytes, edit: Edit) -> None:
    os.makedirs(os.path.join(top, b"empty", b"%d" % edit.which))


def _made(top: bytes, edit: Edit) -> None:
    _create(top, Edit("create", name=MADE[edit.which % len(MADE)], content=edit.content))


def _repository(top: bytes, edit: Edit) -> None:
    """A repository of its own inside, with a commit, an ignore file and what that ignores."""
    folder = os.path.join(top, b"nested", b"%d" % (edit.which % 2))
    for name, content in ((b"app.js", b"app\n"), (b".gitignore", b"dist\n"), (b"dist/x", b"x")):
        _write(os.path.join(folder, name), content)
    _write(os.path.join(folder, edit.name), edit.content)
    shutil.copytree(_scaffold(), os.path.join(folder, b".git"), dirs_exist_ok=True)


def _commit_inside(top: bytes, edit: Edit) -> None:
    """All that is in a repository below, a submodule or a nested one, as its next commit."""
    found = [d for d, folders, files in os.walk(top) if b".git" in (*folders, *files)]
    if not found:
        raise FileNotFoundError
    folder = sorted(found)[edit.which % len(found)]
    for argv in (["add", "-A"], ["commit", "-q", "--allow-empty", "-m", "inside"]):
        subprocess.run(["git", *argv], cwd=folder, env=_DATED, check=False, capture_output=True)


_DATED = {**GIT, "GIT_AUTHOR_DATE": "1700000000 +0000", "GIT_COMMITTER_DATE": "1700000000 +0000"}
INSIDE = {b"app.js": b"app\n", b"dos.txt": b"one\r\ntwo\r\n"}


@cache
def _scaffold() -> bytes:
    """What git keeps of a repository that has the files INSIDE."""
    folder = tempfile.mkdtemp(prefix="rover-scaffold-").encode()
    atexit.register(shutil.rmtree, folder)
    for name, content in INSIDE.items():
        _write(os.path.join(folder, name), content)
    for argv in (["init", "-q", "--template="], ["add", "-A"], ["commit", "-qm", "scaffold"]):
        subprocess.run(["git", *argv], cwd=folder, env=_DATED, check=True, capture_output=True)
    return os.path.join(folder, b".git")


@cache
def submodule_commit() -> str:
    """What submodules are at."""
    argv = ["git", "rev-parse", "HEAD"]
    return subprocess.check_output(argv, cwd=os.path.dirname(_scaffold()), text=True).strip()


def check_out_submodule(folder: bytes) -> None:
    """As git submodule update leaves it that has a repository of its own."""
    shutil.copytree(os.path.dirname(_scaffold()), folder, dirs_exist_ok=True)


def _lines(name: bytes) -> Callable[[bytes, Edit], None]:
    def do(top: bytes, edit: Edit) -> None:
        line = b"*.bat -text\n" if name == b".gitattributes" else b"*.dat\n!a.txt\n"
        path = os.path.join(top, name)
        if os.path.lexists(path) and not os.path.isfile(path):
            raise FileExistsError
        with open(path, "ab") as file:
            file.write(line)

    return do


_KINDS = {
    "create": _create,
    **{kind: _with(kind) for kind in
       ("append", "prepend", "replace", "rewrite", "ends-crlf", "ends-lf")},
    "delete": _delete,
    "rename": _rename,
    "other-case": _other_case,
    "chmod": _chmod,
    "to-link": _to_link,
    "to-folder": _to_folder,
    "to-file": _to_file,
    "empty-folder": _empty_folder,
    "remove-folder": _remove_folder,
    "made": _made,
    "repository": _repository,
    "commit-inside": _commit_inside,
    "attributes": _lines(b".gitattributes"),
    "ignores": _lines(b".gitignore"),
}  # fmt: skip
