"""Any image of a user's: the runner is brought to those that have no Python that fits."""

from __future__ import annotations

import json

import pytest

from rover_mcp.sandbox import runner_library
from rover_mcp.sandbox.docker import DockerEngine
from tests.contracts.engine_rigs import RUNNER, DockerRig, new_task
from tests.support.bare_images import NO_PYTHON, STATIC, ensure_image

pytestmark = pytest.mark.docker

_LOOK = (
    "import json,os,sys,anyio,pydantic,yaml,agent_runner.run;"
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
