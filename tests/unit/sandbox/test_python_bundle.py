"""A Python for images that have none. Whether it runs in them: tests/contracts/test_images.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.sandbox import python_bundle


def test_the_loader_of_a_program_is_read_out_of_it() -> None:
    loader = python_bundle.interpreter_of(python_bundle.interpreter())
    assert loader is not None
    assert loader.name.startswith("ld-")
    assert loader.exists()


@pytest.mark.parametrize("content", [b"", b"#!/bin/sh\n", b"\x7fELF\x01", b"\x7fELF\x02\x01"])
def test_what_is_no_program_of_64_bits_has_no_loader(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "program"
    path.write_bytes(content.ljust(64, b"\0") if content.startswith(b"\x7fELF") else content)
    assert python_bundle.interpreter_of(path) is None


def test_what_a_program_needs_is_found_without_the_loader_itself() -> None:
    loader = python_bundle.loader()
    found = python_bundle.shared_libraries([python_bundle.interpreter()], loader)
    assert loader.name not in found
    assert all(path.exists() for path in found.values())


def test_what_cannot_be_loaded_here_cannot_be_brought(tmp_path: Path) -> None:
    (tmp_path / "x.so").write_text("no library")
    with pytest.raises(EnvironmentFault, match="cannot be brought") as caught:
        python_bundle.shared_libraries([tmp_path / "x.so"], python_bundle.loader())
    assert caught.value.code == "image_unavailable"


def test_a_bundle_is_made_once_and_another_one_for_other_extensions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Path] = []

    def assemble(folder: Path, _extensions: object) -> None:
        folder.mkdir()
        made.append(folder)

    monkeypatch.setattr(python_bundle, "_assemble", assemble)
    first = python_bundle.make_bundle(tmp_path, [], lambda _: None)
    assert python_bundle.make_bundle(tmp_path, [], lambda _: None) == first
    assert python_bundle.make_bundle(tmp_path, [Path("/a.so")], lambda _: None) != first
    assert len(made) == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        [first.name, python_bundle.bundle_key([Path("/a.so")])]
    )


def test_one_that_another_process_finished_first_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def assemble(folder: Path, _extensions: object) -> None:
        (folder / "mine").mkdir(parents=True)
        (tmp_path / python_bundle.bundle_key([]) / "theirs").mkdir(parents=True)

    monkeypatch.setattr(python_bundle, "_assemble", assemble)
    found = python_bundle.make_bundle(tmp_path, [], lambda _: None)
    assert [p.name for p in found.iterdir()] == ["theirs"]
    assert list(tmp_path.iterdir()) == [found]


def test_what_is_compiled_stays_in_force_whatever_times_a_layer_has(tmp_path: Path) -> None:
    (tmp_path / "fails.py").write_text("def f():\n    raise ValueError\n")
    python_bundle.compile_tree(tmp_path, "/opt/rover/lib")
    (tmp_path / "fails.py").write_text("another text, which nobody reads\n")
    done = subprocess.run(
        [sys.executable, "-c", "import fails; fails.f()"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stderr.endswith("ValueError\n")
