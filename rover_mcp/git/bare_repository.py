"""Rover's own bare repositories, written without `git init`, which would copy the hooks and
settings of the user's template. Every file written here can be written again when it is damaged."""

from __future__ import annotations

from pathlib import Path

from agent_runner.atomic_write import replace_file

_HEAD = "ref: refs/heads/main\n"
_CONFIG = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n"


def init_bare(folder: Path, alternates: str = "", shallow: str = "") -> None:
    """Make `folder` a bare repository, or complete one. `alternates` is the text that names where
    it borrows objects, `shallow` the target of its link to the file that says where their history
    is cut off.

    Raises:
        OSError: the folder cannot be written.
    """
    for part in ("objects/info", "objects/pack", "refs"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for name, text in _texts(alternates).items():
        if _read(folder / name) != text:
            replace_file(folder / name, text)
    if shallow and not (folder / "shallow").is_symlink():
        # A link, because the lender's file changes with each base, and git would take a borrowed
        # commit without its parents for damage.
        (folder / "shallow").unlink(missing_ok=True)
        (folder / "shallow").symlink_to(shallow)


def is_initialised(folder: Path, alternates: str = "", shallow: str = "") -> bool:
    """Whether `init_bare` would change nothing."""
    texts = _texts(alternates)
    if shallow and not (folder / "shallow").is_symlink():
        return False
    folders = all((folder / part).is_dir() for part in ("objects/pack", "refs"))
    return folders and all(_read(folder / name) == text for name, text in texts.items())


def _texts(alternates: str) -> dict[str, str]:
    texts = {"HEAD": _HEAD, "config": _CONFIG}
    return texts | {"objects/info/alternates": alternates} if alternates else texts


def _read(path: Path) -> str | None:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return None
