"""What an image is made from decides its tag (N6)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rover_mcp.errors import EnvironmentFault
from rover_mcp.sandbox import image
from rover_mcp.sandbox.bundles import AgentBundle


def _recipe() -> image.Recipe:
    return image.make_recipe("debian:bookworm-slim", "sha256:1", ())


def test_the_same_content_has_the_same_tag() -> None:
    assert _recipe().tag == _recipe().tag
    assert _recipe().tag.startswith("rover-sandbox:")


@pytest.mark.parametrize(
    "change",
    [
        {"base_id": "sha256:2"},
        {"dockerfile": "x"},
        {"runner": "x"},
        {"dependencies": ["pydantic==0"]},
        {"agents": ["claude-1-x64"]},
    ],
)
def test_any_other_content_has_another_tag(change: dict[str, object]) -> None:
    assert replace(_recipe(), **change).tag != _recipe().tag


def test_the_name_under_which_a_base_was_found_changes_nothing() -> None:
    assert replace(_recipe(), base="other:name").tag == _recipe().tag


def test_other_agents_make_another_image_in_whatever_order(tmp_path: Path) -> None:
    one, two = (AgentBundle(a, "1", tmp_path / f"{a}-1-x64") for a in ("codex", "claude"))
    both = image.make_recipe("b", "i", [one, two]).tag
    assert image.make_recipe("b", "i", [two, one]).tag == both
    assert image.make_recipe("b", "i", [one]).tag != both


@pytest.mark.parametrize(
    ("reference", "parts"),
    [
        ("debian", ("debian", "latest")),
        ("debian:12", ("debian", "12")),
        ("localhost:5000/a", ("localhost:5000/a", "latest")),
        ("localhost:5000/a:1", ("localhost:5000/a", "1")),
        ("a@sha256:00", ("a@sha256:00", None)),
    ],
)
def test_a_reference_is_split_at_its_tag(reference: str, parts: tuple[str, str | None]) -> None:
    assert image._split_reference(reference) == parts


def test_the_library_holds_the_runner_and_all_it_imports(tmp_path: Path) -> None:
    own = image.own_python()
    image._fill_library(tmp_path, own, print)
    for name in ("agent_runner", "pydantic", "pydantic_core", "yaml", "anyio", "idna"):
        assert (tmp_path / name / "__init__.py").exists(), name
    assert list(tmp_path.glob("pydantic_core/*.so"))
    assert list(tmp_path.rglob("__pycache__")) == []


def test_an_image_that_cannot_be_had_is_named_with_ways_out() -> None:
    fault = image.unavailable("x:1", "no registry has it")
    assert isinstance(fault, EnvironmentFault)
    assert "x:1" in fault.message
    for way in ("docker pull x:1", "base_image", "engine: bubblewrap"):
        assert way in (fault.hint or "")


def test_the_last_lines_of_a_failed_build_are_told() -> None:
    said: list[str] = []
    lines = [{"stream": "Step 1\n"}, {"stream": "rover: the base lacks git\n"}, {"error": "code 1"}]
    with pytest.raises(EnvironmentFault, match="the base lacks git"):
        image._watch(lines, "x:1", said.append)
    assert said == ["Step 1", "rover: the base lacks git"]
