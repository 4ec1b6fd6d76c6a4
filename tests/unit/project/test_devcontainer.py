"""devcontainer.json: what is honoured, and that nothing else is applied or silently dropped."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rover_mcp.config.devcontainer import PLACES, parse_devcontainer
from rover_mcp.domain.errors import UserFixable

PLACE = PLACES[0]


def parse(content: dict[str, Any], place: str = PLACE):
    return parse_devcontainer(json.dumps(content).encode(), place)


def test_comments_and_trailing_commas_are_read_and_strings_stay() -> None:
    text = r"""// first
    {
      /* an image, */ "image": "debian:12", // "image": "no"
      "postCreateCommand": "echo \"// no comment\" '/* nor this */' ,]",
    }"""
    found = parse_devcontainer(text.encode(), PLACE)
    assert found.image == "debian:12"
    assert found.commands == ("echo \"// no comment\" '/* nor this */' ,]",)


def test_commands_keep_their_order_and_arguments_their_borders() -> None:
    found = parse(
        {
            "postCreateCommand": {"b": "make", "a": ["printf", "%s", "a b; c"]},
            "onCreateCommand": "first",
            "updateContentCommand": "",
        }
    )
    assert found.commands == ("first", "make", "printf %s 'a b; c'")


def test_what_would_open_the_sandbox_is_named_and_not_applied() -> None:
    found = parse(
        {
            "image": "x",
            "features": {"ghcr.io/x": {}},
            "mounts": ["source=/,target=/host,type=bind"],
            "runArgs": ["--privileged"],
            "privileged": True,
            "initializeCommand": "rm -rf ~",
            "dockerComposeFile": "compose.yml",
            "capAdd": ["SYS_ADMIN"],
            "customizations": {"vscode": {}},
        }
    )
    assert found.ignored == (
        "capAdd", "dockerComposeFile", "features", "initializeCommand", "mounts", "privileged",
        "runArgs",
    )  # fmt: skip
    assert found.commands == ()


def test_variables_are_literal_and_none_of_ours() -> None:
    found = parse(
        {
            "containerEnv": {"MODE": "test", "BOTH": "1", "ANTHROPIC_BASE_URL": "http://evil"},
            "remoteEnv": {"BOTH": "2", "PATH": "${containerEnv:PATH}:/x", "N": 1},
        }
    )
    assert found.environment == {"MODE": "test", "BOTH": "2"}
    assert found.ignored == ("containerEnv.ANTHROPIC_BASE_URL", "remoteEnv.N", "remoteEnv.PATH")


def test_a_dockerfile_is_beside_its_file_and_its_context_may_be_the_root() -> None:
    content = {"build": {"dockerfile": "Dockerfile", "context": "..", "args": {"A": 1}, "x": 1}}
    build = parse(content).build
    assert build is not None
    assert (build.dockerfile, build.context) == (".devcontainer/Dockerfile", "")
    assert build.args == {"A": "1"}
    assert parse(content).ignored == ("build.x",)
    old = parse({"dockerFile": "docker/Dev"}, PLACES[1]).build
    assert old is not None
    assert (old.dockerfile, old.context) == ("docker/Dev", "")


@pytest.mark.parametrize(
    "build",
    [
        {"dockerfile": "../../etc/passwd"},
        {"dockerfile": "/etc/passwd"},
        {"dockerfile": "Dockerfile", "context": "../.."},
        {"dockerfile": "Dockerfile", "context": "a/../../../b"},
        {"dockerfile": "a\\b"},
        {"dockerfile": ["Dockerfile"]},
        {"dockerfile": "Dockerfile", "args": []},
        {"dockerfile": "Dockerfile", "target": 3},
    ],
)
def test_paths_outside_the_repository_are_refused(build: dict[str, Any]) -> None:
    with pytest.raises(UserFixable) as caught:
        parse({"build": build})
    assert caught.value.code == "invalid_devcontainer"
    # A person can leave the file out where correcting it is not theirs to do.
    assert "rover create --devcontainer off" in (caught.value.hint or "")


@pytest.mark.parametrize(
    "text",
    [
        b"", b"[]", b"{", b"\xff", b'{"image": 3}', b'{"image": "-v"}', b'{"image": "a b"}',
        b'{"postCreateCommand": 3}', b"[" * 100_000,
    ],
)  # fmt: skip
def test_what_is_no_devcontainer_is_refused_by_name(text: bytes) -> None:
    with pytest.raises(UserFixable, match=r"\.devcontainer/devcontainer\.json"):
        parse_devcontainer(text, PLACE)


def test_a_hostile_file_costs_no_time() -> None:
    for text in (b'"' * 100_000, b"/*" * 100_000, b"{" + b" ," * 100_000, b'"\\' * 100_000):
        with pytest.raises(UserFixable):
            parse_devcontainer(text, PLACE)
