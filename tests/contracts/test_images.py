"""Any image of a user's: the runner is brought to those that have no Python that fits."""

from __future__ import annotations

import contextlib
import hashlib
import json
import secrets
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest

from rover_mcp.sandbox import docker_images, image, runner_library
from rover_mcp.sandbox.docker import DockerEngine
from rover_mcp.sandbox.protocol import Shortcoming
from tests.contracts.engine_rigs import RUNNER, DockerRig, new_task
from tests.support.bare_images import NO_PYTHON, STATIC, ensure_image
from tests.support.docker_env import BASE_IMAGE

pytestmark = pytest.mark.docker

_LOOK = (
    "import json,os,sys,anyio,pydantic,yaml,agent_runner.run.attempt;"
    "print(json.dumps([sys.prefix,sys.version_info[:2],pydantic.__file__]))"
)


@pytest.mark.parametrize("reference", [NO_PYTHON, STATIC])
def test_the_runner_starts_in_an_image_without_python(
    docker_rig: DockerRig, reference: str
) -> None:
    """Debian without Python and without /etc/passwd; and one that has no C library at all, in
    which nothing runs that was not linked statically."""
    ensure_image(docker_rig.address, reference)
    argv = [runner_library.PYTHON, *RUNNER]
    engine = DockerEngine(
        docker_rig.root, address=docker_rig.address, base_image=reference, runner_argv=argv
    )
    spec = docker_rig.spec(new_task())
    engine.prepare(spec, lambda _: None)
    engine.ensure(spec)
    assert docker_rig.started(spec) == 1

    looked = engine.exec(spec.name, ["sh", "-c", "id -u; command -v python3; echo $PATH"])
    user, path = looked.stdout.decode().split()
    assert user == "10001"
    assert "/opt/rover" not in path
    inside = docker_rig.docker("exec", spec.name, runner_library.PYTHON, "-c", _LOOK)
    prefix, version, library = json.loads(inside)
    assert prefix == "/opt/rover/python"
    assert version == runner_library.own_python()[1:3]
    assert library.startswith(runner_library.LIBRARY)

    docker_rig.finish(spec, 0)
    assert engine.follow(spec.name).code == 0


LACKING = """FROM {base}
RUN dpkg --purge --force-depends jq
RUN printf '%s\\n' '{source}' >/etc/apt/sources.list && rm -rf /etc/apt/sources.list.d
COPY repository /repository
"""
_PACKAGE = (
    "Package: jq\nVersion: 99\nArchitecture: all\nMaintainer: nobody <nobody@localhost>\n"
    "Description: of this test\n"
)


def base_without_jq(address: str, folder: Path, source: str) -> str:
    """The default base without one of its tools; apt has `source` for it, in the image itself."""
    content = folder / "content"
    (content / "DEBIAN").mkdir(parents=True)
    (content / "DEBIAN" / "control").write_text(_PACKAGE)
    (content / "usr" / "bin").mkdir(parents=True)
    (content / "usr" / "bin" / "jq").write_text("#!/bin/sh\necho of this test\n")
    (content / "usr" / "bin" / "jq").chmod(0o755)
    repository = folder / "context" / "repository"
    repository.mkdir(parents=True)
    (folder / "context" / "Dockerfile").write_text(LACKING.format(base=BASE_IMAGE, source=source))
    package = repository / "jq.deb"
    subprocess.run(["dpkg-deb", "-b", content, package], check=True, capture_output=True)
    data = package.read_bytes()
    facts = f"Filename: ./jq.deb\nSize: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\n"
    (repository / "Packages").write_text(_PACKAGE + facts)
    tag = f"rover-test/lacks-jq:{secrets.token_hex(6)}"
    with contextlib.closing(docker.DockerClient(base_url=address, timeout=600)) as client:
        client.images.build(path=str(folder / "context"), tag=tag, rm=True)
    return tag


@pytest.fixture
def default_base(
    docker_rig: DockerRig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], str]]:
    """Makes a base that lacks a tool, and has it taken for the default one."""
    made: list[str] = []

    def make(source: str) -> str:
        made.append(base_without_jq(docker_rig.address, tmp_path / "base", source))
        monkeypatch.setattr(image, "DEFAULT_IMAGE", made[0])
        return made[0]

    yield make
    with contextlib.closing(
        docker.DockerClient(base_url=docker_rig.address, timeout=600)
    ) as client:
        ours = client.images.list(filters={"label": f"{docker_images.BASE_LABEL}={made[0]}"})
        for tag in [*(tag for i in ours for tag in i.tags), made[0]]:
            client.images.remove(tag, force=True)


def test_the_default_image_gets_the_build_tools_that_its_base_lacks(
    docker_rig: DockerRig, default_base: Callable[[str], str]
) -> None:
    """By apt itself, from a repository that is a folder of the base."""
    base = default_base("deb [trusted=yes] file:/repository ./")
    said: list[str] = []
    engine = DockerEngine(docker_rig.root, address=docker_rig.address, base_image=base)
    spec = docker_rig.spec(new_task())
    engine.prepare(spec, said.append)
    assert "rover: adding jq" in said
    assert not [line for line in said if isinstance(line, Shortcoming)]
    tag = engine.image_for(spec)
    look = "jq; cc --version | head -1; make --version | head -1; python3 -m venv --help >&2"
    seen = docker_rig.docker("run", "--rm", "--network=none", tag, "sh", "-c", look).splitlines()
    assert seen[0] == "of this test"
    assert "cc" in seen[1]
    assert "Make" in seen[2]
    # It is in the cache: nothing is fetched for the next task.
    said.clear()
    engine.prepare(docker_rig.spec(new_task()), said.append)
    assert said == []


def test_without_a_mirror_the_default_image_lacks_the_tools_and_says_so(
    docker_rig: DockerRig, default_base: Callable[[str], str]
) -> None:
    base = default_base("deb [trusted=yes] http://127.0.0.1:9/ ./")
    said: list[str] = []
    engine = DockerEngine(docker_rig.root, address=docker_rig.address, base_image=base)
    spec = docker_rig.spec(new_task())
    engine.prepare(spec, said.append)
    told = {line for line in said if isinstance(line, Shortcoming)}
    assert len(told) == 1
    (warning,) = told
    assert "the image has no build tools (gcc, make, ...): " in warning
    assert "127.0.0.1" in warning
    assert "rover image build" in warning
    # Not asked again for each task, but each is told.
    said.clear()
    engine.prepare(spec, said.append)
    assert said == [warning]
    # And nothing is in the cache that would go for an image with them.
    with contextlib.closing(
        docker.DockerClient(base_url=docker_rig.address, timeout=600)
    ) as client:
        ours = client.images.list(filters={"label": f"{docker_images.BASE_LABEL}={base}"})
    assert {i.labels[docker_images.KIND_LABEL] for i in ours} == {"ground", "sandbox"}
