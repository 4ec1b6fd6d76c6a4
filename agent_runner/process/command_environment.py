"""The environment variables of the commands in a sandbox, built from nothing."""

from __future__ import annotations

from agent_runner.authorities import FILE_NAME, trust_environment
from agent_runner.spec import RunSpec, WrapCommand

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def base_environment(spec: RunSpec) -> dict[str, str]:
    """The environment of every command, with nothing of the runner's own environment."""
    return {
        "PATH": PATH,
        "HOME": str(spec.paths.home),
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "NO_COLOR": "1",
        "TMPDIR": "/tmp",  # noqa: S108 - the sandbox's own, private to it
        "USER": "agent",
        **_trust(spec),
        **spec.environment,
    }


def _trust(spec: RunSpec) -> dict[str, str]:
    if not spec.authorities:
        return {}
    if isinstance(spec.isolation, WrapCommand):
        return trust_environment(spec.paths.home)
    # The HOME may be a volume that the daemon does not write.
    places = (spec.paths.home, spec.paths.spec)
    folder = next((place for place in places if (place / FILE_NAME).is_file()), None)
    return trust_environment(folder) if folder else {}


def proxy_environment(spec: RunSpec) -> dict[str, str]:
    """The variables by which curl, git, pip, npm and others find the proxy, if the task's policy
    offers one. In both spellings: curl reads only http_proxy, others only HTTP_PROXY."""
    if not spec.gateway.proxy:
        return {}
    proxy = f"http://rover:{spec.gateway.token}@127.0.0.1:{spec.gateway.port}"
    variables = {"HTTPS_PROXY": proxy, "HTTP_PROXY": proxy, "NO_PROXY": "127.0.0.1,localhost"}
    return variables | {name.lower(): value for name, value in variables.items()}
