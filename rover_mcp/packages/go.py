"""Go's modules, by the digest that the go.sum of a task's base demands.

The digest is not that of a zip file but of the names and contents within it, so two zip files can
have the same one, and readers of zip files can differ in what they find. So what is kept is
written from the very contents that were hashed. Go's own note of a digest (`.ziphash`) is
neither kept nor lent: without it, go hashes the file itself and compares it with go.sum.
"""

from __future__ import annotations

import base64
import binascii
import errno
import hashlib
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from rover_mcp.packages.home_files import (
    FolderFile,
    HomeFile,
    ReadBudget,
    appearing,
    folder_beneath,
    regular,
)

LOCKS = ("go.sum", "go.work.sum")
LOCK_BYTES = 8 * 1024**2
KEPT = "modules"
"""In the store: contents by their digest."""
FOLDERS = ("go", "pkg", "mod", "cache", "download")
_ZIP, _MOD = ".zip", ".mod"
_LINE = re.compile(r"^(\S{1,300}) (v\S{1,200}?)(/go\.mod)? h1:([A-Za-z0-9+/]{43}=)$", re.MULTILINE)
_PATH = re.compile(r"[A-Za-z0-9~_-][A-Za-z0-9.~_-]*(/[A-Za-z0-9~_-][A-Za-z0-9.~_-]*)*")
_VERSION = re.compile(r"v[0-9][A-Za-z0-9.+-]*")
_MOST_FILES = 100_000
_MOST_MOD_BYTES = 16 * 1024**2
_CHUNK = 256 * 1024
_DIRECTORY_BYTES = 32 * 1024**2
_END, _END_BYTES, _END_64 = b"PK\x05\x06", 22, b"PK\x06\x07"
_BROKEN = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, RuntimeError,
)  # fmt: skip
"""What reading a zip file raises that somebody wrote as they liked."""


@dataclass(frozen=True)
class NeededFile:
    """A file of go's cache: its folders and name beneath it, what stands before each name in a
    zip, and the digest of what it holds."""

    folders: tuple[str, ...]
    name: str
    prefix: str
    digest: str

    @property
    def is_mod(self) -> bool:
        """Whether it is a module's go.mod, and not its files."""
        return self.name.endswith(_MOD)

    @property
    def path(self) -> str:
        """Its place in a HOME."""
        return "/".join((*FOLDERS, *self.folders, self.name))

    @property
    def kept(self) -> str:
        """Its name in the store."""
        return f"{self.digest}{_MOD if self.is_mod else _ZIP}"


def demanded(*locks: bytes) -> tuple[NeededFile, ...]:
    """The files that these lock files name. A file of which two digests are named is left out."""
    sums: dict[tuple[str, ...], set[NeededFile]] = {}
    for path, version, mod, digest in _LINE.findall(b"\n".join(locks).decode("utf-8", "replace")):
        # They become the names of folders in a HOME, so `..` and an absolute path must not get
        # through.
        if not (_PATH.fullmatch(path) and _VERSION.fullmatch(version)):
            continue
        folders = (*_escaped(path).split("/"), "@v")
        name = f"{_escaped(version)}{_MOD if mod else _ZIP}"
        prefix = "" if mod else f"{path}@{version}/"
        if summed := _hexadecimal(digest):
            sums.setdefault((*folders, name), set()).add(NeededFile(folders, name, prefix, summed))
    return tuple(wanted.pop() for wanted in sums.values() if len(wanted) == 1)


def keep(
    home: Path, store: Path, modules: tuple[NeededFile, ...], budget: ReadBudget
) -> Iterator[Path]:
    """Take over what the HOME has of these files and the store has not; each file that was."""
    for wanted in modules:
        target = store / KEPT / wanted.kept
        if target.exists() or not budget.take_name():
            continue
        with folder_beneath(home, *FOLDERS, *wanted.folders) as folder:
            if folder is None:
                continue
            with regular(FolderFile(folder, wanted.name)) as file:
                if file is not None and _take(file, wanted, target, budget):
                    yield target


def lacks(store: Path, modules: tuple[NeededFile, ...], path: Path) -> bool:
    """Whether a file at this path of a HOME may be one that is wanted and not kept yet."""
    wanted = next((wanted for wanted in modules if wanted.path == str(path)), None)
    return wanted is not None and not (store / KEPT / wanted.kept).exists()


def lent(store: Path, modules: tuple[NeededFile, ...]) -> Iterator[HomeFile]:
    """Which of these files are kept, and where go looks for them."""
    for wanted in modules:
        source = store / KEPT / wanted.kept
        if source.exists():
            yield HomeFile(wanted.path, source)


def _escaped(name: str) -> str:
    """As go writes it in its cache, which has to do without a difference of case."""
    return re.sub("[A-Z]", lambda letter: f"!{letter[0].lower()}", name)


def _hexadecimal(digest: str) -> str:
    try:
        return base64.b64decode(digest, validate=True).hex()
    except binascii.Error:
        return ""


def _take(file: int, wanted: NeededFile, target: Path, budget: ReadBudget) -> bool:
    size = os.fstat(file).st_size
    if size > (min(_MOST_MOD_BYTES, budget.size) if wanted.is_mod else budget.size):
        return False
    with os.fdopen(os.dup(file), "rb") as source, appearing(target) as copy:
        try:
            if wanted.is_mod:
                contents = _copy_mod(source, copy.file, size, budget)
            else:
                contents = _rewrite(source, copy.file, wanted.prefix, budget)
        except _BROKEN:
            return False
        except OSError as error:
            # To a place before the beginning of the file.
            if error.errno != errno.EINVAL:
                raise
            return False
        copy.proven = _sum(contents) == wanted.digest
    return copy.proven


def _copy_mod(source: BinaryIO, copy: BinaryIO, size: int, budget: ReadBudget) -> Mapping[str, str]:
    content = source.read(size)
    budget.size -= len(content)
    copy.write(content)
    return {"go.mod": hashlib.sha256(content).hexdigest()}


def _rewrite(
    source: BinaryIO, target: BinaryIO, prefix: str, budget: ReadBudget
) -> Mapping[str, str]:
    """Write a zip file with the same contents; the SHA-256 of each by its name.

    Raises:
        ValueError: it holds what no zip file of a module does, or too much.
    """
    digests: dict[str, str] = {}
    _check_directory(source)
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        if len(old.infolist()) > _MOST_FILES:
            raise ValueError("too many files")
        for entry in old.infolist():
            name = entry.filename
            # `h1` is a digest of lines, so a name with a line end could stand for two files.
            if not name.startswith(prefix) or name.endswith("/") or "\n" in name or name in digests:
                raise ValueError(name)
            # Go writes these two only, and others (bzip2, lzma) cost much more to unpack than they
            # say.
            if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ValueError(name)
            budget.size -= entry.file_size
            if budget.size < 0:
                raise ValueError("too large")
            # Times, rights and extra fields are not part of the digest, so they are not taken over.
            facts = zipfile.ZipInfo(name)
            facts.compress_type, facts.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            facts.file_size = entry.file_size
            hashed = hashlib.sha256()
            with old.open(entry) as content, new.open(facts, "w") as copy:
                # zipfile reads no more than the size that the entry says.
                while data := content.read(_CHUNK):
                    hashed.update(data)
                    copy.write(data)
            digests[name] = hashed.hexdigest()
    return digests


def _check_directory(source: BinaryIO) -> None:
    """Refuse a zip file whose directory, which zipfile reads at once, is too large.

    Raises:
        ValueError: it is, or it is written in a form that no zip file of a module needs.
    """
    # zipfile reads the directory at once and builds an object for each entry: a few megabytes would
    # become gigabytes of memory in the daemon.
    size = source.seek(0, os.SEEK_END)
    source.seek(max(0, size - _END_BYTES - 0xFFFF - 20))
    tail = source.read()
    bare = tail[-_END_BYTES:]
    end = bare if bare[:4] == _END and bare[-2:] == b"\0\0" else tail[tail.rfind(_END) :]
    if _END_64 in tail or len(end) < _END_BYTES or not end.startswith(_END):
        raise ValueError("no end of a zip file")
    if int.from_bytes(end[12:16], "little") > _DIRECTORY_BYTES:
        raise ValueError("the directory is too large")


def _sum(contents: Mapping[str, str]) -> str:
    """Go's `h1`: the SHA-256 of the lines of sha256sum, sorted by name."""
    hashed = hashlib.sha256()
    for name in sorted(contents, key=str.encode):
        hashed.update(f"{contents[name]}  {name}\n".encode())
    return hashed.hexdigest()
