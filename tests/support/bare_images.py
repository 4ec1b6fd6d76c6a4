"""Base images that lack what most have, made from what is on the machine: no registry is asked."""

from __future__ import annotations

import contextlib
import fcntl
import io
import subprocess
import tarfile
import tempfile
from pathlib import Path

import docker

from tests.support.docker_env import BASE_IMAGE, cache_folder
from tests.support.hangs import HANG_SECONDS

NO_PYTHON = "rover-test/no-python:1"
"""Debian with git and bash, without Python, /etc/passwd and /etc/group."""
STATIC = "rover-test/static:1"
"""busybox and bash, both static: no C library at all, as little as any musl image has of glibc."""
_NO_PYTHON = f"""FROM {BASE_IMAGE}
RUN rm -rf /usr/bin/python3* /usr/lib/python3* /usr/lib/x86_64-linux-gnu/libpython* /etc/profile.d
RUN rm -f /etc/passwd /etc/group
"""
_PACKAGES = ("busybox-static", "bash-static")


def ensure_image(address: str, reference: str) -> str:
    """`reference`, which is one of those above, made where the engine does not have it."""
    with (
        contextlib.closing(docker.DockerClient(base_url=address, timeout=HANG_SECONDS)) as client,
        (cache_folder() / "bare-images.lock").open("w") as lock,
    ):
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            client.images.get(reference)
        except docker.errors.ImageNotFound:
            if reference == NO_PYTHON:
                client.images.build(fileobj=io.BytesIO(_NO_PYTHON.encode()), tag=reference, rm=True)
            else:
                name, _, tag = reference.partition(":")
                client.api.import_image_from_file(str(static_rootfs()), repository=name, tag=tag)
    return reference


def static_rootfs() -> Path:
    """A root file system of static programs alone, packed; made once."""
    packed = cache_folder() / "static-rootfs.tar"
    if packed.exists():
        return packed
    with tempfile.TemporaryDirectory(dir=cache_folder()) as scratch:
        folder = Path(scratch)
        command = ["apt-get", "download", "-qq", *_PACKAGES]
        subprocess.run(command, cwd=folder, check=True, timeout=HANG_SECONDS, capture_output=True)
        root = folder / "root"
        for package in folder.glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", package, root], check=True, timeout=HANG_SECONDS)
        (root / "bin" / "bash").symlink_to("bash-static")
        applets = subprocess.run(
            [root / "bin" / "busybox", "--list"], check=True, capture_output=True, text=True
        ).stdout.split()
        for applet in applets:
            with contextlib.suppress(FileExistsError):
                (root / "bin" / applet).symlink_to("busybox")
        git = root / "bin" / "git"
        git.write_text("#!/bin/sh\necho 'this git does nothing' >&2\nexit 1\n")
        git.chmod(0o755)
        new = packed.with_suffix(".new")
        with tarfile.open(new, "w") as archive:
            archive.add(root, arcname=".")
        new.replace(packed)
    return packed
