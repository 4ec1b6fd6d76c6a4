"""Base images that say of themselves what would open a container, were it done as they say."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import tarfile

import docker

from tests.support.bare_images import static_rootfs
from tests.support.docker_env import BASE_IMAGE
from tests.support.hangs import HANG_SECONDS

HOSTILE = "rover-test/hostile:1"
VOLUMES = ("/scratch", "/opt/rover", "/usr/local", "/rover/run", "/workspace")
LABELS = {
    "dev.rover.home": "another",
    "dev.rover.task": "another",
    "dev.rover.shape": "another",
    "io.podman.annotations.privileged": "TRUE",
    "io.podman.annotations.seccomp": "unconfined",
    "io.podman.annotations.label": "disable",
}
_HOSTILE = f"""FROM {BASE_IMAGE}
RUN mkdir -m 777 /scratch && touch /scratch/there
LABEL {" ".join(f"{name}={value}" for name, value in LABELS.items())}
USER 12345
VOLUME {json.dumps(VOLUMES)}
ENV PYTHONPATH=/scratch
ENTRYPOINT ["/bin/sh", "-c", "touch /scratch/entered"]
CMD ["true"]
HEALTHCHECK CMD touch /scratch/healthy
ONBUILD RUN touch /tmp/triggered
ONBUILD USER 777
ONBUILD VOLUME /triggered
ONBUILD ENTRYPOINT ["/bin/true"]
STOPSIGNAL SIGKILL
WORKDIR /scratch
"""

ANNOTATED = "localhost/rover-test/annotated:1"
ANNOTATIONS = {
    **{name: value for name, value in LABELS.items() if name.startswith("io.")},
    "io.podman.annotations.init": "TRUE",
    "run.oci.keep_original_groups": "1",
    "org.systemd.property.MemoryMax": "1",
    "com.example.mark": "seen",
}


def build_hostile(address: str) -> None:
    """Make HOSTILE; what is unchanged comes out of the engine's cache."""
    with contextlib.closing(docker.DockerClient(base_url=address, timeout=HANG_SECONDS)) as client:
        client.images.build(fileobj=io.BytesIO(_HOSTILE.encode()), tag=HOSTILE, rm=True)


def load_annotated(address: str) -> None:
    """Load ANNOTATED into a podman: an image whose manifest has annotations."""
    with contextlib.closing(docker.DockerClient(base_url=address, timeout=HANG_SECONDS)) as client:
        answer = client.api.post(
            f"{client.api.base_url}/v4.0.0/libpod/images/load", data=_annotated(),
            headers={"Content-Type": "application/x-tar"},
        )  # fmt: skip
        answer.raise_for_status()


def _annotated() -> bytes:
    """An OCI image layout (image-spec), as a tar archive."""
    blobs: dict[str, bytes] = {}

    def add(kind: str, content: bytes) -> dict[str, object]:
        digest = hashlib.sha256(content).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = content
        media = f"application/vnd.oci.image.{kind}"
        return {"mediaType": media, "digest": f"sha256:{digest}", "size": len(content)}

    layer = add("layer.v1.tar", static_rootfs().read_bytes())
    config = {
        "architecture": "amd64", "os": "linux", "config": {"Labels": ANNOTATIONS},
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
        "history": [{"created_by": "rover's tests"}],
    }  # fmt: skip
    manifest = {
        "schemaVersion": 2, "annotations": ANNOTATIONS, "layers": [layer],
        "config": add("config.v1+json", json.dumps(config).encode()),
    }  # fmt: skip
    named = {"org.opencontainers.image.ref.name": ANNOTATED, **ANNOTATIONS}
    entry = {**add("manifest.v1+json", json.dumps(manifest).encode()), "annotations": named}
    blobs["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
    blobs["oci-layout"] = b'{"imageLayoutVersion":"1.0.0"}'
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in blobs.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return packed.getvalue()
