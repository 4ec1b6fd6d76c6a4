"""Reads and writes a backup: a tar archive whose last member, the manifest, lists every other one
with its digest. A backup that was cut has no manifest, and a changed one does not agree with it.

Anybody may have written an archive: each member is judged before it is written, nothing is written
through a link, and links are made last.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import stat
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, ValidationError

from rover_mcp.domain.errors import EnvironmentFault, UserFixable

MANIFEST = "rover-backup.json"
FORMAT = 1
DATABASE = "rover.db"
TOP = frozenset(
    (DATABASE, "config.yaml", "trust.json", "http-tokens.json", "workflows", "tasks", "projects")
)
"""The names in a data folder that a backup contains."""
MOST_MANIFEST = 1 << 30
_BLOCK = 1 << 20
_AGENTS = frozenset(("work", "home"))

Kind = Literal["file", "folder", "link"]


class BackupManifest(BaseModel):
    """What a manifest says of the backup itself."""

    model_config = ConfigDict(frozen=True)

    format: int
    version: str
    made_at: str
    database: Literal["sqlite", "postgresql"]
    schema_version: int


@dataclass(frozen=True)
class ArchiveMember:
    """One member. `digest` is the SHA-256 of a file, or the target of a link."""

    kind: Kind
    size: int
    digest: str
    mode: int
    mtime: int


Entries = dict[str, ArchiveMember]


def is_agents(path: str) -> bool:
    """Whether an agent could write there: in its work tree, or in its home. An agent's links may
    lead anywhere, because nothing of Rover follows them."""
    parts = path.split("/")
    return parts[0] == "tasks" and len(parts) > 3 and parts[2] in _AGENTS


def leads_out(path: str, target: str) -> bool:
    """Whether a symbolic link at `path` points out of the data folder."""
    place = os.path.normpath("/".join([*path.split("/")[:-1], target]))
    return target.startswith("/") or place == ".." or place.startswith("../")


def objection(member: tarfile.TarInfo) -> str | None:
    """Why a member of an archive is refused; None: it is accepted."""
    parts = member.name.split("/")
    if any(part in ("", ".", "..") for part in parts) or "\0" in member.name:
        return "its path leads out of the data folder"
    if parts[0] not in TOP:
        return "a data folder has no such thing"
    # Neither hard links, which could lead to any file, nor devices.
    plain = member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and member.sparse is None
    if not (plain or member.isdir() or member.issym()):
        return "it is not a file, folder or symbolic link"
    if member.issym() and not is_agents(member.name) and leads_out(member.name, member.linkname):
        return "it is a link that leads out of the data folder"
    return None


class _Hashed:
    """Reads exactly `size` bytes of a file, and zeros where the file was cut meanwhile: a member's
    header, with its size, has been written by then."""

    def __init__(self, file: int, size: int) -> None:
        self._file = file
        self._left = size
        self._digest = hashlib.sha256()

    def read(self, size: int) -> bytes:
        wanted = min(size, self._left)
        data = os.read(self._file, wanted)
        if not data:
            data = bytes(min(wanted, _BLOCK))
        self._left -= len(data)
        self._digest.update(data)
        # tarfile takes a short read for the end of the file.
        return data if len(data) == wanted or not data else data + self.read(wanted - len(data))

    @property
    def digest(self) -> str:
        return self._digest.hexdigest()


@dataclass
class ArchiveWriter:
    """Adds members to an archive, then the manifest."""

    archive: tarfile.TarFile
    entries: Entries = field(default_factory=Entries)

    def folder(self, path: str, facts: os.stat_result) -> None:
        info = _info(path, tarfile.DIRTYPE, facts)
        self.archive.addfile(info)
        self.entries[path] = ArchiveMember("folder", 0, "", info.mode, facts.st_mtime_ns)

    def link(self, path: str, target: str, facts: os.stat_result) -> None:
        info = _info(path, tarfile.SYMTYPE, facts)
        info.linkname = target
        self.archive.addfile(info)
        self.entries[path] = ArchiveMember("link", 0, target, info.mode, facts.st_mtime_ns)

    def file(self, path: str, file: int) -> None:
        """Add what an open file holds now; its end may be written meanwhile."""
        facts = os.fstat(file)
        info = _info(path, tarfile.REGTYPE, facts)
        info.size = facts.st_size
        content = _Hashed(file, info.size)
        self.archive.addfile(info, cast("IO[bytes]", content))
        self.entries[path] = ArchiveMember(
            "file", info.size, content.digest, info.mode, facts.st_mtime_ns
        )

    def manifest(self, about: BackupManifest) -> None:
        rows = [[p, e.kind, e.size, e.digest, e.mode, e.mtime] for p, e in self.entries.items()]
        # A path on Linux is bytes. Names that are not UTF-8 are escaped, since JSON is text.
        data = json.dumps({**about.model_dump(), "entries": rows}).encode("ascii")
        info = tarfile.TarInfo(MANIFEST)
        info.size, info.mode = len(data), 0o600
        self.archive.addfile(info, io.BytesIO(data))


def _info(path: str, kind: bytes, facts: os.stat_result) -> tarfile.TarInfo:
    info = tarfile.TarInfo(path)
    info.type, info.mtime = kind, int(facts.st_mtime)
    info.mode = stat.S_IMODE(facts.st_mode) & 0o777
    return info


def unpack(source: Path, into: Path) -> tuple[BackupManifest, Entries]:
    """Write all that an archive holds into the empty folder `into`, and compare it with the
    manifest.

    Raises:
        UserFixable: it is not a backup, is incomplete, was changed, or holds what it must not.
        EnvironmentFault: `into` cannot be written.
    """
    try:
        with tarfile.open(source) as archive:
            unpacked = _Unpacking(into)
            manifest = unpacked.all_of(archive)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise bad(source, f"it is not a complete archive: {error}") from error
    except _ArchiveRefused as refused:
        raise bad(source, str(refused)) from None
    except OSError as error:
        full = error.errno == errno.ENOSPC
        raise EnvironmentFault(
            f"{source} cannot be unpacked into {into.parent}: {error.strerror or error}",
            hint="free some space" if full else "see that both can be read and written",
            code="disk_full" if full else "restore_failed",
        ) from error
    try:
        about, listed = _parse(manifest)
        unpacked.finish(listed)
    except _ArchiveRefused as refused:
        raise bad(source, str(refused)) from None
    return about, listed


def bad(source: Path, why: str) -> UserFixable:
    """The error for an archive that is refused."""
    return UserFixable(
        f"{source} cannot be restored: {why}",
        hint="nothing was changed; try an older backup",
        code="bad_backup",
    )


class _ArchiveRefused(Exception):
    """The archive is refused; the message says why."""


class _Unpacking:
    """Unpacks members as they come, into a folder that no other process writes."""

    def __init__(self, into: Path) -> None:
        self._into = into
        self._found: dict[str, tuple[Kind, int, str]] = {}

    def all_of(self, archive: tarfile.TarFile) -> bytes:
        """Write everything but the links, and return the manifest."""
        for member in archive:
            if member.name == MANIFEST:
                return _manifest(archive, member)
            if why := objection(member):
                raise _ArchiveRefused(f"{member.name!r}: {why}")
            self._take(archive, member)
        raise _ArchiveRefused("its manifest is missing, so it is incomplete")

    def _take(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        name, parent = member.name, member.name.rpartition("/")[0]
        if name in self._found or (parent and self._found.get(parent, ("",))[0] != "folder"):
            raise _ArchiveRefused(f"{name!r} occurs twice, or its folder is missing")
        path = self._into / name
        if member.isdir():
            path.mkdir(mode=0o700)
            self._found[name] = ("folder", 0, "")
        elif member.issym():
            self._found[name] = ("link", 0, member.linkname)
        else:
            content = cast("IO[bytes]", archive.extractfile(member))
            self._found[name] = ("file", member.size, _write(content, path))

    def finish(self, listed: Entries) -> None:
        """Compare with the manifest, make the links, and set modes and times.

        Raises:
            _ArchiveRefused: they do not agree.
        """
        expected = {path: (e.kind, e.size, e.digest) for path, e in listed.items()}
        for path in sorted(expected.keys() | self._found.keys()):
            if expected.get(path) != self._found.get(path):
                raise _ArchiveRefused(f"{path!r} is not what its manifest says")
        # The deepest first: making an entry in a folder changes the folder's time.
        for path in sorted(listed, reverse=True):
            entry, place = listed[path], self._into / path
            if entry.kind == "link":
                place.symlink_to(entry.digest)
            else:
                place.chmod(entry.mode & 0o777 | 0o600 | (0o100 if entry.kind == "folder" else 0))
            os.utime(place, ns=(entry.mtime, entry.mtime), follow_symlinks=False)


def _manifest(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    if not member.isreg() or member.size > MOST_MANIFEST:
        raise _ArchiveRefused("its manifest is not a file, or too large")
    content = cast("IO[bytes]", archive.extractfile(member))
    data = content.read(member.size)
    if archive.next() is not None:
        raise _ArchiveRefused("it has data after its manifest")
    return data


def _write(content: IO[bytes], path: Path) -> str:
    """Write a new file, and return the digest of its content."""
    digest = hashlib.sha256()
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
        while data := content.read(_BLOCK):
            digest.update(data)
            file.write(data)
    return digest.hexdigest()


def _parse(data: bytes) -> tuple[BackupManifest, Entries]:
    try:
        raw: Any = json.loads(data)
        about = BackupManifest.model_validate({k: v for k, v in raw.items() if k != "entries"})
        entries = {str(path): _entry(*rest) for path, *rest in raw["entries"]}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        what = "has other fields" if isinstance(error, ValidationError) else "cannot be read"
        raise _ArchiveRefused(f"its manifest {what}") from None
    if about.format != FORMAT:
        raise _ArchiveRefused(
            f"its format is {about.format}, and this program knows {FORMAT}: update it"
        )
    return about, entries


def _entry(kind: Kind, size: int, digest: str, mode: int, mtime: int) -> ArchiveMember:
    return ArchiveMember(kind, int(size), str(digest), int(mode), int(mtime))


def count_tasks(entries: Mapping[str, ArchiveMember]) -> int:
    """How many tasks have files in a backup."""
    return sum(path.startswith("tasks/") and path.count("/") == 1 for path in entries)
