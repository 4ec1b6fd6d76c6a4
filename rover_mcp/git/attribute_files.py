"""The .gitattributes files of a commit that apply to some of its paths."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.git.git_process import GitResult
from rover_mcp.git.repository_view import RepositoryView

_NAME = ".gitattributes"


def attribute_files(view: RepositoryView, paths: Sequence[str], commit: str) -> bytes:
    """These files of the commit as entries for `git update-index --index-info -z`. An index with
    them alone is enough for `git check-attr`, and is not larger for a larger repository.

    Raises:
        EnvironmentFault: git failed ("merge_failed").
    """
    folders = {parent for path in paths for parent in PurePosixPath(path).parents}
    names = sorted(str(folder / _NAME) for folder in folders)
    # The answers are lines, and in git before 2.38 so are the questions.
    in_lines = [name for name in names if "\n" not in name]
    fed = "".join(f"{commit}:{name}\n" for name in in_lines).encode("utf-8", "surrogateescape")
    answer = view.run(["cat-file", "--batch-check=%(objecttype) %(objectname)"], stdin=fed)
    entries = list(_entries(in_lines, _checked(answer).stdout.split(b"\n")))
    for name in set(names) - set(in_lines):
        entries.append(_checked(view.run(["ls-tree", "-z", commit, "--", name])).stdout)
    return b"".join(entries)


def _entries(names: Sequence[str], answers: Sequence[bytes]) -> Iterator[bytes]:
    for name, answer in zip(names, answers, strict=False):
        kind, _, blob = answer.partition(b" ")
        if kind == b"blob":
            yield b"100644 %s\t%s\0" % (blob, name.encode("utf-8", "surrogateescape"))


def _checked(result: GitResult) -> GitResult:
    if result.code != 0 or result.truncated:
        raise EnvironmentFault(f"attributes cannot be read: {result.reason}", code="merge_failed")
    return result
