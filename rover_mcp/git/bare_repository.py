"""A bare repository of ours, written by hand: it holds what is named here and no template's
files. What can be written anew is no loss when it is damaged."""

from __future__ import annotations

from pathlib import Path

_HEAD = "ref: refs/heads/main\n"
_CONFIG = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n"


def furnish(folder: Path, alternates: str = "", shallow: str = "") -> None:
    """Make `folder` a bare repository, or one again. `alternates` is the text that names where
    it borrows objects, `shallow` the file from which it knows where their history is cut off.

    Raises:
        OSError: it cannot be written.
    """
    for part in ("objects/info", "objects/pack", "refs"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for name, text in _texts(alternates).items():
        if _read(folder / name) != text:
            new = folder / f"{name}.new"
            new.write_text(text, "utf-8")
            new.replace(folder / name)
    if shallow and not (folder / "shallow").is_symlink():
        (folder / "shallow").unlink(missing_ok=True)
        (folder / "shallow").symlink_to(shallow)


def is_furnished(folder: Path, alternates: str = "", shallow: str = "") -> bool:
    """Whether `furnish` has nothing to do."""
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
