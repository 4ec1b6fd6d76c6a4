"""A repository that names a program wherever git may look for one.

Nothing is listed by hand: configuration keys come from `git help --config` and the manual where
it is installed, variables, hooks and their like from the strings in git's own program. Each key
has a number, and the number is a program on the search path that leaves a trophy: such a value
is good for a key that wants a program, a number or a truth value, so that git goes on reading.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.repos import git

PLANTED = "planted"
_PLACES = {
    "remote": "origin",
    "branch": "main",
    "includeIf": "gitdir:/",
    "url": "https://x.invalid/",
}
_KEY = re.compile(r"[A-Za-z][A-Za-z0-9-]*(?:\.[^\s]+)?\.(?:[A-Za-z][A-Za-z0-9-]*|\*)")
_MANUAL = Path("/usr/share/man/man1/git-config.1.gz")


def config_keys() -> list[str]:
    """Every configuration key that git documents, with names in place of what may vary."""
    listed = subprocess.run(["git", "help", "--config"], capture_output=True, text=True, check=True)
    words = {line.split(" ")[0] for line in listed.stdout.splitlines()}
    if _MANUAL.exists():
        text = gzip.decompress(_MANUAL.read_bytes()).decode("utf-8", "replace")
        plain = re.sub(r"\\f.|\\&", "", text).replace("\\-", "-")
        words |= set(re.findall(r"^([a-zA-Z]+(?:\.<[a-z-]+>)?\.[a-zA-Z*]+)$", plain, re.MULTILINE))
    return sorted({_named(word) for word in words if _KEY.fullmatch(word)})


def _named(word: str) -> str:
    section = word.split(".", maxsplit=1)[0]
    return re.sub(r"<[^>]+>", _PLACES.get(section, PLANTED), word).replace("*", PLANTED)


def strings() -> set[str]:
    """The strings in git's program."""
    found = shutil.which("git")
    assert found is not None
    data = Path(found).resolve().read_bytes()
    return {word.decode() for word in re.findall(rb"[\x20-\x7e]{4,60}(?=\0)", data)}


def variables() -> list[str]:
    """Every environment variable of git's own, and those of others that it looks at."""
    known = {word for word in strings() if re.fullmatch(r"GIT_[A-Z][A-Z0-9_]+", word)}
    return sorted(
        known | {"EDITOR", "VISUAL", "PAGER", "SSH_ASKPASS", "SHELL_PATH", "XDG_CONFIG_HOME"}
    )


def hook_names() -> list[str]:
    """All that could be a hook's name: more than there are."""
    words = {word for word in strings() if re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+){1,3}", word)}
    return sorted({*words, "update", "pre-commit", "reference-transaction"})


@dataclass(frozen=True)
class MarkerPrograms:
    """Programs that leave trophies; `value` is what a key that wants a program is given."""

    trophies: Path
    programs: Path

    @classmethod
    def at(cls, folder: Path) -> MarkerPrograms:
        made = cls(folder / "trophies", folder / "programs")
        for part in (made.trophies, made.programs):
            part.mkdir(parents=True)
        program = made.programs / "program"
        program.write_text(f'#!/bin/sh\n: > "{made.trophies}/${{0##*/}}"\nexit 0\n')
        program.chmod(0o755)
        return made

    def program(self, name: str) -> Path:
        """A program of that name."""
        path = self.programs / name
        if not path.is_symlink():
            path.symlink_to(self.programs / "program")
        return path

    def hits(self) -> list[str]:
        return sorted(path.name for path in self.trophies.iterdir())

    def forget(self) -> None:
        for path in self.trophies.iterdir():
            path.unlink()


def numbered(keys: Sequence[str], arsenal: MarkerPrograms) -> dict[str, str]:
    """A number for each key, with the program of that name."""
    found = {key: str(number) for number, key in enumerate(keys, 7000)}
    for number in found.values():
        arsenal.program(number)
    return found


def set_all(values: Mapping[str, Sequence[str]]) -> str:
    """The text of a configuration file."""
    lines: list[str] = []
    for key, several in values.items():
        section, _, rest = key.partition(".")
        name, dot, last = rest.rpartition(".")
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        lines.append(f'[{section} "{quoted}"]' if dot else f"[{section}]")
        lines += [f'\t{last} = "{value}"' for value in several]
    return "\n".join(lines) + "\n"


def every_shape(key: str, number: str, arsenal: MarkerPrograms) -> list[str]:
    """A program as different keys take it. The last is no plain word."""
    path = arsenal.program(number)
    return [number, f"!{path}", f"ext::{path} ", f"{path}; :", str(path)]


def plant_files(git_dir: Path, work: Path, arsenal: MarkerPrograms) -> None:
    """Hooks of every name, attributes that name drivers, and what else git reads."""
    hooks = git_dir / "hooks"
    shutil.rmtree(hooks, ignore_errors=True)
    hooks.mkdir()
    for name in hook_names():
        (hooks / name).symlink_to(arsenal.program(f"hook-{name}"))
    kinds = sorted({key.split(".")[0] for key in config_keys() if f".{PLANTED}." in key})
    drivers = " ".join(f"{kind}={PLANTED}" for kind in kinds)
    text = f"* {drivers} ident export-subst\n"
    (work / ".gitattributes").write_text(text)
    (git_dir / "info").mkdir(exist_ok=True)
    (git_dir / "info" / "attributes").write_text(text)
    head = git(work, "rev-parse", "HEAD")
    (git_dir / "info" / "grafts").write_text(f"{head}\n")
    (git_dir / "remotes").mkdir(exist_ok=True)
    (git_dir / "remotes" / PLANTED).write_text(f"URL: ext::{arsenal.program('remotes')} \n")
    (git_dir / "branches").mkdir(exist_ok=True)
    (git_dir / "branches" / PLANTED).write_text(f"ext::{arsenal.program('branches')} \n")


def environment(arsenal: MarkerPrograms) -> dict[str, str]:
    """Variables of git's, each with a program; and `git` itself in the folder one is in."""
    named = {name: str(arsenal.program(f"env-{name}")) for name in variables()}
    named["GIT_CONFIG_COUNT"] = "1"
    named["GIT_CONFIG_KEY_0"] = "core.fsmonitor"
    named["GIT_CONFIG_VALUE_0"] = str(arsenal.program("env-config"))
    named["PATH"] = f".:./bin:{arsenal.programs}:{os.environ['PATH']}"
    return named
