"""Names of classes and modules are unique, so that one word means one thing."""

from __future__ import annotations

import ast
import collections
import functools
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("rover_mcp", "agent_runner")

MAY_REPEAT = {"models", "protocol", "__main__", "__init__"}
"""Modules that each package may have one of: what it is made of, and what it starts with."""

LONGEST_TEST_NAME = 70

VAGUE = {"told", "found", "said", "made", "asked", "whole"}
"""Words that no local variable is called: they do not say what it holds."""

POETIC = {
    "akin", "bring_home", "complain", "door", "furnish", "hear", "last_words", "look", "nap",
    "poke", "say_nothing", "strain", "tend",
}  # fmt: skip
"""Words that no class, function or argument is called, in any case: a reader who knows the field
looks for another one there."""


POETIC_IN_TESTS = {
    "Answering", "Arsenal", "Asked", "Base", "Book", "Broken", "Changing", "Closure", "Company",
    "Crash", "Deaf", "Delegating", "Delivered", "Desk", "Died", "Ended", "FakeDoor",
    "FakeResolving", "Figures", "FileRing", "Flow", "Gate", "GitScene", "Gits", "Grower",
    "Harm", "Hostile", "Inside", "Keeper", "LockedRing", "Looped", "Measured", "Night",
    "NightDoor", "NightEngine", "NoPlane", "Obeyed", "Paused", "Person", "Place", "Plant",
    "Play", "Played", "Program", "Purse", "PushDesk", "PushStage", "Received", "Redirecting",
    "Refused", "Reviewing", "Running", "Said", "Scene", "Seen", "Shared", "Shelf", "Shown",
    "Site", "Spoken", "Stage", "Stock", "Stray", "Strike", "Told", "Topic", "Trial", "Tried",
    "Two", "Untold", "Waiting", "Walk", "Watch", "Watched", "Way", "Work", "World",
}  # fmt: skip
"""Words that no class of the tests is called: a class says what it stands for, such as a scenario,
a harness, a result or a fake of what."""


def sources() -> list[Path]:
    return sorted(p for package in PACKAGES for p in ROOT.joinpath(package).rglob("*.py"))


@functools.cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def repeated(names: dict[str, list[str]]) -> dict[str, list[str]]:
    return {name: places for name, places in names.items() if len(places) > 1}


def test_every_class_has_a_name_of_its_own() -> None:
    classes: dict[str, list[str]] = collections.defaultdict(list)
    for path in sources():
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ClassDef):
                classes[node.name].append(f"{path.relative_to(ROOT)}:{node.lineno}")

    assert not repeated(classes)


def test_every_module_has_a_name_of_its_own() -> None:
    modules: dict[str, list[str]] = collections.defaultdict(list)
    for path in sources():
        if path.stem not in MAY_REPEAT:
            modules[path.stem].append(str(path.relative_to(ROOT)))

    assert not repeated(modules)


def test_local_variables_say_what_they_hold() -> None:
    vague = {
        str(path.relative_to(ROOT)): names
        for path in sources()
        if (names := [*vague_variables(tree_of(path))])
    }
    assert vague == {}


def test_definitions_are_called_by_the_fields_terms() -> None:
    poetic = {
        f"{path.relative_to(ROOT)}:{node.lineno}": name
        for path in sources()
        for node, name in definitions(tree_of(path))
        if name.strip("_").lower() in POETIC
    }
    assert poetic == {}


def test_the_classes_of_the_tests_say_what_they_stand_for() -> None:
    poetic = {
        f"{path.relative_to(ROOT)}:{node.lineno}": name
        for path in (ROOT / "tests").rglob("*.py")
        for node, name in definitions(tree_of(path))
        if isinstance(node, ast.ClassDef) and name in POETIC_IN_TESTS
    }
    assert poetic == {}


def definitions(tree: ast.AST) -> Iterator[tuple[ast.stmt | ast.arg, str]]:
    """Every class, function and argument, with its name."""
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
                yield node, name
            case ast.AsyncFunctionDef(name=name) | ast.arg(arg=name):
                yield node, name
            case _:
                pass


def vague_variables(node: ast.AST) -> Iterator[str]:
    """Every binding of a vague name beneath a node. A field of a class is no local variable."""
    for child in ast.iter_child_nodes(node):
        if isinstance(node, ast.ClassDef) and isinstance(child, ast.Assign | ast.AnnAssign):
            continue
        name = _bound(child)
        if name in VAGUE:
            yield name
        yield from vague_variables(child)


def _bound(node: ast.AST) -> str | None:
    match node:
        case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
            return name
        case ast.ExceptHandler(name=name) | ast.MatchAs(name=name) | ast.MatchStar(name=name):
            return name
        case _:
            return None


def test_a_tests_name_is_short_enough_to_read_in_a_report() -> None:
    long = {
        name: str(path.relative_to(ROOT))
        for path in (ROOT / "tests").rglob("test_*.py")
        for _, name in definitions(tree_of(path))
        if name.startswith("test_") and len(name) > LONGEST_TEST_NAME
    }
    assert long == {}
