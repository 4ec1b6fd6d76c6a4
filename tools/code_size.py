"""Prints how long the files and functions are, and what share of the lines explains them.

`python -m tools.code_size` reads the packages that are shipped; other folders may be named.
"""

from __future__ import annotations

import ast
import io
import statistics
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("rover_mcp", "agent_runner")
LONGEST_FILE = 400
LONGEST_FUNCTION = 40


@dataclass
class Sizes:
    """What was counted in a set of files. Lengths are in lines."""

    files: dict[str, int] = field(default_factory=dict[str, int])
    functions: dict[str, int] = field(default_factory=dict[str, int])
    comments: int = 0
    docstrings: int = 0

    @property
    def lines(self) -> int:
        return sum(self.files.values())

    def add(self, name: str, text: str) -> None:
        """Counts one module."""
        self.files[name] = text.count("\n")
        self.comments += comment_lines(text)
        for node, qualified in definitions(ast.parse(text)):
            self.docstrings += docstring_lines(node)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                self.functions[f"{name}:{node.lineno} {qualified}"] = body_lines(node)

    def too_long(self) -> list[str]:
        """The files and functions over their limits, the longest first."""
        return [
            f"{length:5}  {name}"
            for lengths, limit in (
                (self.files, LONGEST_FILE),
                (self.functions, LONGEST_FUNCTION),
            )
            for name, length in sorted(lengths.items(), key=lambda item: -item[1])
            if length > limit
        ]


def definitions(tree: ast.AST, within: str = "") -> Iterator[tuple[ast.AST, str]]:
    """Everything that may have a docstring, with its qualified name."""
    name = getattr(tree, "name", "")
    qualified = f"{within}.{name}".strip(".")
    if isinstance(tree, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        yield tree, qualified
    for child in ast.iter_child_nodes(tree):
        yield from definitions(child, qualified)


def body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The length of a function from `def` to its end, decorators not included."""
    return (node.end_lineno or node.lineno) - node.lineno + 1


def docstring_lines(node: ast.AST) -> int:
    body: list[ast.stmt] = getattr(node, "body", [])
    match body[:1]:
        case [ast.Expr(value=ast.Constant(value=str()))]:
            return (body[0].end_lineno or body[0].lineno) - body[0].lineno + 1
        case _:
            return 0


def comment_lines(text: str) -> int:
    """Lines that are a comment alone. One behind code, such as a linter's, is not counted."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return sum(
        token.type == tokenize.COMMENT and token.line.lstrip().startswith("#") for token in tokens
    )


def measure(folders: tuple[str, ...] = PACKAGES) -> Sizes:
    """The sizes of all modules beneath some folders of the repository."""
    sizes = Sizes()
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            sizes.add(str(path.relative_to(ROOT)), path.read_text("utf-8"))
    return sizes


def spread(lengths: dict[str, int]) -> str:
    """Median, 90th percentile and maximum."""
    ordered = sorted(lengths.values())
    return f"{statistics.median(ordered):g}/{ordered[len(ordered) * 9 // 10]}/{ordered[-1]}"


def report(sizes: Sizes) -> str:
    """The numbers as text."""
    return "\n".join(
        [
            f"source lines                    {sizes.lines:,} in {len(sizes.files)} files",
            f"file median/p90/max             {spread(sizes.files)}",
            f"function median/p90/max         {spread(sizes.functions)}",
            f"comments / docstrings           {sizes.comments / sizes.lines:.2%} / "
            f"{sizes.docstrings / sizes.lines:.2%}",
            *sizes.too_long(),
        ]
    )


if __name__ == "__main__":
    print(report(measure(tuple(sys.argv[1:]) or PACKAGES)))
