"""Runs npm on this host, without install scripts, and explains its failures to a person."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rover_mcp.config import client_programs
from rover_mcp.config.certificate_authorities import for_node

_ERROR = re.compile(r"npm (?:error|ERR!) ?(.*)")
_CODE = re.compile(r"code (E?[A-Z_0-9]+)")
_NOISE = ("code ", "errno ", "syscall ", "A complete log", "path ", "type ", "dest ")
_REGISTRY = (
    "see that npm's registry can be reached; behind a proxy set HTTPS_PROXY, and with a registry "
    "of your own: npm config set registry URL"
)
_CERTIFICATE = (
    "npm does not trust the registry's certificate. Where your organisation reads TLS traffic, set "
    "NODE_EXTRA_CA_CERTS to the file with its certificate (PEM), and start again"
)
_HINTS = {
    "SELF_SIGNED_CERT_IN_CHAIN": _CERTIFICATE,
    "DEPTH_ZERO_SELF_SIGNED_CERT": _CERTIFICATE,
    "UNABLE_TO_GET_ISSUER_CERT": _CERTIFICATE,
    "UNABLE_TO_GET_ISSUER_CERT_LOCALLY": _CERTIFICATE,
    "UNABLE_TO_VERIFY_LEAF_SIGNATURE": _CERTIFICATE,
    "CERT_HAS_EXPIRED": _CERTIFICATE,
    "ERR_TLS_CERT_ALTNAME_INVALID": _CERTIFICATE,
    "E401": "the registry asks for a login: npm login, or correct the token in ~/.npmrc",
    "E403": "the registry refuses the package: ask whoever runs it",
    "E404": "the registry does not have the package: npm config get registry shows which one it is",
    "ETARGET": "the registry does not have this version: npm config get registry shows which one "
    "it is",
    "ENOSPC": "make room on the disk of the agents' cache",
    "EACCES": "make npm's cache (npm config get cache) writable for you",
    "EINTEGRITY": "run: npm cache clean --force",
}
"""What to do, by npm's own code. https://docs.npmjs.com/common-errors, and Node's names of
OpenSSL's verification errors (https://nodejs.org/api/tls.html#x509-certificate-error-codes)."""


@dataclass(frozen=True)
class NpmFailure:
    """Why npm failed, with its code, and what to do about it; "" if nothing is known."""

    cause: str
    hint: str


class NpmFailed(Exception):
    """npm ended without success."""

    def __init__(self, failure: NpmFailure) -> None:
        super().__init__(failure.cause)
        self.failure = failure


def install(folder: Path, packages: Sequence[str], timeout: float, *options: str) -> None:
    """Install packages below `folder`. `timeout` is in seconds.

    Raises:
        NpmFailed: npm says why.
        OSError, subprocess.TimeoutExpired: it cannot be started, or does not end.
    """
    path = client_programs.search_path()
    program = client_programs.find("npm") or "npm"
    argv = [program, "install", "--prefix", str(folder), "--no-save", "--ignore-scripts"]
    done = subprocess.run(
        # --force: npm would refuse a package whose `engines` or `os` does not fit npm's own Node.
        # The program runs on a Node of its own, or is native.
        [*argv, "--no-audit", "--no-fund", "--force", *options, *packages],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=timeout,
        check=False,
        # npm is a script, whose Node lies beside it.
        env={**for_node(), "PATH": path},
    )
    if done.returncode != 0:
        raise NpmFailed(explained(done.stderr.decode("utf-8", "replace")))


def explained(stderr: str) -> NpmFailure:
    """What npm's standard error says. Its last line names a log file and nothing else."""
    lines = [match[1].strip() for line in stderr.splitlines() if (match := _ERROR.match(line))]
    code = next((match[1] for line in lines if (match := _CODE.fullmatch(line))), "")
    telling = [line for line in lines if line and not line.startswith(_NOISE)]
    anything = [line.strip() for line in stderr.splitlines() if line.strip()]
    cause = next(iter(telling or anything), "it failed")[:300]
    unreachable = code.startswith(("ENOTFOUND", "ECONN", "ETIMEDOUT", "EAI_AGAIN"))
    return NpmFailure(
        cause if not code or cause.startswith(code) else f"{code}: {cause}",
        _REGISTRY if unreachable else _HINTS.get(code, ""),
    )
