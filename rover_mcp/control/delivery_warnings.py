"""Whether a task's steps can have done what it is about to deliver. Pure functions.

If a large part of a work tree is missing (a check-out that was interrupted, a disk that lost
files), git sees a tree in which these files were deleted. A reviewer does not notice 50,000
deletions in a branch that should change three lines, so a person has to accept them before they are
delivered. Expected changes pass: files that moved, few files, and what the task or a step says that
it deletes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from rover_mcp.control.control_ports import HubFileChange

TOO_MANY = ((20, 0.5), (100, 0.1), (1000, 0.0))
"""Pairs of a number of unexplained deletions and the least share of the base's files: deletions
that reach both are in doubt. A reviewer sees fewer than 20 in the list of files. Half of a small
repository, or a tenth of a large one, is more than a clean-up that no text mentions, and a thousand
are more than a person reads."""

NAMED = 3
"""Greatest number of files, and of folders, that a message names."""

MOST_PATTERNS = 20
"""Greatest number of patterns that count, because each is compared with every file."""

EMPTY_BLOB = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
"""Git's id of an empty file, which a write that was interrupted leaves."""

_DELETES = re.compile(
    r"\brm\b|\bget(?:ting)? rid\b|\b(?:delet|remov|drop|prun|purg|clean|eras|discard|unlink|renam|"
    r"replac|migrat|convert|uninstall|retir)\w*|\b(?:mov|wip)(?:e|es|ed|ing)\b",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"\n|[.;!?](?=\s)")
_NAME = re.compile(r"[\w.@+*/-]+")
_WORKSPACE = "/workspace/"


@dataclass(frozen=True)
class Delivery:
    """`changes` lead from what was delivered last, or the base, to what will be delivered. `late`
    are changes from after the last step had ended, when nothing of the task was running. `words`
    are the texts of the task, its commands, and the reports of its agents. `before` and `after`
    return the names of all files then and now; they are only called if it matters."""

    changes: Sequence[HubFileChange]
    late: Sequence[HubFileChange]
    words: Sequence[str]
    before: Callable[[], Collection[str]]
    after: Callable[[], Collection[str]]


def doubt(delivery: Delivery) -> str | None:
    """The reason against the delivery, in words; None if there is none."""
    if delivery.late:
        paths = _listed(c.path for c in delivery.late)
        return (
            f"{_files(len(delivery.late))} changed after the last step had ended, when nothing of "
            f"the task was running ({paths})"
        )
    gone = _vanished(delivery.changes)
    if len(gone) < TOO_MANY[0][0]:
        return None
    named = NamedFiles(delivery.words, delivery.after())
    gone = [path for path in gone if not named.explains(path)]
    before = len(delivery.before())
    if not any(len(gone) >= least and len(gone) >= share * before for least, share in TOO_MANY):
        return None
    return (
        f"the branch deletes or empties {len(gone):,} of {before:,} files, and neither the task "
        f"nor a step of it names them ({_places(gone)}; for example {_listed(gone)})"
    )


def _vanished(changes: Sequence[HubFileChange]) -> list[str]:
    """The files that are gone and have not moved: no new file has the same content, or else the
    same name."""
    contents = Counter(c.new for c in changes if c.kind == "A")
    moved: Counter[str] = Counter()
    missing: list[str] = []
    for change in (c for c in changes if c.kind == "D"):
        if contents[change.old] > moved[change.old]:
            moved[change.old] += 1
        else:
            missing.append(change.path)
    names: Counter[str] = Counter()
    for change in (c for c in changes if c.kind == "A"):
        if moved[change.new] > 0:
            moved[change.new] -= 1
        else:
            names[_last(change.path)] += 1
    gone = [c.path for c in changes if c.kind == "M" and EMPTY_BLOB == c.new != c.old]
    for path in missing:
        if names[_last(path)] > 0:
            names[_last(path)] -= 1
        else:
            gone.append(path)
    return sorted(gone)


class NamedFiles:
    """The names in sentences and lines about deleting. A file is explained by its own name. A
    folder, an ending or a pattern explains files only if none of those it names is `left`:
    otherwise a sentence about all files of a kind would explain the loss of some."""

    def __init__(self, words: Iterable[str], left: Collection[str]) -> None:
        names: set[str] = set()
        for sentence in (part for text in words for part in _SENTENCE.split(text)):
            if _DELETES.search(sentence):
                names.update(map(_cleaned, _NAME.findall(sentence)))
        self._plain = {name for name in names if name and "*" not in name}
        patterns = [n for n in names if "*" in n and n.strip("*./")]
        patterns += [f"*{name}" for name in self._plain if _is_ending(name)]
        small = [path.casefold() for path in left]
        self._patterns = [
            p for p in sorted(patterns)[:MOST_PATTERNS] if not any(_fits(path, p) for path in small)
        ]
        self._left = {folder for path in small for folder in _folders(path)}
        self._folders: dict[str, bool] = {}

    def explains(self, path: str) -> bool:
        """Whether a text mentions the deletion of a file."""
        path = path.casefold()
        if self._is_named(path) or any(_fits(path, pattern) for pattern in self._patterns):
            return True
        return any(map(self._is_gone, _folders(path)))

    def _is_gone(self, folder: str) -> bool:
        if folder not in self._folders:
            self._folders[folder] = folder not in self._left and self._is_named(folder)
        return self._folders[folder]

    def _is_named(self, path: str) -> bool:
        parts = path.split("/")
        return any("/".join(parts[start:]) in self._plain for start in range(len(parts)))


def _fits(path: str, pattern: str) -> bool:
    return fnmatchcase(path, pattern) or fnmatchcase(_last(path), pattern)


def _is_ending(name: str) -> bool:
    return name.startswith(".") and "/" not in name and len(name) > 1


def _cleaned(name: str) -> str:
    """A name in the form in which git has it."""
    name = name.casefold().removeprefix(_WORKSPACE).removeprefix("./")
    while name.endswith(("/*", "/**", "/", ",")):
        name = name.rstrip("*").rstrip("/,")
    return name.rstrip(".")


def _folders(path: str) -> Iterator[str]:
    """Every folder around a file."""
    parts = path.split("/")
    return ("/".join(parts[:end]) for end in range(1, len(parts)))


def _last(path: str) -> str:
    return path.rpartition("/")[2]


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count:,} files"


def _listed(paths: Iterable[str]) -> str:
    every = list(paths)
    more = f" and {len(every) - NAMED:,} more" if len(every) > NAMED else ""
    return ", ".join(every[:NAMED]) + more


def _places(paths: Iterable[str]) -> str:
    """The number of files in each folder of the top, the largest first."""
    counts = Counter(p.partition("/")[0] + "/" if "/" in p else "at the top" for p in paths)
    places = [f"{folder} {count:,}" for folder, count in counts.most_common(NAMED)]
    more = f" and {len(counts) - NAMED:,} more folders" if len(counts) > NAMED else ""
    return ", ".join(places) + more
