"""The names that a task's clone has for commits that its base reaches: tags, the base branch,
origin's default branch, and the remote `origin` itself, without a password in its address. With
them goes how lines end in the user's checkout: configuration, and attributes that are in no commit.

So `git describe`, `git diff main...HEAD` and what builds on them work as in the user's checkout.
A branch that is not an ancestor of the base is named where the two histories part: nothing comes
in that the base does not reach.

<folder>/packed-refs  the references, in git's own format
<folder>/tags.pack    the objects of annotated tags; absent where there are none
<folder>/shallow      where the history is cut off, of a shallow clone
<folder>/origin       origin's address, and in a second line its default branch, if known
<folder>/settings     how lines end in the user's checkout: a key and its value in each line
<folder>/attributes   the repository's info/attributes; absent where there are none
<folder>/filters      names of filters with which the user's git writes and reads files, in lines
<folder>/own-attributes  the user's core.attributesFile; absent likewise
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from rover_mcp.git.git_errors import checked, no_room
from rover_mcp.git.repository import info_attributes, is_branch_name, own_attributes
from rover_mcp.git.repository_view import SHALLOW, RepositoryView, boundary, opened
from rover_mcp.git.user_config import own_entries

_HEADER = b"# pack-refs with: peeled fully-peeled sorted \n"
_FORMAT = "%(refname)%00%(objecttype)%00%(objectname)%00%(*objecttype)%00%(*objectname)"
_REMOTE = "refs/remotes/origin/"
_REMOTE_KEY = re.compile(r"remote\.(.+)\.url")
_ADDRESS = re.compile(r"[^\s\x00-\x1f\x7f-][^\s\x00-\x1f\x7f]{0,999}")
_ENDINGS = {"core.autocrlf": ("true", "false", "input"), "core.eol": ("lf", "crlf", "native")}
_OWN_SETTINGS = r"^(core\.(autocrlf|eol)$|filter\.)"
_SMUDGE = re.compile(r"filter\.([A-Za-z0-9_.+-]{1,100})\.(?:smudge|process)")
_LISTING = 64 * 1024**2
_PACK = 64 * 1024**2


def write_names(user_repo: Path, commit: str, branch: str | None, folder: Path) -> None:
    """Write the names into `folder`, all of them or none. `branch` is what the task was based on,
    as the call named it.

    Raises:
        UserFixable: the repository is gone, or it cannot be used.
        EnvironmentFault: git or the disk failed.
    """
    new = folder.with_name(f"{folder.name}.new")
    with opened(user_repo) as view:
        tags, annotated = _tags(view, commit)
        default, own = _default_branch(view), own_entries(_OWN_SETTINGS, view.conditions)
        branches = {(branch or "").removeprefix("origin/"), default}
        lines = sorted([*tags, *_branches(view, commit, branches)])
        pack = _pack_tags(view, annotated, folder)
        settings = "".join(line_endings(view, own))
        attributes = (info_attributes(view.place.common), own_attributes(view))
        filters = _filters(view, own)
        cut = boundary(view, commit)
        origin = f"{address(view)}\n{default}\n"
    try:
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        (new / "packed-refs").write_bytes(_HEADER + b"".join(text for _, text in lines))
        if pack:
            (new / "tags.pack").write_bytes(pack)
        if cut:
            (new / SHALLOW).write_text("".join(f"{commit}\n" for commit in cut))
        (new / "origin").write_text(origin, "utf-8")
        (new / "settings").write_text(settings, "utf-8")
        (new / "filters").write_text("".join(f"{name}\n" for name in filters), "utf-8")
        for name, content in zip(("attributes", "own-attributes"), attributes, strict=True):
            if content:
                (new / name).write_bytes(content)
        new.replace(folder)
    except OSError as error:
        raise no_room(folder, error) from error


def _pack_tags(view: RepositoryView, annotated: list[str], folder: Path) -> bytes:
    """A pack of the objects of annotated tags: the base reaches commits, and no tag."""
    if not annotated:
        return b""
    wanted = "".join(f"{name}\n" for name in annotated).encode()
    packed = view.run(["pack-objects", "-q", "--stdout"], stdin=wanted, output_limit=_PACK)
    return checked(packed, "the tags cannot be packed", folder).stdout


def _tags(view: RepositoryView, commit: str) -> tuple[list[tuple[bytes, bytes]], list[str]]:
    """Lines of packed-refs by name, and the ids of annotated tags. A tag of a tag is left out: its
    objects would have to be packed one by one."""
    argv = ["for-each-ref", f"--merged={commit}", f"--format={_FORMAT}", "refs/tags/"]
    listed = view.run(argv, output_limit=_LISTING)
    checked(listed, "the tags cannot be listed", view.folder)
    lines: list[tuple[bytes, bytes]] = []
    annotated: list[str] = []
    for line in listed.stdout.splitlines():
        name, kind, target, peeled_kind, peeled = line.split(b"\0")
        text = target + b" " + name + b"\n"
        if kind == b"commit":
            lines.append((name, text))
        elif kind == b"tag" and peeled_kind == b"commit":
            lines.append((name, text + b"^" + peeled + b"\n"))
            annotated.append(target.decode())
    return lines, annotated


def _branches(
    view: RepositoryView, commit: str, branches: Iterable[str]
) -> Iterator[tuple[bytes, bytes]]:
    for name in sorted(filter(is_branch_name, branches)):
        for ref in (f"refs/heads/{name}", _REMOTE + name):
            # Not the branch's own commit: the base may not reach that, so the clone lacks it. It
            # fails where there is no such branch.
            merge_base = view.run(["merge-base", commit, ref])
            if merge_base.code == 0:
                yield ref.encode(), f"{merge_base.text} {ref}\n".encode()


def line_endings(
    view: RepositoryView, own: Sequence[tuple[str, str]] | None = None
) -> Iterator[str]:
    """The lines of the file `settings`: how git ends lines in the user's checkout. `own` are the
    entries of the user's own configuration, if they were read already."""
    last = dict(own_entries(_OWN_SETTINGS, view.conditions) if own is None else own)
    for key, allowed in _ENDINGS.items():
        value = view.last(key) or last.get(key, "").lower()
        if value in allowed:
            yield f"{key} {value}\n"


def _filters(view: RepositoryView, own: Sequence[tuple[str, str]]) -> list[str]:
    """Filters by which files in the user's work tree differ from what is committed. Git-lfs does
    not count, because its pointers say what they are, and `cat` changes nothing."""
    pairs = [(key, values[-1]) for key, values in view.config.items() if values]
    filters = {
        match[1]
        for key, value in (*own, *pairs)
        if (match := _SMUDGE.fullmatch(key)) and value.strip() not in ("", "cat")
    }
    return sorted(filters - {"lfs"})


def _default_branch(view: RepositoryView) -> str:
    target = view.run(["symbolic-ref", "-q", f"{_REMOTE}HEAD"])
    name = target.text.removeprefix(_REMOTE)
    return name if target.code == 0 and is_branch_name(name) else ""


def remote_addresses(repo: Path) -> tuple[str, ...]:
    """The plain addresses of the remotes of `repo`, without passwords, that of `origin` first."""
    with opened(repo) as view:
        names = [match[1] for key in view.config if (match := _REMOTE_KEY.fullmatch(key))]
        ordered = sorted(names, key=lambda name: name != "origin")
        addresses = [address(view, name) for name in ordered]
    return tuple(dict.fromkeys(filter(None, addresses)))


def address(view: RepositoryView, remote: str = "origin") -> str:
    """The address of a remote; empty where it has no plain one. In an address with `::` git would
    find the name of a program to run."""
    address = next(reversed(view.config.get(f"remote.{remote}.url", ())), "")
    if not _ADDRESS.fullmatch(address) or "::" in address:
        return ""
    if "://" not in address:
        return address
    parts = urlsplit(address)
    user, at, host = parts.netloc.rpartition("@")
    # With ssh the user's name is a part of the address. With https it can be a token.
    kept = f"{user.partition(':')[0]}{at}{host}" if parts.scheme == "ssh" else host
    return urlunsplit(parts._replace(netloc=kept, query="", fragment=""))
