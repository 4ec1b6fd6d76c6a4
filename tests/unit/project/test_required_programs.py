"""What a repository's files ask for, and what of it is missing."""

from __future__ import annotations

import pytest

from rover_mcp.project.required_programs import ProgramNeed, lacking, wants


def missing(texts: dict[str, str], **programs: str) -> list[str]:
    """With these programs, each with what it says of its version."""
    return lacking(wants(texts), lambda n: n if n in programs else None, programs.get)


def test_every_kind_of_file_says_what_it_asks_for() -> None:
    texts = {
        "package.json": '{"engines": {"node": ">=22"}, "packageManager": "pnpm@9.1.0+sha512.x"}',
        "pyproject.toml": '[project]\nrequires-python = ">=3.11,<4"\n',
        ".tool-versions": "# ours\nnodejs 22.1.0\ngolang 1.22.1\nreboot 1.0\n",
        ".python-version": "3.12\n",
        "rust-toolchain.toml": "",
        "Makefile": "",
        "uv.lock": "",
    }
    assert {(w.program, w.version, w.file) for w in wants(texts)} == {
        ("node", ">=22", "package.json"),
        ("pnpm", "", "package.json"),
        ("python3", "3.12", ".python-version"),
        ("go", "1.22.1", ".tool-versions"),
        ("cargo", "", "rust-toolchain.toml"),
        ("make", "", "Makefile"),
        ("uv", "", "uv.lock"),
    }
    assert wants({}) == []


@pytest.mark.parametrize(
    ("wanted", "version", "fits"),
    [
        ("20", "v20.11.1", True),
        ("v20.11.1", "v20.11.1", True),
        ("22", "v20.11.1", False),
        (">=18", "v20.11.1", True),
        (">=18 <20", "v20.11.1", False),
        ("^18.17 || >= 20.3.0", "v20.11.1", True),
        ("^18 || ^22", "v20.11.1", False),
        ("20.x", "v20.11.1", True),
        ("~20.10.0", "v20.11.1", False),
        (">20", "v20.11.1", False),
        ("<=20", "v20.11.1", True),
        ("!=20.11", "v20.11.1", False),
        # What is not understood is not judged.
        ("lts/*", "v20.11.1", True),
        ("16 - 18", "v20.11.1", True),
        ("*", "v20.11.1", True),
    ],
)
def test_versions_are_judged_as_far_as_they_are_understood(
    wanted: str, version: str, fits: bool
) -> None:
    told = lacking([ProgramNeed("node", wanted, "package.json")], lambda n: n, lambda _: version)
    assert (told == []) == fits, told


def test_what_is_missing_is_named_with_its_file() -> None:
    texts = {"package.json": '{"engines": {"node": ">=22"}}', "go.mod": "", "uv.lock": ""}
    assert missing(texts, node="v20.1.0", uv="uv 0.5") == [
        "package.json asks for node >=22, and node is 20.1.0",
        "go.mod asks for go",
    ]


def test_no_repository_has_a_program_of_its_choice_run() -> None:
    texts = {
        ".tool-versions": "rm 1\nmake 1\nnodejs 1\n",
        "package.json": '{"packageManager": "reboot@1"}',
        "pyproject.toml": "not [ toml",
    }
    asked: list[str] = []

    def version_of(path: str) -> str:
        asked.append(path)
        return "1.0"

    assert lacking(wants(texts), lambda name: name, version_of) == []
    assert set(asked) <= {"node", "python3"}
