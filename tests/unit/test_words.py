"""The words of messages, docstrings and documents: none of the turns of phrase that a reader has to
read twice."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PHRASES = (
    r"\b(?:is|are|was|were) no\b(?! (?:longer|more|fewer|less|later|earlier)\b)",
    r"\b(?:go|goes|went|going|gone) on(?! (?:a|the|your|to)\b)\b",
    r"\bby (?:itself|themselves)\b",
    r"\btold\b",
    r"\bmend(?:s|ed)?\b",
    r"\b(?<!as a )whole\b(?! [a-z])",
    r"\banew\b",
    r"\bof ours\b",
    r"\bnobody\b",
    r"\bnone that\b",
    r"\bas yet\b",
)
"""What reads as translated. "There is no X" is English, "it is no X" is not; a whole number is, and
a number that is whole is not."""
_PHRASE = re.compile("|".join(PHRASES), re.IGNORECASE)
_CODE = re.compile(r"`[^`\n]+`")
"""Names of fields and values, which are quoted."""
_THERE = re.compile(r"\bthere\s+(?:is|are|was|were) no\b", re.IGNORECASE)

QUOTED = {
    "acceptance.md": "the promises as they were made",
    "limits.md": "the words of providers",
    "mistakes.md": "the names in the examples",
    "scenarios.md": "the words of people who ask an assistant",
    "transcripts": "what people and models said",
}
"""Documents that quote, by file or folder, and whom."""


def phrases(text: str) -> list[str]:
    """The phrases in a text."""
    return _PHRASE.findall(_THERE.sub("there isn't", " ".join(text.split())))


def texts_of(path: Path) -> Iterator[str]:
    """The text of a document, or the string constants of a module, docstrings among them."""
    if path.suffix == ".md":
        yield _CODE.sub("", path.read_text())
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield _CODE.sub("", node.value)


def files() -> Iterator[tuple[str, Path]]:
    """Every module and document, with the package or the folder that it counts for."""
    for package in ("agent_runner", "rover_mcp"):
        for path in sorted((ROOT / package).rglob("*.py")):
            below = path.relative_to(ROOT / package)
            yield f"{package}/{below.parts[0]}" if len(below.parts) > 1 else package, path
    yield "docs", ROOT / "README.md"
    for path in sorted((ROOT / "docs").rglob("*.md")):
        if not QUOTED.keys() & set(path.relative_to(ROOT / "docs").parts):
            yield "docs", path


def counts() -> Counter[str]:
    """The number of phrases in each place."""
    count: Counter[str] = Counter()
    for place, path in files():
        count[place] += sum(len(phrases(text)) for text in texts_of(path))
    return +count


def test_no_text_has_any_of_them() -> None:
    assert counts() == {}, "say it in plainer words; tests/unit/test_words.py has the phrases"


@pytest.mark.parametrize(
    ("text", "how_many"),
    [
        ("there is no tool", 0),
        ("it is no tool", 1),
        ("it is no longer needed", 0),
        ("the task goes on by\nitself", 2),
        ("it goes on the list", 0),
        ("a whole number", 0),
        ("set aside as a whole", 0),
        ("the body is whole", 1),
    ],
)
def test_what_counts(text: str, how_many: int) -> None:
    assert len(phrases(text)) == how_many
