"""What an image is made from decides its tag (N6), and what a build says."""

from __future__ import annotations

import json
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.sandbox import build_tools, docker_images, image, node_bundle, runner_library
from rover_mcp.sandbox.agent_bundle import AgentBundle
from rover_mcp.sandbox.docker_images import clean_line, split_reference
from rover_mcp.sandbox.pinned_agents import npm_arch
from rover_mcp.sandbox.protocol import Shortcoming


def test_the_same_content_has_the_same_tag() -> None:
    assert image.ground_tag("sha256:1") == image.ground_tag("sha256:1")
    assert image.sandbox_tag("g", []) == image.sandbox_tag("g", [])
    assert image.sandbox_tag("g", []).startswith("rover-sandbox:")


def test_any_other_content_has_another_tag(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = (AgentBundle("claude", v, Path(f"/cache/claude-{v}-x64")) for v in "12")
    tags = {
        image.sandbox_tag("g", []),
        image.sandbox_tag("h", []),
        image.sandbox_tag("g", [one]),
        image.sandbox_tag("g", [two]),
    }
    monkeypatch.setattr(runner_library, "runner_identity", lambda: "another runner")
    tags.add(image.sandbox_tag("g", []))
    assert len(tags) == 5
    assert image.ground_tag("sha256:1") != image.ground_tag("sha256:2")


def test_a_ground_with_node_is_another_one_for_each_version() -> None:
    nodes = [None, Path("/cache/node-1-x64"), Path("/cache/node-2-x64")]
    assert len({image.ground_tag("sha256:1", node) for node in nodes}) == 3


def test_an_image_for_which_node_cannot_be_had_lacks_it_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROVER_AGENT_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    said: list[str] = []
    builder = image.ImageBuilder(tmp_path)

    def ask() -> Path | None:
        get = builder._node.obtain
        return get(lambda: node_bundle.obtain_node(said.append), EnvironmentFault, said.append)

    assert ask() is None
    assert ask() is None
    # Told to each task, but not asked for again at each.
    assert len(said) == 2
    assert said[0] is said[1]
    assert isinstance(said[0], Shortcoming)
    assert said[0].startswith("the image has no Node: ")
    # Once it is here it is used again after a while, or when a person asks for it.
    node_bundle.node_folder().mkdir()
    assert ask() is None
    builder._node.ask_again()
    assert ask() == node_bundle.node_folder()


def test_an_image_without_tools_never_goes_for_the_one_with_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known: set[str] = set()
    mirror_answers = False

    class Images:
        def __init__(self, *_: Any) -> None: ...

        def need(self, *_: Any) -> str:
            return "sha256:1"

        def id_of(self, reference: str) -> str | None:
            return f"sha256:{reference}" if reference in known else None

        def config(self, _reference: str) -> dict[str, Any]:
            return {}

        def build(self, build: docker_images.Build, _progress: Any) -> None:
            if build.tag.startswith(image.TOOLS) and not mirror_answers:
                raise docker_images.ImageUnavailable(build.names, "E: no such host")
            known.add(build.tag)

    monkeypatch.setattr(image, "DockerImages", Images)
    monkeypatch.setattr(image.ImageBuilder, "_runner", lambda *_: [])
    monkeypatch.setattr(node_bundle, "obtain_node", lambda _: Path("/cache/node-1-x64"))
    builder = image.ImageBuilder(tmp_path)
    said: list[str] = []

    def build() -> str:
        said.clear()
        return builder.build(None, "", image.ImageRequest(image.DEFAULT_IMAGE), said.append)

    lesser = build()
    told = [line for line in said if isinstance(line, Shortcoming)]
    assert told == [
        f"the image has no build tools (gcc, make, ...): E: no such host; {build_tools.HINT}"
    ]
    mirror_answers = True
    assert build() == lesser
    assert said == told
    builder.ask_again()
    better = build()
    assert better != lesser
    assert not [line for line in said if isinstance(line, Shortcoming)]
    assert build() == better


def test_what_npm_installed_becomes_a_folder_that_can_be_moved(tmp_path: Path) -> None:
    new = tmp_path / "new"
    package = new / "node_modules" / f"node-linux-{npm_arch()}"
    npm = new / "node_modules" / "npm" / "bin"
    (package / "bin").mkdir(parents=True)
    (package / "include").mkdir()
    npm.mkdir(parents=True)
    (package / "LICENSE").write_text("")
    (package / "bin" / "node").write_text('#!/bin/sh\necho "$@"\n')
    (npm / "npm-cli.js").write_text("")
    node_bundle.arrange(new)
    moved = new.rename(tmp_path / "moved")
    assert sorted(p.name for p in moved.iterdir()) == ["LICENSE", "bin", "lib"]
    done = subprocess.run([moved / "bin/npm", "ci"], capture_output=True, text=True, check=True)
    assert done.stdout == f"{moved}/lib/node_modules/npm/bin/npm-cli.js ci\n"


def test_other_agents_make_another_image_in_whatever_order() -> None:
    one, two = (AgentBundle(a, "1", Path(f"/cache/{a}-1-x64")) for a in ("codex", "claude"))
    both = image.sandbox_tag("g", [one, two])
    assert image.sandbox_tag("g", [two, one]) == both
    assert image.sandbox_tag("g", [one]) != both


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
    assert split_reference(reference) == parts


def test_the_library_holds_the_runner_and_all_it_imports(tmp_path: Path) -> None:
    runner_library.fill_runner(tmp_path)
    for name in runner_library.DEPENDENCIES:
        runner_library._copy_distribution(name, tmp_path / "lib")
    for name in ("agent_runner", "pydantic", "pydantic_core", "yaml", "anyio", "idna"):
        assert (tmp_path / "lib" / name / "__init__.py").exists(), name
    assert list(tmp_path.glob("lib/pydantic_core/*.so"))
    # The root file system is read-only: what is not compiled here is compiled at each start.
    assert list(tmp_path.glob("lib/agent_runner/run/__pycache__/attempt.*.pyc"))


@pytest.mark.parametrize(
    ("change", "fits"),
    [
        ({}, True),
        ({0: "pypy"}, False),
        ({2: 5}, False),
        ({3: "musl"}, False),
        ({4: "riscv64"}, False),
        ({5: "python3"}, False),
    ],
)
def test_an_images_python_serves_where_it_is_as_the_daemons_own(
    change: dict[int, object], fits: bool
) -> None:
    said = [*runner_library.own_python(), "/usr/bin/python3"]
    for place, value in change.items():
        said[place] = value
    found = runner_library.own_interpreter(f"warning\n{json.dumps(said)}\n")
    assert found == ("/usr/bin/python3" if fits else None)


@pytest.mark.parametrize("said", ["", "Segmentation fault", "[]", "{}", "3"])
def test_a_python_that_does_not_answer_serves_nobody(said: str) -> None:
    assert runner_library.own_interpreter(said) is None


def test_an_image_that_cannot_be_had_is_named_with_ways_out() -> None:
    fault = docker_images.ImageUnavailable("x:1", "no registry has it")
    assert isinstance(fault, EnvironmentFault)
    assert "x:1" in fault.message
    for way in ("docker pull x:1", "base_image", "engine: bubblewrap"):
        assert way in (fault.hint or "")


def test_the_last_lines_of_a_failed_build_are_told() -> None:
    said: list[str] = []
    lines = [
        {"stream": "Step 1\n"},
        {"stream": " ---> 8da0ca3601e8\n"},
        {"stream": "rover: the base lacks git\n"},
        {"error": "code 1"},
    ]
    with pytest.raises(EnvironmentFault, match="the base lacks git"):
        docker_images.watch(lines, "x:1", said.append)
    assert said == ["Step 1", "rover: the base lacks git"]


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        ("plain\n", "plain"),
        ("\x1b[31mred\x1b[0m \x1b]0;title\x07text\x1b]52;c;ZXZpbA==\x1b\\", "red text"),
        ("  10 %\r  50 %\r 100 %\r\n", "100 %"),
        ("a\tb\x00\x07\x08c\u202ed", "a bcd"),
        ("\x9b31mx", "x"),
        ("x" * 1000, "x" * 300),
    ],
)
def test_a_builds_lines_carry_no_terminal_escapes(printed: str, shown: str) -> None:
    assert clean_line(printed) == shown


def test_two_tasks_at_once_build_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known: set[str] = set()
    built: list[str] = []
    first_builds, go_on = threading.Event(), threading.Event()

    class Images:
        def __init__(self, *_: Any) -> None: ...

        def need(self, *_: Any) -> str:
            return "sha256:1"

        def id_of(self, reference: str) -> str | None:
            return reference if reference in known else None

        def config(self, _reference: str) -> dict[str, Any]:
            return {}

        def build(self, build: docker_images.Build, _progress: Any) -> None:
            built.append(build.tag)
            first_builds.set()
            assert go_on.wait(300)
            known.add(build.tag)

    monkeypatch.setattr(image, "DockerImages", Images)
    monkeypatch.setattr(image.ImageBuilder, "_runner", lambda *_: [])
    builder = image.ImageBuilder(tmp_path)
    tags: list[str] = []
    threads = [
        threading.Thread(
            target=lambda: tags.append(builder.build(None, "", image.ImageRequest("b"), print))
        )
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    assert first_builds.wait(300)
    go_on.set()
    for thread in threads:
        thread.join(300)
    assert len(built) == 2
    assert len(tags) == 3
    assert set(tags) == {built[1]}


def test_a_builds_lines_are_told_one_by_one_however_they_come_in_pieces() -> None:
    said: list[str] = []
    pieces = ["Step 1/2 : RUN x\nE: no ", "mirror\nE: no package\n", "left", " over"]
    with pytest.raises(
        docker_images.ImageUnavailable, match=r"exit 1 \(E: no mirror; then: left over\)"
    ):
        docker_images.watch(
            [*({"stream": piece} for piece in pieces), {"error": "exit 1"}], "x:1", said.append
        )
    assert said == ["Step 1/2 : RUN x", "E: no mirror", "E: no package", "left over"]
