"""Connects to an engine through the docker SDK, which ships no types, and maps its errors."""

from __future__ import annotations

import os
import socket
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
import docker.errors
import requests.exceptions
import urllib3.exceptions

from agent_runner.no_space import says_no_space
from rover_mcp.domain.errors import EnvironmentFault

CALL_TIMEOUT = 120
CHECK_TIMEOUT = 5
# Any: the SDK is untyped, and only docker.py, image.py and this module touch it.
_sdk: Any = docker
types: Any = _sdk.types
APIError = docker.errors.APIError
NotFound = docker.errors.NotFound
# The SDK maps only what its first answer says. In the middle of a stream the errors of requests,
# urllib3 and the socket come through as they are.
_UNREACHABLE = (
    docker.errors.DockerException,
    requests.exceptions.RequestException,
    urllib3.exceptions.HTTPError,
    OSError,
)
_SYSTEM_SOCKET = Path("/var/run/docker.sock")


class EngineAddress(str):
    """An engine's address, with the name of its product for messages."""

    __slots__ = ("product",)

    def __new__(cls, address: str, product: str) -> EngineAddress:
        endpoint = super().__new__(cls, address)
        endpoint.product = product
        return endpoint

    product: str


class NoSuchObject(Exception):
    """The engine answered that it has no such container, image or volume."""


def engine_address() -> str:
    """Where the engine is: DOCKER_HOST, else the system's socket, else a rootless one's."""
    if host := os.environ.get("DOCKER_HOST"):
        return host
    rootless = Path(os.environ.get("XDG_RUNTIME_DIR", "/nonexistent"), "docker.sock")
    chosen = rootless if rootless.exists() and not _SYSTEM_SOCKET.exists() else _SYSTEM_SOCKET
    return f"unix://{chosen}"


def connect(address: str, timeout: float = CALL_TIMEOUT) -> Any:
    """Connect a client that has agreed on the API version. To be called within `errors`."""
    # Tried first, because the SDK leaks the descriptor of a socket that could not be connected;
    # `check` runs every few seconds, and would use up the daemon's descriptors.
    _try(address, timeout)
    return _sdk.DockerClient(base_url=address, timeout=timeout, version="auto")


def answers(address: str) -> bool:
    """Whether something accepts connections there."""
    try:
        _try(address, CHECK_TIMEOUT)
    except OSError:
        return False
    return True


def _try(address: str, timeout: float) -> None:
    if address.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as tried:
            tried.settimeout(timeout)
            tried.connect(address.removeprefix("unix://"))


@contextmanager
def answers_of(client: Any, answers: list[Any]) -> Generator[None]:
    """Collect the client's answers as they begin, and close them at the end."""
    # Closing a client does not close an answer that is still streaming, and its socket would stay.

    def keep(answer: Any, *_: Any, **__: Any) -> None:
        answers.append(answer)

    client.api.hooks["response"].append(keep)
    try:
        yield
    finally:
        for answer in answers:
            answer.close()


@contextmanager
def errors(what: str, address: str) -> Generator[None]:
    """Map the SDK's errors, in one place.

    Raises:
        NoSuchObject: the engine says 404.
        EnvironmentFault: "engine_unreachable" where it did not answer, "disk_full",
            "not_running", else "engine_refused".
    """
    try:
        yield
    except docker.errors.NotFound as error:
        raise NoSuchObject(str(error)) from error
    except docker.errors.APIError as error:
        raise _refused(what, product(address), error) from error
    except _UNREACHABLE as error:
        raise unreachable(address, error) from error


def product(address: str) -> str:
    """The name of the product whose engine is at this address."""
    return address.product if isinstance(address, EngineAddress) else "Docker"


def unreachable(address: str, error: BaseException) -> EnvironmentFault:
    """The error for an engine that does not answer, with what to do."""
    # By its text, because requests and urllib3 wrap the socket's error several times.
    text, whose = str(error), product(address)
    variable = "DOCKER_HOST" if whose == "Docker" else "CONTAINER_HOST"
    if "Permission denied" in text or "PermissionError" in text:
        why, hint = "permission denied", "add yourself to the group docker, then log in again"
        if whose != "Docker":
            hint = "use your own user's: unset CONTAINER_HOST"
    elif "No such file" in text or "FileNotFoundError" in text:
        why, hint = "there is no such socket", f"install or start {whose}, or set {variable}"
    else:
        why, hint = "it does not answer", f"see that it runs: {whose.lower()} info"
    return EnvironmentFault(
        f"the {whose} engine at {address} cannot be reached: {why}",
        hint=hint,
        code="engine_unreachable",
    )


def _refused(what: str, whose: str, error: Any) -> EnvironmentFault:
    explanation = str(error.explanation or error)[:300]
    if says_no_space(explanation):
        return EnvironmentFault(
            f"{whose}'s disk is full: {what}",
            hint=f"run: {whose.lower()} system prune",
            code="disk_full",
        )
    if error.status_code == 409 and "is not running" in explanation:
        return EnvironmentFault(f"{what}: the sandbox does not run", code="not_running")
    return EnvironmentFault(f"{whose} refused: {what}: {explanation}", code="engine_refused")
