"""What npm's errors mean. The texts are npm 11's own, of a registry behind a proxy that reads TLS
traffic, and of others that were provoked."""

from __future__ import annotations

from pathlib import Path

import pytest

from rover_mcp.sandbox import npm_install

CERTIFICATE = """\
npm warn using --force Recommended protections disabled.
npm error code SELF_SIGNED_CERT_IN_CHAIN
npm error errno SELF_SIGNED_CERT_IN_CHAIN
npm error request to https://registry.npmjs.org/x failed, reason: self-signed certificate in chain
npm error A complete log of this run can be found in: /root/.npm/_logs/2026-11-29-debug-0.log
"""
VERSION = """\
npm error code ETARGET
npm error notarget No matching version found for @openai/codex@0.169.0.
npm error notarget In most cases you or one of your dependencies are requesting
npm error A complete log of this run can be found in: /root/.npm/_logs/x.log
"""
UNKNOWN_HOST = """\
npm ERR! code ENOTFOUND
npm ERR! syscall getaddrinfo
npm ERR! errno ENOTFOUND
npm ERR! network request to https://registry.example/x failed, reason: getaddrinfo ENOTFOUND
npm ERR! A complete log of this run can be found in: /root/.npm/_logs/x.log
"""


@pytest.mark.parametrize(
    ("stderr", "cause", "hint"),
    [
        (CERTIFICATE, "SELF_SIGNED_CERT_IN_CHAIN: request to https://", "NODE_EXTRA_CA_CERTS"),
        (VERSION, "ETARGET: notarget No matching version found for @openai/codex", "registry"),
        (UNKNOWN_HOST, "ENOTFOUND: network request to https://registry.example", "HTTPS_PROXY"),
        ("Segmentation fault\n", "Segmentation fault", ""),
        ("", "it failed", ""),
    ],
)
def test_an_error_keeps_its_cause_and_says_what_to_do(stderr: str, cause: str, hint: str) -> None:
    """The last line names a log file."""
    failure = npm_install.explained(stderr)
    assert failure.cause.startswith(cause)
    assert hint in failure.hint
    assert "_logs" not in failure.cause


def test_a_registry_that_refuses_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the real npm, and a port at which nothing listens."""
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9/")
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "cache"))
    with pytest.raises(npm_install.NpmFailed, match="ECONNREFUSED") as caught:
        npm_install.install(tmp_path / "new", ["nothing-of-this-name"], 60, "--fetch-retries=0")
    assert "registry can be reached" in caught.value.failure.hint
