"""`rover checkout` and `rover open`: which editor, and how it is given the folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from rover_mcp.cli import checkout_command
from rover_mcp.cli.checkout_command import editor_of, start
from rover_mcp.cli.client import ClientError


@pytest.mark.parametrize(
    ("environ", "editor"),
    [
        ({"VISUAL": "code --wait", "EDITOR": "vi"}, ["code", "--wait"]),
        ({"VISUAL": "", "EDITOR": "emacs -nw"}, ["emacs", "-nw"]),
        ({"EDITOR": "'/opt/my editor'"}, ["/opt/my editor"]),
    ],
)
def test_the_editor_is_the_one_that_the_user_has_set(
    environ: dict[str, str], editor: list[str]
) -> None:
    assert editor_of(environ) == editor


def test_without_an_editor_the_error_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkout_command, "FALLBACKS", ())
    with pytest.raises(ClientError, match="no editor") as refused:
        editor_of({})
    assert "VISUAL" in (refused.value.hint or "")


@pytest.mark.parametrize(("name", "given"), [("code", True), ("my-editor", False)])
def test_an_editor_of_folders_is_given_it_and_any_other_starts_in_it(
    tmp_path: Path, name: str, given: bool
) -> None:
    program, folder = tmp_path / name, tmp_path / "look"
    folder.mkdir()
    program.write_text(f'#!/bin/sh\necho "$PWD|$*" > {tmp_path / "ran"}\nexit 3\n')
    program.chmod(0o755)
    assert start([str(program), "--wait"], folder) == 3
    shown = f"{folder}|--wait {folder}" if given else f"{folder}|--wait"
    assert (tmp_path / "ran").read_text().strip() == shown


def test_an_editor_that_is_not_there_is_an_error_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ClientError, match="cannot be started"):
        start(["/nowhere/editor"], tmp_path)
