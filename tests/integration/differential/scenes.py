"""Random examples: a folder of a repository as it is committed, and what is done in it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace

from hypothesis import strategies as st

PLAIN = (
    b"a.txt", b"b.txt", b"run.bat", b"x.id", b"pic.dat", b"w.u16", b"f.filtered", b"lib/c.txt",
    b"lib/d.bat", b"src/deep/e.txt", b"src/f", b"keep.log", b"old.log", b"build/out.txt",
    b"m.lfs", b"lib/m.lfs", b"k.key", b"s.mine", b"sub/new.c", b".gitattributes", b".gitignore",
)  # fmt: skip
ODD = (
    "café.txt".encode(), "cafe\u0301.txt".encode(), b"latin-\xe9.txt", b"new\nline.txt",
    b"tab\there.txt", b'quo"te.txt', b"back\\slash.txt", b"-rf", b" lead", b"trail ", b"A.TXT",
    b"Readme", b"readme", b"LIB/c.txt", b"[a]*.txt", b"!bang", b"#hash", b"$HOME`id`.txt", b"nul:",
    "\u202ertl".encode(), b"\x01ctl", b"n" * 255, b"HEAD", b"refs/heads/x", b"@{u}", b"{x,y}.txt",
    b"a => b", b"\xff\xfe", b"path with/many  spaces/x y", b".hidden", b"src/.gitkeep", b":colon",
)  # fmt: skip
MEDIA = b"\0media\r\n" * 200
"""What git-lfs keeps, in the user's repository, of the file that POINTER stands for."""
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n" % (
    hashlib.sha256(MEDIA).hexdigest().encode(),
    len(MEDIA),
)
TEXTS = (
    b"", b"one\n", b"one\ntwo\n", b"one\r\ntwo\r\n", b"one\r\ntwo\n", b"no end", b"cr\ronly\r",
    b"one\r\nno end", b"$Id$\n", b"$Id: 0123 $\r\n", b"\xef\xbb\xbfbom\r\n", b"nul\0byte\n",
    b"ctl-z\r\n\x1a", b"caf\xe9\r\n", bytes(range(256)), b"long line " * 900 + b"\n",
    POINTER, MEDIA, b"* -text\n" + b"*.txt text" + b" pad" * 510 + b"\n*.bat eol=lf\n",
)  # fmt: skip
BIG = b"\0big\r\n\xff" * 9_000
LINKS = (
    b"a.txt",
    b"lib",
    b"../e",
    b"nowhere",
    b"/etc/hostname",
    b".",
    b"itself",
    b"src/deep/..",
    b"*.txt -text",
)
ATTRIBUTES = (
    b"*.txt text", b"* text=auto", b"*.txt -text", b"*.bat text eol=crlf", b"*.txt eol=lf",
    b"* text=auto eol=crlf", b"*.id ident", b"*.u16 text working-tree-encoding=UTF-16LE",
    b"*.dat binary", b"*.filtered filter=nobody", b"[attr]mine text\n*.txt mine", b"lib/** -text",
    b"*.txt !text", b"*.txt -diff", b"* -text", b"*.log text", b"broken\0 text", b'"quo\\"te.txt" -text',
    b"*.lfs filter=lfs diff=lfs merge=lfs -text", b"*.key filter=git-crypt diff=git-crypt",
    b"*.mine filter=mine", b"*.txt text" + b" pad" * 510,
)  # fmt: skip
IGNORES = (
    b"*.log", b"!keep.log", b"build/", b"/src", b"lib/*.txt", b"*~", b"\\#hash", b"\\!bang",
    b"*.o\r", b"n*n", b"src/**/e.txt", b"[Rr]eadme", b"trail\\ ", b"*", b"!*.txt",
)  # fmt: skip
MADE = (
    b"node_modules/x/index.js", b"web/node_modules/y.js", b".venv/bin/python", b"my env/pyvenv.cfg",
    b"lib/__pycache__/c.pyc", b"out/CACHEDIR.TAG", b"src/.pytest_cache/x",
)  # fmt: skip

SUBMODULES = (b"sub", b"lib/sub", "s\u00fcb mod".encode())

NAMES = st.sampled_from(PLAIN) | st.sampled_from(ODD)
CONTENTS = st.sampled_from(TEXTS) | st.sampled_from([BIG])
MODES = st.sampled_from(["100644", "100644", "100755", "120000", "160000"])


@dataclass(frozen=True)
class Entry:
    """One path of the base. The content of a link is where it leads."""

    name: bytes
    mode: str
    content: bytes


@dataclass(frozen=True)
class Edit:
    """What is done: `which` chooses among the files that are there."""

    kind: str
    which: int = 0
    name: bytes = b""
    content: bytes = b""


@dataclass(frozen=True)
class Example:
    """`attributes` and `ignores` are files of the base, `info_ignores`, `own_ignores` and
    `info_attributes` the user's own lines, for this folder. `submodules` are checked out. `early`
    is done before a first snapshot, `late` after it."""

    base: tuple[Entry, ...] = ()
    attributes: tuple[bytes, ...] = ()
    ignores: tuple[bytes, ...] = ()
    info_ignores: tuple[bytes, ...] = ()
    own_ignores: tuple[bytes, ...] = ()
    info_attributes: tuple[bytes, ...] = ()
    submodules: tuple[bytes, ...] = ()
    early: tuple[Edit, ...] = ()
    late: tuple[Edit, ...] = ()

    def smaller(self) -> list[Example]:
        """The same without one of its parts, each in turn."""
        found: list[Example] = []
        for part in self.__dataclass_fields__:
            whole = getattr(self, part)
            cut = [whole[:n] + whole[n + 1 :] for n in range(len(whole))]
            found += [replace(self, **{part: rest}) for rest in cut]
        return found


@dataclass(frozen=True)
class Setting:
    """What is one for a whole repository: configuration, names of references and those of other
    kinds, the agent's git."""

    config: dict[str, str] = field(default_factory=dict)
    attributes: tuple[bytes, ...] = ()
    refs: tuple[str, ...] = ()
    odd_refs: tuple[str, ...] = ()
    agent_commits: bool = False


def _entry(name: bytes, mode: str, content: bytes, link: bytes) -> Entry:
    return Entry(name, mode, link if mode == "120000" else content)


def _some(values: tuple[bytes, ...], most: int) -> st.SearchStrategy[tuple[bytes, ...]]:
    return st.lists(st.sampled_from(values), max_size=most, unique=True).map(tuple)


ENTRIES = st.builds(_entry, NAMES, MODES, CONTENTS, st.sampled_from(LINKS))
EARLY_KINDS = (
    "create", "append", "prepend", "replace", "delete", "rename", "chmod", "to-link", "to-folder",
    "to-file", "empty-folder", "remove-folder", "other-case", "attributes", "ignores",
    "repository", "commit-inside",
)  # fmt: skip
LATE_KINDS = (*EARLY_KINDS, "rewrite", "made", "ends-crlf", "ends-lf")


def _edits(kinds: tuple[str, ...]) -> st.SearchStrategy[tuple[Edit, ...]]:
    edit = st.builds(Edit, st.sampled_from(kinds), st.integers(0, 30), NAMES, CONTENTS)
    return st.lists(edit, max_size=4).map(tuple)


EXAMPLES = st.builds(
    Example,
    base=st.lists(ENTRIES, max_size=7, unique_by=lambda e: e.name).map(tuple),
    attributes=_some(ATTRIBUTES, 2),
    ignores=_some(IGNORES, 2),
    info_ignores=_some(IGNORES[:9], 1),
    own_ignores=_some(IGNORES[:9], 1),
    info_attributes=_some(ATTRIBUTES[:9] + ATTRIBUTES[-4:], 1),
    submodules=st.sampled_from([()] * 24 + [(name,) for name in SUBMODULES]),
    early=_edits(EARLY_KINDS),
    late=_edits(LATE_KINDS),
)
REFS = (
    "refs/heads/feature/deep/er",
    "refs/heads/UPPER",
    "refs/tags/v1.0^",
    "refs/tags/käse",
    "refs/notes/commits",
    "refs/stash",
    "refs/pull/7/head",
    "refs/remotes/origin/main",
    "refs/heads/rover-like",
    "refs/heads/-dash",
    "refs/rewritten/x",
    "refs/heads/a@b",
    "refs/bisect/bad",
    "refs/original/refs/heads/main",
    "refs/heads/HEAD",
    "refs/worktree/x",
    f"refs/tags/{'n' * 200}",
)
ODD_REFS = (
    "tag-of-tree", "tag-of-blob", "tag-of-tag", "symbolic", "dangling", "replaced",
    "packed", "detached",
)  # fmt: skip
SETTINGS = st.builds(
    Setting,
    config=st.fixed_dictionaries(
        {},
        optional={
            "core.autocrlf": st.sampled_from(["true", "input", "false"]),
            "core.eol": st.sampled_from(["crlf", "lf", "native"]),
            "core.safecrlf": st.sampled_from(["false", "warn"]),
            "core.quotePath": st.sampled_from(["true", "false"]),
        },
    ),
    attributes=_some(ATTRIBUTES, 1),
    refs=st.lists(st.sampled_from(REFS), max_size=6, unique=True).map(tuple),
    odd_refs=st.lists(st.sampled_from(ODD_REFS), max_size=3, unique=True).map(tuple),
    agent_commits=st.booleans(),
)
