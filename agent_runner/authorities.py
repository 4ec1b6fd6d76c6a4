"""Certificate authorities that the user's machine trusts, for what runs in the sandbox."""

from __future__ import annotations

from pathlib import Path

FILE_NAME = ".rover-authorities.pem"
"""In the agent's HOME, where only the wrapped command sees that; else in the folder of the spec."""

_VARIABLES = (
    "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT",
    "GIT_SSL_CAINFO", "CARGO_HTTP_CAINFO",
)  # fmt: skip


def trust_environment(folder: Path) -> dict[str, str]:
    """The variables by which curl, git, pip, npm and others find them in `folder`."""
    return dict.fromkeys(_VARIABLES, str(folder / FILE_NAME))
