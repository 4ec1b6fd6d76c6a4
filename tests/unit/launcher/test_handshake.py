"""What a client hands to the daemon, and where it finds it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rover_mcp.launcher.handshake import (
    allowed_environment,
    data_folder,
    data_folder_name,
    socket_name,
    socket_path,
)

ALLOWED = [
    "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL", "CLAUDE_CODE_OAUTH_TOKEN",
    "OPENAI_API_KEY", "GEMINI_API_KEY", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "PATH",
    "ROVER_TOOLS", "HOME", "XDG_CONFIG_HOME",
    # In whose name a merge is committed.
    "GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL",
    # A push over SSH signs in with the keys of the user's agent.
    "SSH_AUTH_SOCK",
    # What reads an issue needs to sign in as the user, on that user's forge.
    "GH_TOKEN", "GITHUB_TOKEN", "GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN", "GH_HOST",
    "GITLAB_TOKEN", "GITLAB_ACCESS_TOKEN", "OAUTH_TOKEN", "GITLAB_HOST",
]  # fmt: skip
REFUSED = [
    "AWS_SECRET_ACCESS_KEY", "DATABASE_URL", "LD_PRELOAD", "PYTHONPATH", "USER", "SHELL",
    "GIT_SSH_COMMAND", "XANTHROPIC_API_KEY", "ANTHROPIC_API_KEY_2", "ANTHROPIC_API_KEY\n", "path",
    "ANTHROPIC_", "GITLAB_", "GH_DEBUG", "SSH_AUTH_SOCK",
    "LANG", "LC_ALL", "TZ", "",
]  # fmt: skip


def test_only_the_allow_listed_part_of_the_environment_goes_along() -> None:
    environ = dict.fromkeys((*ALLOWED, *REFUSED), "value")
    assert sorted(allowed_environment(environ)) == sorted(ALLOWED)
    assert set(allowed_environment(environ).values()) == {"value"}


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"ROVER_HOME": "/data/r", "XDG_DATA_HOME": "/x"}, "/data/r"),
        ({"XDG_DATA_HOME": "/x"}, "/x/rover"),
        ({"ROVER_HOME": "", "XDG_DATA_HOME": ""}, "~/.local/share/rover"),
        ({}, "~/.local/share/rover"),
        ({"ROVER_HOME": "~/r"}, "~/r"),
        ({"ROVER_HOME": "relative"}, "./relative"),
    ],
)
def test_the_data_folder_is_where_the_environment_says(
    environ: dict[str, str], folder: str
) -> None:
    expected = str(Path.cwd() / Path(folder).expanduser())
    assert data_folder_name(environ) == expected
    assert data_folder(environ) == Path(expected)


@pytest.mark.parametrize("length", [5, 80, 88, 89, 120, 400])
def test_a_sockets_path_always_fits(length: int) -> None:
    """107 bytes on Linux, counted as bytes."""
    home = "/" + "ü" * (length // 2)
    name = socket_name(home)
    assert len(os.fsencode(name)) <= 107
    assert socket_path(Path(home)) == Path(name)
    assert name.endswith(".sock")


def test_two_long_data_folders_have_two_sockets() -> None:
    first, second = socket_name("/" + "a" * 200), socket_name("/" + "a" * 199 + "b")
    assert first != second
    assert first.startswith(f"/tmp/rover-{os.getuid()}/")


def test_it_costs_the_launcher_no_heavy_import() -> None:
    """The launcher starts with every assistant."""
    code = "import sys, rover_mcp.launcher.handshake as p; p.socket_name('/x'); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
    )
    loaded = set(done.stdout.split())
    assert not loaded & {"typing", "pathlib", "json", "asyncio", "pydantic", "yaml"}
