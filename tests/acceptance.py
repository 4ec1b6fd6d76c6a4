"""Every item of docs/acceptance.md with the tests that name it: `python -m tests.acceptance`.

A test names an item in its docstring, as `C3` or `C3, F7`. An item that must be proven and that
no test names is an error, and so is the name of an item that does not exist.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "acceptance.md"

NOT_BUILT = frozenset[str]()
"""Items of features that do not exist yet."""

_ITEM = re.compile(r"^- ([A-O]\d{1,2}) (.+)$", re.MULTILINE)
_NAMED = re.compile(r"\b[A-O]\d{1,2}\b")


def items(page: str) -> dict[str, str]:
    """Each item of the page and its text."""
    return dict(_ITEM.findall(page))


def named_by(source: str) -> Iterator[tuple[str, str]]:
    """Each test of a file with each item that its docstring names."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith(
            "test_"
        ):
            for item in _NAMED.findall(ast.get_docstring(node) or ""):
                yield node.name, item


def collect(folder: Path) -> dict[str, list[str]]:
    """Items and the tests that name them, as path::test."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for path in sorted(folder.rglob("test_*.py")):
        for test, item in named_by(path.read_text("utf-8")):
            found[item].append(f"{path.relative_to(folder.parent)}::{test}")
    return dict(found)


def report(known: Mapping[str, str], found: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """The page for people: items, then their tests."""
    for item, text in known.items():
        yield f"{item}  {text}"
        if item in found:
            yield from (f"      {test}" for test in dict.fromkeys(found[item]))
        else:
            yield "      not built yet" if item in NOT_BUILT else "      NO TEST"


def wrong(known: Mapping[str, str], found: Mapping[str, Sequence[str]]) -> list[str]:
    """What must be mended."""
    missing = [i for i in known if i not in found and i not in NOT_BUILT]
    unknown = [f"{i} ({found[i][0]})" for i in found if i not in known]
    told = [f"no test names {', '.join(missing)}"] if missing else []
    return told + ([f"no such item: {', '.join(unknown)}"] if unknown else [])


def main() -> int:
    """Print the report; 1 where something is wrong."""
    known, found = items(PAGE.read_text("utf-8")), collect(TESTS)
    sys.stdout.writelines(f"{line}\n" for line in report(known, found))
    problems = wrong(known, found)
    sys.stderr.writelines(f"{problem}\n" for problem in problems)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
