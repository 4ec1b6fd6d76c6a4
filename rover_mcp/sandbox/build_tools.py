"""Adds compilers and other programs that coding agents use to the default image, as a layer.

That needs a mirror of the distribution. If none answers, the image is made without them. The two
images have different tags, so that the one without is never used in place of the other.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from agent_runner.failure_cause import FailureCause
from rover_mcp.domain.errors import EnvironmentFault
from rover_mcp.sandbox.docker_images import Build, DockerImages, ImageUnavailable, Progress
from rover_mcp.sandbox.protocol import Shortcoming

T = TypeVar("T")

PACKAGES = (
    "build-essential", "pkg-config", "git", "ca-certificates", "curl", "patch", "unzip",
    "xz-utils", "jq", "ripgrep", "procps", "python3", "python3-venv", "python3-pip",
)  # fmt: skip
"""Debian's names. build-essential is gcc, g++, make and the C library's headers."""

AGAIN = 600.0
"""Seconds until a part that failed is tried again."""

HINT = (
    "let the engine's builds reach the mirror that the image names in /etc/apt, then run: rover "
    "image build; or name an image that has what you need (base_image in config.yaml)"
)

# With its defaults apt would ask a mirror that does not answer three times, for 30 s each. Only
# what is missing is fetched, so a base that has all of it needs no network.
_STEPS = r"""
USER 0:0
RUN set -eu; missing=; \
    for package in PACKAGES; do \
        dpkg-query -W -f='${db:Status-Status}' $package 2>/dev/null | grep -qx installed \
            || missing="$missing $package"; \
    done; \
    [ -n "$missing" ] || exit 0; \
    echo "rover: adding$missing"; \
    export DEBIAN_FRONTEND=noninteractive; \
    get() { apt-get -q -o Acquire::Retries=0 -o Acquire::http::Timeout=10 \
        -o Acquire::https::Timeout=10 -o APT::Update::Error-Mode=any "$@" 2>&1; }; \
    get update; \
    get install -y --no-install-recommends $missing; \
    rm -rf /var/lib/apt/lists/*
"""


def dockerfile(base: str) -> str:
    """The Dockerfile that adds to `base` the packages that it lacks."""
    return f"FROM {base}\n" + _STEPS.replace("PACKAGES", " ".join(PACKAGES))


def add(images: DockerImages, build: Build, progress: Progress) -> None:
    """Build the layer.

    Raises:
        ImageUnavailable: with apt's own error rather than that of the build step.
    """
    cause = FailureCause()

    def take(line: str) -> None:
        cause.add(line)
        progress(line)

    try:
        images.build(build, take)
    except ImageUnavailable as error:
        if cause.line:
            raise ImageUnavailable(build.names, cause.both) from error
        raise


class OptionalPart:
    """A part of an image that tasks can do without. If it fails, each task gets a warning, and the
    part is tried again after a while rather than at each start."""

    def __init__(self, lacks: str, hint: str = "") -> None:
        self._lacks = lacks
        self._hint = hint
        self._warning = Shortcoming()
        self._until = 0.0
        self._lock = threading.Lock()

    def ask_again(self) -> None:
        """Let the next `obtain` try again, however short a time ago it failed."""
        self._until = 0.0

    def obtain(
        self, make: Callable[[], T], refused: type[EnvironmentFault], progress: Progress
    ) -> T | None:
        """The result of `make`; None, with a warning to `progress`, if it raises `refused`."""
        # Two tasks that start at once must not wait for the same mirror one after the other.
        with self._lock:
            if time.monotonic() >= self._until:
                try:
                    return make()
                except refused as error:
                    self._until = time.monotonic() + AGAIN
                    why = getattr(error, "why", "") or error.message
                    text = f"the image has no {self._lacks}: {why}"
                    self._warning = Shortcoming(f"{text}; {self._hint}" if self._hint else text)
        progress(self._warning)
        return None
